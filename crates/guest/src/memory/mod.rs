//! The memory of a guest: frames in LRU order.

mod access;
mod ages;
mod in_pages;
mod linked;
mod marks;
mod order;
mod ring;
mod stamps;
#[cfg(test)]
mod tests;

use crate::content::PageContents;
use crate::spec::GuestSpec;
pub(crate) use access::Touch;
use in_pages::StampedPages;
use lazycopy_pages::Pages;
use lazycopy_units::PageNumber;
use order::{DIRTY, LEFT, LruOrder, Order, Other, RESIDENT, WATCH_TOUCH, WATCH_WRITE, with_order};
use stamps::Stamps as _;
use std::io;

/// A page that had to leave memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Which page.
    pub page: PageNumber,
    /// Its stamp when it left.
    pub stamp: u64,
    /// Whether it differs from what the disk has.
    pub dirty: bool,
}

/// What a read by an ordinary pager found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The page, in memory.
    Hit,
    /// Not the page: it was installed, and that page had to leave for it.
    Miss(Option<Victim>),
}

/// Frames of memory, ordered from least to most recently used.
///
/// An access takes constant time. What holds the order depends on the sizes: a list for small
/// guests; for large ones, where the caches decide, a ring of touches; and where every page has a
/// frame, so that none is ever evicted, no more than the time of each page's last touch.
///
/// A memory may hold its pages as real bytes ([`Memory::in_pages`]), which then tell the stamps,
/// too. In all else it is as any other.
#[derive(Debug)]
pub struct Memory {
    pages: u32,
    frames: u32,
    /// Frames that hold no page.
    free: u32,
    order: Order,
    /// First writes to watched pages: page and the stamp that was overwritten.
    first_writes: Vec<(PageNumber, u64)>,
}

impl Memory {
    /// An empty memory of `frames` frames for a guest of `pages` pages.
    pub fn new(pages: u32, frames: u32) -> Self {
        Memory::of(pages, frames, Order::new(pages, frames))
    }

    /// No memory, in the place of one that comes later.
    pub fn none() -> Self {
        Memory::new(0, 0)
    }

    /// An empty memory of `frames` frames for the guest, which holds its pages as real bytes.
    ///
    /// A page that comes into memory has the bytes that [`PageContents`] gives it. Where they are
    /// in [`Memory::bytes_mut`] already, as those of a page that was received there, only its
    /// stamp words are written; else the page is filled.
    ///
    /// # Errors
    /// When the system has no room for the guest's pages.
    pub fn in_pages(frames: u32, spec: &GuestSpec) -> io::Result<Self> {
        // A guest that pages gives its pages back one by one.
        let pages = Pages::map(spec.pages, spec.frames == spec.pages)?;
        let pages = StampedPages { contents: PageContents::of(spec), pages };
        Ok(Memory::of(spec.pages, frames, Order::in_pages(pages, frames)))
    }

    fn of(pages: u32, frames: u32, order: Order) -> Self {
        Memory { pages, frames, free: frames, order, first_writes: Vec::new() }
    }

    /// The bytes of its pages, in a memory of real bytes. Those of a page that is not resident
    /// mean nothing.
    pub fn bytes(&self) -> Option<&Pages> {
        self.order.pages().map(|stamped| &stamped.pages)
    }

    /// As [`Memory::bytes`], to put pages in place that are to be installed, and to discard what
    /// is not needed any more. Whoever changes a resident page otherwise breaks it.
    pub fn bytes_mut(&mut self) -> Option<&mut Pages> {
        self.order.pages_mut().map(|stamped| &mut stamped.pages)
    }

    /// Gives up every page. A memory of real bytes keeps its mapping.
    pub fn clear(&mut self) {
        let (pages, frames) = (self.pages, self.frames);
        let order = self.take_order().cleared(pages, frames);
        *self = Memory::of(pages, frames, order);
    }

    /// Leaves one without pages in its place.
    fn take_order(&mut self) -> Order {
        std::mem::replace(&mut self.order, Order::new(0, 0))
    }

    /// Number of frames.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Number of resident pages.
    pub fn resident(&self) -> u32 {
        self.frames - self.free
    }

    /// Whether every frame is taken.
    pub fn is_full(&self) -> bool {
        self.free == 0
    }

    #[inline]
    fn flags(&self, page: PageNumber) -> u8 {
        with_order!(&self.order, lru => lru.flags(page.0))
    }

    fn set_flags(&mut self, page: PageNumber, flags: u8) {
        with_order!(&mut self.order, lru => lru.set_flags(page.0, flags));
    }

