//! Frames between two servers.

use super::guests::spec;
use bytes::{Bytes, BytesMut};
use lazycopy_guest::PageContents;
use lazycopy_migration::ResidencyList;
use lazycopy_protocol::frame::{PeerCodec, PeerFrame};
use lazycopy_protocol::lists::{
    decode_disk, decode_map, decode_residency, encode_disk, encode_map, encode_residency,
};
use lazycopy_protocol::page::{decode_page, encode_page};
use lazycopy_protocol::peer::{Offer, PeerMessage};
use lazycopy_protocol::plane::{
    BATCH_HEADER_BYTES, BatchHeader, ENTRY_BYTES, MAX_BATCH_PAGES, decode_entries,
};
use lazycopy_server::fuzzing::check_offer;
use tokio_util::codec::{Decoder, Encoder};

/// Pages of the guest whose frames these are.
const PAGES: u32 = 64;

/// A connection: each frame is read to its end, and what was a frame is the same frame when it is
/// sent on.
pub fn peer(data: &[u8]) {
    let (mut codec, mut buffer) = (PeerCodec::new(), BytesMut::from(data));
    while let Ok(Some(frame)) = codec.decode_eof(&mut buffer) {
        read(&frame);
        let mut sent = BytesMut::new();
        codec.encode(frame.clone(), &mut sent).expect("a frame fits a frame");
        let again = PeerCodec::new().decode_eof(&mut sent).expect("what was sent can be read");
        assert_eq!(again, Some(frame));
    }
}

fn read(frame: &PeerFrame) {
    match frame {
        PeerFrame::Message(PeerMessage::Offer(offer)) => drop(check_offer(offer)),
        PeerFrame::Message(_) => {}
        PeerFrame::Page(bytes) => page(bytes),
        PeerFrame::Batch(bytes) => batch(bytes),
        PeerFrame::Residency(part) => residency(part),
        PeerFrame::Disk(part) => disk(part),
        PeerFrame::Map(bytes) => map(bytes),
    }
}

fn page(bytes: &[u8]) {
    let contents = PageContents::of(&spec(PAGES));
    if let Ok((message, at)) = decode_page(&contents, PAGES, bytes) {
        assert!(message.page.0 < PAGES && message.count == 1);
        let mut again = BytesMut::new();
        encode_page(&contents, &message, at, &mut again);
        assert!(again == bytes, "page {} is another one when it is sent on", message.page);
    }
}

/// What is not looked at is not said again either: the bytes that a batch announces are all.
fn batch(bytes: &[u8]) {
    let Some((head, rest)) = bytes.split_first_chunk::<BATCH_HEADER_BYTES>() else { return };
    let number = u64::from_le_bytes(std::array::from_fn(|byte| head[8 + byte]));
    let Ok(header) = BatchHeader::decode(head, number) else { return };
    assert_eq!(header.encode(), *head);
    assert!(usize::from(header.pages) <= MAX_BATCH_PAGES);
    let length = usize::from(header.pages) * ENTRY_BYTES;
    let Some(entries) = rest.get(..length) else { return };
    let Ok(decoded) = decode_entries(&header, entries, PAGES) else { return };
    assert!(decoded.iter().all(|entry| entry.page.0 < PAGES));
    let again: Vec<u8> = decoded.iter().flat_map(|entry| entry.encode()).collect();
    assert_eq!(again, entries);
}

fn residency(part: &Bytes) {
    let mut list = ResidencyList::default();
    if decode_residency(part, PAGES, |entry| list.push(entry)).is_ok() && !list.is_empty() {
        let (again, end) = encode_residency(&list, 0).expect("it is not empty");
        assert_eq!((end, &again), (list.len(), part));
    }
}

fn disk(part: &Bytes) {
    let mut written = Vec::new();
    if decode_disk(part, PAGES, |page, stamp| written.push((page, stamp))).is_ok()
        && !written.is_empty()
    {
        assert_eq!(encode_disk(&written).collect::<Vec<_>>(), std::slice::from_ref(part));
    }
}

fn map(bytes: &Bytes) {
    if let Ok(map) = decode_map(bytes, PAGES) {
        assert!(map.fits(PAGES));
        assert_eq!(decode_map(&encode_map(&map), PAGES), Ok(map));
    }
}

/// An offer is refused in words, or one that a server can keep.
pub fn offer(data: &[u8]) {
    let Ok(offer) = serde_json::from_slice::<Offer>(data) else { return };
    if check_offer(&offer).is_ok() {
        offer.spec.validate().expect("it was checked");
        offer.parameters.validate().expect("they were checked");
    }
}
