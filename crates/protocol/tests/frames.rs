//! Frames: round trips, frames that come in pieces, and what peers should not send.

use bytes::{BufMut, Bytes, BytesMut};
use lazycopy_guest::Registers;
use lazycopy_migration::{Notice, Residency, ResidencyList};
use lazycopy_protocol::control::{
    CtlReply, CtlRequest, FirstFrame, FromServer, ServerCommand, ServerReply, ToServer,
};
use lazycopy_protocol::frame::{
    FrameError, JsonCodec, MAX_CONTROL_FRAME, MAX_CTL_FRAME, MAX_PEER_FRAME, PeerCodec, PeerFrame,
};
use lazycopy_protocol::lists::{
    DISK_TAG, ListError, PART_ENTRIES, RESIDENCY_TAG, decode_disk, decode_residency, encode_disk,
    encode_residency,
};
use lazycopy_protocol::pace::Pace;
use lazycopy_protocol::page::PAGE_TAG;
use lazycopy_protocol::peer::{ContextFrame, PeerMessage};
use lazycopy_protocol::plane::BATCH_TAG;
use lazycopy_units::{Instant, PageNumber};
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};

/// What the manager reads and writes on a server's connection.
type AtManager = JsonCodec<FromServer, ToServer>;
/// What the server reads and writes there.
type AtServer = JsonCodec<ToServer, FromServer>;

fn start(id: u64) -> ToServer {
    ToServer::Command { id, command: ServerCommand::StartVm { vm: format!("guest-{id}") } }
}

fn framed(payload: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_u32(payload.len() as u32);
    bytes.put_slice(payload);
    bytes
}

fn peer_frames() -> Vec<PeerFrame> {
    let context = ContextFrame {
        deliver_at: Instant::from_nanos(u64::MAX),
        registers: Registers { accesses: u64::MAX, digest: u64::MAX - 1, misses: 3 },
        bytes: 4_128,
    };
    vec![
        PeerFrame::Message(PeerMessage::Accept),
        PeerFrame::Page(Bytes::from(vec![PAGE_TAG; 40])),
        PeerFrame::Batch(Bytes::from(vec![BATCH_TAG; 40])),
        PeerFrame::Residency(Bytes::from(vec![RESIDENCY_TAG; 5])),
        PeerFrame::Disk(Bytes::from(vec![DISK_TAG; 13])),
        PeerFrame::Message(PeerMessage::Context(Box::new(context))),
        PeerFrame::Message(PeerMessage::Notice {
            deliver_at: Instant::from_nanos(5),
            notice: Notice::Dropped { page: PageNumber(1) },
        }),
        PeerFrame::Message(PeerMessage::Released),
    ]
}

#[test]
fn control_messages_are_read_back_wherever_the_stream_is_split() {
    let messages = [start(1), ToServer::Welcome { life: 7, pace: Pace::default() }, start(2)];
    let mut stream = BytesMut::new();
    for message in &messages {
        AtManager::new().encode(message.clone(), &mut stream).unwrap();
    }
    for cut in 0..=stream.len() {
        let (mut codec, mut buffer, mut seen) = (AtServer::new(), BytesMut::new(), Vec::new());
        for piece in [&stream[..cut], &stream[cut..]] {
            buffer.extend_from_slice(piece);
            while let Some(message) = codec.decode(&mut buffer).unwrap() {
                seen.push(message);
            }
        }
        assert_eq!(seen, messages, "split at byte {cut}");
        assert_eq!(codec.decode_eof(&mut buffer).unwrap(), None);
    }
}

#[test]
fn peer_frames_are_read_back_when_they_come_byte_by_byte() {
    let frames = peer_frames();
    let mut stream = BytesMut::new();
    for frame in &frames {
        PeerCodec::new().encode(frame.clone(), &mut stream).unwrap();
    }
    let (mut codec, mut buffer, mut seen) = (PeerCodec::new(), BytesMut::new(), Vec::new());
    for byte in stream {
        buffer.put_u8(byte);
        seen.extend(codec.decode(&mut buffer).unwrap());
    }
    assert_eq!(seen, frames);
}

#[test]
fn the_first_frame_tells_what_a_connection_is() {
    let request = CtlRequest { command: "status".into(), json: true, request: None };
    let mut stream = BytesMut::new();
    let mut ctl = JsonCodec::<CtlReply, FirstFrame>::new();
    ctl.encode(FirstFrame::Ctl(request.clone()), &mut stream).unwrap();
    let mut manager = JsonCodec::<FirstFrame, CtlReply>::new();
    assert_eq!(manager.decode(&mut stream).unwrap(), Some(FirstFrame::Ctl(request)));
    let reply = CtlReply { ok: true, output: "fine".into() };
    let mut manager = manager.retyped::<(), CtlReply>();
    manager.encode(reply.clone(), &mut stream).unwrap();
    assert_eq!(ctl.decode(&mut stream).unwrap(), Some(reply));
}

