//! The memory of a guest: frames in LRU order.

use lazycopy_units::PageNumber;

const NONE: u32 = u32::MAX;

const RESIDENT: u8 = 1;
const DIRTY: u8 = 2;
const WATCH_TOUCH: u8 = 4;
const WATCH_WRITE: u8 = 8;

/// Neighbours of a resident page in the LRU list.
#[derive(Clone, Copy, Debug)]
struct Links {
    older: u32,
    newer: u32,
}

/// A page that had to leave memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Which page.
    pub page: PageNumber,
    /// Its stamp when it left.
    pub stamp: u64,
    /// Whether it differs from what the disk has.
    pub dirty: bool,
    /// Whether the first write to it was still awaited, see [`Memory::watch_write`].
    pub write_watched: bool,
}

/// What an access to a page found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    Miss,
    /// A hit; the stamp that the access leaves, whether somebody waits for this touch, and whether
    /// it was the first write to a page whose writes are watched.
    Hit {
        stamp: u64,
        watched: bool,
        first_write: bool,
    },
}

/// Frames of memory, ordered from least to most recently used, every operation in constant time.
///
/// The list is threaded through the pages (one node per page), which is as fast as threading it
/// through the frames up to some ten thousand pages.
#[derive(Clone, Debug)]
pub struct Memory {
    frames: u32,
    resident: u32,
    oldest: u32,
    newest: u32,
    links: Vec<Links>,
    stamps: Vec<u64>,
    flags: Vec<u8>,
    /// First writes to watched pages: page and the stamp that was overwritten.
    first_writes: Vec<(PageNumber, u64)>,
}

impl Memory {
    /// An empty memory of `frames` frames for a guest of `pages` pages.
    pub fn new(pages: u32, frames: u32) -> Self {
        let pages = pages as usize;
        Memory {
            frames,
            resident: 0,
            oldest: NONE,
            newest: NONE,
            links: vec![Links { older: NONE, newer: NONE }; pages],
            stamps: vec![0; pages],
            flags: vec![0; pages],
            first_writes: Vec::new(),
        }
    }

    /// Number of frames.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Number of resident pages.
    pub fn resident(&self) -> u32 {
        self.resident
    }

    /// Whether every frame is taken.
    pub fn is_full(&self) -> bool {
        self.resident == self.frames
    }

    /// Whether `page` is in memory.
    #[inline]
    pub fn contains(&self, page: PageNumber) -> bool {
        self.flags[page.index()] & RESIDENT != 0
    }

    /// Whether `page` is in memory and differs from what the disk has.
    pub fn is_dirty(&self, page: PageNumber) -> bool {
        self.flags[page.index()] & (RESIDENT | DIRTY) == RESIDENT | DIRTY
    }

    /// The stamp of `page` if it is in memory.
    pub fn stamp(&self, page: PageNumber) -> Option<u64> {
        self.contains(page).then(|| self.stamps[page.index()])
    }

