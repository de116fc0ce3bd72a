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
        self.at_or_after(from).or_else(|| self.at_or_after(0))
    }

    /// The first page of the set at `from` or after it.
    pub(crate) fn at_or_after(&self, from: u32) -> Option<PageNumber> {
        let first = from as usize / 64;
        let masked = self.words.get(first)? & (u64::MAX << (from % 64));
        if masked != 0 {
            return Some(Self::page(first, masked));
        }
        let found = (first + 1..).zip(&self.words[first + 1..]).find(|(_, word)| **word != 0)?;
        Some(Self::page(found.0, *found.1))
    }

    /// The last page of the set at `from` or before it.
    pub(crate) fn at_or_before(&self, from: u32) -> Option<PageNumber> {
        let from = from.min((self.words.len() * 64) as u32 - 1);
        let last = from as usize / 64;
        let masked = self.words.get(last)? & (u64::MAX >> (63 - from % 64));
        if masked != 0 {
            return Some(Self::last_page(last, masked));
        }
        let found = (0..last).zip(&self.words).rev().find(|(_, word)| **word != 0)?;
        Some(Self::last_page(found.0, *found.1))
    }

    fn last_page(word: usize, bits: u64) -> PageNumber {
        PageNumber((word * 64) as u32 + 63 - bits.leading_zeros())
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

    /// How many of the pages from `first` on, at most `most`, are in the set or not, as `first` is.
    pub(crate) fn alike(&self, first: PageNumber, most: u32) -> u32 {
        let flipped = if self.contains(first) { u64::MAX } else { 0 };
        let end = first.0.saturating_add(most).min((self.words.len() * 64) as u32);
        let mut page = first.0;
        while page < end {
            // Ones are of pages that are not as the first is.
            let other = (self.words[page as usize / 64] ^ flipped) >> (page % 64);
            page += other.trailing_zeros().min(64 - page % 64);
            if other != 0 {
                break;
            }
        }
        page.min(end) - first.0
    }

    /// Adds the `count` pages from `first` on; how many were new.
    pub(crate) fn insert_run(&mut self, first: PageNumber, count: u32) -> u32 {
        let mut new = 0;
        for (word, bits) in words_of(first, count) {
            let word = &mut self.words[word];
            new += (bits & !*word).count_ones();
            *word |= bits;
        }
        new
    }

    /// Removes the `count` pages from `first` on; how many were there.
    pub(crate) fn remove_run(&mut self, first: PageNumber, count: u32) -> u32 {
        let mut there = 0;
        for (word, bits) in words_of(first, count) {
            let word = &mut self.words[word];
            there += (bits & *word).count_ones();
            *word &= !bits;
        }
        there
    }
}

/// The words in which the `count` pages from `first` on are, and their bits in each.
fn words_of(first: PageNumber, count: u32) -> impl Iterator<Item = (usize, u64)> {
    let (begin, end) = (first.index(), first.index() + count as usize);
    (begin / 64..end.div_ceil(64)).map(move |word| {
        let (from, to) = (begin.max(word * 64), end.min(word * 64 + 64));
        (word, (u64::MAX >> (64 - (to - from))) << (from % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_run_is_its_pages_one_by_one(
            pages in proptest::collection::btree_set(0u32..300, 0..300),
            first in 0u32..300,
            count in 1u32..300,
        ) {
            let count = count.min(300 - first);
            let mut set = PageSet::new(300);
            for page in &pages {
                set.insert(PageNumber(*page));
            }
            let first = PageNumber(first);
            let run = (first.0..first.0 + count).map(PageNumber);
            let alike = run.clone().take_while(|page| set.contains(*page) == set.contains(first));
            prop_assert_eq!(set.alike(first, count) as usize, alike.count());
            let (mut with, mut without) = (set.clone(), set.clone());
            let there = run.clone().filter(|page| set.contains(*page)).count() as u32;
            prop_assert_eq!(with.insert_run(first, count), count - there);
            prop_assert_eq!(without.remove_run(first, count), there);
            for page in (0..300).map(PageNumber) {
                let in_run = run.clone().any(|other| other == page);
                prop_assert_eq!(with.contains(page), in_run || set.contains(page));
                prop_assert_eq!(without.contains(page), !in_run && set.contains(page));
            }
        }

        #[test]
        fn a_search_finds_what_a_walk_finds(
            pages in proptest::collection::btree_set(0u32..300, 0..20),
            from in 0u32..1_000,
        ) {
            let mut set = PageSet::new(300);
            for page in &pages {
                set.insert(PageNumber(*page));
            }
            let found = |page: Option<PageNumber>| page.map(|page| page.0);
            let after = pages.range(from..).next().copied();
            prop_assert_eq!(found(set.at_or_after(from)), after);
            prop_assert_eq!(found(set.next_from(from)), after.or(pages.first().copied()));
            prop_assert_eq!(found(set.at_or_before(from)), pages.range(..=from).last().copied());
            prop_assert!(set.iter().map(|page| page.0).eq(pages.iter().copied()));
        }
    }
}
