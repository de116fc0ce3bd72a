//! Frames: a length of four bytes, most significant first, and so many bytes of payload.
//!
//! One decoder serves both kinds of connections; what differs is the payload. Decoders give one
//! error and are of no use after it, since what follows is out of step: close the connection.

use crate::lists::{DISK_TAG, MAP_TAG, RESIDENCY_TAG};
use crate::peer::PeerMessage;
use crate::plane::BATCH_TAG;
use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::type_name;
use std::io;
use std::marker::PhantomData;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

/// The largest payload between the manager and a server or `ctl`: a guest with a written-out
/// queue of a million pages, or [`ENTRIES_PER_FRAME`](crate::control::ENTRIES_PER_FRAME) events,
/// fits easily; what garbage can make a process set aside stays small.
pub const MAX_CONTROL_FRAME: usize = 16 << 20;

/// The largest payload with the one command of a `ctl`: a line of the longest length of which each
/// letter is escaped fits.
pub const MAX_CTL_FRAME: usize = 128 << 10;

/// The largest payload with which a server introduces itself: four thousand guests with long names
/// fit, each on the move, and sixteen thousand ended migrations that no manager has heard of.
pub const MAX_HELLO_FRAME: usize = 8 << 20;

/// The largest payload between two servers: as [`MAX_CONTROL_FRAME`], so that a guest that can be
/// created can be offered, too. What a context has one of per page comes in parts of
/// [`PART_ENTRIES`](crate::lists::PART_ENTRIES).
pub const MAX_PEER_FRAME: usize = MAX_CONTROL_FRAME;

/// Bytes of the length that goes before a payload.
const LENGTH_BYTES: usize = 4;

/// How much of a payload an error shows.
const SHOWN_BYTES: usize = 60;