    /// Resident pages from least to most recently used.
    pub fn iter_lru(&self) -> impl Iterator<Item = PageNumber> + '_ {
        std::iter::successors((self.oldest != NONE).then_some(self.oldest), |page| {
            let newer = self.links[*page as usize].newer;
            (newer != NONE).then_some(newer)
        })
        .map(PageNumber)
    }

    /// Asks that the next hit of `page` be reported, once.
    pub fn watch_touch(&mut self, page: PageNumber) {
        self.flags[page.index()] |= WATCH_TOUCH;
    }

    /// Withdraws [`Memory::watch_touch`].
    pub fn forget_touch(&mut self, page: PageNumber) {
        self.flags[page.index()] &= !WATCH_TOUCH;
    }

    /// Asks that the first write to the resident `page` be kept, with the stamp that it
    /// overwrites, for [`Memory::take_first_writes`].
    pub fn watch_write(&mut self, page: PageNumber) {
        self.flags[page.index()] |= WATCH_WRITE;
    }

    /// Withdraws [`Memory::watch_write`].
    pub fn forget_write(&mut self, page: PageNumber) {
        self.flags[page.index()] &= !WATCH_WRITE;
    }

    /// Changes the number of frames, which must hold what is resident.
    pub fn set_frames(&mut self, frames: u32) {
        assert!(self.resident <= frames, "{} pages do not fit {frames} frames", self.resident);
        self.frames = frames;
    }

    /// Makes a resident page the most recent one.
    pub fn make_most_recent(&mut self, page: PageNumber) {
        assert!(self.contains(page), "page {page} is not resident");
        self.unlink(page.0);
        self.link_newest(page.0);
    }

    /// The first writes to watched pages since the last call.
    pub fn take_first_writes(&mut self) -> Vec<(PageNumber, u64)> {
        std::mem::take(&mut self.first_writes)
    }

    /// One access: on a hit the page becomes most recent and a write changes its stamp to
    /// `written(stamp)`. Inlined by force into its two callers: a sixth of an access's time.
    #[inline(always)]
    pub(crate) fn touch(
        &mut self,
        page: PageNumber,
        write: bool,
        written: impl FnOnce(u64) -> u64,
    ) -> Touch {
        let index = page.index();
        let flags = self.flags[index];
        if flags & RESIDENT == 0 {
            return Touch::Miss;
        }
        if self.newest != page.0 {
            self.unlink(page.0);
            self.link_newest(page.0);
        }
        let mut stamp = self.stamps[index];
        let first_write = write && flags & WATCH_WRITE != 0;
        if write {
            if first_write {
                self.first_writes.push((page, stamp));
            }
            stamp = written(stamp);
            self.stamps[index] = stamp;
            self.flags[index] = (flags | DIRTY) & !(WATCH_WRITE | WATCH_TOUCH);
        } else if flags & WATCH_TOUCH != 0 {
            self.flags[index] = flags & !WATCH_TOUCH;
        }
        Touch::Hit { stamp, watched: flags & WATCH_TOUCH != 0, first_write }
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
        let victim = self.is_full().then(|| self.evict_least_recent());
        self.occupy(page, stamp, dirty);
        self.link_newest(page.0);
        victim
    }

    /// Puts a page that is not resident into a free frame as the least recent one.
    ///
    /// # Panics
    /// When memory is full.
    pub fn install_least_recent(&mut self, page: PageNumber, stamp: u64, dirty: bool) {
        assert!(!self.is_full(), "page {page} was to be installed in a full memory");
        self.occupy(page, stamp, dirty);
        let newer = self.oldest;
        self.links[page.index()] = Links { older: NONE, newer };
        match newer {
            NONE => self.newest = page.0,
            newer => self.links[newer as usize].older = page.0,
        }
        self.oldest = page.0;
    }

    /// Takes over a page from another memory: most recent, in place of what is here of it.
    pub fn replace(&mut self, page: PageNumber, stamp: u64, dirty: bool) {
        if self.contains(page) {
            self.remove(page);
        }
        self.install_most_recent(page, stamp, dirty);
    }

    /// Gives up a resident page.
    pub fn remove(&mut self, page: PageNumber) {
        assert!(self.contains(page), "page {page} was to be removed and is not resident");
        self.unlink(page.0);
        self.resident -= 1;
        self.flags[page.index()] = 0;
    }

    #[inline]
    fn occupy(&mut self, page: PageNumber, stamp: u64, dirty: bool) {
        assert!(!self.contains(page), "page {page} was installed twice");
        self.resident += 1;
        self.stamps[page.index()] = stamp;
        self.flags[page.index()] = RESIDENT | if dirty { DIRTY } else { 0 };
    }

    #[inline]
    fn evict_least_recent(&mut self) -> Victim {
        let page = self.oldest;
        self.unlink(page);
        self.resident -= 1;
        let flags = std::mem::take(&mut self.flags[page as usize]);
        Victim {
            page: PageNumber(page),
            stamp: self.stamps[page as usize],
            dirty: flags & DIRTY != 0,
            write_watched: flags & WATCH_WRITE != 0,
        }
    }

    #[inline]
    fn unlink(&mut self, page: u32) {
        let Links { older, newer } = self.links[page as usize];
        match older {
            NONE => self.oldest = newer,
            older => self.links[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.links[newer as usize].older = older,
        }
    }

    #[inline]
    fn link_newest(&mut self, page: u32) {
        let older = self.newest;
        self.links[page as usize] = Links { older, newer: NONE };
        match older {
            NONE => self.oldest = page,
            older => self.links[older as usize].newer = page,
        }
        self.newest = page;
    }
}
