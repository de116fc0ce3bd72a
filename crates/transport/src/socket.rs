//! Sockets, and where they come from: the system, and nothing else in an ordinary build. With the
//! feature `simulated`, which no program asks for, they may come from a simulated network.

#[cfg(feature = "simulated")]
use crate::simulated;
use socket2::SockRef;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Where a process's sockets come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The system.
    #[default]
    System,
    /// The simulation in which the process is a host; time is the simulation's, too.
    #[cfg(feature = "simulated")]
    Simulated,
}

impl Network {
    pub(crate) async fn listen(self, address: SocketAddr) -> io::Result<Listener> {
        Ok(match self {
            Network::System => Listener::System(TcpListener::bind(address).await?),
            #[cfg(feature = "simulated")]
            Network::Simulated => Listener::Simulated(simulated::listen(address).await?),
        })
    }

    pub(crate) async fn connect(self, address: SocketAddr) -> io::Result<Socket> {
        Ok(match self {
            Network::System => Socket::System(TcpStream::connect(address).await?),
            #[cfg(feature = "simulated")]
            Network::Simulated => Socket::Simulated(simulated::connect(address).await?),
        })
    }
}

/// Where connections come in.
pub enum Listener {
    /// By the system.
    System(TcpListener),
    /// In a simulation.
    #[cfg(feature = "simulated")]
    Simulated(turmoil::net::TcpListener),
}

impl Listener {
    /// Waits for a connection, and tells whence it comes.
    ///
    /// # Errors
    /// What the system says.
    pub async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        Ok(match self {
            Listener::System(listener) => {
                let (socket, from) = listener.accept().await?;
                (Socket::System(socket), from)
            }
            #[cfg(feature = "simulated")]
            Listener::Simulated(listener) => {
                let (socket, from) = simulated::accept(listener).await?;
                (Socket::Simulated(socket), from)
            }
        })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Listener::System(listener) => listener.local_addr(),
            #[cfg(feature = "simulated")]
            Listener::Simulated(listener) => listener.local_addr(),
        }
    }
}

/// A connected socket, with the calls of [`TcpStream`].
#[derive(Debug)]
pub enum Socket {
    /// The system's, served by the runtime in whose context it was made.
    System(TcpStream),
    /// A simulation's.
    #[cfg(feature = "simulated")]
    Simulated(simulated::Socket),
}

/// A socket that no runtime serves.
#[derive(Debug)]
pub(crate) enum RestingSocket {
    System(std::net::TcpStream),
    #[cfg(feature = "simulated")]
    Simulated(Box<simulated::Socket>),
}

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Self {
        Socket::System(socket)
    }
}

/// The same of either.
macro_rules! of_either {
    ($socket:expr, $it:ident => $done:expr) => {
        match $socket {
            Socket::System($it) => $done,
            #[cfg(feature = "simulated")]
            Socket::Simulated($it) => $done,
        }
    };
}

#[cfg(feature = "simulated")]
fn none_of_the_systems<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "it is a simulated socket"))
}

impl Socket {
    /// The system's socket, for what can be set and asked there.
    ///
    /// # Errors
    /// When it is none of the system's.
    pub fn options(&self) -> io::Result<SockRef<'_>> {
        match self {
            Socket::System(socket) => Ok(SockRef::from(socket)),
            #[cfg(feature = "simulated")]
            Socket::Simulated(_) => none_of_the_systems(),
        }
    }

    /// The address of this end.
    ///
    /// # Errors
    /// What the system says about the socket, as below.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        of_either!(self, it => it.local_addr())
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// As above.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        of_either!(self, it => it.peer_addr())
    }

    pub(crate) fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Socket::System(socket) => socket.set_nodelay(true),
            #[cfg(feature = "simulated")]
            Socket::Simulated(_) => Ok(()),
        }
    }

    pub(crate) async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        of_either!(self, it => it.peek(bytes).await)
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        of_either!(self, it => it.readable().await)
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        of_either!(self, it => it.writable().await)
    }

    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self, it => it.poll_read_ready(context))
    }

    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self, it => it.poll_write_ready(context))
    }

    pub(crate) fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        of_either!(self, it => it.try_read(bytes))
    }

    pub(crate) fn try_read_vectored(&self, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        of_either!(self, it => it.try_read_vectored(pieces))
    }

    pub(crate) fn try_read_buf(&self, buffer: &mut bytes::BytesMut) -> io::Result<usize> {
        of_either!(self, it => it.try_read_buf(buffer))
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        of_either!(self, it => it.try_write(bytes))
    }

    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        of_either!(self, it => it.try_write_vectored(pieces))
    }

    pub(crate) fn rest(self) -> io::Result<RestingSocket> {
        Ok(match self {
            Socket::System(socket) => RestingSocket::System(socket.into_std()?),
            #[cfg(feature = "simulated")]
            Socket::Simulated(socket) => RestingSocket::Simulated(Box::new(socket)),
        })
    }
}

impl RestingSocket {
    pub(crate) fn awake(self) -> io::Result<Socket> {
        Ok(match self {
            RestingSocket::System(socket) => Socket::System(TcpStream::from_std(socket)?),
            #[cfg(feature = "simulated")]
            RestingSocket::Simulated(socket) => Socket::Simulated(*socket),
        })
    }

    pub(crate) fn options(&self) -> io::Result<SockRef<'_>> {
        match self {
            RestingSocket::System(socket) => Ok(SockRef::from(socket)),
            #[cfg(feature = "simulated")]
            RestingSocket::Simulated(_) => none_of_the_systems(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        of_either!(self.get_mut(), it => Pin::new(it).poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        of_either!(self.get_mut(), it => Pin::new(it).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_either!(self.get_mut(), it => Pin::new(it).poll_write_vectored(context, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        of_either!(self, it => it.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self.get_mut(), it => Pin::new(it).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self.get_mut(), it => Pin::new(it).poll_shutdown(context))
    }
}
