//! Batches of pages: what is encoded is decoded, and whatever else comes is refused by name.

use bytes::BytesMut;
use lazycopy_migration::Cause;
use lazycopy_protocol::plane::{
    BATCH_HEADER_BYTES, BATCH_TAG, BatchError, BatchHeader, BatchKind, ENTRY_BYTES, Encoding,
    MAX_BATCH_PAGES, PageEntry, checksum, content_hash, decode_entries,
};
use lazycopy_units::{PAGE_BYTES, PageNumber};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

const PAGES: u32 = 5_000;
const PAGE: u16 = PAGE_BYTES as u16;
/// The number of a batch.
const NUMBER: u64 = 7;

/// An encoding, and a length that a body of it may have.
fn encodings() -> impl Strategy<Value = (Encoding, u16)> {
    let fixed =
        [(Encoding::Whole, PAGE), (Encoding::Kept, PAGE), (Encoding::Zero, 0), (Encoding::Same, 2)];
    prop_oneof![select(fixed.to_vec()), (1..PAGE).prop_map(|bytes| (Encoding::Lz4, bytes))]
}

fn entries() -> impl Strategy<Value = Vec<PageEntry>> {
    let pages = btree_set(0..PAGES, 1..=MAX_BATCH_PAGES).prop_map(Vec::from_iter).prop_shuffle();
    let causes = select(vec![Cause::Round, Cause::Background, Cause::Forward, Cause::Demand]);
    let rest = vec((encodings(), causes, any::<bool>(), any::<u64>()), MAX_BATCH_PAGES);
    (pages, rest).prop_map(|(pages, rest)| {
        let entry = |(page, ((encoding, body_bytes), cause, dirty, checksum))| PageEntry {
            page: PageNumber(page),
            encoding,
            body_bytes,
            cause,
            dirty,
            checksum,
        };
        pages.into_iter().zip(rest).map(entry).collect()
    })
}

fn header_of(entries: &[PageEntry]) -> BatchHeader {
    BatchHeader {
        kind: BatchKind::Pages,
        pages: entries.len() as u16,
        body_bytes: entries.iter().map(|entry| u32::from(entry.body_bytes)).sum(),
        number: NUMBER,
    }
}

fn encoded(entries: &[PageEntry]) -> BytesMut {
    let mut bytes = BytesMut::new();
    entries.iter().for_each(|entry| bytes.extend_from_slice(&entry.encode()));
    bytes
}

proptest! {
    #[test]
    fn a_batch_is_read_as_it_was_written(entries in entries()) {
        let header = header_of(&entries);
        prop_assert_eq!(BatchHeader::decode(&header.encode(), NUMBER), Ok(header));
        let bytes = encoded(&entries);
        prop_assert_eq!(bytes.len(), entries.len() * ENTRY_BYTES);
        prop_assert_eq!(decode_entries(&header, &bytes, PAGES), Ok(entries));
    }

    #[test]
    fn whatever_comes_is_refused_or_keeps_every_bound(
        mut head in any::<[u8; BATCH_HEADER_BYTES]>(),
        plausible in any::<bool>(),
        bytes in vec(any::<u8>(), 0..40 * ENTRY_BYTES),
    ) {
        if plausible {
            head[..2].copy_from_slice(&[BATCH_TAG, 0]);
            head[3] = 0;
            head[8..].copy_from_slice(&NUMBER.to_le_bytes());
        }
        let Ok(header) = BatchHeader::decode(&head, NUMBER) else { return Ok(()) };
        prop_assert!(usize::from(header.pages) <= MAX_BATCH_PAGES);
        prop_assert!(u64::from(header.body_bytes) <= u64::from(header.pages) * PAGE_BYTES);
        if let Ok(entries) = decode_entries(&header, &bytes, PAGES) {
            prop_assert_eq!(entries.len(), usize::from(header.pages));
            prop_assert!(entries.iter().all(|entry| entry.page.0 < PAGES));
        }
    }

    #[test]
    fn a_wrong_bit_is_never_read_as_the_same_batch(
        entries in entries(),
        place in any::<prop::sample::Index>(),
    ) {
        let header = header_of(&entries);
        let mut bytes = encoded(&entries);
        let bit = place.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(decode_entries(&header, &bytes, PAGES), Ok(entries));
    }
}

#[test]
fn a_fence_is_a_batch_without_pages() {
    let kind = BatchKind::Fence;
    let fence = BatchHeader { kind, pages: 0, body_bytes: 0, number: NUMBER };
    assert_eq!(BatchHeader::decode(&fence.encode(), NUMBER), Ok(fence));
}

