//! The beginning of a connection, over any stream of bytes.

use crate::door::DoorError;
use crate::knock::{KNOCK_FRAME_BYTES, Knocked, Knocking, Purpose, Secret, oversize, refusal};
use crate::token::Token;
use lazycopy_protocol::control::MigrationKey;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How long both sides may take, TLS included: a few round trips, so that only a host that is gone
/// or overloaded for seconds misses it.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a refused side may take to read why.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(1);

/// Knocks, and proves this side. The stream is of no use after an error.
///
/// # Errors
/// When the other side refuses, has not proven itself, says something else, or is gone.
pub async fn knock<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    purpose: Purpose,
    token: Option<&Token>,
    key: Option<&MigrationKey>,
    session: &[u8],
) -> Result<(), DoorError> {
    let knocking = Knocking::new(purpose, token.is_some());
    write_frame(stream, knocking.frame()).await?;
    let answer = match read_frame(stream).await {
        Ok(Frame::Whole(answer)) => answer,
        Ok(Frame::Oversize { .. }) => return Err(refused(oversize(&[]))),
        Err(error) => return Err(failed(error)),
    };
    let secret = Secret::of(token, key);
    let last = knocking.take(&secret, session, &answer).map_err(refused)?;
    write_frame(stream, &last).await
}

/// Answers who knocks, and has it prove itself. `key_of` tells the key that its purpose wants, or
/// refuses it. Who is refused is told why; the stream is of no use then.
///
/// # Errors
/// When the other side is refused, has not proven itself, says something else, or is gone.
pub async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    token: Option<&Token>,
    session: &[u8],
    key_of: impl FnOnce(&Purpose) -> Result<Option<MigrationKey>, String>,
) -> Result<Purpose, DoorError> {
    match answered(stream, token, session, key_of).await {
        Err(DoorError::Refused { reason }) => {
            write_refusal(stream, &reason).await;
            Err(refused(reason))
        }
        outcome => outcome,
    }
}

async fn answered<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    token: Option<&Token>,
    session: &[u8],
    key_of: impl FnOnce(&Purpose) -> Result<Option<MigrationKey>, String>,
) -> Result<Purpose, DoorError> {
    let frame = expect_frame(stream).await?;
    let knocked = Knocked::take(frame, token.is_some()).map_err(refused)?;
    let purpose = knocked.purpose.clone();
    let key = key_of(&purpose).map_err(refused)?;
    let answered = knocked.answer(Secret::of(token, key.as_ref()), session.to_vec());
    write_frame(stream, answered.frame()).await?;
    let last = match expect_frame(stream).await {
        // Who finds that the proofs differ leaves.
        Err(DoorError::Closed) => return Err(DoorError::Unproven),
        last => last?,
    };
    answered.take(&last).map_err(refused)?;
    Ok(purpose)
}

/// Tells whoever is there, of whatever version, why it is refused, and ends the connection. What
/// it has sent is read, for a while, since closing a socket with something unread takes the
/// refusal back.
pub async fn write_refusal<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, reason: &str) {
    let written = timeout(FAREWELL_DEADLINE, write_frame(stream, &refusal(reason))).await;
    if matches!(written, Ok(Ok(()))) {
        bid_farewell(stream).await;
    }
}

/// Ends a connection so that the other side gets what it was sent last.
pub(crate) async fn bid_farewell<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let farewell = async {
        stream.shutdown().await?;
        let mut unread = [0; 4_096];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    let _ = timeout(FAREWELL_DEADLINE, farewell).await;
}

/// A frame as it came.
enum Frame {
    Whole(Vec<u8>),
    /// It was announced to be longer than it may be: how it begins.
    Oversize {
        beginning: Vec<u8>,
    },
}

async fn expect_frame<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, DoorError> {
    match read_frame(stream).await {
        Ok(Frame::Whole(frame)) => Ok(frame),
        Ok(Frame::Oversize { beginning }) => Err(refused(oversize(&beginning))),
        Err(error) => Err(failed(error)),
    }
}

async fn read_frame<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Frame> {
    let length = stream.read_u32().await? as usize;
    let mut bytes = Vec::new();
    let most = length.min(KNOCK_FRAME_BYTES);
    // Of a frame that is too long, what has come is enough to tell who sends such frames.
    if length > KNOCK_FRAME_BYTES {
        bytes.resize(most, 0);
        let count = timeout(FAREWELL_DEADLINE, stream.read(&mut bytes)).await.unwrap_or(Ok(0))?;
        bytes.truncate(count);
        return Ok(Frame::Oversize { beginning: bytes });
    }
    bytes.resize(most, 0);
    stream.read_exact(&mut bytes).await?;
    Ok(Frame::Whole(bytes))
}

async fn write_frame<S: AsyncWrite + Unpin>(stream: &mut S, frame: &[u8]) -> Result<(), DoorError> {
    let mut bytes = Vec::with_capacity(4 + frame.len());
    bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
    bytes.extend_from_slice(frame);
    stream.write_all(&bytes).await?;
    Ok(stream.flush().await?)
}

/// What a stream says, as TLS over it does of the other side.
pub(crate) fn failed(error: io::Error) -> DoorError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => DoorError::Closed,
        io::ErrorKind::InvalidData => refused(error.to_string()),
        _ => error.into(),
    }
}

pub(crate) fn refused(reason: String) -> DoorError {
    DoorError::Refused { reason }
}
