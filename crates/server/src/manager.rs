//! The connection to the manager.

use crate::host::{Dispatched, Host, vanished};
use crate::{ServerConfig, ServerError};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, SinkExt, StreamExt};
use lazycopy_protocol::control::{
    FirstFrame, FromServer, HEARTBEAT_PERIOD, MANAGER_SILENCE, ServerReply, Silence, ToServer,
};
use lazycopy_protocol::frame::{FrameError, JsonCodec};
use lazycopy_transport::{DoorError, Purpose, Role, Stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::codec::Framed;
use tracing::{info, warn};

/// The pause after the first failed attempt; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause: what a user waits at most after starting the manager.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a connection or the manager's welcome may take.
const WELCOME_DEADLINE: Duration = Duration::from_secs(10);

/// How long the manager may take a message: then it is taken for dead.
const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// Commands that are carried out at a time. Beyond it the next one waits in the socket.
const MAX_COMMANDS: usize = 1_024;

type ToManager = Framed<Stream, JsonCodec<ToServer, FromServer>>;

/// Why a connection is of no further use.
enum Parted {
    /// It was lost, in words: try again.
    Lost(String),
    /// One of the two does not let the other in.
    AtDoor(DoorError),
    /// The manager does not take this server.
    Refused(String),
    /// The manager ended this server.
    Shutdown,
}

/// Obeys the manager, reconnecting for ever, until it ends this server.
///
/// # Errors
/// When it refuses this server.
pub(crate) async fn obey(
    host: &Arc<Host>,
    config: &ServerConfig,
    mut events: mpsc::Receiver<FromServer>,
) -> Result<(), ServerError> {
    let mut pause = FIRST_PAUSE;
    let mut was_welcome = false;
    loop {
        let parted = match connect(host, &config.manager).await {
            Ok((mut connection, life)) => {
                info!(manager = config.manager, "connected");
                pause = FIRST_PAUSE;
                was_welcome = true;
                while events.try_recv().is_ok() {}
                host.sides().send_again();
                serve(host, &mut connection, life, &mut events).await
            }
            Err(parted) => parted,
        };
        match parted {
            Parted::Shutdown => {
                info!("ended by the manager");
                return Ok(());
            }
            Parted::Refused(reason) => return Err(ServerError::Refused { reason }),
            // Whoever is there now, guests are not lost for that.
            Parted::AtDoor(error) if was_welcome => {
                warn!(manager = config.manager, %error, "not let in: trying again in {pause:?}");
            }
            Parted::AtDoor(error) => return Err(ServerError::AtDoor { error }),
            Parted::Lost(reason) => {
                warn!(manager = config.manager, reason, "no manager: trying again in {pause:?}");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn lost(reason: impl ToString) -> Parted {
    Parted::Lost(reason.to_string())
}

/// What time mends is tried again.
fn at_door(error: DoorError) -> Parted {
    match error {
        DoorError::Io(_) | DoorError::Late | DoorError::Closed => lost(error),
        error => Parted::AtDoor(error),
    }
}

/// Connects to the manager. Its welcome tells which of its lives it is.
async fn connect(host: &Host, manager: &str) -> Result<(ToManager, u64), Parted> {
    let welcome = async {
        let door = host.door();
        let socket = door.reach(manager).await.map_err(at_door)?;
        let hello = host.hello(socket.local_addr().map_err(lost)?);
        let through = door.go_through(socket, manager, Role::Manager, Purpose::Server, None);
        let stream = through.await.map_err(at_door)?;
        let mut framed = Framed::new(stream, JsonCodec::<ToServer, FirstFrame>::new());
        framed.send(FirstFrame::Server(hello)).await.map_err(lost)?;
        let mut framed = framed.map_codec(JsonCodec::retyped::<ToServer, FromServer>);
        match receive(framed.next().await)? {
            ToServer::Welcome { life, pace } => {
                // Nobody waits for what the guests say to it.
                host.set_pace(pace).map_err(lost)?;
                Ok((framed, life))
            }
            ToServer::Refused { reason } => Err(Parted::Refused(reason)),
            ToServer::Command { .. } | ToServer::Heartbeat => {
                Err(lost("something came before the welcome"))
            }
        }
    };
    timeout(WELCOME_DEADLINE, welcome)
        .await
        .unwrap_or_else(|_| Err(lost("it did not welcome this server in time")))
}

fn receive(frame: Option<Result<ToServer, FrameError>>) -> Result<ToServer, Parted> {
    match frame {
        Some(frame) => frame.map_err(lost),
        None => Err(lost("it closed the connection")),
    }
}

/// A frame came: the manager is there.
fn heard(
    silence: &mut Silence,
    frame: Option<Result<ToServer, FrameError>>,
) -> Result<ToServer, Parted> {
    silence.heard();
    receive(frame)
}

async fn send(connection: &mut ToManager, message: FromServer) -> Result<(), Parted> {
    let id = match &message {
        FromServer::Reply { id, .. } => Some(*id),
        _ => None,
    };
    let sent = timeout(SEND_DEADLINE, connection.send(message))
        .await
        .map_err(|_| lost("it does not read what it is sent"))?;
    match (sent, id) {
        (Err(error @ FrameError::Unsendable { .. }), Some(id)) => {
            let result = Err(format!("the answer is too large: {error}"));
            connection.send(FromServer::Reply { id, result }).await.map_err(lost)
        }
        (sent, _) => sent.map_err(lost),
    }
}

/// Carries out commands until the connection is lost or the server is to end.
async fn serve(
    host: &Arc<Host>,
    connection: &mut ToManager,
    life: u64,
    events: &mut mpsc::Receiver<FromServer>,
) -> Parted {
    let mut answers = FuturesUnordered::new();
    let mut silence = Silence::default();
    let mut ticks = interval(HEARTBEAT_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let listens = answers.len() < MAX_COMMANDS;
        let step = tokio::select! {
            // What is bounded goes first, and shown events last, of which some may be left out.
            biased;
            _ = ticks.tick(), if listens => match silence.tick() > MANAGER_SILENCE {
                true => Err(lost(format!("nothing was heard of it for {MANAGER_SILENCE} s"))),
                false => Ok(()),
            },
            Some((id, result)) = answers.next() => {
                send(connection, FromServer::Reply { id, result }).await
            }
            report = host.await_report() => deliver(host, connection, events, report).await,
            frame = connection.next(), if listens => match heard(&mut silence, frame) {
                Ok(ToServer::Heartbeat) => send(connection, FromServer::Heartbeat).await,
                Ok(ToServer::Command { id, command }) => match host.carry_out((life, id), command) {
                    Dispatched::Now(answer) => {
                        send(connection, FromServer::Reply { id, result: *answer }).await
                    }
                    Dispatched::Later(answer) => {
                        let answer = async move { (id, answer.await.unwrap_or_else(|_| vanished())) };
                        answers.push(answer.boxed());
                        Ok(())
                    }
                    Dispatched::Shared(mut coming) => {
                        let answer = async move {
                            let came = coming.wait_for(Option::is_some).await;
                            let came = came.ok().and_then(|came| (*came).clone());
                            (id, came.unwrap_or_else(vanished))
                        };
                        answers.push(answer.boxed());
                        Ok(())
                    }
                    Dispatched::Shutdown => {
                        let result = Ok(ServerReply::Done);
                        let _ = send(connection, FromServer::Reply { id, result }).await;
                        Err(Parted::Shutdown)
                    }
                },
                Ok(ToServer::Refused { reason }) => Err(Parted::Refused(reason)),
                Ok(ToServer::Welcome { .. }) => Ok(()),
                Err(parted) => Err(parted),
            },
            Some(event) = events.recv() => send(connection, event).await,
        };
        if let Err(parted) = step {
            return parted;
        }
    }
}

/// Delivers a report, after the events that were shown before it.
async fn deliver(
    host: &Host,
    connection: &mut ToManager,
    events: &mut mpsc::Receiver<FromServer>,
    report: FromServer,
) -> Result<(), Parted> {
    while let Ok(event) = events.try_recv() {
        send(connection, event).await?;
    }
    send(connection, report).await?;
    host.sides().note_sent();
    Ok(())
}
