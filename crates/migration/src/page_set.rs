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

    /// The first page of the set at `from` or after it, or else from the beginning on.
    pub(crate) fn next_from(&self, from: u32) -> Option<PageNumber> {
        let first = (from as usize / 64).min(self.words.len());
        let masked = self.words.get(first).map_or(0, |word| word & (u64::MAX << (from % 64)));
        if masked != 0 {
            return Some(Self::page(first, masked));
        }
        let after = (first + 1).min(self.words.len());
        let (before, after) = (self.words[..after].iter(), self.words[after..].iter());
        let found = (self.words.len() - after.len()..)
            .zip(after)
            .chain((0..).zip(before))
            .find(|(_, word)| **word != 0)?;
        Some(Self::page(found.0, *found.1))
    }

    fn page(word: usize, bits: u64) -> PageNumber {
        PageNumber((word * 64) as u32 + bits.trailing_zeros())
    }

    /// The pages of the set in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = PageNumber> + '_ {
        self.words.iter().enumerate().flat_map(|(word, bits)| {
            std::iter::successors((*bits != 0).then_some(*bits), |bits| {
                let rest = bits & (bits - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |bits| Self::page(word, bits))
        })
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
