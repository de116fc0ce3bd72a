//! A connection between two servers.

use bytes::{Buf, BytesMut};
use lazycopy_protocol::frame::{FrameError, PeerCodec, PeerFrame};
use lazycopy_protocol::peer::PeerMessage;
use lazycopy_transport::{Resting, Stream};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::{Decoder, Encoder};
use tracing::debug;

/// Bytes that may wait to be written before the machine that produces them has to wait: some
/// dozens of pages or a part of a residency list, so that a slow socket delays and memory stays
/// bounded.
const OUTBOX_ROOM: usize = 256 << 10;

/// How long the other side may take not a single byte of what waits: then it is taken for dead.
const STALL_DEADLINE: Duration = Duration::from_secs(10);

/// How long the last frames and the other side's goodbye may take.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(10);

/// What is said of a connection that ended.
const CLOSED: &str = "the other server closed the connection";

/// What happened on a connection.
#[derive(Debug)]
pub(crate) enum Traffic {
    /// A frame came.
    Arrived(PeerFrame),
    /// Some of what waited was written.
    Wrote,
    /// The connection is of no use any more, in words.
    Lost(String),
}

/// A connection to another server. Frames wait in an outbox, so that sending never blocks.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    codec: PeerCodec,
    /// What has come and is no whole frame yet.
    inbox: BytesMut,
    /// The other side says nothing more.
    ended: bool,
    outbox: BytesMut,
    /// When the other side last took a byte, or an empty outbox was filled.
    last_taken: Instant,
    /// Its place among the connections that are taken in, if it is one.
    place: Option<OwnedSemaphorePermit>,
}

/// A bulk connection, and its number among those of its migration: the tasks that take them in may
/// hand them over in any order, and both sides speak of them by their numbers.
pub(crate) type Numbered = (usize, BulkStream);

/// A connection without frames that no runtime serves yet, and its place among those that are
/// taken in.
#[derive(Debug)]
pub(crate) struct BulkStream {
    pub(crate) stream: Resting,
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// A connection over `stream`, which gives its `place` back when it is closed.
    pub(crate) fn new(stream: Stream, place: Option<OwnedSemaphorePermit>) -> Self {
        Connection {
            stream,
            codec: PeerCodec::new(),
            inbox: BytesMut::new(),
            ended: false,
            outbox: BytesMut::new(),
            last_taken: Instant::now(),
            place,
        }
    }

    /// Whether the other side is on this machine, too.
    pub(crate) fn is_within_machine(&self) -> bool {
        let socket = self.stream.socket();
        match (socket.local_addr(), socket.peer_addr()) {
            (Ok(here), Ok(there)) => here.ip() == there.ip() || there.ip().is_loopback(),
            _ => false,
        }
    }

    /// Puts a frame into the outbox.
    ///
    /// # Errors
    /// When it is larger than a frame may be.
    pub(crate) fn send(&mut self, frame: PeerFrame) -> Result<(), FrameError> {
        if self.outbox.is_empty() {
            self.last_taken = Instant::now();
        }
        PeerCodec::new().encode(frame, &mut self.outbox)
    }

    /// Whether more may be put into the outbox.
    pub(crate) fn has_room(&self) -> bool {
        self.outbox.len() < OUTBOX_ROOM
    }

    /// Writes what goes without waiting. What goes wrong is told by [`Connection::next`].
    pub(crate) fn write_now(&mut self) {
        while !self.outbox.is_empty() && matches!(self.write_some(), Ok(count) if count > 0) {}
    }

    fn write_some(&mut self) -> io::Result<usize> {
        let count = self.stream.try_write(&self.outbox)?;
        self.outbox.advance(count);
        self.last_taken = Instant::now();
        Ok(count)
    }

    /// A frame that has come already, if one has.
    pub(crate) fn poll_arrived(&mut self) -> Option<Traffic> {
        loop {
            let decoded = match self.ended {
                false => self.codec.decode(&mut self.inbox),
                true => self.codec.decode_eof(&mut self.inbox),
            };
            match decoded {
                Ok(Some(frame)) => return Some(Traffic::Arrived(frame)),
                Ok(None) if self.ended => return Some(Traffic::Lost(CLOSED.to_owned())),
                Ok(None) => {}
                Err(error) => return Some(Traffic::Lost(error.to_string())),
            }
            match self.stream.try_read_buf(&mut self.inbox) {
                Ok(count) => self.ended = count == 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => return Some(Traffic::Lost(error.to_string())),
            }
        }
    }

    /// Waits until something happens. May be given up and called again.
    pub(crate) async fn next(&mut self) -> Traffic {
        loop {
            if let Some(traffic) = self.poll_arrived() {
                return traffic;
            }
            let deadline = self.last_taken + STALL_DEADLINE;
            let waits = !self.outbox.is_empty();
            let ready = tokio::select! {
                biased;
                ready = self.stream.readable() => {
                    match ready {
                        Ok(()) => continue,
                        Err(error) => Err(error),
                    }
                }
                ready = timeout_at(deadline, self.stream.writable()), if waits => match ready {
                    Ok(ready) => ready,
                    Err(_) => return stalled(),
                },
            };
            if let Some(traffic) = ready.map_or_else(lost, |()| self.write_what_waits()) {
                return traffic;
            }
        }
    }