    /// Whether `page` is in memory.
    #[inline]
    pub fn contains(&self, page: PageNumber) -> bool {
        self.flags(page) & RESIDENT != 0
    }

    /// Whether `page` is in memory and differs from what the disk has.
    pub fn is_dirty(&self, page: PageNumber) -> bool {
        self.flags(page) & (RESIDENT | DIRTY) == RESIDENT | DIRTY
    }

    /// The stamp of `page` if it is in memory.
    pub fn stamp(&self, page: PageNumber) -> Option<u64> {
        self.contains(page).then(|| with_order!(&self.order, lru => lru.stamp(page.0)))
    }

    /// The stamp that the bytes of `page` tell, whether it is resident or not; `None` in a memory
    /// without real bytes.
    pub fn stamp_in_place(&self, page: PageNumber) -> Option<u64> {
        self.order.pages().map(|stamped| stamped.stamp(page.0))
    }

    /// How many of the `count` pages from `first` on, one after another, are in memory or not, and
    /// dirty or not, as `first` is.
    pub fn alike(&self, first: PageNumber, count: u32) -> u32 {
        let pages = first.0..first.0 + count;
        with_order!(&self.order, lru => lru.alike(pages, RESIDENT | DIRTY))
    }

    /// Resident pages from least to most recently used. Where every page has a frame, a large
    /// memory sorts them for it: [`Memory::iter`] does without.
    pub fn iter_lru(&self) -> impl ExactSizeIterator<Item = PageNumber> + use<> {
        with_order!(&self.order, lru => lru.oldest_first()).into_iter().map(PageNumber)
    }

