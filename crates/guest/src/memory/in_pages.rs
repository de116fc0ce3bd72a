//! Stamps in the pages themselves: a memory of real bytes.

use super::ages::Entries;
use super::stamps::Stamps;
use crate::content::PageContents;
use lazycopy_pages::Pages;
use lazycopy_units::PageNumber;

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
    pub(super) fn discard_all_but(&mut self, kept: impl IntoIterator<Item = PageNumber>) {
        let end = PageNumber(self.pages.count());
        let mut next = 0;
        for page in kept.into_iter().chain([end]) {
            if page.0 > next {
                self.pages.discard(PageNumber(next), page.0 - next);
            }
            next = page.0 + 1;
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
