//! The manager's host: it lets servers in and passes on what is said. What it says is decided
//! outside of the simulated time, by the brain.

use futures_util::{SinkExt, StreamExt};
use lazycopy_protocol::control::{
    FirstFrame, FromServer, HEARTBEAT_PERIOD, ServerCommand, ServerHello, ToServer,
};
use lazycopy_protocol::frame::JsonCodec;
use lazycopy_protocol::pace::Pace;
use lazycopy_transport::{Door, Purpose, Socket, Stream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::interval;
use tokio_util::codec::Framed;

/// Where it listens.
pub(crate) const PORT: u16 = 7_000;

/// It has one life: numbers of commands never begin anew.
const LIFE: u64 = 1;

/// A command and its number.
pub(crate) type Numbered = (u64, ServerCommand);

/// What the manager's host hears.
pub(crate) enum Heard {
    /// A server has introduced itself; commands to it go there, as long as it is connected.
    Attached { hello: Box<ServerHello>, commands: UnboundedSender<Numbered> },
    /// That server says something.
    Said { server: String, message: FromServer },
}

/// Lets servers in, for ever.
pub(crate) async fn listen(door: Door, heard: UnboundedSender<Heard>) -> turmoil::Result {
    let listener = door.listen(([0, 0, 0, 0], PORT).into()).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        let (door, heard) = (door.clone(), heard.clone());
        tokio::spawn(async move {
            // Who is not let in, or leaves, comes again.
            let _ = serve(&door, socket, &heard).await;
        });
    }
}

async fn serve(
    door: &Door,
    socket: Socket,
    heard: &UnboundedSender<Heard>,
) -> Result<(), anyhow::Error> {
    let admitted = door.admit(socket, |_| Ok(None)).await?;
    anyhow::ensure!(admitted.purpose == Purpose::Server);
    let mut framed = Framed::new(admitted.stream, JsonCodec::<FirstFrame, ToServer>::new());
    let Some(Ok(FirstFrame::Server(hello))) = framed.next().await else {
        anyhow::bail!("it is no server");
    };
    framed.send(ToServer::Welcome { life: LIFE, pace: Pace::default() }).await?;
    let framed = framed.map_codec(JsonCodec::retyped::<FromServer, ToServer>);
    let server = hello.name.clone();
    let (commands, told) = unbounded_channel();
    heard.send(Heard::Attached { hello: Box::new(hello), commands })?;
    converse(framed, &server, told, heard).await
}

async fn converse(
    mut framed: Framed<Stream, JsonCodec<FromServer, ToServer>>,
    server: &str,
    mut told: UnboundedReceiver<Numbered>,
    heard: &UnboundedSender<Heard>,
) -> Result<(), anyhow::Error> {
    let mut beats = interval(HEARTBEAT_PERIOD);
    loop {
        tokio::select! {
            biased;
            said = framed.next() => match said {
                Some(message) => {
                    heard.send(Heard::Said { server: server.to_owned(), message: message? })?;
                }
                None => return Ok(()),
            },
            Some((id, command)) = told.recv() => {
                framed.send(ToServer::Command { id, command }).await?;
            }
            _ = beats.tick() => framed.send(ToServer::Heartbeat).await?,
        }
    }
}
