//! What a context, or a recovery, has one of per page, in binary frames that go before it.
//!
//! ```text
//! residency list: tag 0x52, then per resident page, least recent first, four bytes:
//!                 page number * 4 + 2 if dirty + 1 if current
//! disk:           tag 0x53, then per page that was written back twelve bytes:
//!                 page number, stamp
//! page map:       tag 0x54, then eight bytes per 64 pages, page 0 being the lowest bit of the first
//! ```
//!
//! Numbers go least significant byte first. A list comes in as many frames as it takes, in order.
//! Like the context's JSON they count nothing on a modelled link: there the context's
//! [`bytes`](crate::peer::ContextFrame::bytes) count.

use bytes::{BufMut, Bytes, BytesMut};
use lazycopy_migration::{PageMap, Residency, ResidencyList};
use lazycopy_units::PageNumber;

/// The first byte of a frame with a part of the residency list.
pub const RESIDENCY_TAG: u8 = 0x52;
/// The first byte of a frame with a part of the disk.
pub const DISK_TAG: u8 = 0x53;

/// The first byte of a frame with a page map. It comes in one: of the largest guest that a server
/// hosts it has two mebibytes.
pub const MAP_TAG: u8 = 0x54;

/// The most entries in one frame: far below [`MAX_PEER_FRAME`](crate::frame::MAX_PEER_FRAME), and
/// little enough that a context of any size waits nowhere as a whole.
pub const PART_ENTRIES: usize = 1 << 16;

const RESIDENCY_BYTES: usize = 4;
const WRITTEN_BYTES: usize = 12;
const WORD_BYTES: usize = 8;

/// What is wrong with a part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Its length is no multiple of an entry's.
    #[error("a part of a list with entries of {entry} bytes has {bytes}")]
    Length {
        /// Bytes of an entry.
        entry: usize,
        /// Bytes of the part, without its tag.
        bytes: usize,
    },
    /// The guest has no such page.
    #[error("a list names page {page} of {pages}")]
    OutOfRange {
        /// The page.
        page: PageNumber,
        /// Pages that the guest has.
        pages: u32,
    },
    /// A page map is of more pages than the guest has.
    #[error("a page map goes beyond the {pages} pages of the guest")]
    MapTooLarge {
        /// Pages that the guest has.
        pages: u32,
    },
}

/// The part of a residency list that begins at entry `from`, and where the next one begins;
/// `None` at its end.
pub fn encode_residency(list: &ResidencyList, from: usize) -> Option<(Bytes, usize)> {
    let end = list.len().min(from + PART_ENTRIES);
    if from >= end {
        return None;
    }
    let mut payload = BytesMut::zeroed(1 + (end - from) * RESIDENCY_BYTES);
    payload[0] = RESIDENCY_TAG;
    let (entries, _) = payload[1..].as_chunks_mut::<RESIDENCY_BYTES>();
    for (entry, word) in entries.iter_mut().zip(&list.words()[from..end]) {
        *entry = word.to_le_bytes();
    }
    Some((payload.freeze(), end))
}

/// The pages that were written back, cut into parts.
pub fn encode_disk(written: &[(PageNumber, u64)]) -> impl Iterator<Item = Bytes> + '_ {
    written.chunks(PART_ENTRIES).map(|part| {
        let mut payload = BytesMut::with_capacity(1 + part.len() * WRITTEN_BYTES);
        payload.put_u8(DISK_TAG);
        for (page, stamp) in part {
            payload.put_u32_le(page.0);
            payload.put_u64_le(*stamp);
        }
        payload.freeze()
    })
}

/// Reads a part of the residency list of a guest of so many `pages`, tag included, and gives each
/// entry.
///
/// # Errors
/// The first thing that is wrong with it; entries before it have been given.
#[inline]
pub fn decode_residency(
    part: &[u8],
    pages: u32,
    mut give: impl FnMut(Residency),
) -> Result<(), ListError> {
    let part = part.get(1..).unwrap_or_default();
    let (entries, rest) = part.as_chunks::<RESIDENCY_BYTES>();
    if !rest.is_empty() {
        return Err(ListError::Length { entry: RESIDENCY_BYTES, bytes: part.len() });
    }
    for entry in entries {
        let entry = Residency::from_word(u32::from_le_bytes(*entry));
        in_range(entry.page, pages)?;
        give(entry);
    }
    Ok(())
}

/// Reads a part of the disk of a guest of so many `pages`, tag included, and gives each page with
/// its stamp.
///
/// # Errors
/// The first thing that is wrong with it; entries before it have been given.
pub fn decode_disk(
    part: &[u8],
    pages: u32,
    mut give: impl FnMut(PageNumber, u64),
) -> Result<(), ListError> {
    let part = part.get(1..).unwrap_or_default();
    let (entries, rest) = part.as_chunks::<WRITTEN_BYTES>();
    if !rest.is_empty() {
        return Err(ListError::Length { entry: WRITTEN_BYTES, bytes: part.len() });
    }
    for entry in entries {
        let page = PageNumber(u32::from_le_bytes(std::array::from_fn(|byte| entry[byte])));
        in_range(page, pages)?;
        give(page, u64::from_le_bytes(std::array::from_fn(|byte| entry[4 + byte])));
    }
    Ok(())
}

/// A page map as a frame.
pub fn encode_map(map: &PageMap) -> Bytes {
    let mut payload = BytesMut::with_capacity(1 + map.words().len() * WORD_BYTES);
    payload.put_u8(MAP_TAG);
    map.words().iter().for_each(|word| payload.put_u64_le(*word));
    payload.freeze()
}

/// Reads a page map of a guest of so many `pages`, tag included.
///
/// # Errors
/// What is wrong with it.
pub fn decode_map(frame: &[u8], pages: u32) -> Result<PageMap, ListError> {
    let frame = frame.get(1..).unwrap_or_default();
    let (words, rest) = frame.as_chunks::<WORD_BYTES>();
    if !rest.is_empty() {
        return Err(ListError::Length { entry: WORD_BYTES, bytes: frame.len() });
    }
    if words.len() > (pages as usize).div_ceil(64) {
        return Err(ListError::MapTooLarge { pages });
    }
    let map = PageMap::from_words(words.iter().map(|word| u64::from_le_bytes(*word)).collect());
    if map.fits(pages) { Ok(map) } else { Err(ListError::MapTooLarge { pages }) }
}

#[inline]
fn in_range(page: PageNumber, pages: u32) -> Result<(), ListError> {
    if page.0 < pages { Ok(()) } else { Err(ListError::OutOfRange { page, pages }) }
}