    /// Resident pages in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = PageNumber> + '_ {
        self.runs().flat_map(|(first, count)| (first.0..first.0 + count).map(PageNumber))
    }

    /// Resident pages in the order of their numbers, those that follow each other together: the
    /// first, and how many. None of them is dirty, or all are.
    pub fn runs(&self) -> impl Iterator<Item = (PageNumber, u32)> + '_ {
        let mut next = 0;
        let alike = std::iter::from_fn(move || {
            let first = PageNumber(next);
            let count = self.alike(first, self.pages - next);
            next += count;
            (count > 0).then_some((first, count))
        });
        alike.filter(|(first, _)| self.contains(*first))
    }

    /// Asks that the next hit of `page` be reported, once.
    pub fn watch_touch(&mut self, page: PageNumber) {
        self.set_flags(page, self.flags(page) | WATCH_TOUCH);
    }

    /// Withdraws [`Memory::watch_touch`].
    pub fn forget_touch(&mut self, page: PageNumber) {
        self.set_flags(page, self.flags(page) & !WATCH_TOUCH);
    }

    /// Asks that the first write to the resident `page` be kept, with the stamp that it
    /// overwrites, for [`Memory::take_first_writes`].
    pub fn watch_write(&mut self, page: PageNumber) {
        self.set_flags(page, self.flags(page) | WATCH_WRITE);
    }

    /// Withdraws [`Memory::watch_write`].
    pub fn forget_write(&mut self, page: PageNumber) {
        self.set_flags(page, self.flags(page) & !WATCH_WRITE);
    }

    /// The disk has the resident `page` as it is.
    pub fn mark_clean(&mut self, page: PageNumber) {
        self.set_flags(page, self.flags(page) & !DIRTY);
    }

    /// Changes the number of frames, which must hold what is resident.
    pub fn set_frames(&mut self, frames: u32) {
        let resident = self.resident();
        assert!(resident <= frames, "{resident} pages do not fit {frames} frames");
        if frames == self.frames {
            return;
        }
        self.order = self.take_order().with_frames(self.pages, frames);
        self.frames = frames;
        self.free = frames - resident;
    }

    /// Makes a resident page the most recent one.
    pub fn make_most_recent(&mut self, page: PageNumber) {
        let flags = self.flags(page);
        assert!(flags & RESIDENT != 0, "page {page} is not resident");
        with_order!(&mut self.order, lru => lru.make_newest(page.0, flags, flags));
    }

    /// The first writes to watched pages since the last call.
    pub fn take_first_writes(&mut self) -> Vec<(PageNumber, u64)> {
        std::mem::take(&mut self.first_writes)
    }

    /// A read as an ordinary pager serves it: a page that is not in memory is loaded, as by
    /// [`Memory::load`]. Nobody is told of a watched touch.
    #[inline]
    pub fn read(&mut self, page: PageNumber, load: impl FnOnce() -> u64) -> Read {
        with_order!(&mut self.order, lru => {
            let flags = lru.flags(page.0);
            if flags & RESIDENT != 0 {
                lru.make_newest(page.0, flags, flags & !WATCH_TOUCH);
                return Read::Hit;
            }
            let stamp = (flags & LEFT == 0).then(load);
            Read::Miss(install(lru, &mut self.free, page, stamp, RESIDENT))
        })
    }

    /// Loads a page that is not in memory from the disk, as the most recent one; a full memory
    /// first gives up its least recent page. Who writes back every dirty victim has pages on the
    /// disk as they left: then `stamp_on_disk` is not asked. Where the disk was written besides,
    /// see [`Memory::forget_left`].
    #[inline]
    pub fn load(
        &mut self,
        page: PageNumber,
        stamp_on_disk: impl FnOnce() -> u64,
    ) -> Option<Victim> {
        with_order!(&mut self.order, lru => {
            let flags = lru.flags(page.0);
            assert!(flags & RESIDENT == 0, "page {page} was installed twice");
            let stamp = (flags & LEFT == 0).then(stamp_on_disk);
            install(lru, &mut self.free, page, stamp, RESIDENT)
        })
    }

    /// What is on the disk of a page that is not in memory is no longer what left memory.
    pub fn forget_left(&mut self, page: PageNumber) {
        let flags = self.flags(page);
        if flags & RESIDENT == 0 {
            self.set_flags(page, flags & !LEFT);
        }
    }

    /// Puts a page that is not resident into memory as the most recent one; a full memory first
    /// gives up its least recent page.
    #[inline]
    pub fn install_most_recent(
        &mut self,
        page: PageNumber,
        stamp: u64,
        dirty: bool,
    ) -> Option<Victim> {
        assert!(!self.contains(page), "page {page} was installed twice");
        with_order!(&mut self.order, lru => {
            install(lru, &mut self.free, page, Some(stamp), flags_of(dirty))
        })
    }

    /// Puts a page that is not resident into a free frame as the least recent one.
    ///
    /// # Panics
    /// When memory is full.
    pub fn install_least_recent(&mut self, page: PageNumber, stamp: u64, dirty: bool) {
        assert!(!self.is_full(), "page {page} was to be installed in a full memory");
        assert!(!self.contains(page), "page {page} was installed twice");
        self.free -= 1;
        with_order!(&mut self.order, lru => lru.insert_oldest(page.0, Some(stamp), flags_of(dirty)));
    }

    /// In a memory of real bytes, puts the `count` pages from `first` on, none of which is resident
    /// and all of whose bytes are in place, into free frames: each in its turn as the least recent
    /// one. With `watched` their next hits are reported, see [`Memory::watch_touch`].
    ///
    /// # Panics
    /// When memory has not so many free frames.
    pub fn install_in_place(&mut self, first: PageNumber, count: u32, dirty: bool, watched: bool) {
        assert!(count <= self.free, "{count} pages from {first} on for {} frames", self.free);
        self.free -= count;
        let flags = flags_of(dirty) | if watched { WATCH_TOUCH } else { 0 };
        let pages = first.0..first.0 + count;
        with_order!(&mut self.order, lru => lru.insert_oldest_run(pages, flags));
    }

    /// Takes over a page from another memory: most recent, in place of what is here of it.
    pub fn replace(&mut self, page: PageNumber, stamp: u64, dirty: bool) {
        if self.contains(page) {
            self.take_out(page);
        }
        self.install_most_recent(page, stamp, dirty);
    }

    /// Gives up a resident page.
    pub fn remove(&mut self, page: PageNumber) {
        assert!(self.contains(page), "page {page} was to be removed and is not resident");
        self.take_out(page);
        with_order!(&mut self.order, lru => lru.leave(page.0));
    }

    /// A resident page leaves its frame; what memory has of it stays in place.
    fn take_out(&mut self, page: PageNumber) {
        self.free += 1;
        with_order!(&mut self.order, lru => lru.remove(page.0));
    }
}

fn flags_of(dirty: bool) -> u8 {
    if dirty { RESIDENT | DIRTY } else { RESIDENT }
}

/// Installs a page as the most recent one in a free frame, or in that of the least recent page.
#[inline(always)]
fn install(
    lru: &mut impl LruOrder,
    free: &mut u32,
    page: PageNumber,
    stamp: Option<u64>,
    flags: u8,
) -> Option<Victim> {
    if *free > 0 {
        *free -= 1;
        lru.insert_newest(page.0, stamp, flags);
        return None;
    }
    let (victim, stamp, flags) = lru.replace_oldest(page.0, stamp, flags);
    Some(Victim { page: PageNumber(victim), stamp, dirty: flags & DIRTY != 0 })
}
