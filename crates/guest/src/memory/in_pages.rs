//! A memory of real bytes: stamps are in the pages themselves.

use super::ages::{Ages, Entries, MOST_PAGES};
use super::linked::Linked;
use super::order::LruOrder;
use super::stamps::Stamps;
use crate::content::PageContents;
use lazycopy_pages::Pages;
use lazycopy_units::PageNumber;
use std::ops::Range;

/// Pages that tell their stamps. The bytes of every resident page are its content. A page that
/// comes into memory brings its bytes along where somebody has put them in place, and else they
/// are made; those of a page that leaves are discarded.
#[derive(Debug)]
pub(super) struct StampedPages {
    pub(super) contents: PageContents,
    pub(super) pages: Pages,
}

impl StampedPages {
    /// Gives back what there is of all other pages than these, which come by number.
    fn discard_all_but(&mut self, kept: impl IntoIterator<Item = u32>) {
        let end = self.pages.count();
        let mut next = 0;
        for page in kept.into_iter().chain([end]) {
            if page > next {
                self.pages.discard(PageNumber(next), page - next);
            }
            next = page + 1;
        }
    }
}

impl Stamps for StampedPages {
    const EVICTED: u8 = 0;

    #[inline]
    fn stamp(&self, page: u32) -> u64 {
        let page = PageNumber(page);
        self.contents.first_stamp_in(page, self.pages.page(page))
    }

    #[inline]
    fn set_stamp(&mut self, page: u32, stamp: u64) {
        let page = PageNumber(page);
        self.contents.put_stamp(page, stamp, self.pages.page_mut(page));
    }

    /// The stamp is written first, so that memory of its own is there before the filler is looked
    /// at: the system would first give a page of zeros to read, and then another one to write.
    #[inline]
    fn bring(&mut self, page: u32, stamp: u64) {
        let page = PageNumber(page);
        let bytes = self.pages.page_mut(page);
        self.contents.put_stamp(page, stamp, bytes);
        if !self.contents.is_filled(page, bytes) {
            self.contents.fill(page, stamp, bytes);
        }
    }

    #[inline]
    fn leave(&mut self, page: u32) {
        self.pages.discard(PageNumber(page), 1);
    }
}

/// Pages that tell their stamps, each with a frame of its own, and their marks: four bytes per
/// page besides. What leaves such a memory, as pages do that have changed at a migration's source,
/// comes back: its frame is kept.
#[derive(Debug)]
pub(super) struct MarkedPages {
    marks: Vec<u32>,
    pub(super) pages: StampedPages,
}

impl MarkedPages {
    pub(super) fn new(pages: StampedPages) -> Self {
        MarkedPages { marks: vec![0; pages.pages.count() as usize], pages }
    }
}

impl Stamps for MarkedPages {
    const EVICTED: u8 = StampedPages::EVICTED;

    #[inline]
    fn stamp(&self, page: u32) -> u64 {
        self.pages.stamp(page)
    }

    #[inline]
    fn set_stamp(&mut self, page: u32, stamp: u64) {
        self.pages.set_stamp(page, stamp);
    }

    #[inline]
    fn bring(&mut self, page: u32, stamp: u64) {
        self.pages.bring(page, stamp);
    }

    #[inline]
    fn leave(&mut self, _page: u32) {}
}

impl Entries for MarkedPages {
    #[inline]
    fn mark(&self, page: u32) -> u32 {
        self.marks[page as usize]
    }

    #[inline]
    fn set_mark(&mut self, page: u32, mark: u32) {
        self.marks[page as usize] = mark;
    }

    fn marks(&self) -> impl Iterator<Item = u32> {
        self.marks.iter().copied()
    }
}

/// The structure that suits a memory of real bytes.
///
/// Nothing of it is inlined, and all of it is said to be cold: what counts here is to wait for the
/// pages, and next to so much code the loops of the other structures would run out of the
/// processor's registers.
#[derive(Debug)]
pub(super) enum InPages {
    /// Guests that page: nine bytes per page.
    Linked(Box<Linked<StampedPages>>),
    /// Guests whose pages all have a frame: four bytes per page.
    Ages(Box<Ages<MarkedPages>>),
}

impl InPages {
    /// Of no resident page yet.
    pub(super) fn new(pages: StampedPages, frames: u32) -> Self {
        let count = pages.pages.count();
        if frames < count || count > MOST_PAGES {
            InPages::Linked(Box::new(Linked::new(count, pages)))
        } else {
            InPages::Ages(Box::new(Ages::new(MarkedPages::new(pages))))
        }
    }

