//! A list threaded through the pages.

use super::order::LruOrder;
use super::stamps::Stamps;

const NONE: u32 = u32::MAX;

/// Neighbours of a resident page in the list.
#[derive(Clone, Copy, Debug)]
struct Links {
    older: u32,
    newer: u32,
}

/// A doubly linked list, one node per page: for guests whose nodes fit the caches.
///
/// What a miss does is inlined by order, and stamps come last: the compiler would else look up
/// again what it has at hand.
#[derive(Debug)]
pub(super) struct Linked<S> {
    oldest: u32,
    newest: u32,
    links: Vec<Links>,
    pub(super) stamps: S,
    flags: Vec<u8>,
}

impl<S: Stamps> Linked<S> {
    /// Of pages none of which is resident yet, with room for their stamps.
    pub(super) fn new(pages: u32, stamps: S) -> Self {
        Linked {
            oldest: NONE,
            newest: NONE,
            links: vec![Links { older: NONE, newer: NONE }; pages as usize],
            stamps,
            flags: vec![0; pages as usize],
        }
    }

    #[inline(always)]
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

    #[inline(always)]
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

impl<S: Stamps> LruOrder for Linked<S> {
    #[inline]
    fn stamp(&self, page: u32) -> u64 {
        self.stamps.stamp(page)
    }

    #[inline]
    fn set_stamp(&mut self, page: u32, stamp: u64) {
        self.stamps.set_stamp(page, stamp);
    }

    #[inline]
    fn flags(&self, page: u32) -> u8 {
        self.flags[page as usize]
    }

    #[inline]
    fn set_flags(&mut self, page: u32, flags: u8) {
        self.flags[page as usize] = flags;
    }

    #[inline(always)]
    fn insert_newest(&mut self, page: u32, stamp: Option<u64>, flags: u8) {
        self.flags[page as usize] = flags;
        self.link_newest(page);
        if let Some(stamp) = stamp {
            self.stamps.bring(page, stamp);
        }
    }

    fn insert_oldest(&mut self, page: u32, stamp: Option<u64>, flags: u8) {
        if let Some(stamp) = stamp {
            self.stamps.bring(page, stamp);
        }
        self.flags[page as usize] = flags;
        let newer = self.oldest;
        self.links[page as usize] = Links { older: NONE, newer };
        match newer {
            NONE => self.newest = page,
            newer => self.links[newer as usize].older = page,
        }
        self.oldest = page;
    }

    #[inline(always)]
    fn make_newest(&mut self, page: u32, had: u8, flags: u8) {
        if flags != had {
            self.flags[page as usize] = flags;
        }
        if self.newest != page {
            self.unlink(page);
            self.link_newest(page);
        }
    }

    #[inline]
    fn remove(&mut self, page: u32) {
        self.unlink(page);
        self.flags[page as usize] = 0;
    }

    #[inline]
    fn leave(&mut self, page: u32) {
        self.stamps.leave(page);
    }

    #[inline(always)]
    fn pop_oldest(&mut self) -> (u32, u64, u8) {
        let page = self.oldest;
        self.unlink(page);
        let flags = std::mem::replace(&mut self.flags[page as usize], S::EVICTED);
        let stamp = self.stamp(page);
        self.leave(page);
        (page, stamp, flags)
    }

    #[inline]
    fn look_at(&self, page: u32) -> u64 {
        self.stamps.stamp(page)
    }

    fn oldest_first(&self) -> Vec<u32> {
        let some = |page: u32| (page != NONE).then_some(page);
        let next = |page: &u32| some(self.links[*page as usize].newer);
        std::iter::successors(some(self.oldest), next).collect()
    }
}
