//! Pages as bytes: what crosses the page plane.
//!
//! ```text
//! byte  0      tag                       byte 16    stamp
//!       1      cause                          24    filler, 510 words
//!       2      1 if dirty, else 0           4104    stamp again
//!       3      0
//!       4..8   page number, least significant byte first
//!       8..16  model instant of delivery in nanoseconds, the same way
//! ```
//!
//! The filler is given by the guest's seed and the page's number; a write changes the stamp words
//! alone. Whoever knows the seed can therefore check every byte of a page that arrives.

use bytes::{BufMut, BytesMut};
use lazycopy_guest::first_stamp;
use lazycopy_migration::{Cause, PageMessage};
use lazycopy_units::{HEADER_BYTES, Instant, PAGE_BYTES, PAGE_MESSAGE_BYTES, PageNumber};

/// The first byte of a page frame; no JSON begins with it.
pub const PAGE_TAG: u8 = 0x50;

const HEADER: usize = HEADER_BYTES as usize;
const FRAME: usize = PAGE_MESSAGE_BYTES as usize;
const WORD: usize = size_of::<u64>();
const FILLER_WORDS: u32 = (PAGE_BYTES as usize / WORD - 2) as u32;
const FILLER: std::ops::Range<usize> = HEADER + WORD..FRAME - WORD;

/// What is wrong with the bytes of a page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// It has another length.
    #[error("a page frame has {FRAME} bytes, this one has {0}")]
    Length(usize),
    /// It begins with another byte.
    #[error("a page frame begins with {PAGE_TAG:#04x}, this one with {0:#04x}")]
    Tag(u8),
    /// Nobody sends pages for that cause.
    #[error("the cause of a page is 0 to 3, this one's is {0}")]
    Cause(u8),
    /// The flags are something else than dirty or clean.
    #[error("the flags of a page are 0 or 1 and 0, this one's are {0} and {1}")]
    Flags(u8, u8),
    /// The guest has no such page.
    #[error("page {page} is not below the guest's {pages} pages")]
    Number {
        /// The page's number.
        page: PageNumber,
        /// Pages that the guest has.
        pages: u32,
    },
    /// The page's two stamp words differ: it is torn.
    #[error("page {page} is torn: its stamps are {first:#018x} and {last:#018x}")]
    Torn {
        /// The page's number.
        page: PageNumber,
        /// The stamp before the filler.
        first: u64,
        /// The stamp behind it.
        last: u64,
    },
    /// The filler is not this page's.
    #[error("the content of page {page} is not this guest's")]
    Filler {
        /// The page's number.
        page: PageNumber,
    },
}

/// Causes by their number in the header.
const CAUSES: [Cause; 4] = [Cause::Round, Cause::Background, Cause::Forward, Cause::Demand];

fn cause_number(cause: Cause) -> u8 {
    match cause {
        Cause::Round => 0,
        Cause::Background => 1,
        Cause::Forward => 2,
        Cause::Demand => 3,
    }
}

/// The words between the stamps.
fn filler(seed: u64, page: PageNumber) -> impl Iterator<Item = u64> {
    let page_seed = !first_stamp(seed, page);
    (0..FILLER_WORDS).map(move |word| first_stamp(page_seed, PageNumber(word)))
}

/// Appends the bytes of a page of the guest with that `seed`, delivered at `deliver_at`.
pub fn encode_page(seed: u64, message: &PageMessage, deliver_at: Instant, buffer: &mut BytesMut) {
    buffer.reserve(FRAME);
    buffer.put_u8(PAGE_TAG);
    buffer.put_u8(cause_number(message.cause));
    buffer.put_u8(message.dirty.into());
    buffer.put_u8(0);
    buffer.put_u32_le(message.page.0);
    buffer.put_u64_le(deliver_at.as_nanos());
    buffer.put_u64_le(message.stamp);
    filler(seed, message.page).for_each(|word| buffer.put_u64_le(word));
    buffer.put_u64_le(message.stamp);
}

/// Reads a page of the guest with that `seed` and so many `pages`, and checks every byte of it.
/// Gives the message and the instant of its delivery.
///
/// # Errors
/// The first thing that is wrong with the bytes.
pub fn decode_page(
    seed: u64,
    pages: u32,
    bytes: &[u8],
) -> Result<(PageMessage, Instant), PageError> {
    let frame: &[u8; FRAME] = bytes.try_into().map_err(|_| PageError::Length(bytes.len()))?;
    let [tag, cause, dirty, reserved, ..] = *frame;
    if tag != PAGE_TAG {
        return Err(PageError::Tag(tag));
    }
    let cause = *CAUSES.get(usize::from(cause)).ok_or(PageError::Cause(cause))?;
    if dirty > 1 || reserved != 0 {
        return Err(PageError::Flags(dirty, reserved));
    }
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| frame[at + byte]));
    let page = PageNumber(u32::from_le_bytes(std::array::from_fn(|byte| frame[4 + byte])));
    if page.0 >= pages {
        return Err(PageError::Number { page, pages });
    }
    let (first, last) = (word(HEADER), word(FILLER.end));
    if first != last {
        return Err(PageError::Torn { page, first, last });
    }
    let content = frame[FILLER].chunks_exact(WORD);
    if !content.zip(filler(seed, page)).all(|(bytes, word)| bytes == word.to_le_bytes()) {
        return Err(PageError::Filler { page });
    }
    let message = PageMessage { page, stamp: first, dirty: dirty == 1, cause };
    Ok((message, Instant::from_nanos(word(8))))
}