#[test]
fn text_from_another_protocol_is_refused_before_anything_is_set_aside() {
    let mut stream = BytesMut::from("GET / HTTP/1.1\r\n");
    let error = AtServer::new().decode(&mut stream).unwrap_err();
    assert!(matches!(error, FrameError::TooLarge { announced: 0x4745_5420, .. }), "{error}");
    assert!(error.to_string().contains("GET / HTTP"), "{error}");
    assert!(error.to_string().contains(&MAX_CONTROL_FRAME.to_string()), "{error}");
    assert!(stream.capacity() < MAX_CONTROL_FRAME);
}

#[test]
fn a_frame_of_the_limit_is_taken_and_one_byte_more_is_not() {
    for (bytes, taken) in [(MAX_PEER_FRAME, true), (MAX_PEER_FRAME + 1, false)] {
        let mut stream = BytesMut::new();
        let page = PeerFrame::Page(Bytes::from(vec![PAGE_TAG; bytes]));
        let sent = PeerCodec::new().encode(page, &mut stream);
        assert_eq!(sent.is_ok(), taken);
        let mut stream = framed(&vec![PAGE_TAG; bytes]);
        assert_eq!(PeerCodec::new().decode(&mut stream).is_ok(), taken);
    }
}

#[test]
fn a_first_frame_has_a_limit_of_its_own_and_what_follows_has_the_usual_one() {
    let mut codec = JsonCodec::<FirstFrame, CtlReply>::beginning_with(MAX_CTL_FRAME);
    let large = framed(&vec![b' '; MAX_CTL_FRAME + 1]);
    let error = codec.decode(&mut large.clone()).unwrap_err();
    assert!(matches!(error, FrameError::TooLarge { limit: MAX_CTL_FRAME, .. }), "{error}");
    let mut codec = JsonCodec::<FirstFrame, CtlReply>::beginning_with(MAX_CTL_FRAME)
        .retyped::<FromServer, ToServer>();
    let error = codec.decode(&mut large.clone()).unwrap_err();
    assert!(matches!(error, FrameError::Unreadable { .. }), "{error}");
}

#[test]
fn a_document_that_is_nested_without_end_is_an_error_and_no_crash() {
    let nested = "[".repeat(1 << 20);
    for payload in [nested.clone(), format!("{{\"message\":{nested}")] {
        let error = AtServer::new().decode(&mut framed(payload.as_bytes())).unwrap_err();
        assert!(matches!(error, FrameError::Unreadable { .. }), "{error}");
    }
}

#[test]
fn a_message_that_is_too_large_is_an_error_at_its_sender() {
    let reply = CtlReply { ok: true, output: "x".repeat(MAX_CONTROL_FRAME) };
    let mut stream = BytesMut::new();
    let error = JsonCodec::<(), CtlReply>::new().encode(reply, &mut stream).unwrap_err();
    assert!(matches!(error, FrameError::Unsendable { .. }), "{error}");
    assert!(stream.is_empty());
}

