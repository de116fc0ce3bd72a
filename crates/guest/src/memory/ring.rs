//! A ring of touches, in which stale ones are skipped.

use super::marks::{FLAG_BITS, Marks, flags_in, mark_of};
use super::order::{LEFT, LruOrder, RESIDENT};

/// Each touch takes the next place of a ring, and its page's mark names that place; a place is
/// stale when its page's mark names another. So a touch writes one scattered word, the mark, where
/// a list writes up to five: for guests far larger than the caches. (Stamps stay with their pages:
/// to move them along with each touch, or to keep them beside the marks, which then fit the caches
/// less well, costs more than it saves. A page that comes back as it left finds its own.)
///
/// Places are counted without end, and a mark holds them modulo 2^28. The ring has those from
/// `first` to before `next`.
#[derive(Debug)]
pub(super) struct Ring {
    marks: Marks,
    /// The page of each place. There is a power of two of them, at least twice the frames, so
    /// that a full ring is at least half stale and clearing it costs a touch no more than a
    /// constant.
    pages: Vec<u32>,
    /// The stamp of each page.
    stamps: Vec<u64>,
    first: u32,
    next: u32,
}

impl Ring {
    pub(super) fn new(pages: u32, frames: u32) -> Self {
        let places = (frames as usize * 2).next_power_of_two();
        Ring {
            marks: Marks::new(pages),
            pages: vec![0; places],
            stamps: vec![0; pages as usize],
            first: 0,
            next: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn counting_from(self, place: u32) -> Self {
        Ring { first: place, next: place, ..self }
    }

    #[inline]
    fn len(&self) -> usize {
        self.next.wrapping_sub(self.first) as usize
    }

    #[inline]
    fn slot(&self, place: u32) -> usize {
        place as usize & (self.pages.len() - 1)
    }

    /// The page that was touched last at `place`, unless that is stale.
    #[inline]
    fn page_at(&self, place: u32) -> Option<u32> {
        let page = self.pages[self.slot(place)];
        names(self.marks.mark(page), place).then_some(page)
    }

    #[inline]
    fn put(&mut self, place: u32, page: u32, flags: u8) {
        let slot = self.slot(place);
        self.pages[slot] = page;
        self.marks.set(page, place, flags);
    }

    #[inline]
    fn make_room(&mut self) {
        if self.len() == self.pages.len() {
            self.drop_stale();
        }
    }

    #[cold]
    fn drop_stale(&mut self) {
        let mut kept = self.first;
        for offset in 0..self.len() as u32 {
            if let Some(page) = self.page_at(self.first.wrapping_add(offset)) {
                self.put(kept, page, self.flags(page));
                kept = kept.wrapping_add(1);
            }
        }
        self.next = kept;
    }
}

/// Whether a mark is that of a resident page whose last touch took `place`.
#[inline]
fn names(mark: u32, place: u32) -> bool {
    let expected = mark_of(place, RESIDENT);
    let all_but_other_flags = u32::MAX << FLAG_BITS | u32::from(RESIDENT);
    (mark ^ expected) & all_but_other_flags == 0
}

impl LruOrder for Ring {
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
        self.make_room();
        if let Some(stamp) = stamp {
            self.stamps[page as usize] = stamp;
        }
        self.put(self.next, page, flags);
        self.next = self.next.wrapping_add(1);
    }

    fn insert_oldest(&mut self, page: u32, stamp: Option<u64>, flags: u8) {
        self.make_room();
        self.first = self.first.wrapping_sub(1);
        if let Some(stamp) = stamp {
            self.stamps[page as usize] = stamp;
        }
        self.put(self.first, page, flags);
    }

    #[inline(always)]
    fn make_newest(&mut self, page: u32, _had: u8, flags: u8) {
        self.make_room();
        self.put(self.next, page, flags);
        self.next = self.next.wrapping_add(1);
    }

    #[inline]
    fn remove(&mut self, page: u32) {
        self.marks.set(page, 0, 0);
    }

    #[inline]
    fn leave(&mut self, _page: u32) {}

    #[inline]
    fn pop_oldest(&mut self) -> (u32, u64, u8) {
        let mut place = self.first;
        loop {
            let page = self.pages[self.slot(place)];
            let mark = self.marks.mark(page);
            if names(mark, place) {
                self.first = place.wrapping_add(1);
                self.marks.set(page, 0, LEFT);
                return (page, self.stamp(page), flags_in(mark));
            }
            place = place.wrapping_add(1);
        }
    }

    /// The arrays are taken up once: after a write through one of them the compiler would have to
    /// look up the others again, and the fewer instructions a reference takes, the more of them
    /// wait for memory at the same time.
    #[inline]
    fn replace_oldest(&mut self, page: u32, stamp: Option<u64>, flags: u8) -> (u32, u64, u8) {
        self.make_room();
        let (marks, pages, stamps) =
            (self.marks.words(), self.pages.as_mut_slice(), self.stamps.as_mut_slice());
        let mask = pages.len() - 1;
        let mut place = self.first;
        let (victim, mark) = loop {
            let page = pages[place as usize & mask];
            let mark = marks[page as usize];
            let is_valid = names(mark, place);
            place = place.wrapping_add(1);
            if is_valid {
                break (page, mark);
            }
        };
        self.first = place;
        marks[victim as usize] = u32::from(LEFT);
        marks[page as usize] = mark_of(self.next, flags);
        pages[self.next as usize & mask] = page;
        self.next = self.next.wrapping_add(1);
        let left = stamps[victim as usize];
        if let Some(stamp) = stamp {
            stamps[page as usize] = stamp;
        }
        (victim, left, flags_in(mark))
    }

    #[inline]
    fn look_at(&self, page: u32) -> u64 {
        u64::from(self.marks.mark(page)) ^ self.stamps[page as usize]
    }

    fn oldest_first(&self) -> Vec<u32> {
        let places = (0..self.len() as u32).map(|offset| self.first.wrapping_add(offset));
        places.filter_map(|place| self.page_at(place)).collect()
    }
}
