//! The time of each page's last touch, and no order at all until somebody asks.

use super::marks::{FLAG_BITS, flags_in, mark_of};
use super::order::{LEFT, LruOrder, RESIDENT};
use super::stamps::Stamps;

/// Times end here: a mark holds them above the flags.
const END: u32 = 1 << (u32::BITS - FLAG_BITS);

/// An entry per page with the time of its last touch, counted in touches. A page that has a frame of its
/// own is never evicted, so that the order is asked for only once per migration: it is sorted
/// then. For large guests that do not page: a touch writes one word, and a page
/// takes twelve bytes.
#[derive(Debug)]
pub(super) struct Ages<E> {
    pub(super) entries: E,
    /// The time of the least recent page, at most.
    oldest: u32,
    /// The time of the next touch.
    next: u32,
}

/// The pages' marks, with their times for places, and their stamps. A mark is zero until its page
/// is first used.
pub(super) trait Entries: Stamps {
    fn mark(&self, page: u32) -> u32;

    fn set_mark(&mut self, page: u32, mark: u32);

    /// All of them in the order of their pages.
    fn marks(&self) -> impl Iterator<Item = u32>;
}

/// A page's mark and its stamp in two halves: side by side, so that an access waits for one line
/// of memory, and in twelve bytes, where alignment would make it sixteen. Zero until the page is
/// first used, so that unused pages take no memory.
pub(super) type Entry = [u32; 3];

impl Stamps for Vec<Entry> {
    const EVICTED: u8 = LEFT;

    #[inline]
    fn stamp(&self, page: u32) -> u64 {
        let [_, low, high] = self[page as usize];
        u64::from(high) << 32 | u64::from(low)
    }

    #[inline]
    fn set_stamp(&mut self, page: u32, stamp: u64) {
        let [_, low, high] = &mut self[page as usize];
        (*low, *high) = (stamp as u32, (stamp >> 32) as u32);
    }

    #[inline]
    fn bring(&mut self, page: u32, stamp: u64) {
        self.set_stamp(page, stamp);
    }

    #[inline]
    fn leave(&mut self, _page: u32) {}
}

impl Entries for Vec<Entry> {
    #[inline]
    fn mark(&self, page: u32) -> u32 {
        self[page as usize][0]
    }

    #[inline]
    fn set_mark(&mut self, page: u32, mark: u32) {
        self[page as usize][0] = mark;
    }

    fn marks(&self) -> impl Iterator<Item = u32> {
        self.iter().map(|entry| entry[0])
    }
}

/// The pages are sorted by time in so many buckets: each is written to in turn, so that they are
/// not many more than a cache has lines.
const BUCKETS: usize = 1 << 11;

/// So many pages leave three quarters of all times free when they are numbered anew.
pub(super) const MOST_PAGES: u32 = END / 4;

impl<E: Entries> Ages<E> {
    /// Of pages none of which is resident yet.
    pub(super) fn new(entries: E) -> Self {
        Ages { entries, oldest: END / 2, next: END / 2 }
    }

    #[cfg(test)]
    pub(super) fn with_room_for(self, older: u32, newer: u32) -> Self {
        assert!(self.entries.marks().all(|mark| flags_in(mark) & RESIDENT == 0));
        let time = if older < newer { older } else { END - newer };
        Ages { oldest: time, next: time, ..self }
    }

    /// Numbers the resident pages anew, in the middle of all times.
    #[cold]
    fn renumber(&mut self) {
        let order: Vec<u32> = self.oldest_first();
        self.oldest = END / 2 - order.len() as u32 / 2;
        self.next = self.oldest;
        for page in order {
            let flags = self.flags(page);
            self.set(page, self.next, flags);
            self.next += 1;
        }
    }

    #[inline]
    fn set(&mut self, page: u32, time: u32, flags: u8) {
        self.entries.set_mark(page, mark_of(time, flags));
    }

