//! Which servers are there: those that hang, those that are away, those that are gone.
//!
//! A server whose connection is lost is not gone: its process may live, and connects anew. Its
//! guests and migrations wait for it, for [`RETURN_DEADLINE`] or until its process is known to have
//! ended. A server that is silent while its connection stands loses nothing, however long it is.

use crate::connection::{AskError, Connection};
use crate::fleet::{Loss, Meeting, Server};
use crate::manager::Manager;
use lazycopy_protocol::control::{
    HEARTBEAT_PERIOD, SERVER_SILENCE, ServerCommand, ServerHello, ServerReply, Silence,
};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a server is waited for whose connection is lost and whose process may live: three times
/// as long as it pauses at most before it tries to connect again.
pub const RETURN_DEADLINE: Duration = Duration::from_secs(15);

/// How long a server's connection has to show that it is in use, when somebody comes who says to be
/// that server. One that was left is closed, or says nothing.
const STILL_THERE: Duration = Duration::from_secs(2);

/// How often the system is asked whether a server's process has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long the answer to a command is waited for that was given up by whoever sent it: what came of
/// it is still to be known. A server that says nothing to it for so long, and yet lives, is broken.
const LATEST_ANSWER: Duration = Duration::from_secs(3_600);

/// Whether no process of that number runs on this machine any more.
pub(crate) fn has_ended(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))
    else {
        return true;
    };
    // Its name stands in brackets, and may have any letters.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('Z' | 'X'))
}

