//! The command server: one port for servers and `ctl`, told apart by their first frame.

use crate::connection::Connection;
use crate::fleet::FleetError;
use crate::manager::Manager;
use crate::presence::has_ended;
use crate::state::KeptReply;
use futures_util::{SinkExt, StreamExt};
use lazycopy_protocol::control::{
    CtlReply, CtlRequest, FirstFrame, FromServer, HEARTBEAT_PERIOD, MigrationKey, ServerHello,
    Silence, ToServer,
};
use lazycopy_protocol::frame::{FrameError, JsonCodec, MAX_CTL_FRAME, MAX_HELLO_FRAME};
use lazycopy_transport::{Admitted, DoorError, Evicted, Lobby, Purpose, Seat, Socket, Stream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::codec::Framed;

/// How long who has come in may take to say what it wants.
pub const FIRST_FRAME_DEADLINE: Duration = Duration::from_secs(10);

/// How long writing one frame may take: a peer that does not read is given up.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// Connections that have not said what they are, at once: where another one comes, the one that
/// has waited longest leaves. Few enough to leave file descriptors to those that have.
const MAX_STRANGERS: usize = 256;

/// Servers at once; further ones are refused.
const MAX_SERVERS: usize = 1_024;

/// Commands of `ctl` that run at once, or whose replies are not written yet; further ones are
/// refused.
const MAX_CTL: usize = 64;

/// The pause after a failed accept (for instance without free file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The least time from one notice of somebody who was turned away to the next: who floods the
/// manager does not flood its terminal.
const TELLING_PAUSE: Duration = Duration::from_secs(1);

type Opening = Framed<Stream, JsonCodec<FirstFrame, ToServer>>;

/// Places for those that have said what they are.
#[derive(Clone, Debug)]
struct Places {
    servers: Arc<Semaphore>,
    ctls: Arc<Semaphore>,
}

/// Accepts connections until the program ends.
pub(crate) async fn accept_all(listener: TcpListener, manager: Manager) {
    let lobby = Lobby::new(MAX_STRANGERS);
    let places = Places {
        servers: Arc::new(Semaphore::new(MAX_SERVERS)),
        ctls: Arc::new(Semaphore::new(MAX_CTL)),
    };
    let turned_away = Arc::<Mutex<TurnedAway>>::default();
    loop {
        match listener.accept().await {
            Ok((socket, from)) => {
                let seat = lobby.enter();
                let (manager, places) = (manager.clone(), places.clone());
                tokio::spawn(greet(manager, socket, from, seat, places, Arc::clone(&turned_away)));
            }
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                lobby.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Finds out what a connection is. Whatever it says wrong closes it, and nothing else.
async fn greet(
    manager: Manager,
    socket: TcpStream,
    from: SocketAddr,
    seat: Seat,
    places: Places,
    turned_away: Arc<Mutex<TurnedAway>>,
) {
    let problem = match seat.wait_for(first_frame(&manager, socket)).await {
        Ok(Ok((opening, FirstFrame::Server(hello)))) => {
            return serve_server(manager, opening, hello, places).await;
        }
        Ok(Ok((opening, FirstFrame::Ctl(request)))) => {
            return serve_ctl(manager, opening, request, places).await;
        }
        Ok(Err(None)) => return,
        Ok(Err(Some(problem))) => problem,
        Err(Evicted) => "others came while it said nothing".to_owned(),
    };
    if let Some(notice) = turned_away.lock().await.notice(Instant::now(), from, &problem) {
        manager.notice(&notice);
    }
}

/// Who was turned away, and what of it has been told.
#[derive(Debug, Default)]
struct TurnedAway {
    told: Option<Instant>,
    untold: u64,
}

impl TurnedAway {
    /// What is to be told of another one, if anything now.
    fn notice(&mut self, now: Instant, from: SocketAddr, problem: &str) -> Option<String> {
        if self.told.is_some_and(|told| now.duration_since(told) < TELLING_PAUSE) {
            self.untold += 1;
            return None;
        }
        let others = match std::mem::take(&mut self.untold) {
            0 => String::new(),
            others => format!(" (so were {others} others since the last notice)"),
        };
        self.told = Some(now);
        Some(format!("the connection from {from} was closed: {problem}{others}"))
    }
}

/// Lets a connection in and reads what it wants; what is wrong with it, if it has said anything.
async fn first_frame(
    manager: &Manager,
    socket: TcpStream,
) -> Result<(Opening, FirstFrame), Option<String>> {
    let admitted = manager.settings().door.admit(socket, key_of).await;
    let Admitted { stream, purpose } = match admitted {
        Ok(admitted) => admitted,
        Err(DoorError::Closed) => return Err(None),
        Err(error) => return Err(Some(error.to_string())),
    };
    let limit = match purpose {
        Purpose::Ctl => MAX_CTL_FRAME,
        _ => MAX_HELLO_FRAME,
    };
    let mut opening: Opening = Framed::new(stream, JsonCodec::beginning_with(limit));
    let first = tokio::time::timeout(FIRST_FRAME_DEADLINE, opening.next()).await;
    match (first, purpose) {
        (Ok(Some(Ok(hello @ FirstFrame::Server(_)))), Purpose::Server)
        | (Ok(Some(Ok(hello @ FirstFrame::Ctl(_)))), Purpose::Ctl) => Ok((opening, hello)),
        (Ok(Some(Ok(_))), purpose) => Err(Some(format!("it came for {purpose:?} and says else"))),
        (Ok(Some(Err(error))), _) => Err(Some(error.to_string())),
        (Ok(None), _) => Err(None),
        (Err(_), _) => {
            Err(Some(format!("it said nothing for {} s", FIRST_FRAME_DEADLINE.as_secs())))
        }
    }
}

/// Servers and `ctl` prove the cluster token alone.
fn key_of(purpose: &Purpose) -> Result<Option<MigrationKey>, String> {
    match purpose {
        Purpose::Server | Purpose::Ctl => Ok(None),
        Purpose::Pages { .. } => Err("this is the manager, not a server".to_owned()),
    }
}

async fn serve_server(manager: Manager, opening: Opening, hello: ServerHello, places: Places) {
    let name = hello.name.clone();
    let here = is_of_this_machine(opening.get_ref().socket()) && !has_ended(hello.pid);
    let (connection, to_write) = Connection::new(&name, manager.numbers());
    let mut framed = opening.map_codec(JsonCodec::retyped::<FromServer, ToServer>);
    let place = places.servers.try_acquire();
    let taken = match &place {
        Ok(_) if manager.is_somebody_else(&hello).await => Err(duplicate(&name)),
        Ok(_) => manager.introduce(hello, &connection, here).map_err(|error| error.to_string()),
        Err(_) => Err(format!("there are {MAX_SERVERS} servers already")),
    };
    if let Err(reason) = taken {
        manager.notice(&format!("server \"{name}\" was refused: {reason}"));
        let _ = write(&mut framed, ToServer::Refused { reason }).await;
        return;
    }
    let (sink, mut stream) = framed.split();
    let writer = tokio::spawn(write_all(sink, to_write));
    let mut silence = Silence::default();
    let mut heartbeats = interval(HEARTBEAT_PERIOD);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            biased;
            message = stream.next() => message,
            () = connection.over() => break,
            _ = heartbeats.tick() => {
                manager.beat(&name, &connection, &mut silence);
                continue;
            }
        };
        let Some(message) = message else { break };
        match message {
            Ok(message) => {
                manager.heard_of(&name, &connection, &mut silence);
                if let Some(message) = connection.take(message) {
                    manager.hear(&name, message);
                }
            }
            Err(error) => {
                // One that was told to end may go with something unread.
                if !manager.read(|state| state.stopping.contains(&name)) {
                    let notice = format!("the connection to server \"{name}\" broke: {error}");
                    manager.notice(&notice);
                }
                break;
            }
        }
    }
    writer.abort();
    manager.lost(&name, &connection);
}

fn duplicate(name: &str) -> String {
    FleetError::DuplicateServer { name: name.to_owned() }.to_string()
}

/// Whether whoever is at the other end is on this machine, too.
fn is_of_this_machine(stream: &Socket) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(here), Ok(there)) => here.ip() == there.ip() || there.ip().is_loopback(),
        _ => false,
    }
}

