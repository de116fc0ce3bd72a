//! Pages as bytes: what crosses the page plane.
//!
//! ```text
//! byte  0      tag
//!       1      cause
//!       2      1 if dirty, else 0
//!       3      0
//!       4..8   page number, least significant byte first
//!       8..16  model instant of delivery in nanoseconds, the same way
//!      16..    the page, see `PageContents`
//! ```
//!
//! The page tells its own stamp, and whoever knows the guest's seed can check every other byte.

use bytes::{BufMut, BytesMut};
use lazycopy_guest::PageContents;
use lazycopy_migration::{Cause, PageMessage};
use lazycopy_units::{HEADER_BYTES, Instant, PAGE_BYTES, PAGE_MESSAGE_BYTES, PageNumber};

/// The first byte of a page frame; no JSON begins with it.
pub const PAGE_TAG: u8 = 0x50;

const HEADER: usize = HEADER_BYTES as usize;
const FRAME: usize = PAGE_MESSAGE_BYTES as usize;
const PAGE: usize = PAGE_BYTES as usize;

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
    #[error("page {page} is torn: it begins with another stamp than it ends with")]
    Torn {
        /// The page's number.
        page: PageNumber,
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

/// Appends the bytes of a page of the guest with these `contents`, delivered at `deliver_at`.
///
/// # Panics
/// When the message is of several pages, or gives no stamp: what a modelled link carries is one
/// page, and is made from its stamp.
pub fn encode_page(
    contents: &PageContents,
    message: &PageMessage,
    deliver_at: Instant,
    buffer: &mut BytesMut,
) {
    let stamp = message.stamp.filter(|_| message.count == 1);
    let stamp = stamp.expect("a modelled link carries pages one by one, by their stamps");
    buffer.reserve(FRAME);
    buffer.put_u8(PAGE_TAG);
    buffer.put_u8(cause_number(message.cause));
    buffer.put_u8(message.dirty.into());
    buffer.put_u8(0);
    buffer.put_u32_le(message.page.0);
    buffer.put_u64_le(deliver_at.as_nanos());
    let mut page = [0; PAGE];
    contents.fill(message.page, stamp, &mut page);
    buffer.put_slice(&page);
}

/// Reads a page of the guest with these `contents` and so many `pages`, and checks every byte of
/// it. Gives the message and the instant of its delivery.
///
/// # Errors
/// The first thing that is wrong with the bytes.
pub fn decode_page(
    contents: &PageContents,
    pages: u32,
    bytes: &[u8],
) -> Result<(PageMessage, Instant), PageError> {
    let wrong_length = || PageError::Length(bytes.len());
    let (header, content) = bytes.split_first_chunk::<HEADER>().ok_or_else(wrong_length)?;
    let content: &[u8; PAGE] = content.try_into().map_err(|_| wrong_length())?;
    let [tag, cause, dirty, reserved, ..] = *header;
    if tag != PAGE_TAG {
        return Err(PageError::Tag(tag));
    }
    let cause = *CAUSES.get(usize::from(cause)).ok_or(PageError::Cause(cause))?;
    if dirty > 1 || reserved != 0 {
        return Err(PageError::Flags(dirty, reserved));
    }
    let page = PageNumber(u32::from_le_bytes(std::array::from_fn(|byte| header[4 + byte])));
    let at = u64::from_le_bytes(std::array::from_fn(|byte| header[8 + byte]));
    if page.0 >= pages {
        return Err(PageError::Number { page, pages });
    }
    let stamp = contents.stamp_in(page, content).ok_or(PageError::Torn { page })?;
    if !contents.matches(page, stamp, content) {
        return Err(PageError::Filler { page });
    }
    let dirty = dirty == 1;
    let message = PageMessage { page, count: 1, stamp: Some(stamp), dirty, cause };
    Ok((message, Instant::from_nanos(at)))
}