    /// Waits until some of what waits is written, where nothing more is to be read for now; else
    /// for ever. May be given up and called again.
    pub(crate) async fn wrote(&mut self) -> Traffic {
        if self.outbox.is_empty() {
            return std::future::pending().await;
        }
        loop {
            let deadline = self.last_taken + STALL_DEADLINE;
            let Ok(ready) = timeout_at(deadline, self.stream.writable()).await else {
                return stalled();
            };
            if let Some(traffic) = ready.map_or_else(lost, |()| self.write_what_waits()) {
                return traffic;
            }
        }
    }

    /// Writes when the connection is said to take something; `None` where it does not.
    fn write_what_waits(&mut self) -> Option<Traffic> {
        match self.write_some() {
            Ok(0) => Some(Traffic::Lost(CLOSED.to_owned())),
            Ok(_) => Some(Traffic::Wrote),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => lost(error),
        }
    }

    /// The next message, after everything in the outbox has been written; for handshakes, where
    /// no page is due.
    ///
    /// # Errors
    /// In words: the connection was lost, or something else came.
    pub(crate) async fn next_message(&mut self) -> Result<PeerMessage, String> {
        loop {
            match self.next().await {
                Traffic::Arrived(PeerFrame::Message(message)) => return Ok(message),
                Traffic::Arrived(_) => {
                    return Err("a part of the guest came before the migration began".to_owned());
                }
                Traffic::Wrote => {}
                Traffic::Lost(reason) => return Err(reason),
            }
        }
    }

    /// Writes everything that waits in the outbox.
    ///
    /// # Errors
    /// In words, when the connection was lost.
    pub(crate) async fn flush(&mut self) -> Result<(), String> {
        self.stream.write_all_buf(&mut self.outbox).await.map_err(|error| error.to_string())
    }

    /// The same connection, served by the runtime in whose context this is called.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub(crate) fn moved_here(self) -> io::Result<Self> {
        let stream = self.stream.rest()?.awake()?;
        Ok(Connection { stream, ..self })
    }

    /// The stream itself, for a connection that goes on without frames, and its place.
    ///
    /// # Errors
    /// In words, when the other side has already sent more than was asked of it.
    pub(crate) async fn into_stream(mut self) -> Result<BulkStream, String> {
        self.flush().await?;
        if !self.inbox.is_empty() {
            return Err("the other server sent more than was asked of it".to_owned());
        }
        let stream = self.stream.rest().map_err(|error| error.to_string())?;
        Ok(BulkStream { stream, place: self.place })
    }

    /// Refuses the guest that was offered, and ends the connection.
    pub(crate) async fn refuse(mut self, reason: String) {
        match self.send(PeerFrame::Message(PeerMessage::Refuse { reason })) {
            Ok(()) => self.bid_farewell().await,
            Err(error) => debug!(%error, "a refusal could not be sent"),
        }
    }

    /// Ends the connection: the other side still gets everything in the outbox. What it has sent
    /// is read to its end, since closing a socket with something unread takes back what the other
    /// side has not read yet.
    pub(crate) async fn bid_farewell(mut self) {
        let farewell = async {
            self.flush().await?;
            self.stream.shutdown().await.map_err(|error| error.to_string())?;
            let mut unread = [0; 4_096];
            while self.stream.read(&mut unread).await.map_err(|error| error.to_string())? > 0 {}
            Ok::<(), String>(())
        };
        match timeout(FAREWELL_DEADLINE, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => debug!(reason, "the other server did not wait for the end"),
            Err(_) => debug!("the other server did not close its end"),
        }
    }
}

fn lost(error: io::Error) -> Option<Traffic> {
    Some(Traffic::Lost(error.to_string()))
}

fn stalled() -> Traffic {
    let seconds = STALL_DEADLINE.as_secs();
    Traffic::Lost(format!("the other server has taken nothing for {seconds} s"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    /// A connection whose other side takes nothing any more, and that side.
    async fn full() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (here, _) = listener.accept().await.unwrap();
        let mut connection = Connection::new(Stream::plain(here), None);
        while connection.has_room() {
            let pong = PeerMessage::Pong { number: 1, clock_ns: 2 };
            connection.send(PeerFrame::Message(pong)).unwrap();
            if !connection.has_room() {
                connection.write_now();
            }
        }
        (connection, there)
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_missed_also_while_nothing_is_read() {
        let (mut connection, _there) = full().await;
        for missed in [connection.next().await, connection.wrote().await] {
            let Traffic::Lost(reason) = missed else { panic!("{missed:?}") };
            assert_eq!(reason, "the other server has taken nothing for 10 s");
        }
    }

    #[tokio::test]
    async fn what_is_taken_is_told_while_nothing_is_read() {
        let (mut connection, mut there) = full().await;
        let taken = tokio::spawn(async move {
            let mut some = vec![0; 1 << 20];
            while there.read(&mut some).await.is_ok_and(|count| count > 0) {}
        });
        while !connection.outbox.is_empty() {
            assert!(matches!(connection.wrote().await, Traffic::Wrote));
        }
        drop(connection);
        taken.await.unwrap();
    }
}
