//! The page plane: pages as real bytes, in batches.
//!
//! ```text
//! header  0      tag                          entry  0..4   page number
//!         1      kind: pages or fence                4..6   bytes of its body
//!         2..4   pages                               6      encoding
//!         4..8   bytes of all bodies                 7      cause, and 4 if dirty
//!         8..16  number of the batch                 8..16  checksum
//!
//! header, an entry per page, the bodies in the order of the entries
//! ```
//!
//! Numbers go least significant byte first. Each connection numbers its batches from 0. Whole
//! bodies are sent from the memory that holds the pages and received into the memory that will,
//! so that this module deals with headers and entries alone.

use lazycopy_migration::Cause;
use lazycopy_units::{HEADER_BYTES, PAGE_BYTES, PageNumber};

/// The first byte of a batch.
pub const BATCH_TAG: u8 = 0x51;

/// Bytes of a batch's header.
pub const BATCH_HEADER_BYTES: usize = 16;

/// Bytes of an entry: with its body, a page takes as many bytes as a page message of the model.
pub const ENTRY_BYTES: usize = HEADER_BYTES as usize;

/// The most pages of a batch: bodies of a mebibyte. Many enough that a system call is a small part
/// of what a page costs, few enough that the bytes are still in a cache when they are checked.
pub const MAX_BATCH_PAGES: usize = 256;

/// Page contents that both ends of a connection keep for [`Encoding::Same`]. A page of 4 KiB each
/// makes a quarter of a mebibyte.
pub const KEPT_CONTENTS: u16 = 64;

const PAGE: usize = PAGE_BYTES as usize;
const DIRTY: u8 = 4;

/// What a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchKind {
    /// Pages.
    Pages,
    /// Nothing but a mark: what was sent on this connection before it was sent before the
    /// hand-over, and what comes after it is of use only after the context.
    Fence,
}

/// How the content of a page is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Whole,
    /// As it is, and both ends keep it in the next place of their contents.
    Kept,
    /// It is zeros; no body.
    Zero,
    /// It equals the content that both ends keep in this place; no body but the place.
    Same,
    /// Compressed by lz4, without a length before it.
    Lz4,
}

/// A batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// What it is.
    pub kind: BatchKind,
    /// Entries, at most [`MAX_BATCH_PAGES`]; none in a fence, at least one otherwise.
    pub pages: u16,
    /// Bytes of all bodies.
    pub body_bytes: u32,
    /// Its number on its connection, from 0.
    pub number: u64,
}

/// A page of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageEntry {
    /// Which page.
    pub page: PageNumber,
    /// How its content is sent.
    pub encoding: Encoding,
    /// Bytes of its body.
    pub body_bytes: u16,
    /// Why it was sent.
    pub cause: Cause,
    /// Whether it differs from what the disk has.
    pub dirty: bool,
    /// [`checksum`] of its 4,096 bytes; 0 for zeros and where pages are not checked.
    pub checksum: u64,
}

