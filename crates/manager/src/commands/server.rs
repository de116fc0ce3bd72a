//! `server start|list|show|stop`, and `quit`; the others have files of their own.

use crate::children::{INTRODUCTION_DEADLINE, LaunchError};
use crate::connection::AskError;
use crate::fleet::{FleetError, Server};
use crate::grammar::ServerAction;
use crate::manager::{Manager, State};
use crate::presence::instant_text;
use crate::render::{host_figure, table, table_or};
use crate::reply::{CommandError, Reply};
use lazycopy_protocol::control::{ServerCommand, ServerReply};
use serde_json::{Value, json};

impl Manager {
    pub(super) async fn server_command(&self, action: ServerAction) -> Result<Reply, CommandError> {
        match action {
            ServerAction::Start { name, frames } => self.start_server(name.as_str(), frames).await,
            ServerAction::List => Ok(self.list_servers()),
            ServerAction::Show { name } => self.show_server(&name).await,
            ServerAction::Stop { name, force } => self.stop_server(&name, force).await,
            ServerAction::Evacuate { name, to, options } => {
                self.evacuate(&name, to, &options, false).await
            }
            ServerAction::Drain { name, to, options } => {
                self.evacuate(&name, to, &options, true).await
            }
            ServerAction::Undrain { name } => self.undrain(&name).await,
            ServerAction::Rebalance { options } => self.rebalance(&options).await,
        }
    }

    /// Starts a server on this machine and waits until it has introduced itself.
    ///
    /// # Errors
    /// When its name is taken, or it does not come up.
    pub async fn start_server(
        &self,
        name: &str,
        frames: Option<u64>,
    ) -> Result<Reply, CommandError> {
        let child = self.change(|state| -> Result<_, CommandError> {
            state.fleet.name_is_free(name)?;
            if state.children.contains_key(name) {
                return Err(FleetError::DuplicateServer { name: name.to_owned() }.into());
            }
            let child = self.settings().launcher.launch(self.address(), name, frames)?;
            state.children.insert(name.to_owned(), child.clone());
            Ok(child)
        })?;
        self.forget_when_ended(name);
        let introduced = self.until(|state| state.fleet.server(name).is_ok().then_some(()));
        let problem = tokio::select! {
            () = introduced => return Ok(self.server_reply(name)),
            how = child.ended() => LaunchError::Died { name: name.to_owned(), how },
            () = tokio::time::sleep(INTRODUCTION_DEADLINE) => {
                child.kill().await;
                LaunchError::Late { name: name.to_owned() }
            }
        };
        Err(problem.into())
    }

    /// Once a started server's process has ended, another one may be started under its name.
    fn forget_when_ended(&self, name: &str) {
        let (manager, name) = (self.clone(), name.to_owned());
        let Some(child) = self.read(|state| state.children.get(&name).cloned()) else { return };
        tokio::spawn(async move {
            let how = child.ended().await;
            manager.change(|state| state.children.remove(&name));
            tracing::info!("the process of server \"{name}\" has ended: {how}");
        });
    }

    fn server_reply(&self, name: &str) -> Reply {
        let json = self.read(|state| server_json(state, name));
        let (pid, address) = (&json["pid"], json["address"].as_str().unwrap_or_default());
        Reply::new(format!("Server \"{name}\" runs: process {pid}, {address}."), json)
    }

    fn list_servers(&self) -> Reply {
        let (text, servers) = self.read(|state| {
            let names: Vec<&str> = state.fleet.servers().map(|(name, _)| name).collect();
            let servers: Vec<Value> = names.iter().map(|name| server_json(state, name)).collect();
            (servers_table(state), servers)
        });
        Reply::new(text, json!({ "servers": servers }))
    }

    async fn show_server(&self, name: &str) -> Result<Reply, CommandError> {
        self.read(|state| state.fleet.server(name).map(|_| ()))?;
        let connection = self.connection(name)?;
        match connection.ask(ServerCommand::ShowHost).await? {
            ServerReply::Host(host) => {
                Ok(Reply::new(host_figure(&host).trim_end(), json!({ "host": host })))
            }
            _ => Err(connection.beside().into()),
        }
    }