    #[inline]
    fn touch(&mut self, page: u32, flags: u8) {
        if self.next == END {
            self.renumber();
        }
        self.set(page, self.next, flags);
        self.next += 1;
    }
}

impl<E: Entries> LruOrder for Ages<E> {
    #[inline]
    fn stamp(&self, page: u32) -> u64 {
        self.entries.stamp(page)
    }

    #[inline]
    fn set_stamp(&mut self, page: u32, stamp: u64) {
        self.entries.set_stamp(page, stamp);
    }

    #[inline]
    fn flags(&self, page: u32) -> u8 {
        flags_in(self.entries.mark(page))
    }

    #[inline]
    fn set_flags(&mut self, page: u32, flags: u8) {
        self.set(page, self.entries.mark(page) >> FLAG_BITS, flags);
    }

    #[inline]
    fn insert_newest(&mut self, page: u32, stamp: Option<u64>, flags: u8) {
        if let Some(stamp) = stamp {
            self.entries.bring(page, stamp);
        }
        self.touch(page, flags);
    }

    #[inline]
    fn insert_oldest(&mut self, page: u32, stamp: Option<u64>, flags: u8) {
        if self.oldest == 0 {
            self.renumber();
        }
        self.oldest -= 1;
        self.set(page, self.oldest, flags);
        if let Some(stamp) = stamp {
            self.entries.bring(page, stamp);
        }
    }

    #[inline(always)]
    fn make_newest(&mut self, page: u32, _had: u8, flags: u8) {
        self.touch(page, flags);
    }

    #[inline]
    fn remove(&mut self, page: u32) {
        self.set(page, 0, 0);
    }

    #[inline]
    fn leave(&mut self, page: u32) {
        self.entries.leave(page);
    }

    /// Correct, but slow: it sorts.
    fn pop_oldest(&mut self) -> (u32, u64, u8) {
        let page = *self.oldest_first().first().expect("a page is resident");
        let (stamp, flags) = (self.stamp(page), self.flags(page));
        self.remove(page);
        self.set_flags(page, E::EVICTED);
        self.leave(page);
        (page, stamp, flags)
    }

    #[inline]
    fn look_at(&self, page: u32) -> u64 {
        u64::from(self.entries.mark(page)) ^ self.stamp(page)
    }

    /// A large guest's migration begins with this, and the guest waits for it: the pages are
    /// distributed by their times over buckets that fit a near cache, and sorted there. No more
    /// room is taken than that of the list.
    fn oldest_first(&self) -> Vec<u32> {
        let shift = (self.next - self.oldest).checked_ilog2().unwrap_or(0);
        let shift = shift.saturating_sub(BUCKETS.ilog2() - 1);
        let resident = || {
            let marks = (0u32..).zip(self.entries.marks());
            let resident = marks.filter(|(_, mark)| flags_in(*mark) & RESIDENT != 0);
            resident.map(|(page, mark)| (mark >> FLAG_BITS, page))
        };
        let bucket = |time: u32| (time - self.oldest) as usize >> shift;
        let mut ends = [0; BUCKETS];
        resident().for_each(|(time, _)| ends[bucket(time)] += 1);
        let mut end = 0;
        for begin in &mut ends {
            end += std::mem::replace(begin, end);
        }
        let mut pages = vec![0; end];
        for (time, page) in resident() {
            let next = &mut ends[bucket(time)];
            pages[*next] = page;
            *next += 1;
        }
        let mut times: Vec<u64> = Vec::new();
        let mut begin = 0;
        for end in ends {
            let pages = &mut pages[begin..end];
            let timed = |page: &u32| u64::from(self.entries.mark(*page) >> FLAG_BITS) << 32;
            times.clear();
            times.extend(pages.iter().map(|page| timed(page) | u64::from(*page)));
            times.sort_unstable();
            pages.iter_mut().zip(&times).for_each(|(page, time)| *page = *time as u32);
            begin = end;
        }
        pages
    }
}