/// What is wrong with a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// It begins with another byte.
    #[error("a batch of pages begins with {BATCH_TAG:#04x}, this one with {0:#04x}")]
    Tag(u8),
    /// There is no such kind.
    #[error("the kind of a batch is 0 or 1, this one's is {0}")]
    Kind(u8),
    /// It is not the next one.
    #[error("batch {number} came where batch {expected} was expected")]
    Number {
        /// Its number.
        number: u64,
        /// That of the next.
        expected: u64,
    },
    /// Too many pages, or none, or some in a fence.
    #[error("a batch of {pages} pages: a batch of pages has 1 to {MAX_BATCH_PAGES}, a fence none")]
    Pages {
        /// Pages that it announced.
        pages: u16,
    },
    /// Its length is not that of its header and entries, or of its bodies.
    #[error("a batch announces {announced} bytes and has {bytes}")]
    Length {
        /// By header and entries.
        announced: usize,
        /// What is there.
        bytes: usize,
    },
    /// There is no such encoding.
    #[error("the encoding of a page is 0 to 4, that of page {page} is {encoding}")]
    Encoding {
        /// The page.
        page: PageNumber,
        /// Its encoding's number.
        encoding: u8,
    },
    /// The body's length does not fit its encoding.
    #[error("page {page} comes as {encoding:?} with a body of {bytes} bytes")]
    Body {
        /// The page.
        page: PageNumber,
        /// How it is sent.
        encoding: Encoding,
        /// Bytes of the body.
        bytes: u16,
    },
    /// Cause and flags have bits that mean nothing.
    #[error("cause and flags of page {page} are 0 to 7, seen {flags}")]
    Flags {
        /// The page.
        page: PageNumber,
        /// They.
        flags: u8,
    },
    /// The guest has no such page.
    #[error("page {page} is not below the guest's {pages} pages")]
    OutOfRange {
        /// The page.
        page: PageNumber,
        /// Pages that the guest has.
        pages: u32,
    },
    /// The content is not what was sent.
    #[error("the checksum of page {page} is {seen:#018x}, not {announced:#018x} as announced")]
    Checksum {
        /// The page.
        page: PageNumber,
        /// Of the bytes that came.
        seen: u64,
        /// In the entry.
        announced: u64,
    },
    /// The two stamp words of the content differ.
    #[error("page {page} is torn: its stamp words differ")]
    Torn {
        /// The page.
        page: PageNumber,
    },
    /// Nothing is kept in that place.
    #[error("page {page} is to equal content {place}, {kept} are kept")]
    NotKept {
        /// The page.
        page: PageNumber,
        /// The place.
        place: u16,
        /// Places that are taken.
        kept: u16,
    },
    /// Two of its pages are one.
    #[error("a batch names page {page} twice")]
    Twice {
        /// The page.
        page: PageNumber,
    },
    /// The compressed content cannot be made a page again.
    #[error("the compressed content of page {page} makes no page")]
    Compressed {
        /// The page.
        page: PageNumber,
    },
}

/// Encodings by their number.
const ENCODINGS: [Encoding; 5] =
    [Encoding::Whole, Encoding::Kept, Encoding::Zero, Encoding::Same, Encoding::Lz4];

/// Causes by their number.
const CAUSES: [Cause; 4] = [Cause::Round, Cause::Background, Cause::Forward, Cause::Demand];

impl Encoding {
    /// Whether a body of so many bytes can be of this encoding.
    #[inline]
    fn takes(self, bytes: u16) -> bool {
        match self {
            Encoding::Whole | Encoding::Kept => usize::from(bytes) == PAGE,
            Encoding::Zero => bytes == 0,
            Encoding::Same => usize::from(bytes) == size_of::<u16>(),
            Encoding::Lz4 => bytes > 0 && usize::from(bytes) < PAGE,
        }
    }
}

/// A hash of a page's content (XXH3, 64 bits).
#[inline]
pub fn content_hash(content: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(content)
}

/// The checksum of a page: the hash of its content, bound to its number, so that a content in the
/// wrong place is noticed, too.
#[inline]
pub fn checksum(page: PageNumber, content_hash: u64) -> u64 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    content_hash ^ u64::from(page.0).wrapping_mul(SPREAD)
}

impl BatchHeader {
    /// Its bytes.
    pub fn encode(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[0] = BATCH_TAG;
        bytes[1] = match self.kind {
            BatchKind::Pages => 0,
            BatchKind::Fence => 1,
        };
        bytes[2..4].copy_from_slice(&self.pages.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[8..].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }

    /// Reads the header of the batch that should have the number `expected`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn decode(
        bytes: &[u8; BATCH_HEADER_BYTES],
        expected: u64,
    ) -> Result<BatchHeader, BatchError> {
        let [tag, kind, first, second, ..] = *bytes;
        if tag != BATCH_TAG {
            return Err(BatchError::Tag(tag));
        }
        let kind = match kind {
            0 => BatchKind::Pages,
            1 => BatchKind::Fence,
            other => return Err(BatchError::Kind(other)),
        };
        let pages = u16::from_le_bytes([first, second]);
        let body_bytes = u32::from_le_bytes(std::array::from_fn(|byte| bytes[4 + byte]));
        let number = u64::from_le_bytes(std::array::from_fn(|byte| bytes[8 + byte]));
        if number != expected {
            return Err(BatchError::Number { number, expected });
        }
        let right = match kind {
            BatchKind::Pages => (1..=MAX_BATCH_PAGES).contains(&usize::from(pages)),
            BatchKind::Fence => pages == 0,
        };
        if !right {
            return Err(BatchError::Pages { pages });
        }
        let most = usize::from(pages) * PAGE;
        if body_bytes as usize > most {
            return Err(BatchError::Length { announced: most, bytes: body_bytes as usize });
        }
        Ok(BatchHeader { kind, pages, body_bytes, number })
    }
}

