//! Inputs that are kept as messages are messages: one that a change has left behind reaches nothing.

use bytes::BytesMut;
use lazycopy_fuzz::TARGETS;
use lazycopy_protocol::control::{FromServer, ToServer};
use lazycopy_protocol::frame::{FrameError, JsonCodec, PeerCodec};
use lazycopy_protocol::peer::Offer;
use serde::de::DeserializeOwned;
use std::fs;
use tokio_util::codec::Decoder;

/// The kept inputs of a target whose names begin so, without as many bytes at their beginning.
fn kept(target: &str, prefix: &str, without: usize) -> Vec<(String, Vec<u8>)> {
    let target = TARGETS.iter().find(|it| it.name == target).unwrap();
    let entries = fs::read_dir(target.corpus()).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|it| (it.file_name().into_string().unwrap(), it.path()));
    let named = named.filter(|(name, _)| name.starts_with(prefix));
    let read = named.map(|(name, path)| (name, fs::read(path).unwrap().split_off(without)));
    let kept: Vec<(String, Vec<u8>)> = read.collect();
    assert!(kept.len() > 2, "{prefix}: {kept:?}");
    kept
}

/// All frames of a stream.
fn whole<D: Decoder<Error = FrameError>>(name: &str, mut codec: D, bytes: &[u8]) {
    let (mut stream, mut frames) = (BytesMut::from(bytes), 0);
    while let Some(_frame) =
        codec.decode_eof(&mut stream).unwrap_or_else(|error| panic!("{name}: {error}"))
    {
        frames += 1;
    }
    assert!(frames > 0, "{name} holds no frame");
}

fn messages<T: DeserializeOwned>(prefix: &str) {
    for (name, bytes) in kept("control", prefix, 2) {
        whole(&name, JsonCodec::<T, ToServer>::new(), &bytes);
    }
}

#[test]
fn what_is_kept_as_a_message_is_one() {
    messages::<ToServer>("to-server");
    messages::<FromServer>("from-server");
    for (name, bytes) in kept("peer", "message", 0) {
        whole(&name, PeerCodec::new(), &bytes);
    }
    for (name, bytes) in kept("offer", "offer", 0) {
        serde_json::from_slice::<Offer>(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
