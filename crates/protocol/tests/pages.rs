//! Pages as bytes: what is sent is read back, and no wrong byte goes unseen.

use bytes::BytesMut;
use lazycopy_guest::{GuestSpec, PageContents, ResidentAtStart, WorkloadSpec};
use lazycopy_migration::{Cause, PageMessage};
use lazycopy_protocol::page::{PageError, decode_page, encode_page};
use lazycopy_units::{Duration, Instant, PAGE_MESSAGE_BYTES, PageNumber};
use proptest::prelude::*;

const SEED: u64 = 11;
const PAGES: u32 = 50;
const HEADER: usize = 16;

fn contents(seed: u64) -> PageContents {
    PageContents::of(&GuestSpec {
        seed,
        pages: PAGES,
        frames: PAGES,
        think_time: Duration::from_nanos(1),
        write_fraction: 0.0,
        whole_page_fraction: 0.0,
        zero_fraction: 0.0,
        compressible_fraction: 0.0,
        workload: WorkloadSpec::Sequential,
        resident_at_start: ResidentAtStart::None,
    })
}

fn message() -> PageMessage {
    PageMessage {
        page: PageNumber(17),
        count: 1,
        stamp: Some(0x0123_4567_89ab_cdef),
        dirty: true,
        cause: Cause::Forward,
    }
}

fn encoded(message: &PageMessage) -> BytesMut {
    let mut buffer = BytesMut::new();
    encode_page(&contents(SEED), message, Instant::from_nanos(70), &mut buffer);
    buffer
}

#[test]
fn a_page_takes_the_bytes_that_it_counts_on_the_link() {
    assert_eq!(encoded(&message()).len() as u64, PAGE_MESSAGE_BYTES);
}

#[test]
fn a_write_changes_the_stamp_words_alone() {
    let written = PageMessage { stamp: Some(!0x0123_4567_89ab_cdef), ..message() };
    let (before, after) = (encoded(&message()), encoded(&written));
    let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    let stamps: Vec<usize> = (HEADER..HEADER + 8).chain(before.len() - 8..before.len()).collect();
    assert_eq!(changed, stamps);
}

#[test]
fn two_pages_and_two_guests_have_different_contents() {
    let content = |seed, page| {
        let mut buffer = BytesMut::new();
        let message = PageMessage { page: PageNumber(page), ..message() };
        encode_page(&contents(seed), &message, Instant::ZERO, &mut buffer);
        buffer.split_off(HEADER + 8)
    };
    assert_ne!(content(1, 1), content(1, 2));
    assert_ne!(content(1, 1), content(2, 1));
}

#[test]
fn every_changed_byte_of_the_content_is_noticed() {
    let right = encoded(&message());
    for at in HEADER..right.len() {
        let mut wrong = right.clone();
        wrong[at] ^= 0x10;
        let error =
            decode_page(&contents(SEED), PAGES, &wrong).expect_err("a wrong byte went unseen");
        let is_stamp = at < HEADER + 8 || at >= right.len() - 8;
        assert_eq!(matches!(error, PageError::Torn { .. }), is_stamp, "byte {at}: {error}");
    }
}

#[test]
fn a_page_cut_at_any_byte_is_refused() {
    let right = encoded(&message());
    for length in 0..right.len() {
        assert_eq!(
            decode_page(&contents(SEED), PAGES, &right[..length]),
            Err(PageError::Length(length))
        );
    }
}

#[test]
fn what_a_header_cannot_say_is_refused_by_name() {
    let with = |at: usize, byte: u8| {
        let mut bytes = encoded(&message());
        bytes[at] = byte;
        decode_page(&contents(SEED), PAGES, &bytes)
    };
    assert_eq!(with(0, b'{'), Err(PageError::Tag(b'{')));
    assert_eq!(with(1, 4), Err(PageError::Cause(4)));
    assert_eq!(with(2, 2), Err(PageError::Flags(2, 0)));
    assert_eq!(with(3, 1), Err(PageError::Flags(1, 1)));
    assert_eq!(with(4, 50), Err(PageError::Number { page: PageNumber(50), pages: PAGES }));
    assert_eq!(with(4, 18), Err(PageError::Filler { page: PageNumber(18) }));
}

#[test]
fn a_page_of_another_guest_is_refused() {
    let bytes = encoded(&message());
    assert_eq!(
        decode_page(&contents(SEED + 1), PAGES, &bytes),
        Err(PageError::Filler { page: PageNumber(17) })
    );
}

proptest! {
    #[test]
    fn what_is_sent_is_read_back(
        seed in any::<u64>(),
        page in 0u32..u32::MAX - 1,
        stamp in any::<u64>(),
        dirty in any::<bool>(),
        cause in 0usize..4,
        at in any::<u64>(),
    ) {
        let cause = [Cause::Round, Cause::Background, Cause::Forward, Cause::Demand][cause];
        let (page, stamp) = (PageNumber(page), Some(stamp));
        let message = PageMessage { page, count: 1, stamp, dirty, cause };
        let mut buffer = BytesMut::new();
        encode_page(&contents(seed), &message, Instant::from_nanos(at), &mut buffer);
        let read = decode_page(&contents(seed), u32::MAX - 1, &buffer);
        prop_assert_eq!(read, Ok((message, Instant::from_nanos(at))));
    }

    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 4_112)) {
        prop_assert!(decode_page(&contents(SEED), PAGES, &bytes).is_err());
    }
}