impl PageEntry {
    /// Its bytes.
    #[inline]
    pub fn encode(&self) -> [u8; ENTRY_BYTES] {
        let cause = match self.cause {
            Cause::Round => 0,
            Cause::Background => 1,
            Cause::Forward => 2,
            Cause::Demand => 3,
        };
        let encoding = match self.encoding {
            Encoding::Whole => 0,
            Encoding::Kept => 1,
            Encoding::Zero => 2,
            Encoding::Same => 3,
            Encoding::Lz4 => 4,
        };
        let flags = cause | if self.dirty { DIRTY } else { 0 };
        let [p0, p1, p2, p3] = self.page.0.to_le_bytes();
        let [b0, b1] = self.body_bytes.to_le_bytes();
        let [c0, c1, c2, c3, c4, c5, c6, c7] = self.checksum.to_le_bytes();
        [p0, p1, p2, p3, b0, b1, encoding, flags, c0, c1, c2, c3, c4, c5, c6, c7]
    }

    #[inline]
    fn decode(bytes: &[u8; ENTRY_BYTES], pages: u32) -> Result<PageEntry, BatchError> {
        let [p0, p1, p2, p3, b0, b1, encoding, flags, checksum @ ..] = *bytes;
        let page = PageNumber(u32::from_le_bytes([p0, p1, p2, p3]));
        if page.0 >= pages {
            return Err(BatchError::OutOfRange { page, pages });
        }
        let body_bytes = u16::from_le_bytes([b0, b1]);
        let Some(encoding) = ENCODINGS.get(usize::from(encoding)).copied() else {
            return Err(BatchError::Encoding { page, encoding });
        };
        if !encoding.takes(body_bytes) {
            return Err(BatchError::Body { page, encoding, bytes: body_bytes });
        }
        let cause = CAUSES.get(usize::from(flags & !DIRTY)).copied();
        let cause = cause.ok_or(BatchError::Flags { page, flags })?;
        let checksum = u64::from_le_bytes(checksum);
        let dirty = flags & DIRTY != 0;
        Ok(PageEntry { page, encoding, body_bytes, cause, dirty, checksum })
    }

    /// Holds the content that came against the checksum that was announced.
    ///
    /// # Errors
    /// When they differ.
    #[inline]
    pub fn check(&self, content: &[u8]) -> Result<(), BatchError> {
        let seen = checksum(self.page, content_hash(content));
        let (page, announced) = (self.page, self.checksum);
        if seen == announced { Ok(()) } else { Err(BatchError::Checksum { page, seen, announced }) }
    }
}

/// Reads the entries of a batch of a guest of so many `pages`.
///
/// # Errors
/// The first thing that is wrong with them.
pub fn decode_entries(
    header: &BatchHeader,
    bytes: &[u8],
    pages: u32,
) -> Result<Vec<PageEntry>, BatchError> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    if entries.len() != usize::from(header.pages) || !rest.is_empty() {
        let announced = usize::from(header.pages) * ENTRY_BYTES;
        return Err(BatchError::Length { announced, bytes: bytes.len() });
    }
    let mut decoded = Vec::with_capacity(entries.len());
    let (mut announced, mut ascending, mut last) = (0, true, None);
    for entry in entries {
        let entry = PageEntry::decode(entry, pages)?;
        announced += usize::from(entry.body_bytes);
        ascending &= last < Some(entry.page);
        last = Some(entry.page);
        decoded.push(entry);
    }
    if announced != header.body_bytes as usize {
        return Err(BatchError::Length { announced, bytes: header.body_bytes as usize });
    }
    // Most batches are in the order of their pages: these have none twice.
    match if ascending { None } else { named_twice(&decoded) } {
        Some(page) => Err(BatchError::Twice { page }),
        None => Ok(decoded),
    }
}

/// A page that has two entries.
fn named_twice(entries: &[PageEntry]) -> Option<PageNumber> {
    let mut pages: Vec<PageNumber> = entries.iter().map(|entry| entry.page).collect();
    pages.sort_unstable();
    pages.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
