//! What the two machines say to each other.

use lazycopy_guest::{Disk, Registers};
use lazycopy_units::{HEADER_BYTES, PAGE_MESSAGE_BYTES, PageNumber};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Why a page was sent: the lane that it left by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Before the hand-over.
    Round,
    /// The background push.
    Background,
    /// The forward context touched it.
    Forward,
    /// The destination asked for it.
    Demand,
}

/// A page on its way; or several at once, whose numbers follow each other and of which the same is
/// said, where their contents are real bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageMessage {
    /// Which page; of several the first.
    pub page: PageNumber,
    /// How many pages, at least 1.
    pub count: u32,
    /// Its stamp: as it was at the suspension, or as it was loaded since. `None` where the bytes
    /// in memory are the content: in that which the pages leave, and, when they have come, in place
    /// in that which they come to.
    pub stamp: Option<u64>,
    /// Whether it differs from what the disk has.
    pub dirty: bool,
    /// Why it was sent.
    pub cause: Cause,
}

impl PageMessage {
    /// Its pages.
    pub fn pages(&self) -> impl Iterator<Item = PageNumber> + use<> {
        (self.page.0..self.page.0 + self.count).map(PageNumber)
    }

    /// Takes the first `count` of its pages from it, of which it has more.
    pub fn split_off_first(&mut self, count: u32) -> PageMessage {
        let first = PageMessage { count, ..*self };
        self.page.0 += count;
        self.count -= count;
        first
    }
}

/// An entry of the residency list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residency {
    /// A page that was in memory at the suspension.
    pub page: PageNumber,
    /// Whether it differed from what the disk has.
    pub dirty: bool,
    /// Whether the copy that was sent before the hand-over is the page as it is.
    pub current: bool,
}

/// Bits of an entry of the residency list, below its page number.
const DIRTY: u32 = 2;
const CURRENT: u32 = 1;
const FLAG_BITS: u32 = 2;

impl Residency {
    /// The entry as one word: the page number, times four, and 2 if dirty, and 1 if current.
    ///
    /// # Panics
    /// When the page number has more than 30 bits: no guest of so many pages is migrated.
    #[inline]
    pub fn to_word(self) -> u32 {
        let Residency { page, dirty, current } = self;
        assert!(page.0 >> (u32::BITS - FLAG_BITS) == 0, "page {page} is too large");
        let flags = if dirty { DIRTY } else { 0 } | if current { CURRENT } else { 0 };
        page.0 << FLAG_BITS | flags
    }

    /// The entry of [`Residency::to_word`].
    #[inline]
    pub fn from_word(word: u32) -> Self {
        Residency {
            page: PageNumber(word >> FLAG_BITS),
            dirty: word & DIRTY != 0,
            current: word & CURRENT != 0,
        }
    }
}

/// The resident pages from least to most recently used, in four bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResidencyList {
    words: Vec<u32>,
}

impl ResidencyList {
    /// The list of these pages, given in that order, with what is said of each.
    pub fn new(
        pages: impl Iterator<Item = PageNumber>,
        entry: impl Fn(PageNumber) -> Residency,
    ) -> Self {
        // Where the pages come out of a list of their own, this one takes its place.
        ResidencyList { words: pages.map(|page| entry(page).to_word()).collect() }
    }

