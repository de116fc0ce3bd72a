//! The sockets of a simulated network (turmoil), as the system's are: what can be tried without
//! waiting, and connections that break.
//!
//! turmoil's connections carry bytes in order, and break when the other side closes them. What the
//! system does about a link that is dead (see [`DEAD_LINK`](crate::DEAD_LINK)) it does not: nothing
//! is sent again, and nothing asks whether the other side is there. So the simulation tells an end
//! that its connection is broken, by [`break_connections`].

use bytes::{Buf, BufMut, BytesMut};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

/// Bytes that are read ahead at most.
const READ_AHEAD: usize = 16 << 10;

thread_local! {
    /// The ends of all connections of the simulation that runs on this thread.
    static ENDS: RefCell<Vec<Weak<Mutex<Fate>>>> = const { RefCell::new(Vec::new()) };
}

/// What becomes of an end of a connection, by the simulation's word.
#[derive(Debug)]
struct Fate {
    here: IpAddr,
    there: IpAddr,
    broken: Option<ErrorKind>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Ends of connections, as they were when this was made.
#[derive(Debug)]
pub struct Ends(Vec<Weak<Mutex<Fate>>>);

/// The ends that there are now at the host `here`, of connections with the host `there`.
pub fn ends(here: IpAddr, there: IpAddr) -> Ends {
    ENDS.with_borrow_mut(|ends| {
        ends.retain(|end| end.strong_count() > 0);
        let is_meant = |end: &&Weak<Mutex<Fate>>| {
            end.upgrade().is_some_and(|end| {
                let fate = lock(&end);
                fate.here == here && fate.there == there
            })
        };
        Ends(ends.iter().filter(is_meant).cloned().collect())
    })
}

impl Ends {
    /// Breaks these ends, as the system breaks what is dead. Tells how many were whole.
    pub fn break_off(&self, how: ErrorKind) -> usize {
        let living = self.0.iter().filter_map(Weak::upgrade);
        living.filter(|end| lock(end).break_off(how)).count()
    }
}

impl Fate {
    fn break_off(&mut self, how: ErrorKind) -> bool {
        let was_whole = self.broken.is_none();
        self.broken = self.broken.or(Some(how));
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
        was_whole
    }

    fn check(&self) -> io::Result<()> {
        self.broken.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connected socket.
#[derive(Debug)]
pub struct Socket {
    here: SocketAddr,
    there: SocketAddr,
    fate: Arc<Mutex<Fate>>,
    stream: Mutex<Buffered>,
}

#[derive(Debug)]
struct Buffered {
    stream: TcpStream,
    /// What has come and was not read.
    read: BytesMut,
    ended: bool,
}

pub(crate) async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

pub(crate) async fn accept(listener: &TcpListener) -> io::Result<(Socket, SocketAddr)> {
    let (stream, from) = listener.accept().await?;
    Ok((Socket::new(stream)?, from))
}

pub(crate) async fn connect(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(TcpStream::connect(address).await?)
}

impl Buffered {
    /// Takes in what has come, if nothing of it is left.
    fn poll_filled(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.read.is_empty() || self.ended {
            return Poll::Ready(Ok(()));
        }
        self.read.resize(READ_AHEAD, 0);
        let mut buffer = ReadBuf::new(&mut self.read);
        let polled = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
        let count = buffer.filled().len();
        self.read.truncate(count);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.ended = count == 0;
        }
        polled
    }
}

impl Socket {
    fn new(stream: TcpStream) -> io::Result<Self> {
        let (here, there) = (stream.local_addr()?, stream.peer_addr()?);
        let fate =
            Fate { here: here.ip(), there: there.ip(), broken: None, reader: None, writer: None };
        let fate = Arc::new(Mutex::new(fate));
        ENDS.with_borrow_mut(|ends| ends.push(Arc::downgrade(&fate)));
        let stream = Mutex::new(Buffered { stream, read: BytesMut::new(), ended: false });
        Ok(Socket { here, there, fate, stream })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.here)
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.there)
    }

    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut fate = lock(&self.fate);
        fate.check()?;
        let polled = lock(&self.stream).poll_filled(context);
        if polled.is_pending() {
            fate.reader = Some(context.waker().clone());
        }
        polled
    }

    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut fate = lock(&self.fate);
        fate.check()?;
        let stream = lock(&self.stream);
        let writable = std::pin::pin!(stream.stream.writable());
        let polled = writable.poll(context);
        if polled.is_pending() {
            fate.writer = Some(context.waker().clone());
        }
        polled
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_read_ready(context)).await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_write_ready(context)).await
    }

    pub(crate) async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.readable().await?;
        let stream = lock(&self.stream);
        let count = stream.read.len().min(bytes.len());
        bytes[..count].copy_from_slice(&stream.read[..count]);
        Ok(count)
    }

    pub(crate) fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.try_read_vectored(&mut [IoSliceMut::new(bytes)])
    }

    pub(crate) fn try_read_vectored(&self, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        lock(&self.fate).check()?;
        let mut stream = lock(&self.stream);
        // Whoever is told that it would block waits by a call that asks again.
        match stream.poll_filled(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => return Err(ErrorKind::WouldBlock.into()),
            Poll::Ready(filled) => filled?,
        }
        let mut read = 0;
        for piece in pieces {
            let count = stream.read.len().min(piece.len());
            stream.read.copy_to_slice(&mut piece[..count]);
            read += count;
        }
        Ok(read)
    }

    pub(crate) fn try_read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        let mut bytes = vec![0; room];
        let count = self.try_read(&mut bytes)?;
        buffer.put_slice(&bytes[..count]);
        Ok(count)
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.fate).check()?;
        lock(&self.stream).stream.try_write(bytes)
    }

    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = pieces.iter().find(|piece| !piece.is_empty());
        self.try_write(first.map_or(&[], |piece| piece))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_read_ready(context))?;
        let count = self.try_read(buffer.initialize_unfilled())?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_write_ready(context))?;
        Poll::Ready(self.try_write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(lock(&self.fate).check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.fate).check()?;
        Pin::new(&mut lock(&self.stream).stream).poll_shutdown(context)
    }
}
