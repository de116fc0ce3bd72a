//! Sets of pages, one bit each.

use lazycopy_units::PageNumber;

/// A set of page numbers below a bound.
#[derive(Clone, Debug)]
pub(crate) struct PageSet {
    words: Vec<u64>,
}

impl PageSet {
    /// An empty set of pages below `pages`.
    pub(crate) fn new(pages: u32) -> Self {
        PageSet { words: vec![0; (pages as usize).div_ceil(64)] }
    }

    #[inline]
    pub(crate) fn contains(&self, page: PageNumber) -> bool {
        self.words[page.index() / 64] & (1 << (page.index() % 64)) != 0
    }

    /// Adds `page`; whether it was new.
    #[inline]
    pub(crate) fn insert(&mut self, page: PageNumber) -> bool {
        let (word, bit) = (&mut self.words[page.index() / 64], 1 << (page.index() % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Removes `page`; whether it was there.
    #[inline]
    pub(crate) fn remove(&mut self, page: PageNumber) -> bool {
        let (word, bit) = (&mut self.words[page.index() / 64], 1 << (page.index() % 64));
        let there = *word & bit != 0;
        *word &= !bit;
        there
    }
}