/// Whether a server's process has certainly ended: the system says so, or another process listens
/// at its address.
pub(crate) fn is_dead(server: &Server, address_of_another: &str) -> bool {
    server.here && has_ended(server.pid) || server.address == address_of_another
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// An instant as text, to the second.
pub(crate) fn instant_text(unix_ms: u64) -> String {
    let instant = UNIX_EPOCH + Duration::from_millis(unix_ms);
    humantime::format_rfc3339_seconds(instant).to_string()
}

impl Manager {
    /// A heartbeat's time has come.
    pub(crate) fn beat(&self, server: &str, connection: &Connection, silence: &mut Silence) {
        if silence.tick() <= SERVER_SILENCE {
            connection.beat();
        } else if connection.silent_since().is_none() {
            let silent_for = HEARTBEAT_PERIOD * SERVER_SILENCE;
            let since = unix_ms().saturating_sub(silent_for.as_secs() * 1_000);
            self.set_silent(server, connection, Some(since));
            self.notice(&format!(
                "Server \"{server}\" does not answer: nothing was heard of it for {} s. What it has \
                 waits for it.",
                silent_for.as_secs()
            ));
        }
    }

    /// The server has said something.
    pub(crate) fn heard_of(&self, server: &str, connection: &Connection, silence: &mut Silence) {
        silence.heard();
        if connection.silent_since().is_some() {
            self.set_silent(server, connection, None);
            self.notice(&format!("Server \"{server}\" answers again."));
        }
    }

    fn set_silent(&self, server: &str, connection: &Connection, since_unix_ms: Option<u64>) {
        self.change(|state| {
            if state.is_current(server, connection) {
                state.fleet.set_silent(server, since_unix_ms);
            }
            connection.set_silent(since_unix_ms);
        });
    }

    /// Whether the server that somebody says to be is there already: it answers over the connection
    /// that it has. A process connects anew only when it has left its old connection. Where its
    /// process runs on this machine and has no connection now, it has its time to come back first.
    pub(crate) async fn is_somebody_else(&self, hello: &ServerHello) -> bool {
        let name = &hello.name;
        let connection = |state: &crate::manager::State| state.connections.get(name).cloned();
        let rival = self.read(|state| {
            let known = state.fleet.servers().find(|(known, _)| known == name)?.1;
            let may_live = known.awaited && known.here && !has_ended(known.pid);
            (may_live && known.pid != hello.pid).then_some(known.pid)
        });
        if let Some(pid) = rival {
            self.until(|state| (!state.fleet.is_awaited(name, pid)).then_some(())).await;
        }
        let Some(connection) = self.read(connection) else { return false };
        let answer = connection.ask(ServerCommand::ShowHost);
        matches!(tokio::time::timeout(STILL_THERE, answer).await, Ok(Ok(_)))
    }

    /// The connection to a server is gone.
    pub(crate) fn lost(&self, server: &str, connection: &Connection) {
        connection.close();
        let lost = self.change(|state| {
            if !state.is_current(server, connection) {
                return None;
            }
            state.connections.remove(server);
            if state.stopping.remove(server) {
                // It was told to end.
                let loss = state.fleet.server_died(server);
                state.fleet.server_stopped(server);
                return Some(Some(loss));
            }
            state.fleet.server_away(server);
            Some(None)
        });
        match lost {
            None => {}
            Some(Some(loss)) => self.settle_loss(loss),
            Some(None) => self.await_server(server),
        }
    }

    /// Waits for a server that is away, in the background.
    pub(crate) fn await_server(&self, server: &str) {
        let found = self.read(|state| {
            let (_, found) = state.fleet.servers().find(|(name, _)| *name == server)?;
            Some((found.pid, found.here, state.children.get(server).cloned()))
        });
        let Some((pid, here, child)) = found else { return };
        let (manager, server) = (self.clone(), server.to_owned());
        tokio::spawn(async move {
            let is_back = |state: &crate::manager::State| {
                (!state.fleet.is_awaited(&server, pid)).then_some(())
            };
            let dead = async {
                match (child, here) {
                    (Some(child), _) => drop(child.ended().await),
                    (None, true) => {
                        while !has_ended(pid) {
                            tokio::time::sleep(LOOK_AGAIN).await;
                        }
                    }
                    (None, false) => std::future::pending().await,
                }
            };
            let is_dead = tokio::select! {
                biased;
                () = manager.until(is_back) => return,
                () = dead => true,
                () = tokio::time::sleep(manager.settings().patience) => false,
            };
            manager.give_up(&server, pid, is_dead);
        });
    }

    /// A server is not waited for any longer.
    fn give_up(&self, server: &str, pid: u32, is_dead: bool) {
        let loss = self.change(|state| {
            if !state.fleet.is_awaited(server, pid) {
                return None;
            }
            let fleet = &mut state.fleet;
            let loss = if is_dead { fleet.server_died(server) } else { fleet.server_lost(server) };
            fleet.forget_unseen(server);
            Some(loss)
        });
        if let Some(loss) = loss {
            self.notice(&describe_loss(server, &loss));
            self.settle_loss(loss);
        }
    }

    /// What follows for the migrations that a server took part in that is gone.
    pub(crate) fn settle_loss(&self, loss: Loss) {
        loss.concluded.into_iter().for_each(|id| self.side_settled(id, true));
        loss.halved.into_iter().for_each(|id| self.side_settled(id, false));
    }

    /// What follows from a server's coming.
    pub(crate) fn settle_meeting(&self, meeting: Meeting) {
        let Meeting { never_begun, concluded, halved } = meeting;
        for id in never_begun {
            self.notice(&format!(
                "Migration {} was asked for just before the manager ended and never began.",
                id.0
            ));
            if let Some(hub) = self.hub() {
                hub.refused(id);
            }
        }
        self.settle_loss(Loss { vms: Vec::new(), concluded, halved });
    }

    /// Has a server do something, once, however often its connection breaks meanwhile. `settle` is
    /// told what came of it as soon as that is known, which may be after this has returned: a
    /// server that hangs does what it was told when it goes on.
    ///
    /// # Errors
    /// As [`Connection::ask`]; a server that does not answer is not waited for.
    pub(crate) async fn have_done<T: Send + 'static>(
        &self,
        server: &str,
        command: ServerCommand,
        within: Duration,
        settle: impl FnOnce(&Manager, Result<(), AskError>) -> T + Send + 'static,
    ) -> Result<T, AskError> {
        let connection = self.read(|state| state.connections.get(server).cloned());
        let (manager, name) = (self.clone(), server.to_owned());
        let told = tokio::spawn(async move {
            let answer = manager.await_answer(&name, command);
            let answer = tokio::time::timeout(LATEST_ANSWER, answer).await;
            let late = AskError::Late { server: name.clone(), within: LATEST_ANSWER };
            settle(
                &manager,
                answer.unwrap_or(Err(late)).and_then(|reply| match reply {
                    ServerReply::Done => Ok(()),
                    _ => Err(AskError::Beside { server: name.clone() }),
                }),
            )
        });
        let silent = async {
            match connection {
                Some(connection) => connection.falls_silent().await,
                None => std::future::pending().await,
            }
        };
        let server = server.to_owned();
        tokio::select! {
            biased;
            told = told => told.map_err(|_| AskError::Gone { server }),
            silent = silent => Err(silent),
            () = tokio::time::sleep(within) => Err(AskError::Late { server, within }),
        }
    }

    /// Waits until a server answers that is silent or away; `None` where it is gone.
    pub(crate) async fn answering(&self, server: &str) -> Option<Connection> {
        self.until(|state| match state.connections.get(server) {
            Some(connection) if connection.silent_since().is_none() => {
                Some(Some(connection.clone()))
            }
            Some(_) => None,
            None => {
                let is_away = state.fleet.servers().any(|(name, it)| name == server && it.awaited);
                (!is_away).then_some(None)
            }
        })
        .await
    }

    /// Sends a command, and again after each reconnection of the same process.
    async fn await_answer(
        &self,
        server: &str,
        command: ServerCommand,
    ) -> Result<ServerReply, AskError> {
        let gone = || AskError::Gone { server: server.to_owned() };
        let pid = self.read(|state| state.fleet.server(server).map(|server| server.pid));
        let pid = pid.map_err(|_| gone())?;
        let mut connection = self.connection_to(server)?;
        let id = connection.next_number();
        loop {
            match connection.ask_as(id, command.clone()).await {
                Err(AskError::Gone { .. }) => {}
                answered => return answered,
            }
            let again = self.until(|state| match state.connections.get(server) {
                Some(now) if now.is(&connection) => None,
                Some(now) => {
                    let same = state.fleet.server(server).is_ok_and(|server| server.pid == pid);
                    Some(same.then(|| now.clone()))
                }
                None => (!state.fleet.is_awaited(server, pid)).then_some(None),
            });
            let again = again.await.ok_or_else(gone)?;
            connection = again;
        }
    }
}

fn describe_loss(server: &str, loss: &Loss) -> String {
    let mut text = format!("Server \"{server}\" is gone");
    if !loss.vms.is_empty() {
        text.push_str(&format!(", and its guests with it: {}", loss.vms.join(", ")));
    }
    let migrations: Vec<String> =
        loss.concluded.iter().chain(&loss.halved).map(|id| id.0.to_string()).collect();
    if !migrations.is_empty() {
        text.push_str(&format!("; it took part in migration {}", migrations.join(", ")));
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_not_waited_for_has_ended_all_the_same() {
        assert!(!has_ended(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while !has_ended(child.id()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(has_ended(child.id()));
    }
}