    async fn stop_server(&self, name: &str, force: bool) -> Result<Reply, CommandError> {
        let connection = self.change(|state| -> Result<_, CommandError> {
            state.fleet.server(name)?;
            if !force {
                state.fleet.may_stop_server(name)?;
            }
            state.stopping.insert(name.to_owned());
            Ok(state.connections.get(name).cloned())
        })?;
        if let Some(connection) = connection {
            match connection.tell(ServerCommand::Shutdown { force }).await {
                // It may be gone before its answer is read. One that hangs is killed, if that may be.
                Ok(()) | Err(AskError::Gone { .. }) => {}
                Err(AskError::Silent { .. }) if force && self.is_child(name) => {}
                Err(refused) => {
                    self.change(|state| state.stopping.remove(name));
                    return Err(refused.into());
                }
            }
        }
        if let Some(child) = self.read(|state| state.children.get(name).cloned()) {
            child.end_or_kill().await;
        }
        let gone = self.until(|state| (!state.connections.contains_key(name)).then_some(()));
        let _ = tokio::time::timeout(crate::children::END_DEADLINE, gone).await;
        Ok(Reply::message(format!("Server \"{name}\" has ended.")))
    }

    /// Whether this manager has started a server.
    fn is_child(&self, server: &str) -> bool {
        self.read(|state| state.children.contains_key(server))
    }

    pub(super) fn quit_command(&self, force: bool) -> Result<Reply, CommandError> {
        self.change(|state| {
            if !force {
                let started: Vec<String> = state.children.keys().cloned().collect();
                state.fleet.may_quit(&started)?;
            }
            state.quitting = true;
            Ok(Reply::message("Bye."))
        })
    }

    /// Ends the servers that this manager started, in good order where they let it.
    pub async fn end_children(&self) {
        let children: Vec<_> = self.change(|state| {
            state.quitting = true;
            let children: Vec<_> = state.children.clone().into_iter().collect();
            state.stopping.extend(children.iter().map(|(name, _)| name.clone()));
            children
        });
        let endings = children.into_iter().map(|(name, child)| async move {
            if let Ok(connection) = self.connection(&name) {
                let asked = connection.tell(ServerCommand::Shutdown { force: true });
                let _ = tokio::time::timeout(crate::children::END_DEADLINE, asked).await;
            } else {
                child.kill().await;
            }
            child.end_or_kill().await;
        });
        futures_util::future::join_all(endings).await;
        self.kept().await;
        if let Some(web) = self.web() {
            web.close().await;
        }
    }
}

/// The servers as a table.
pub(super) fn servers_table(state: &State) -> String {
    let mut servers =
        table(&["server", "state", "address", "process", "frames", "taken", "guests"]);
    for (name, server) in state.fleet.servers() {
        let guests = state.fleet.vms().filter(|(_, vm)| vm.server == name).count();
        servers.add_row([
            name.to_owned(),
            state_name(server, guests),
            server.address.clone(),
            server.pid.to_string(),
            server.frames.to_string(),
            state.fleet.frames_taken(name).to_string(),
            guests.to_string(),
        ]);
    }
    table_or(servers, "No servers. Start one with: server start NAME")
}

/// Whether a server is there, and takes guests, in words.
fn state_name(server: &Server, guests: usize) -> String {
    if let Some(since) = server.silent_since_unix_ms {
        return format!("not answering since {}", instant_text(since));
    }
    if server.awaited {
        return "away".to_owned();
    }
    let state = match (server.connected, server.draining, guests) {
        (true, false, _) => "connected",
        (true, true, 0) => "drained",
        (true, true, _) => "draining",
        (false, false, _) => "gone",
        (false, true, _) => "gone, drained",
    };
    state.to_owned()
}

/// A server for machines.
pub(super) fn server_json(state: &State, name: &str) -> Value {
    let Some((_, server)) = state.fleet.servers().find(|(other, _)| *other == name) else {
        return Value::Null;
    };
    json!({
        "name": name,
        "connected": server.connected,
        "awaited": server.awaited,
        "silent_since_unix_ms": server.silent_since_unix_ms,
        "draining": server.draining,
        "evacuating": state.fleet.evacuating().any(|evacuating| evacuating == name),
        "address": server.address,
        "pid": server.pid,
        "version": server.version,
        "frames": server.frames,
        "frames_taken": state.fleet.frames_taken(name),
        "started_by_manager": state.children.contains_key(name),
    })
}
