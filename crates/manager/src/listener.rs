//! The command server: one port for servers and `ctl`, told apart by their first frame.

use crate::connection::Connection;
use crate::manager::Manager;
use crate::presence::has_ended;
use crate::state::KeptReply;
use futures_util::{SinkExt, StreamExt};
use lazycopy_protocol::control::{
    CtlReply, CtlRequest, FirstFrame, FromServer, HEARTBEAT_PERIOD, PROTOCOL_VERSION, ServerHello,
    Silence, ToServer,
};
use lazycopy_protocol::frame::{FrameError, JsonCodec};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::codec::Framed;

/// How long a connection may take to say what it is.
pub const FIRST_FRAME_DEADLINE: Duration = Duration::from_secs(10);

/// How long writing one frame may take: a peer that does not read is given up.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// Connections that have not said what they are, at once; further ones wait to be accepted.
const MAX_STRANGERS: usize = 32;

/// Commands of `ctl` that run at once; further ones are refused.
const MAX_CTL: usize = 64;

/// The pause after a failed accept (for instance without free file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Opening = Framed<TcpStream, JsonCodec<FirstFrame, ToServer>>;

/// Accepts connections until the program ends.
pub(crate) async fn accept_all(listener: TcpListener, manager: Manager) {
    let strangers = Arc::new(Semaphore::new(MAX_STRANGERS));
    let ctls = Arc::new(Semaphore::new(MAX_CTL));
    while let Ok(permit) = Arc::clone(&strangers).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, from)) => {
                tokio::spawn(greet(manager.clone(), stream, from, permit, Arc::clone(&ctls)));
            }
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Finds out what a connection is. Whatever it says wrong closes it, and nothing else.
async fn greet(
    manager: Manager,
    stream: TcpStream,
    from: SocketAddr,
    permit: OwnedSemaphorePermit,
    ctls: Arc<Semaphore>,
) {
    let _ = stream.set_nodelay(true);
    let mut opening: Opening = Framed::new(stream, JsonCodec::new());
    let first = tokio::time::timeout(FIRST_FRAME_DEADLINE, opening.next()).await;
    drop(permit);
    let problem = match first {
        Ok(Some(Ok(FirstFrame::Server(hello)))) => {
            return serve_server(manager, opening, hello).await;
        }
        Ok(Some(Ok(FirstFrame::Ctl(request)))) => {
            return serve_ctl(manager, opening, request, ctls).await;
        }
        Ok(Some(Err(error))) => error.to_string(),
        Ok(None) => return,
        Err(_) => format!("it said nothing for {} s", FIRST_FRAME_DEADLINE.as_secs()),
    };
    manager.notice(&format!("the connection from {from} was closed: {problem}"));
}

async fn serve_server(manager: Manager, opening: Opening, hello: ServerHello) {
    let name = hello.name.clone();
    let here = is_of_this_machine(opening.get_ref()) && !has_ended(hello.pid);
    let (connection, to_write) = Connection::new(&name, manager.numbers());
    let mut framed = opening.map_codec(JsonCodec::retyped::<FromServer, ToServer>);
    if let Err(error) = manager.introduce(hello, &connection, here) {
        let reason = error.to_string();
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
                manager.notice(&format!("the connection to server \"{name}\" broke: {error}"));
                break;
            }
        }
    }
    writer.abort();
    manager.lost(&name, &connection);
}

/// Whether whoever is at the other end is on this machine, too.
fn is_of_this_machine(stream: &TcpStream) -> bool {
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

async fn serve_ctl(manager: Manager, opening: Opening, request: CtlRequest, ctls: Arc<Semaphore>) {
    let mut framed = opening.map_codec(JsonCodec::retyped::<CtlRequest, CtlReply>);
    manager.change(|state| state.unanswered += 1);
    let reply = match ctls.try_acquire() {
        Err(_) => CtlReply { ok: false, output: format!("{MAX_CTL} commands run already") },
        Ok(_) if request.protocol != PROTOCOL_VERSION => CtlReply {
            ok: false,
            output: format!(
                "ctl speaks version {} of the protocol, the manager version {PROTOCOL_VERSION}",
                request.protocol
            ),
        },
        Ok(_permit) => answer(&manager, request).await,
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
