//! A connection between two servers.

use bytes::{Buf, BytesMut};
use futures_util::{FutureExt, StreamExt};
use lazycopy_protocol::frame::{FrameError, PeerCodec, PeerFrame};
use lazycopy_protocol::peer::PeerMessage;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::{Decoder, Encoder, FramedRead};
use tracing::debug;

/// Bytes that may wait to be written before the machine that produces them has to wait: some
/// dozens of pages or a part of a residency list, so that a slow socket delays and memory stays
/// bounded.
const OUTBOX_ROOM: usize = 256 << 10;

/// How long the other side may take not a single byte of what waits: then it is taken for dead.
const STALL_DEADLINE: Duration = Duration::from_secs(10);

/// How long the last frames and the other side's goodbye may take.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(10);

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
    frames: FramedRead<OwnedReadHalf, PeerCodec>,
    /// Frames that were read before another runtime took over.
    ahead: VecDeque<PeerFrame>,
    writer: OwnedWriteHalf,
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
    pub(crate) stream: std::net::TcpStream,
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// A connection over `stream`, which gives its `place` back when it is closed.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub(crate) fn new(stream: TcpStream, place: Option<OwnedSemaphorePermit>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Connection {
            frames: FramedRead::new(reader, PeerCodec::new()),
            ahead: VecDeque::new(),
            writer,
            outbox: BytesMut::new(),
            last_taken: Instant::now(),
            place,
        })
    }

    /// Whether the other side is on this machine, too.
    pub(crate) fn is_within_machine(&self) -> bool {
        match (self.writer.local_addr(), self.writer.peer_addr()) {
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
        while !self.outbox.is_empty() {
            match self.writer.try_write(&self.outbox) {
                Ok(count) if count > 0 => {
                    self.outbox.advance(count);
                    self.last_taken = Instant::now();
                }
                _ => return,
            }
        }
    }

    /// A frame that has come already, if one has.
    pub(crate) fn poll_arrived(&mut self) -> Option<Traffic> {
        match self.ahead.pop_front() {
            Some(frame) => Some(Traffic::Arrived(frame)),
            None => self.frames.next().now_or_never().map(arrived),
        }
    }

    /// Waits until something happens. May be given up and called again.
    pub(crate) async fn next(&mut self) -> Traffic {
        if let Some(frame) = self.ahead.pop_front() {
            return Traffic::Arrived(frame);
        }
        let deadline = self.last_taken + STALL_DEADLINE;
        tokio::select! {
            biased;
            frame = self.frames.next() => arrived(frame),
            written = timeout_at(deadline, self.writer.write(&self.outbox)),
                if !self.outbox.is_empty() =>
            {
                match written {
                    Ok(Ok(count)) if count > 0 => {
                        self.outbox.advance(count);
                        self.last_taken = Instant::now();
                        Traffic::Wrote
                    }
                    Ok(Ok(_)) => Traffic::Lost("the other server closed the connection".to_owned()),
                    Ok(Err(error)) => Traffic::Lost(error.to_string()),
                    Err(_) => Traffic::Lost(format!(
                        "the other server has taken nothing for {} s",
                        STALL_DEADLINE.as_secs()
                    )),
                }
            }
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
        self.writer.write_all_buf(&mut self.outbox).await.map_err(|error| error.to_string())
    }

    /// The same connection, served by the runtime in whose context this is called.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub(crate) fn moved_here(mut self) -> io::Result<Self> {
        let (mut unread, mut codec) =
            (self.frames.read_buffer_mut().split(), std::mem::take(self.frames.decoder_mut()));
        // A fresh reader waits for bytes before it looks at those that it has.
        while let Some(frame) = codec.decode(&mut unread).map_err(io::Error::other)? {
            self.ahead.push_back(frame);
        }
        let reader = self.frames.into_inner();
        let stream = reader.reunite(self.writer).map_err(io::Error::other)?.into_std()?;
        let (reader, writer) = TcpStream::from_std(stream)?.into_split();
        let mut frames = FramedRead::new(reader, codec);
        frames.read_buffer_mut().unsplit(unread);
        Ok(Connection { frames, writer, ..self })
    }

    /// The stream itself, for a connection that goes on without frames, and its place.
    ///
    /// # Errors
    /// In words, when the other side has already sent more than was asked of it.
    pub(crate) async fn into_stream(mut self) -> Result<BulkStream, String> {
        self.flush().await?;
        if !(self.ahead.is_empty() && self.frames.read_buffer().is_empty()) {
            return Err("the other server sent more than was asked of it".to_owned());
        }
        let reader = self.frames.into_inner();
        let stream = reader.reunite(self.writer).map_err(|error| error.to_string())?;
        let stream = stream.into_std().map_err(|error| error.to_string())?;
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
            self.writer.shutdown().await.map_err(|error| error.to_string())?;
            let reader = self.frames.get_mut();
            let mut unread = [0; 4_096];
            while reader.read(&mut unread).await.map_err(|error| error.to_string())? > 0 {}
            Ok::<(), String>(())
        };
        match timeout(FAREWELL_DEADLINE, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => debug!(reason, "the other server did not wait for the end"),
            Err(_) => debug!("the other server did not close its end"),
        }
    }
}

fn arrived(frame: Option<Result<PeerFrame, FrameError>>) -> Traffic {
    match frame {
        Some(Ok(frame)) => Traffic::Arrived(frame),
        Some(Err(error)) => Traffic::Lost(error.to_string()),
        None => Traffic::Lost("the other server closed the connection".to_owned()),
    }
}