async fn write<S>(sink: &mut S, message: ToServer) -> Result<(), FrameError>
where
    S: SinkExt<ToServer, Error = FrameError> + Unpin,
{
    match tokio::time::timeout(WRITE_DEADLINE, sink.send(message)).await {
        Ok(sent) => sent,
        Err(late) => Err(FrameError::Io(late.into())),
    }
}

/// Writes commands to a server until the connection ends. When it cannot write, the stream is
/// closed, which ends the reading side, too.
async fn write_all<S>(mut sink: S, mut to_write: mpsc::Receiver<ToServer>)
where
    S: SinkExt<ToServer, Error = FrameError> + Unpin,
{
    while let Some(message) = to_write.recv().await {
        match write(&mut sink, message).await {
            Ok(()) | Err(FrameError::Unsendable { .. }) => {}
            Err(_) => break,
        }
    }
    let _ = sink.close().await;
}

async fn serve_ctl(manager: Manager, opening: Opening, request: CtlRequest, places: Places) {
    let mut framed = opening.map_codec(JsonCodec::retyped::<CtlRequest, CtlReply>);
    manager.change(|state| state.unanswered += 1);
    let place = places.ctls.try_acquire();
    let reply = match &place {
        Err(_) => CtlReply { ok: false, output: format!("{MAX_CTL} commands run already") },
        Ok(_) => answer(&manager, request).await,
    };
    if let Ok(Ok(())) = tokio::time::timeout(WRITE_DEADLINE, framed.send(reply)).await {
        let _ = framed.close().await;
    }
    manager.change(|state| state.unanswered -= 1);
}

/// Carries out the command of a `ctl`. It runs to its end even if nobody waits for it any more.
async fn answer(manager: &Manager, request: CtlRequest) -> CtlReply {
    let (runner, line, name) = (manager.clone(), request.command, request.request);
    let outcome = tokio::spawn(async move { runner.run_request(name, line).await }).await;
    let KeptReply { ok, text, json } = outcome.unwrap_or_else(|error| {
        let text = error.to_string();
        KeptReply { ok: false, json: serde_json::json!({ "error": text }), text }
    });
    CtlReply { ok, output: if request.json { json.to_string() } else { text } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_turned_away_is_told_of_once_in_a_while_and_counted_meanwhile() {
        let mut turned_away = TurnedAway::default();
        let (from, start) = ("127.0.0.1:1".parse().unwrap(), Instant::now());
        let first = turned_away.notice(start, from, "no").unwrap();
        assert_eq!(first, "the connection from 127.0.0.1:1 was closed: no");
        for _ in 0..10_000 {
            assert_eq!(turned_away.notice(start, from, "no"), None);
        }
        let next = turned_away.notice(start + TELLING_PAUSE, from, "no").unwrap();
        assert!(next.ends_with("no (so were 10000 others since the last notice)"), "{next}");
    }
}
