//! The quantities that everything else is measured in: instants and durations of model time,
//! page numbers, and rates. No logic beyond arithmetic, parsing and printing.
//!
//! Model time is an integer count of nanoseconds; sizes are bytes, rates bytes per second.

mod rate;
mod time;

pub use rate::{ParseRateError, Rate};
pub use time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of a page's content.
pub const PAGE_BYTES: u64 = 4096;

/// Bytes of the header that goes before a page's content, or before a context, on the link.
pub const HEADER_BYTES: u64 = 16;

/// Bytes of a page message on the link: content and header.
pub const PAGE_MESSAGE_BYTES: u64 = PAGE_BYTES + HEADER_BYTES;

/// The number of a page of a guest, from 0 to the guest's `pages` less one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageNumber(pub u32);

impl PageNumber {
    /// The number as an index into an array with one entry per page.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for PageNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
