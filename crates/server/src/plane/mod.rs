//! The page plane: the connections that carry pages as real bytes where there is no modelled
//! link.
//!
//! The background push has connections of its own, and what is urgent (demand and forward pages,
//! requests, notices, the context) goes over the control connection, so that nothing urgent waits
//! behind bulk. A [`Writer`] sends batches straight from the guest's memory, a [`Reader`] receives
//! them straight into it; between two calls of either the guest may run, in the same task.

mod draft;
mod freeing;
mod kept;
mod reader;
mod unpacking;
mod writer;

pub(crate) use draft::{Content, Draft};
pub(crate) use freeing::Freeing;
pub(crate) use reader::{Arrived, ReadError, Reader};
pub(crate) use unpacking::Unpacking;
pub(crate) use writer::Writer;

use lazycopy_link::PlaneParameters;
use socket2::SockRef;
use std::io;

/// Bytes that the system may hold of a bulk connection at each end. It is what a page may wait
/// behind at most that is sent in bulk and wanted meanwhile, and what a lost connection takes
/// along; it is also what keeps the other processor busy while this one makes the next batch. With
/// two batches of a mebibyte it is so little that on one machine the receiver still finds in a
/// cache what the sender has put there: with four, the push was measured to be a tenth slower.
const SOCKET_BUFFER_BYTES: usize = 2 << 20;

/// Sets a bulk connection up: the congestion control that was asked for, and bounded buffers.
///
/// # Errors
/// When the system has no such congestion control, in words.
pub(crate) fn set_up(
    socket: io::Result<SockRef<'_>>,
    parameters: &PlaneParameters,
) -> Result<(), String> {
    let socket = socket.map_err(|error| error.to_string())?;
    if let Some(name) = &parameters.congestion {
        socket.set_tcp_congestion(name.as_bytes()).map_err(|error| {
            format!("link.congestion: the system does not take \"{name}\": {error}")
        })?;
    }
    let buffers = || {
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)
    };
    buffers().map_err(|error| error.to_string())
}

/// The congestion control of a connection, by its name.
///
/// # Errors
/// What the system says about the socket.
fn congestion(socket: &SockRef<'_>) -> io::Result<String> {
    let name = socket.tcp_congestion()?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    Ok(String::from_utf8_lossy(&name[..end]).into_owned())
}
