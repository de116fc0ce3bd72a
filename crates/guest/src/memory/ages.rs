//! The time of each page's last touch, and no order at all until somebody asks.

use super::marks::{FLAG_BITS, Marks};
use super::order::{LEFT, LruOrder, RESIDENT};

/// Times end here: a mark holds them above the flags.
const END: u32 = 1 << (u32::BITS - FLAG_BITS);

/// A mark per page with the time of its last touch, counted in touches. A page that has a frame of its
/// own is never evicted, so that the order is asked for only once per migration: it is sorted
/// then. For large guests that do not page: a touch writes one word, and a page
/// takes twelve bytes.
#[derive(Clone, Debug)]
pub(super) struct Ages {
    marks: Marks,
    stamps: Vec<u64>,
    resident: usize,
    /// The time of the least recent page, at most.
    oldest: u32,
    /// The time of the next touch.
    next: u32,
}

impl Ages {
    /// So many pages leave three quarters of all times free when they are numbered anew.
    pub(super) const MOST_PAGES: u32 = END / 4;

    pub(super) fn new(pages: u32) -> Self {
        Ages {
            marks: Marks::new(pages),
            stamps: vec![0; pages as usize],
            resident: 0,
            oldest: END / 2,
            next: END / 2,
        }
    }

    #[cfg(test)]
    pub(super) fn with_room_for(self, older: u32, newer: u32) -> Self {
        assert!(self.resident == 0);
        let time = if older < newer { older } else { END - newer };
        Ages { oldest: time, next: time, ..self }
    }

    /// Numbers the resident pages anew, in the middle of all times.
    #[cold]
    fn renumber(&mut self) {
        let order: Vec<u32> = self.iter().collect();
        self.oldest = END / 2 - order.len() as u32 / 2;
        self.next = self.oldest;
        for page in order {
            let flags = self.flags(page);
            self.marks.set(page, self.next, flags);
            self.next += 1;
        }
    }

    #[inline]
    fn touch(&mut self, page: u32, flags: u8) {
        if self.next == END {
            self.renumber();
        }
        self.marks.set(page, self.next, flags);
        self.next += 1;
    }
}

impl LruOrder for Ages {
    #[inline]
    fn stamp(&self, page: u32) -> u64 {
        self.stamps[page as usize]
    }

    #[inline]
    fn set_stamp(&mut self, page: u32, stamp: u64) {
        self.stamps[page as usize] = stamp;
    }

    #[inline]
    fn flags(&self, page: u32) -> u8 {
        self.marks.flags(page)
    }

    #[inline]
    fn set_flags(&mut self, page: u32, flags: u8) {
        self.marks.set_flags(page, flags);
    }

    #[inline]
    fn insert_newest(&mut self, page: u32, stamp: Option<u64>, flags: u8) {
        if let Some(stamp) = stamp {
            self.stamps[page as usize] = stamp;
        }
        self.touch(page, flags);
        self.resident += 1;
    }

    fn insert_oldest(&mut self, page: u32, stamp: u64, flags: u8) {
        if self.oldest == 0 {
            self.renumber();
        }
        self.oldest -= 1;
        self.marks.set(page, self.oldest, flags);
        self.stamps[page as usize] = stamp;
        self.resident += 1;
    }

    #[inline(always)]
    fn make_newest(&mut self, page: u32, _had: u8, flags: u8) {
        self.touch(page, flags);
    }

    #[inline]
    fn remove(&mut self, page: u32) {
        self.marks.set(page, 0, 0);
        self.resident -= 1;
    }

    /// Correct, but slow: it sorts.
    fn pop_oldest(&mut self) -> (u32, u8) {
        let page = self.iter().next().expect("a page is resident");
        let flags = self.flags(page);
        self.remove(page);
        self.set_flags(page, LEFT);
        (page, flags)
    }

    fn iter(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        let mut times: Vec<u64> = Vec::with_capacity(self.resident);
        let resident =
            (0u64..).zip(self.marks.iter()).filter(|(_, mark)| mark & u32::from(RESIDENT) != 0);
        times.extend(resident.map(|(page, mark)| u64::from(mark >> FLAG_BITS) << 32 | page));
        times.sort_unstable();
        Box::new(times.into_iter().map(|time| time as u32))
    }
}