    pub(super) fn pages(&self) -> &StampedPages {
        match self {
            InPages::Linked(lru) => &lru.stamps,
            InPages::Ages(lru) => &lru.entries.pages,
        }
    }

    pub(super) fn pages_mut(&mut self) -> &mut StampedPages {
        match self {
            InPages::Linked(lru) => &mut lru.stamps,
            InPages::Ages(lru) => &mut lru.entries.pages,
        }
    }

    /// The same bytes, with no page resident.
    pub(super) fn cleared(self, frames: u32) -> Self {
        let mut pages = self.into_pages();
        if frames < pages.pages.count() {
            pages.discard_all_but([]);
        }
        InPages::new(pages, frames)
    }

    /// The same order over the same bytes, for so many frames, which hold what is resident.
    pub(super) fn with_frames(self, frames: u32) -> Self {
        let by_use: Vec<(u32, u8)> = {
            let by_use = self.oldest_first().into_iter();
            by_use.map(|page| (page, self.flags(page))).collect()
        };
        let mut pages = self.into_pages();
        if frames < pages.pages.count() {
            let mut by_number: Vec<u32> = by_use.iter().map(|(page, _)| *page).collect();
            by_number.sort_unstable();
            pages.discard_all_but(by_number);
        }
        let mut resized = InPages::new(pages, frames);
        for (page, flags) in by_use {
            resized.insert_newest(page, None, flags);
        }
        resized
    }

    fn into_pages(self) -> StampedPages {
        match self {
            InPages::Linked(lru) => lru.stamps,
            InPages::Ages(lru) => lru.entries.pages,
        }
    }
}

/// Evaluates an expression with the structure at hand.
macro_rules! with_either {
    ($order:expr, $lru:ident => $do:expr) => {
        match $order {
            InPages::Linked($lru) => $do,
            InPages::Ages($lru) => $do,
        }
    };
}

impl LruOrder for InPages {
    #[cold]
    #[inline(never)]
    fn stamp(&self, page: u32) -> u64 {
        with_either!(self, lru => lru.stamp(page))
    }

    #[cold]
    #[inline(never)]
    fn set_stamp(&mut self, page: u32, stamp: u64) {
        with_either!(self, lru => lru.set_stamp(page, stamp));
    }

    #[cold]
    #[inline(never)]
    fn flags(&self, page: u32) -> u8 {
        with_either!(self, lru => lru.flags(page))
    }

    #[cold]
    #[inline(never)]
    fn set_flags(&mut self, page: u32, flags: u8) {
        with_either!(self, lru => lru.set_flags(page, flags));
    }

    #[cold]
    #[inline(never)]
    fn insert_newest(&mut self, page: u32, stamp: Option<u64>, flags: u8) {
        with_either!(self, lru => lru.insert_newest(page, stamp, flags));
    }

    #[cold]
    #[inline(never)]
    fn insert_oldest(&mut self, page: u32, stamp: Option<u64>, flags: u8) {
        with_either!(self, lru => lru.insert_oldest(page, stamp, flags));
    }

    fn insert_oldest_run(&mut self, pages: Range<u32>, flags: u8) {
        with_either!(self, lru => lru.insert_oldest_run(pages, flags));
    }

    fn alike(&self, pages: Range<u32>, mask: u8) -> u32 {
        with_either!(self, lru => lru.alike(pages, mask))
    }

    #[cold]
    #[inline(never)]
    fn make_newest(&mut self, page: u32, had: u8, flags: u8) {
        with_either!(self, lru => lru.make_newest(page, had, flags));
    }

    #[cold]
    #[inline(never)]
    fn remove(&mut self, page: u32) {
        with_either!(self, lru => lru.remove(page));
    }

    #[cold]
    #[inline(never)]
    fn leave(&mut self, page: u32) {
        with_either!(self, lru => lru.leave(page));
    }

    #[cold]
    #[inline(never)]
    fn pop_oldest(&mut self) -> (u32, u64, u8) {
        with_either!(self, lru => lru.pop_oldest())
    }

    #[cold]
    #[inline(never)]
    fn replace_oldest(&mut self, page: u32, stamp: Option<u64>, flags: u8) -> (u32, u64, u8) {
        with_either!(self, lru => lru.replace_oldest(page, stamp, flags))
    }

    #[cold]
    #[inline(never)]
    fn look_at(&self, page: u32) -> u64 {
        with_either!(self, lru => lru.look_at(page))
    }

    fn oldest_first(&self) -> Vec<u32> {
        with_either!(self, lru => lru.oldest_first())
    }
}
