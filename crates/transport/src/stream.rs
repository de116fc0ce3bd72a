//! A connection: a socket, or a socket and TLS over it, with the same calls.
//!
//! What cannot go on without waiting says [`WouldBlock`](io::ErrorKind::WouldBlock), as sockets do.
//! Over TLS, bytes that a write was given may have been taken then, though not all of what was made
//! of them has been written: **a write that would block is to be tried again with the same bytes
//! at the front**, as all who write from a queue do. What a write says to be written has been given
//! to the system.
//!
//! The end of a socket is the end of the connection, over TLS, too: what was cut off is noticed by
//! those who talk over it, each of whom says when it has said all.

use crate::socket::{RestingSocket, Socket};
use crate::tls::{problem_of, session_of};
use bytes::BytesMut;
use rustls::Connection;
use socket2::SockRef;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that one call encrypts at most: some records, so that a call writes much and little is
/// taken that is not written.
const ENCRYPTED_AT_ONCE: usize = 256 << 10;

/// Bytes that one call reads from the socket at most.
const READ_AT_ONCE: usize = 128 << 10;

/// The least room for what is read into a buffer.
const READ_ROOM: usize = 8 << 10;

/// What TLS keeps besides the socket.
#[derive(Debug)]
struct Session {
    connection: Connection,
    /// What was read from the socket: bytes, and how many of them TLS has taken.
    read: Vec<u8>,
    taken: usize,
    filled: usize,
    /// Bytes that a write has taken and not told yet.
    owed: usize,
    /// There may be more to read without waiting for the socket.
    more: bool,
}

/// A connection, served by the runtime in whose context it was made.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    session: Option<Box<Session>>,
}

/// A connection that no runtime serves.
#[derive(Debug)]
pub struct Resting {
    socket: RestingSocket,
    session: Option<Box<Session>>,
}

impl Resting {
    /// Has the runtime serve it in whose context this is called.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub fn awake(self) -> io::Result<Stream> {
        Ok(Stream { socket: self.socket.awake()?, session: self.session })
    }

    /// The system's socket, for what can be set and asked there.
    ///
    /// # Errors
    /// When it is none of the system's.
    pub fn options(&self) -> io::Result<SockRef<'_>> {
        self.socket.options()
    }
}

impl Stream {
    /// A bare socket.
    pub fn plain(socket: impl Into<Socket>) -> Self {
        Stream { socket: socket.into(), session: None }
    }

    /// TLS over a socket; its handshake takes place while it is read.
    pub(crate) fn tls(socket: Socket, mut connection: Connection) -> Self {
        connection.set_buffer_limit(Some(ENCRYPTED_AT_ONCE));
        let (read, taken, filled, owed) = (Vec::new(), 0, 0, 0);
        let session = Session { connection, read, taken, filled, owed, more: true };
        Stream { socket, session: Some(Box::new(session)) }
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The bare socket, whatever went over it.
    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }

    /// What TLS knows of the other side.
    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.session.as_ref().map(|session| &session.connection)
    }

    /// What tells this TLS session from all others, to both its ends alike; empty without TLS.
    ///
    /// # Errors
    /// When its handshake is not over.
    pub fn session(&self) -> io::Result<Vec<u8>> {
        self.connection().map_or(Ok(Vec::new()), session_of)
    }

    /// Completes the handshake of TLS.
    ///
    /// # Errors
    /// In words, what is wrong with the other side.
    pub(crate) async fn shake_hands(&mut self) -> io::Result<()> {
        loop {
            let Some(session) = &mut self.session else { return Ok(()) };
            session.flush(&self.socket)?;
            if !session.connection.is_handshaking() {
                return Ok(());
            }
            if session.connection.wants_write() {
                self.socket.writable().await?;
                continue;
            }
            match session.receive(&self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.socket.readable().await?;
                }
                Ok(false) => return Err(ErrorKind::UnexpectedEof.into()),
                received => drop(received?),
            }
        }
    }

    /// Gives the connection away to another runtime.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub fn rest(self) -> io::Result<Resting> {
        Ok(Resting { socket: self.socket.rest()?, session: self.session })
    }

    /// Waits until reading is worth trying. May be given up.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.session {
            Some(session) if session.more => Ok(()),
            _ => self.socket.readable().await,
        }
    }

    /// Waits until writing is worth trying. May be given up.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Reads what is there; nothing at the end.
    ///
    /// # Errors
    /// When it would block, or the connection is of no use any more.
    pub fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match &mut self.session {
            None => self.socket.try_read(bytes),
            Some(session) => session.read(&self.socket, &mut [IoSliceMut::new(bytes)]),
        }
    }

    /// Reads what is there into one piece after the other; nothing at the end.
    ///
    /// # Errors
    /// As [`Stream::try_read`].
    pub fn try_read_vectored(&mut self, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match &mut self.session {
            None => self.socket.try_read_vectored(pieces),
            Some(session) => session.read(&self.socket, pieces),
        }
    }

    /// Reads what is there to the end of a buffer; nothing at the end.
    ///
    /// # Errors
    /// As [`Stream::try_read`].
    pub fn try_read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        let Some(session) = &mut self.session else {
            buffer.reserve(READ_ROOM);
            return self.socket.try_read_buf(buffer);
        };
        let before = buffer.len();
        buffer.resize(before + READ_ROOM, 0);
        let read = session.read(&self.socket, &mut [IoSliceMut::new(&mut buffer[before..])]);
        buffer.truncate(before + read.as_ref().map_or(0, |count| *count));
        read
    }

    /// Writes what goes without waiting. See the module for what would block.
    ///
    /// # Errors
    /// When it would block, or the connection is of no use any more.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.session {
            None => self.socket.try_write(bytes),
            Some(session) => session.write(&self.socket, &[IoSlice::new(bytes)]),
        }
    }

    /// Writes what goes without waiting of one piece after the other, as [`Stream::try_write`].
    ///
    /// # Errors
    /// As [`Stream::try_write`].
    pub fn try_write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.session {
            None => self.socket.try_write_vectored(pieces),
            Some(session) => session.write(&self.socket, pieces),
        }
    }
}

/// A socket as TLS wants it: what it cannot do without waiting would block.
struct Raw<'a>(&'a Socket);

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Session {
    /// Writes what TLS has to say, as far as it goes without waiting.
    fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Raw(socket)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes in what the socket has. Whether it has not ended.
    fn receive(&mut self, socket: &Socket) -> io::Result<bool> {
        if self.taken == self.filled {
            self.read.resize(READ_AT_ONCE, 0);
            (self.taken, self.filled) = (0, 0);
            self.filled = socket.try_read(&mut self.read)?;
        }
        let mut unread = &self.read[self.taken..self.filled];
        let count = self.connection.read_tls(&mut unread)?;
        self.taken += count;
        let processed = self.connection.process_new_packets();
        // What is wrong with the other side it is told, if it still reads.
        let _ = self.flush(socket);
        processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, problem_of(&error)))?;
        Ok(count > 0)
    }

    fn read(&mut self, socket: &Socket, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        loop {
            let mut count = 0;
            for piece in &mut *pieces {
                let read = read_whole(&mut self.connection, piece)?;
                count += read;
                if read < piece.len() {
                    break;
                }
            }
            if count > 0 || pieces.iter().all(|piece| piece.is_empty()) {
                self.more = true;
                return Ok(count);
            }
            match self.receive(socket) {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => {
                    self.more = error.kind() != ErrorKind::WouldBlock;
                    return Err(error);
                }
            }
        }
    }

    fn write(&mut self, socket: &Socket, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.owed == 0 {
            self.owed = self.connection.writer().write_vectored(pieces)?;
        }
        self.flush(socket)?;
        if self.connection.wants_write() {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(std::mem::take(&mut self.owed))
    }
}

/// What TLS has decrypted, as far as it goes and there is room.
fn read_whole(connection: &mut Connection, piece: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < piece.len() {
        match connection.reader().read(&mut piece[count..]) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::UnexpectedEof) =>
            {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.session.is_none() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        loop {
            match self.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_read_ready(context))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.session.is_none() {
            return Pin::new(&mut self.socket).poll_write_vectored(context, pieces);
        }
        loop {
            match self.try_write_vectored(pieces) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(context))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Stream { socket, session } = self.get_mut();
        let Some(session) = session else { return Pin::new(socket).poll_flush(context) };
        loop {
            session.flush(socket)?;
            if !session.connection.wants_write() {
                return Poll::Ready(Ok(()));
            }
            ready!(socket.poll_write_ready(context))?;
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(session) = &mut self.session {
            session.connection.send_close_notify();
            ready!(self.as_mut().poll_flush(context))?;
        }
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
