//! Frames between the manager, its servers and `ctl`.

use bytes::BytesMut;
use lazycopy_protocol::control::{
    CtlReply, CtlRequest, FirstFrame, FromServer, SideEnded, ToServer, VmState,
};
use lazycopy_protocol::frame::{FrameError, JsonCodec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use tokio_util::codec::{Decoder, Encoder};

/// A connection: the first byte says what speaks, the second where its bytes are cut in two.
pub fn control(data: &[u8]) {
    let [which, cut, stream @ ..] = data else { return };
    let cut = usize::from(*cut) * stream.len() / 255;
    match which % 7 {
        0 => connection::<FirstFrame>(stream, cut),
        1 => connection::<ToServer>(stream, cut),
        2 => connection::<FromServer>(stream, cut),
        3 => connection::<CtlRequest>(stream, cut),
        4 => connection::<CtlReply>(stream, cut),
        5 => connection::<SideEnded>(stream, cut),
        _ => connection::<VmState>(stream, cut),
    }
}

/// Whatever comes is the same whether it comes at once or in two pieces, and what was a message is
/// the same message when it is sent on.
fn connection<T: DeserializeOwned + Serialize + PartialEq + Debug>(stream: &[u8], cut: usize) {
    let (messages, error) = read::<T>(&[stream]);
    let (first, second) = stream.split_at(cut);
    let (in_pieces, error_in_pieces) = read::<T>(&[first, second]);
    assert_eq!(messages, in_pieces);
    assert_eq!(error.is_some(), error_in_pieces.is_some(), "{error:?}, {error_in_pieces:?}");
    for message in messages {
        // Numbers that JSON does not have are what they were, or nothing.
        let mut codec = JsonCodec::<T, &T>::new();
        let mut sent = BytesMut::new();
        codec.encode(&message, &mut sent).expect("a message that fitted a frame fits one again");
        let again = codec.decode_eof(&mut sent).expect("what was sent can be read");
        assert_eq!(again.as_ref(), Some(&message));
    }
}

fn read<T: DeserializeOwned>(pieces: &[&[u8]]) -> (Vec<T>, Option<FrameError>) {
    let mut codec = JsonCodec::<T, T>::new();
    let (mut buffer, mut messages) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    loop {
        match codec.decode_eof(&mut buffer) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        }
    }
}