#[test]
fn an_error_says_what_was_seen_and_what_was_expected() {
    for (payload, said) in [
        (&b"\x16\x03\x01 garbage"[..], "\\x16\\x03\\x01 garbage"),
        (br#"{"message":"dance"}"#, "unknown variant `dance`"),
        (br#"{"message":"refused"}"#, "missing field `reason`"),
        (b"", "EOF"),
    ] {
        let error = AtServer::new().decode(&mut framed(payload)).unwrap_err().to_string();
        assert!(error.contains("expected a ToServer"), "{error}");
        assert!(error.contains(said), "{error}");
    }
    let error = PeerCodec::new().decode(&mut framed(br#"{"peer":"dance"}"#)).unwrap_err();
    assert!(error.to_string().contains("expected a PeerMessage"), "{error}");
}

#[test]
fn a_connection_that_ends_within_a_frame_is_told_from_one_that_ends_between_two() {
    let mut stream = BytesMut::new();
    AtManager::new().encode(start(1), &mut stream).unwrap();
    for cut in 1..stream.len() {
        let (mut codec, mut buffer) = (AtServer::new(), BytesMut::from(&stream[..cut]));
        assert!(codec.decode(&mut buffer).unwrap().is_none());
        let error = codec.decode_eof(&mut buffer).unwrap_err();
        assert!(matches!(error, FrameError::CutShort), "cut at byte {cut}: {error}");
    }
}

#[test]
fn a_large_context_is_cut_into_parts_that_fit_a_frame_and_joined_again() {
    let pages = 2 * PART_ENTRIES as u32 + 1;
    let entry = |n: u32| Residency {
        page: PageNumber(n),
        dirty: n.is_multiple_of(3),
        current: n.is_multiple_of(5),
    };
    let whole: ResidencyList = (0..pages).map(entry).collect();
    let written: Vec<(PageNumber, u64)> =
        (0..pages).map(|n| (PageNumber(n), u64::MAX - u64::from(n))).collect();
    let (mut joined, mut disk) = (ResidencyList::default(), Vec::new());
    let mut from = 0;
    while let Some((part, next)) = encode_residency(&whole, from) {
        assert!(part.len() < MAX_PEER_FRAME / 4);
        decode_residency(&part, pages, |entry| joined.push(entry)).unwrap();
        from = next;
    }
    assert_eq!(joined, whole);
    for part in encode_disk(&written) {
        assert!(part.len() < MAX_PEER_FRAME / 4);
        decode_disk(&part, pages, |page, stamp| disk.push((page, stamp))).unwrap();
    }
    assert_eq!(disk, written);
}

#[test]
fn lists_that_are_cut_or_name_a_page_that_is_not_there_are_refused() {
    let list: ResidencyList =
        [Residency { page: PageNumber(7), dirty: true, current: true }].into_iter().collect();
    let (part, _) = encode_residency(&list, 0).unwrap();
    let out_of_range = ListError::OutOfRange { page: PageNumber(7), pages: 7 };
    assert_eq!(decode_residency(&part, 7, |_| {}), Err(out_of_range));
    assert_eq!(decode_residency(&part, 8, |_| {}), Ok(()));
    let cut = decode_residency(&part[..3], 8, |_| {});
    assert_eq!(cut, Err(ListError::Length { entry: 4, bytes: 2 }));
    let part = encode_disk(&[(PageNumber(7), 5)]).next().unwrap();
    assert_eq!(decode_disk(&part, 7, |_, _| {}), Err(out_of_range));
    let cut = decode_disk(&part[..12], 8, |_, _| {});
    assert_eq!(cut, Err(ListError::Length { entry: 12, bytes: 11 }));
}

#[test]
fn the_fullest_frame_of_events_is_far_below_the_limit() {
    use lazycopy_migration::{Event, EventKind, FaultEnd, Side};
    use lazycopy_protocol::control::ENTRIES_PER_FRAME;
    let event = Event {
        at: Instant::MAX,
        side: Side::Destination,
        kind: EventKind::FaultEnded {
            page: PageNumber(u32::MAX),
            by: FaultEnd::Remote,
            stalled: lazycopy_units::Duration::from_nanos(u64::MAX),
        },
    };
    let events = vec![event.into(); ENTRIES_PER_FRAME as usize];
    let result = Ok(ServerReply::Events { events, last: false });
    let mut stream = BytesMut::new();
    AtServer::new().encode(FromServer::Reply { id: 1, result }, &mut stream).unwrap();
    assert!(stream.len() < MAX_CONTROL_FRAME / 8, "{} bytes", stream.len());
}

proptest! {
    #[test]
    fn garbage_never_panics_and_ends_in_one_error_or_in_waiting(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut buffer = BytesMut::from(&bytes[..]);
        let mut codec = PeerCodec::new();
        while let Ok(Some(_)) = codec.decode(&mut buffer) {}
        let mut buffer = BytesMut::from(&bytes[..]);
        let mut codec = AtManager::new();
        while let Ok(Some(_)) = codec.decode(&mut buffer) {}
    }

    #[test]
    fn frames_survive_any_cutting_of_the_stream(
        sizes in proptest::collection::vec(1usize..50, 1..200),
    ) {
        let frames = peer_frames();
        let mut stream = BytesMut::new();
        for frame in &frames {
            PeerCodec::new().encode(frame.clone(), &mut stream).unwrap();
        }
        let (mut codec, mut buffer, mut seen) = (PeerCodec::new(), BytesMut::new(), Vec::new());
        let mut sizes = sizes.into_iter().cycle();
        while !stream.is_empty() {
            let piece = sizes.next().unwrap().min(stream.len());
            buffer.extend_from_slice(&stream.split_to(piece));
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                seen.push(frame);
            }
        }
        prop_assert_eq!(seen, frames);
    }
}
