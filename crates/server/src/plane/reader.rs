//! Receiving batches over a bulk connection, straight into the guest's memory.

use super::unpacking::{Coming, Unpacking};
use crate::connection::BulkStream;
use lazycopy_migration::{Destination, PageMessage};
use lazycopy_protocol::plane::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, BatchKind, ENTRY_BYTES, decode_entries,
};
use lazycopy_transport::Stream;
use std::io;
use tokio::sync::OwnedSemaphorePermit;

/// What a connection is about to receive.
#[derive(Debug)]
enum State {
    Header {
        bytes: [u8; BATCH_HEADER_BYTES],
        filled: usize,
    },
    Entries {
        header: BatchHeader,
        bytes: Vec<u8>,
        filled: usize,
    },
    Bodies {
        coming: Coming,
        length: usize,
        received: usize,
    },
    /// Nothing before the context has been taken in.
    AtFence,
    Ended,
}

impl State {
    const NEXT: State = State::Header { bytes: [0; BATCH_HEADER_BYTES], filled: 0 };
}

/// What was received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// The pages of a whole batch; their bytes are in place and checked.
    Pages(Vec<PageMessage>),
    /// Nothing that makes a whole, but there may be more.
    Some,
    /// Nothing for now.
    Nothing,
    /// The source has closed the connection, after the last batch.
    End,
}

/// Why nothing more can be received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// What came is wrong.
    #[error(transparent)]
    Wrong(#[from] BatchError),
    /// The connection has ended, in words.
    #[error("{0}")]
    Lost(String),
}

/// The destination's end of a bulk connection.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: Stream,
    _place: Option<OwnedSemaphorePermit>,
    state: State,
    /// Number of the next batch.
    next: u64,
    unpacking: Unpacking,
}

impl Reader {
    /// The destination's end of that connection, served by the runtime in whose context this is
    /// called.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub(crate) fn new(bulk: BulkStream, unpacking: Unpacking) -> io::Result<Self> {
        let (stream, place) = (bulk.stream.awake()?, bulk.place);
        Ok(Reader { stream, _place: place, state: State::NEXT, next: 0, unpacking })
    }

    /// Whether everything that was sent before the hand-over has come.
    pub(crate) fn is_at_fence(&self) -> bool {
        matches!(self.state, State::AtFence)
    }

    /// The context has been taken in: what comes behind the fence is wanted.
    pub(crate) fn pass_fence(&mut self) {
        if self.is_at_fence() {
            self.state = State::NEXT;
        }
    }

    /// Whether nothing more comes.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Nothing more comes.
    pub(crate) fn end(&mut self) {
        self.state = State::Ended;
    }

    /// Waits until there is more; at a fence and at the end, for ever.
    pub(crate) async fn readable(&self) {
        if self.is_at_fence() || self.has_ended() {
            return std::future::pending().await;
        }
        let _ = self.stream.readable().await;
    }

    /// Receives at most a batch.
    ///
    /// # Errors
    /// When the connection is of no use any more.
    pub(crate) fn read(&mut self, destination: &mut Destination) -> Result<Arrived, ReadError> {
        let mut some = false;
        loop {
            let taken = match &mut self.state {
                State::AtFence | State::Ended => false,
                State::Header { bytes, filled } => {
                    let read = self.stream.try_read(&mut bytes[*filled..]);
                    if *filled == 0 && matches!(read, Ok(0)) {
                        return Ok(Arrived::End);
                    }
                    take(read, filled)?
                }
                State::Entries { bytes, filled, .. } => {
                    take(self.stream.try_read(&mut bytes[*filled..]), filled)?
                }
                State::Bodies { coming, length, received } if *received < *length => {
                    let pieces = self.unpacking.room(destination, coming, *received);
                    // The entries were held to name each page once.
                    let overlap = || ReadError::Lost("pages of a batch overlap".to_owned());
                    let mut pieces = pieces.ok_or_else(overlap)?;
                    let (read, before) = (self.stream.try_read_vectored(&mut pieces), *received);
                    drop(pieces);
                    let taken = take(read, received)?;
                    self.unpacking.check_in_place(destination, coming, before, *received)?;
                    taken
                }
                State::Bodies { .. } => true,
            };
            if !taken {
                return Ok(if some { Arrived::Some } else { Arrived::Nothing });
            }
            some = true;
            if let Some(coming) = self.advance(destination)? {
                return Ok(Arrived::Pages(self.unpacking.unpack(destination, &coming)?));
            }
        }
    }

    /// Goes on to what follows a part that has come as a whole; the pages of a whole batch.
    fn advance(&mut self, destination: &Destination) -> Result<Option<Coming>, BatchError> {
        match &mut self.state {
            State::Header { bytes, filled } if *filled == bytes.len() => {
                let header = BatchHeader::decode(bytes, self.next)?;
                self.state = if header.kind == BatchKind::Fence {
                    self.next += 1;
                    State::AtFence
                } else {
                    let bytes = vec![0; usize::from(header.pages) * ENTRY_BYTES];
                    State::Entries { header, bytes, filled: 0 }
                };
            }
            State::Entries { header, bytes, filled } if *filled == bytes.len() => {
                let entries = decode_entries(header, bytes, self.unpacking.pages)?;
                let length = header.body_bytes as usize;
                let coming = self.unpacking.places(entries, destination);
                self.state = State::Bodies { coming, length, received: 0 };
                return self.advance(destination);
            }
            State::Bodies { length, received, .. } if received == length => {
                self.next += 1;
                let done = std::mem::replace(&mut self.state, State::NEXT);
                let State::Bodies { coming, .. } = done else { unreachable!("it was just seen") };
                return Ok(Some(coming));
            }
            _ => {}
        }
        Ok(None)
    }
}

/// What a system call gave. Whether that was anything.
fn take(read: io::Result<usize>, filled: &mut usize) -> Result<bool, ReadError> {
    match read {
        Ok(0) => Err(ReadError::Lost("a bulk connection ended within a batch".to_owned())),
        Ok(count) => {
            *filled += count;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(ReadError::Lost(error.to_string())),
    }
}