/// What is wrong with a connection's bytes. It is all that a peer can cause.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side announced a payload beyond the limit; it does not speak this protocol.
    #[error("a frame of {announced} bytes was announced, at most {limit} are taken (seen: {seen})")]
    TooLarge {
        /// Bytes that it announced.
        announced: u64,
        /// The limit.
        limit: usize,
        /// The frame's first bytes.
        seen: String,
    },
    /// A message of this side is beyond the limit.
    #[error("a message of {bytes} bytes cannot be sent, a frame has at most {limit}")]
    Unsendable {
        /// Bytes of the message.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The connection ended within a frame.
    #[error("the connection ended within a frame")]
    CutShort,
    /// The payload is no message that is expected here.
    #[error("expected a {expected} as JSON, seen {seen}: {problem}")]
    Unreadable {
        /// The message that was expected.
        expected: &'static str,
        /// The payload's first bytes.
        seen: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Cuts a stream of bytes into payloads.
#[derive(Debug)]
struct Payloads {
    inner: LengthDelimitedCodec,
    limit: usize,
    /// Whether the length of the next payload has been taken off the stream.
    within_frame: bool,
}

impl Payloads {
    fn new(limit: usize) -> Self {
        let inner = LengthDelimitedCodec::builder()
            .length_field_length(LENGTH_BYTES)
            .max_frame_length(limit)
            .new_codec();
        Payloads { inner, limit, within_frame: false }
    }

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<BytesMut>, FrameError> {
        let before = source.len();
        match self.inner.decode(source) {
            Ok(None) => {
                self.within_frame |= source.len() < before;
                Ok(None)
            }
            Ok(payload) => {
                self.within_frame = false;
                Ok(payload)
            }
            Err(error) => Err(self.refusal(error, source)),
        }
    }

    /// The length stays in the buffer when the inner decoder refuses it.
    fn refusal(&self, error: io::Error, source: &BytesMut) -> FrameError {
        match source.first_chunk::<LENGTH_BYTES>() {
            Some(length) if error.kind() == io::ErrorKind::InvalidData => FrameError::TooLarge {
                announced: u32::from_be_bytes(*length).into(),
                limit: self.limit,
                seen: shown(source),
            },
            _ => FrameError::Io(error),
        }
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<BytesMut>, FrameError> {
        match self.decode(source)? {
            None if self.within_frame || !source.is_empty() => Err(FrameError::CutShort),
            payload => Ok(payload),
        }
    }

    fn encode(&mut self, payload: Bytes, into: &mut BytesMut) -> Result<(), FrameError> {
        if payload.len() > self.limit {
            return Err(FrameError::Unsendable { bytes: payload.len(), limit: self.limit });
        }
        Ok(self.inner.encode(payload, into)?)
    }
}

/// The beginning of some bytes, as text.
fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let dots = if cut.len() < bytes.len() { "..." } else { "" };
    format!("\"{}\"{dots}", cut.escape_ascii())
}

fn from_json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(payload).map_err(|error| FrameError::Unreadable {
        expected: type_name::<T>().rsplit("::").next().unwrap_or("message"),
        seen: shown(payload),
        problem: error.to_string(),
    })
}

fn to_json<T: Serialize>(message: &T) -> Result<Bytes, FrameError> {
    let json = serde_json::to_vec(message).map_err(io::Error::from)?;
    Ok(Bytes::from(json))
}

/// Control connections: takes messages of type `In` and gives messages of type `Out`, each as one
/// frame of JSON.
#[derive(Debug)]
pub struct JsonCodec<In, Out> {
    payloads: Payloads,
    messages: PhantomData<fn(Out) -> In>,
}

impl<In, Out> JsonCodec<In, Out> {
    /// A codec for a fresh connection.
    pub fn new() -> Self {
        JsonCodec { payloads: Payloads::new(MAX_CONTROL_FRAME), messages: PhantomData }
    }

    /// A codec for a fresh connection whose first frame, by which somebody says what it wants, has
    /// at most so many bytes.
    pub fn beginning_with(limit: usize) -> Self {
        JsonCodec { payloads: Payloads::new(limit), messages: PhantomData }
    }

    /// The same connection, from here on with messages of other types and of up to
    /// [`MAX_CONTROL_FRAME`]: for a connection whose first frame tells what it is.
    pub fn retyped<NextIn, NextOut>(self) -> JsonCodec<NextIn, NextOut> {
        let mut payloads = self.payloads;
        payloads.limit = MAX_CONTROL_FRAME;
        payloads.inner.set_max_frame_length(MAX_CONTROL_FRAME);
        JsonCodec { payloads, messages: PhantomData }
    }
}

impl<In, Out> Default for JsonCodec<In, Out> {
    fn default() -> Self {
        JsonCodec::new()
    }
}

impl<In: DeserializeOwned, Out> Decoder for JsonCodec<In, Out> {
    type Item = In;
    type Error = FrameError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<In>, FrameError> {
        self.payloads.decode(source)?.map(|payload| from_json(&payload)).transpose()
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<In>, FrameError> {
        self.payloads.decode_eof(source)?.map(|payload| from_json(&payload)).transpose()
    }
}

impl<In, Out: Serialize> Encoder<Out> for JsonCodec<In, Out> {
    type Error = FrameError;

    fn encode(&mut self, message: Out, into: &mut BytesMut) -> Result<(), FrameError> {
        self.payloads.encode(to_json(&message)?, into)
    }
}

/// A frame between two servers.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerFrame {
    /// A message in JSON.
    Message(PeerMessage),
    /// A page, for [`decode_page`](crate::page::decode_page).
    Page(Bytes),
    /// A batch of pages with a header of its own, see [`plane`](crate::plane).
    Batch(Bytes),
    /// A part of the residency list, for [`decode_residency`](crate::lists::decode_residency).
    Residency(Bytes),
    /// A part of the disk, for [`decode_disk`](crate::lists::decode_disk).
    Disk(Bytes),
    /// A page map, for [`decode_map`](crate::lists::decode_map).
    Map(Bytes),
}

/// Connections between two servers. The first byte of a payload tells what it is: `{` begins a
/// message in JSON.
#[derive(Debug)]
pub struct PeerCodec {
    payloads: Payloads,
}

impl PeerCodec {
    /// A codec for a fresh connection.
    pub fn new() -> Self {
        PeerCodec { payloads: Payloads::new(MAX_PEER_FRAME) }
    }
}

impl Default for PeerCodec {
    fn default() -> Self {
        PeerCodec::new()
    }
}

/// What a payload between two servers is. What begins with none of the tags is taken for a page,
/// an empty one for JSON, and refused as such.
fn peer_frame(payload: BytesMut) -> Result<PeerFrame, FrameError> {
    match payload.first() {
        Some(b'{') | None => from_json(&payload).map(PeerFrame::Message),
        Some(&BATCH_TAG) => Ok(PeerFrame::Batch(payload.freeze())),
        Some(&RESIDENCY_TAG) => Ok(PeerFrame::Residency(payload.freeze())),
        Some(&DISK_TAG) => Ok(PeerFrame::Disk(payload.freeze())),
        Some(&MAP_TAG) => Ok(PeerFrame::Map(payload.freeze())),
        Some(_) => Ok(PeerFrame::Page(payload.freeze())),
    }
}

impl Decoder for PeerCodec {
    type Item = PeerFrame;
    type Error = FrameError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<PeerFrame>, FrameError> {
        self.payloads.decode(source)?.map(peer_frame).transpose()
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<PeerFrame>, FrameError> {
        self.payloads.decode_eof(source)?.map(peer_frame).transpose()
    }
}

impl Encoder<PeerFrame> for PeerCodec {
    type Error = FrameError;

    fn encode(&mut self, frame: PeerFrame, into: &mut BytesMut) -> Result<(), FrameError> {
        let payload = match frame {
            PeerFrame::Message(message) => to_json(&message)?,
            PeerFrame::Page(payload)
            | PeerFrame::Batch(payload)
            | PeerFrame::Residency(payload)
            | PeerFrame::Disk(payload)
            | PeerFrame::Map(payload) => payload,
        };
        self.payloads.encode(payload, into)
    }
}
