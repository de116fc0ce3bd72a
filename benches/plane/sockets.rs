//! TCP sockets over loopback, with what is set on each told and read back.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockRef, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// The congestion controls that this process may choose.
const ALLOWED: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";

/// What is set on each socket; the system decides what is absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SocketOptions {
    /// Congestion control.
    pub congestion: Option<String>,
    /// Send and receive buffer each, in bytes; the system doubles it for its own bookkeeping.
    pub buffer: Option<usize>,
}

impl SocketOptions {
    /// Listens on a port that the system chooses. What is accepted has the same options.
    pub fn listen(&self) -> Result<TcpListener> {
        let socket = self.socket()?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        socket.listen(1)?;
        Ok(socket.into())
    }

    /// Connects.
    pub fn connect(&self, address: SocketAddr) -> Result<TcpStream> {
        let socket = self.socket()?;
        socket.connect(&address.into()).with_context(|| format!("{address} does not answer"))?;
        Ok(socket.into())
    }

    fn socket(&self) -> Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if let Some(congestion) = &self.congestion {
            socket.set_tcp_congestion(congestion.as_bytes()).with_context(|| {
                let allowed = std::fs::read_to_string(ALLOWED).unwrap_or_default();
                format!("congestion control \"{congestion}\": this system has {}", allowed.trim())
            })?;
        }
        if let Some(buffer) = self.buffer {
            socket.set_send_buffer_size(buffer)?;
            socket.set_recv_buffer_size(buffer)?;
        }
        Ok(socket)
    }
}

/// Reno where the system has it: it never waits for a timer, so that what it gives is what the
/// machine can copy.
pub fn reno_where_allowed() -> Option<String> {
    let allowed = std::fs::read_to_string(ALLOWED).ok()?;
    allowed.split_whitespace().find(|name| *name == "reno").map(str::to_owned)
}

/// The congestion control that a connection has.
pub fn congestion_of(stream: &TcpStream) -> Result<String> {
    let name = SockRef::from(stream).tcp_congestion()?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// The one that both ends have.
pub fn agreed<'a>(one: &'a str, other: &str) -> Result<&'a str> {
    if one != other {
        bail!("one end has congestion control {one}, the other {other}");
    }
    Ok(one)
}