#[test]
fn what_is_wrong_with_a_header_is_named() {
    let right = BatchHeader { kind: BatchKind::Pages, pages: 2, body_bytes: 5, number: NUMBER };
    let refused = |change: &dyn Fn(&mut [u8; BATCH_HEADER_BYTES])| {
        let mut bytes = right.encode();
        change(&mut bytes);
        BatchHeader::decode(&bytes, NUMBER).unwrap_err()
    };
    assert_eq!(refused(&|it| it[0] = b'{'), BatchError::Tag(b'{'));
    assert_eq!(refused(&|it| it[1] = 9), BatchError::Kind(9));
    let number = BatchError::Number { number: NUMBER + 1, expected: NUMBER };
    assert_eq!(refused(&|it| it[8] += 1), number);
    assert_eq!(refused(&|it| it[2] = 0), BatchError::Pages { pages: 0 });
    assert_eq!(refused(&|it| it[2..4].copy_from_slice(&[1, 1])), BatchError::Pages { pages: 257 });
    assert_eq!(refused(&|it| it[1] = 1), BatchError::Pages { pages: 2 });
    let too_long = BatchError::Length { announced: 8_192, bytes: 8_193 };
    assert_eq!(refused(&|it| it[4..8].copy_from_slice(&8_193u32.to_le_bytes())), too_long);
    let in_a_fence = refused(&|it| it[1..4].copy_from_slice(&[1, 0, 0]));
    assert_eq!(in_a_fence, BatchError::Length { announced: 0, bytes: 5 });
}

fn whole(page: u32) -> PageEntry {
    let (encoding, cause) = (Encoding::Whole, Cause::Background);
    let page = PageNumber(page);
    PageEntry { page, encoding, body_bytes: PAGE, cause, dirty: false, checksum: 0 }
}

#[test]
fn what_is_wrong_with_an_entry_is_named() {
    let page = PageNumber(3);
    let refused = |change: &dyn Fn(&mut BytesMut)| {
        let entries = [whole(3)];
        let mut bytes = encoded(&entries);
        change(&mut bytes);
        decode_entries(&header_of(&entries), &bytes, PAGES).unwrap_err()
    };
    let far = BatchError::OutOfRange { page: PageNumber(PAGES), pages: PAGES };
    assert_eq!(refused(&|it| it[..4].copy_from_slice(&PAGES.to_le_bytes())), far);
    assert_eq!(refused(&|it| it[6] = 5), BatchError::Encoding { page, encoding: 5 });
    assert_eq!(refused(&|it| it[7] = 8), BatchError::Flags { page, flags: 8 });
    let shorter = BatchError::Body { page, encoding: Encoding::Whole, bytes: 4_095 };
    assert_eq!(refused(&|it| it[4..6].copy_from_slice(&4_095u16.to_le_bytes())), shorter);
    for (encoding, number) in [(Encoding::Zero, 2), (Encoding::Same, 3), (Encoding::Lz4, 4)] {
        assert_eq!(refused(&|it| it[6] = number), BatchError::Body { page, encoding, bytes: PAGE });
    }
    let longer = BatchError::Length { announced: ENTRY_BYTES, bytes: ENTRY_BYTES + 1 };
    assert_eq!(refused(&|it| it.extend_from_slice(&[0])), longer);
    let short = BatchError::Length { announced: ENTRY_BYTES, bytes: ENTRY_BYTES - 1 };
    assert_eq!(refused(&|it| it.truncate(ENTRY_BYTES - 1)), short);
}

#[test]
fn bodies_are_as_long_as_the_header_says() {
    let entries = [whole(3), whole(4)];
    let header = BatchHeader { body_bytes: u32::from(PAGE), ..header_of(&entries) };
    let refused = decode_entries(&header, &encoded(&entries), PAGES).unwrap_err();
    let (announced, bytes) = (2 * usize::from(PAGE), usize::from(PAGE));
    assert_eq!(refused, BatchError::Length { announced, bytes });
}

#[test]
fn a_page_is_named_once_in_whatever_order_and_encoding() {
    let zero = |page| PageEntry { encoding: Encoding::Zero, body_bytes: 0, ..whole(page) };
    for entries in [[whole(3), whole(3), whole(4)], [zero(9), whole(2), zero(9)]] {
        let refused = decode_entries(&header_of(&entries), &encoded(&entries), PAGES);
        let page = entries[0].page;
        assert_eq!(refused, Err(BatchError::Twice { page }));
    }
    let backwards = [whole(4), whole(3)];
    assert!(decode_entries(&header_of(&backwards), &encoded(&backwards), PAGES).is_ok());
}

#[test]
fn a_checksum_is_of_a_content_in_its_place() {
    let content = [5; PAGE_BYTES as usize];
    let sum = checksum(PageNumber(3), content_hash(&content));
    let entry = PageEntry { checksum: sum, ..whole(3) };
    assert_eq!(entry.check(&content), Ok(()));
    let mut wrong = content;
    wrong[4_000] ^= 1;
    assert!(matches!(entry.check(&wrong), Err(BatchError::Checksum { .. })));
    let elsewhere = PageEntry { page: PageNumber(4), ..entry };
    assert!(matches!(elsewhere.check(&content), Err(BatchError::Checksum { .. })));
}
