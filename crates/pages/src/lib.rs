//! The pages of a guest as real memory: one anonymous mapping, addressed by page number.
//!
//! Nothing here knows what a page's bytes mean. A page that was never written, or was discarded,
//! is all zeros and takes no memory.

use lazycopy_units::{PAGE_BYTES, PageNumber};
use memmap2::MmapMut;
use std::fmt;
use std::io;
use std::ops::Range;

/// Bytes of a page.
pub const PAGE: usize = PAGE_BYTES as usize;

/// Bytes of a huge page. The system gives and takes back memory in such units where it can, if
/// they are aligned as well.
pub const HUGE_PAGE: usize = 2 << 20;

/// Pages in a huge page: runs of so many, at a multiple of so many, are best discarded at once.
pub const PAGES_PER_HUGE_PAGE: u32 = (HUGE_PAGE / PAGE) as u32;

/// One anonymous mapping with room for the pages of a guest.
pub struct Pages {
    map: MmapMut,
    /// Where the first page begins: at a multiple of a huge page, where there are huge pages.
    start: usize,
    count: u32,
    /// The system gives memory back in multiples of it.
    granule: usize,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Pages {
    /// Maps so many pages, all zeros. With `huge` the system is asked for huge pages, where a
    /// whole one fits; else for none: pages that are discarded one by one would split them.
    ///
    /// # Errors
    /// When the system has no room for so many.
    pub fn map(pages: u32, huge: bool) -> io::Result<Pages> {
        let too_many = || io::Error::from(io::ErrorKind::OutOfMemory);
        let bytes = (pages as usize).checked_mul(PAGE).ok_or_else(too_many)?;
        let in_huge_pages = if huge { bytes - bytes % HUGE_PAGE } else { 0 };
        // The system aligns mappings to its small pages only.
        let slack = if in_huge_pages > 0 { HUGE_PAGE } else { 0 };
        let map = MmapMut::map_anon(bytes + slack)?;
        let start = if slack > 0 { map.as_ptr().align_offset(HUGE_PAGE) } else { 0 };
        let granule = rustix::param::page_size();
        advise_huge_pages(&map, start, in_huge_pages);
        Ok(Pages { map, start, count: pages, granule })
    }

    /// Number of pages.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The bytes of a page.
    ///
    /// # Panics
    /// When there is no such page.
    #[inline]
    pub fn page(&self, page: PageNumber) -> &[u8; PAGE] {
        self.run(page, 1).first_chunk().expect("a run of one page has its bytes")
    }

    /// The bytes of a page, to change them.
    ///
    /// # Panics
    /// When there is no such page.
    #[inline]
    pub fn page_mut(&mut self, page: PageNumber) -> &mut [u8; PAGE] {
        self.run_mut(page, 1).first_chunk_mut().expect("a run of one page has its bytes")
    }

    /// The bytes of `count` pages from `first` on.
    ///
    /// # Panics
    /// When there are not so many.
    #[inline]
    pub fn run(&self, first: PageNumber, count: u32) -> &[u8] {
        &self.map[self.range(first, count)]
    }

    /// The bytes of `count` pages from `first` on, to change them.
    ///
    /// # Panics
    /// When there are not so many.
    #[inline]
    pub fn run_mut(&mut self, first: PageNumber, count: u32) -> &mut [u8] {
        let range = self.range(first, count);
        &mut self.map[range]
    }

    /// The bytes of several runs at once, in the order of the call, to change them. `None` when
    /// one of them is out of range or two overlap.
    pub fn disjoint_mut(&mut self, runs: &[(PageNumber, u32)]) -> Option<Vec<&mut [u8]>> {
        let mut by_number: Vec<usize> = (0..runs.len()).collect();
        by_number.sort_unstable_by_key(|index| runs[*index]);
        let mut found: Vec<&mut [u8]> = Vec::new();
        found.resize_with(runs.len(), Default::default);
        let end = self.start + self.count as usize * PAGE;
        let mut rest = &mut self.map[self.start..end];
        let mut next = 0;
        for index in by_number {
            let (first, count) = runs[index];
            let skipped = (first.0 as usize).checked_sub(next)?;
            let (_, from_run) = rest.split_at_mut_checked(skipped * PAGE)?;
            let (run, after) = from_run.split_at_mut_checked(count as usize * PAGE)?;
            found[index] = run;
            rest = after;
            next = first.0 as usize + count as usize;
        }
        Some(found)
    }

    /// Makes `count` pages from `first` on all zeros and gives their memory back to the system.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn discard(&mut self, first: PageNumber, count: u32) {
        let range = self.range(first, count);
        let is_whole =
            range.start.is_multiple_of(self.granule) && range.len().is_multiple_of(self.granule);
        if !(is_whole && give_back(&mut self.map, range.clone())) {
            self.map[range].fill(0);
        }
    }

    /// Where these pages are in the mapping.
    #[inline]
    fn range(&self, first: PageNumber, count: u32) -> Range<usize> {
        let end = first.index() + count as usize;
        assert!(end <= self.count as usize, "pages up to {end} of {}", self.count);
        self.start + first.index() * PAGE..self.start + end * PAGE
    }
}

/// Asks for huge pages in the part of `map` that they fill, and for small ones elsewhere, so that
/// a little guest does not take a huge page. A system without huge pages refuses, which is no
/// error: small ones do.
#[cfg(target_os = "linux")]
fn advise_huge_pages(map: &MmapMut, start: usize, bytes: usize) {
    let _ = map.advise(memmap2::Advice::NoHugePage);
    if bytes > 0 {
        let _ = map.advise_range(memmap2::Advice::HugePage, start, bytes);
    }
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages(_map: &MmapMut, _start: usize, _bytes: usize) {}

/// Gives memory back, so that it reads as zeros; `false`: the system would not (it may be locked
/// in memory). The range is one of whole pages of the system.
#[cfg(target_os = "linux")]
fn give_back(map: &mut MmapMut, range: Range<usize>) -> bool {
    // SAFETY: the mapping is private and anonymous, so that on Linux what was given back reads as
    // zeros, which are valid bytes; the range is inside of it (`Pages::range`); and `map` is
    // borrowed mutably, so that nobody else sees the bytes change.
    #[allow(unsafe_code)]
    let given_back = unsafe {
        map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
    };
    given_back.is_ok()
}

#[cfg(not(target_os = "linux"))]
fn give_back(_map: &mut MmapMut, _range: Range<usize>) -> bool {
    false
}
