//! A ring of touches, in which stale ones are skipped.

use super::order::{FLAG_BITS, LruOrder, RESIDENT};

/// Each touch is written to the next place of a ring, and its place to the page's mark; a place
/// is stale when its page's mark names another. So a touch writes one scattered word, its page's
/// mark, where a list writes up to five: for guests far larger than the caches.
///
/// Places are counted without end. A mark holds the place modulo 2^28 above the flags, of which
/// the ring, from `first` to before `next`, is a part.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    marks: Vec<u32>,
    /// A power of two of them, at least twice the frames, so that a full ring is at least half
    /// stale and clearing it costs a touch no more than a constant.
    touches: Vec<u32>,
    first: u32,
    next: u32,
}

impl Ring {
    pub(super) fn new(pages: u32, frames: u32) -> Self {
        let places = (frames as usize * 2).next_power_of_two();
        Ring { marks: vec![0; pages as usize], touches: vec![0; places], first: 0, next: 0 }
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
        place as usize & (self.touches.len() - 1)
    }

    /// The page that was touched last at `place`, unless that is stale.
    #[inline]
    fn page_at(&self, place: u32) -> Option<u32> {
        let page = self.touches[self.slot(place)];
        let expected = place << FLAG_BITS | u32::from(RESIDENT);
        let all_but_other_flags = u32::MAX << FLAG_BITS | u32::from(RESIDENT);
        ((self.marks[page as usize] ^ expected) & all_but_other_flags == 0).then_some(page)
    }

    #[inline]
    fn put(&mut self, place: u32, page: u32, flags: u8) {
        let slot = self.slot(place);
        self.touches[slot] = page;
        self.marks[page as usize] = place << FLAG_BITS | u32::from(flags);
    }

    #[inline]
    fn make_room(&mut self) {
        if self.len() == self.touches.len() {
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

impl LruOrder for Ring {
    #[inline]
    fn flags(&self, page: u32) -> u8 {
        (self.marks[page as usize] & ((1 << FLAG_BITS) - 1)) as u8
    }

    #[inline]
    fn set_flags(&mut self, page: u32, flags: u8) {
        let mark = &mut self.marks[page as usize];
        *mark = *mark >> FLAG_BITS << FLAG_BITS | u32::from(flags);
    }

    #[inline]
    fn insert_newest(&mut self, page: u32, flags: u8) {
        self.make_room();
        self.put(self.next, page, flags);
        self.next = self.next.wrapping_add(1);
    }

    fn insert_oldest(&mut self, page: u32, flags: u8) {
        self.make_room();
        self.first = self.first.wrapping_sub(1);
        self.put(self.first, page, flags);
    }

    #[inline]
    fn make_newest(&mut self, page: u32) {
        let flags = self.flags(page);
        self.insert_newest(page, flags);
    }

    #[inline]
    fn remove(&mut self, page: u32) {
        self.marks[page as usize] = 0;
    }

    #[inline]
    fn oldest(&mut self) -> u32 {
        loop {
            if let Some(page) = self.page_at(self.first) {
                return page;
            }
            self.first = self.first.wrapping_add(1);
        }
    }

    fn iter(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        let places = (0..self.len() as u32).map(|offset| self.first.wrapping_add(offset));
        Box::new(places.filter_map(|place| self.page_at(place)))
    }
}