    /// Its entries.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Residency> + Clone + '_ {
        self.words.iter().copied().map(Residency::from_word)
    }

    /// Its pages of which the destination does not have a copy that is current.
    #[inline]
    pub fn outdated(&self) -> impl Iterator<Item = PageNumber> + Clone + '_ {
        self.iter().filter(|entry| !entry.current).map(|entry| entry.page)
    }

    /// Its entries as words, see [`Residency::to_word`].
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Makes room for so many entries at once, so that a long list is not moved while it grows.
    pub fn reserve(&mut self, entries: usize) {
        self.words.reserve_exact(entries);
    }

    /// Adds an entry: the most recently used page so far.
    #[inline]
    pub fn push(&mut self, entry: Residency) {
        self.words.push(entry.to_word());
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

impl FromIterator<Residency> for ResidencyList {
    fn from_iter<I: IntoIterator<Item = Residency>>(entries: I) -> Self {
        let mut list = ResidencyList::default();
        entries.into_iter().for_each(|entry| list.push(entry));
        list
    }
}

/// What the destination needs to resume the guest.
#[derive(Clone, Debug)]
pub struct Context {
    /// Registers; they hold the workload's position, too.
    pub registers: Registers,
    /// The resident pages from least to most recently used.
    pub residency: ResidencyList,
    /// The guest's storage. Both servers reach the shared storage of a real system; here it is
    /// handed on with the context, and takes no time.
    pub disk: Disk,
    /// Bytes on the link: registers and page table, residency list, header.
    pub bytes: u64,
}

impl Context {
    /// Bytes per entry of the residency list on the link.
    pub const RESIDENCY_BYTES: u64 = 8;

    /// Bytes of a context message with `resident` pages on its list.
    pub fn bytes_for(context_bytes: u64, resident: usize) -> u64 {
        context_bytes + Self::RESIDENCY_BYTES * resident as u64 + HEADER_BYTES
    }
}

/// What occupies the link.
#[derive(Clone, Debug)]
pub enum LinkMessage {
    /// The context of the guest.
    Context(Arc<Context>),
    /// A page, or several.
    Page(PageMessage),
}

impl LinkMessage {
    /// Bytes on the link.
    pub fn bytes(&self) -> u64 {
        match self {
            LinkMessage::Context(context) => context.bytes,
            LinkMessage::Page(message) => PAGE_MESSAGE_BYTES * u64::from(message.count),
        }
    }
}

/// Control messages from the source: they take the latency alone and count in no total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "notice")]
pub enum Notice {
    /// A page that was asked for cannot be sent: it is on the disk.
    NotResident {
        /// Which page.
        page: PageNumber,
    },
    /// A page of the residency list was evicted before it was sent: it is on the disk.
    Dropped {
        /// Which page.
        page: PageNumber,
    },
    /// The forward context has completed its head start.
    HeadStart,
}

/// Control messages from the destination: they take the latency alone and count in no total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply")]
pub enum Reply {
    /// A fault waits for this page.
    Request {
        /// Which page.
        page: PageNumber,
    },
    /// The guest has written this page as a whole: no copy of it is wanted.
    Overwritten {
        /// Which page.
        page: PageNumber,
    },
    /// The following context has completed so many accesses since its resume.
    Progress {
        /// How many.
        accesses: u64,
    },
    /// Nothing of the residency list is missing and no request is open.
    Complete,
    /// The context was thrown away without resuming the guest: it is the source's again.
    ThrownAway {
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_residency_list_holds_what_it_was_given(
            entries in proptest::collection::vec((0u32..1_000, any::<bool>(), any::<bool>()), 0..200),
        ) {
            let entries: Vec<Residency> = entries
                .into_iter()
                .map(|(page, dirty, current)| Residency { page: PageNumber(page), dirty, current })
                .collect();
            let list: ResidencyList = entries.iter().copied().collect();
            prop_assert_eq!(list.len(), entries.len());
            prop_assert!(list.iter().eq(entries.iter().copied()));
            let outdated = entries.iter().filter(|entry| !entry.current).map(|entry| entry.page);
            prop_assert!(list.outdated().eq(outdated));
        }

        #[test]
        fn a_residency_list_says_of_each_page_what_it_was_told(pages in 0u32..300) {
            let entry = |page: PageNumber| {
                Residency { page, dirty: page.0.is_multiple_of(3), current: page.0.is_multiple_of(5) }
            };
            let list = ResidencyList::new((0..pages).map(PageNumber), entry);
            prop_assert!(list.iter().eq((0..pages).map(|page| entry(PageNumber(page)))));
        }
    }
}
