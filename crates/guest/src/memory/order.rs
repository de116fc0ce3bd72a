//! The table of a guest's pages and the LRU order of the resident ones: one contract, three
//! structures, with the stamps beside the pages or in them.

use super::ages::{Ages, Entry, MOST_PAGES};
use super::in_pages::{InPages, StampedPages};
use super::linked::Linked;
use super::ring::Ring;
use std::ops::Range;

/// The page is in memory.
pub(super) const RESIDENT: u8 = 1;
/// It differs from what the disk has.
pub(super) const DIRTY: u8 = 2;
/// Of a page that is not in memory: it was evicted, and its stamp is still the one that it left
/// with.
pub(super) const LEFT: u8 = DIRTY;
/// Its next touch is to be reported.
pub(super) const WATCH_TOUCH: u8 = 4;
/// Its first write is to be kept.
pub(super) const WATCH_WRITE: u8 = 8;

/// The resident pages from least to most recently used, with their stamps, and every page's
/// flags. The flags of a page that is not resident have no `RESIDENT` in them.
pub(super) trait LruOrder {
    /// The stamp of a page that is resident, or was the last to leave.
    fn stamp(&self, page: u32) -> u64;

    fn set_stamp(&mut self, page: u32, stamp: u64);

    fn flags(&self, page: u32) -> u8;

    /// Changes the flags of a page, but not whether it is resident.
    fn set_flags(&mut self, page: u32, flags: u8);

    /// A page that was not resident becomes the most recent one; without a stamp it has the one
    /// that it left with.
    fn insert_newest(&mut self, page: u32, stamp: Option<u64>, flags: u8);

    /// A page that was not resident becomes the least recent one; without a stamp it has the one
    /// that it left with.
    fn insert_oldest(&mut self, page: u32, stamp: Option<u64>, flags: u8);

    /// Pages that were not resident become the least recent one, one after another; each has the
    /// stamp that is in place.
    fn insert_oldest_run(&mut self, pages: Range<u32>, flags: u8) {
        for page in pages {
            assert!(self.flags(page) & RESIDENT == 0, "page {page} was installed twice");
            self.insert_oldest(page, None, flags);
        }
    }

    /// How many of these pages, from the first on, have the same of the flags in `mask` as it.
    fn alike(&self, pages: Range<u32>, mask: u8) -> u32 {
        let mut flags = pages.map(|page| self.flags(page) & mask);
        let first = flags.next();
        flags.take_while(|flags| Some(*flags) == first).count() as u32 + u32::from(first.is_some())
    }

    /// A resident page with the flags `had` becomes the most recent one, with the flags `flags`.
    fn make_newest(&mut self, page: u32, had: u8, flags: u8);

    /// A resident page leaves; its flags become zero.
    fn remove(&mut self, page: u32);

    /// Nothing of a page that was removed is needed any more.
    fn leave(&mut self, page: u32);

    /// The least recent page, of at least one, leaves; its stamp and its flags until now. These
    /// become those of a page that was evicted, [`Stamps::EVICTED`](super::stamps::Stamps).
    fn pop_oldest(&mut self) -> (u32, u64, u8);

    /// The least recent page, of at least one, leaves for one that was not resident and becomes
    /// the most recent one; which it was, its stamp and its flags until now.
    #[inline(always)]
    fn replace_oldest(&mut self, page: u32, stamp: Option<u64>, flags: u8) -> (u32, u64, u8) {
        let victim = self.pop_oldest();
        self.insert_newest(page, stamp, flags);
        victim
    }

    /// Reads what a touch of `page` will read. The result means nothing.
    fn look_at(&self, page: u32) -> u64;

    /// Resident pages from least to most recently used.
    fn oldest_first(&self) -> Vec<u32>;
}

/// From so many pages on a guest is large: the links of a list no longer fit the caches near the
/// processor, and what counts is how few scattered words an access touches.
pub(super) const LARGE_PAGES: u32 = 1 << 16;

/// The structure that suits a memory.
#[derive(Debug)]
pub(super) enum Order {
    /// Small guests.
    Linked(Linked<Vec<u64>>),
    /// Large guests that page.
    Ring(Ring),
    /// Others.
    Other(Other),
}

/// Structures apart: a choice between more than three is made by a table, which would cost small
/// guests more than anything else here.
#[derive(Debug)]
pub(super) enum Other {
    /// Large guests whose pages all have a frame.
    Ages(Ages<Vec<Entry>>),
    /// Guests whose pages are real bytes.
    InPages(InPages),
}

/// Evaluates an expression with the structure at hand, each by code of its own.
macro_rules! with_order {
    ($order:expr, $lru:ident => $do:expr) => {
        match $order {
            Order::Linked($lru) => $do,
            Order::Ring($lru) => $do,
            Order::Other(Other::Ages($lru)) => $do,
            Order::Other(Other::InPages($lru)) => $do,
        }
    };
}
pub(super) use with_order;

impl Order {
    /// Of no resident page yet.
    pub(super) fn new(pages: u32, frames: u32) -> Self {
        let count = pages as usize;
        if !(LARGE_PAGES..=MOST_PAGES).contains(&pages) {
            Order::Linked(Linked::new(pages, vec![0; count]))
        } else if frames < pages {
            Order::Ring(Ring::new(pages, frames))
        } else {
            Order::Other(Other::Ages(Ages::new(vec![Entry::default(); count])))
        }
    }

    /// Of no resident page yet, over real bytes.
    pub(super) fn in_pages(pages: StampedPages, frames: u32) -> Self {
        Order::Other(Other::InPages(InPages::new(pages, frames)))
    }

    /// The real bytes of its pages, where it has them.
    pub(super) fn pages(&self) -> Option<&StampedPages> {
        match self {
            Order::Other(Other::InPages(lru)) => Some(lru.pages()),
            _ => None,
        }
    }

    /// As [`Order::pages`], to change them.
    pub(super) fn pages_mut(&mut self) -> Option<&mut StampedPages> {
        match self {
            Order::Other(Other::InPages(lru)) => Some(lru.pages_mut()),
            _ => None,
        }
    }

    /// With no page resident.
    pub(super) fn cleared(self, pages: u32, frames: u32) -> Self {
        match self {
            Order::Other(Other::InPages(lru)) => Order::Other(Other::InPages(lru.cleared(frames))),
            _ => Order::new(pages, frames),
        }
    }

    /// The same order for so many frames, which hold what is resident.
    pub(super) fn with_frames(self, pages: u32, frames: u32) -> Self {
        if let Order::Other(Other::InPages(lru)) = self {
            return Order::Other(Other::InPages(lru.with_frames(frames)));
        }
        let mut resized = Order::new(pages, frames);
        with_order!(&self, lru => for page in lru.oldest_first() {
            let (stamp, flags) = (lru.stamp(page), lru.flags(page));
            with_order!(&mut resized, lru => lru.insert_newest(page, Some(stamp), flags));
        });
        resized
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::in_pages::MarkedPages;
    use crate::memory::tests::stamped_pages;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const PAGES: u32 = 12;

    #[derive(Clone, Debug)]
    enum Step {
        InsertNewest(u32, u8),
        InsertOldest(u32, u8),
        MakeNewest(u32, u8),
        Change(u32, u8),
        Remove(u32),
        EvictOldest,
    }

    fn step() -> impl Strategy<Value = Step> {
        let (page, flags) = (0..PAGES, 0u8..8);
        prop_oneof![
            (page.clone(), flags.clone()).prop_map(|(page, flags)| Step::InsertNewest(page, flags)),
            (page.clone(), flags.clone()).prop_map(|(page, flags)| Step::InsertOldest(page, flags)),
            (page.clone(), flags.clone()).prop_map(|(page, flags)| Step::MakeNewest(page, flags)),
            (page.clone(), flags.clone()).prop_map(|(page, flags)| Step::MakeNewest(page, flags)),
            (page.clone(), flags).prop_map(|(page, flags)| Step::Change(page, flags)),
            page.prop_map(Step::Remove),
            Just(Step::EvictOldest),
        ]
    }

    fn no_stamps() -> Vec<u64> {
        vec![0; PAGES as usize]
    }

    fn no_entries() -> Vec<Entry> {
        vec![Entry::default(); PAGES as usize]
    }

    /// Takes the steps that make sense, on the structure and on a plain queue, and compares.
    fn hold_against_a_queue(order: &mut impl LruOrder, steps: &[Step], frames: usize) {
        hold(order, steps, frames, LEFT);
    }

    /// The same, of a structure that gives pages which were evicted the flags `evicted`.
    fn hold(order: &mut impl LruOrder, steps: &[Step], frames: usize, evicted: u8) {
        let mut queue: VecDeque<u32> = VecDeque::new();
        let mut flags = [0u8; PAGES as usize];
        let mut stamps = [0u64; PAGES as usize];
        for (number, step) in (0u64..).zip(steps) {
            match *step {
                Step::InsertNewest(page, _) if queue.contains(&page) => {}
                Step::InsertOldest(page, _) if queue.contains(&page) || queue.len() == frames => {}
                Step::MakeNewest(page, _) | Step::Remove(page) | Step::Change(page, _)
                    if !queue.contains(&page) => {}
                Step::EvictOldest if queue.is_empty() => {}
                Step::InsertNewest(page, other) => {
                    flags[page as usize] = other << 1 | RESIDENT;
                    let stays = order.flags(page) & LEFT != 0 && other & 1 == 0;
                    if !stays {
                        stamps[page as usize] = number;
                    }
                    let stamp = (!stays).then_some(number);
                    if queue.len() == frames {
                        let oldest = queue.pop_front().expect("there is a frame");
                        let had = std::mem::replace(&mut flags[oldest as usize], evicted);
                        let left = (oldest, stamps[oldest as usize], had);
                        assert_eq!(order.replace_oldest(page, stamp, other << 1 | RESIDENT), left);
                    } else {
                        order.insert_newest(page, stamp, other << 1 | RESIDENT);
                    }
                    queue.push_back(page);
                }
                Step::InsertOldest(page, other) => {
                    flags[page as usize] = other << 1 | RESIDENT;
                    stamps[page as usize] = number;
                    order.insert_oldest(page, Some(number), other << 1 | RESIDENT);
                    queue.push_front(page);
                }
                Step::MakeNewest(page, other) => {
                    let had = flags[page as usize];
                    flags[page as usize] = other << 1 | RESIDENT;
                    order.make_newest(page, had, other << 1 | RESIDENT);
                    queue.retain(|other| *other != page);
                    queue.push_back(page);
                }
                Step::Change(page, other) => {
                    flags[page as usize] = other << 1 | RESIDENT;
                    order.set_flags(page, other << 1 | RESIDENT);
                    stamps[page as usize] = number;
                    order.set_stamp(page, number);
                }
                Step::Remove(page) => {
                    flags[page as usize] = 0;
                    order.remove(page);
                    queue.retain(|other| *other != page);
                }
                Step::EvictOldest => {
                    let (page, left, had) = order.pop_oldest();
                    assert_eq!(queue.pop_front(), Some(page));
                    assert_eq!(left, stamps[page as usize]);
                    assert_eq!(std::mem::replace(&mut flags[page as usize], evicted), had);
                }
            }
            assert!(order.oldest_first().iter().eq(&queue), "after {step:?}: {queue:?}");
            for page in &queue {
                assert_eq!(order.stamp(*page), stamps[*page as usize], "page {page}, {step:?}");
            }
            for page in 0..PAGES {
                assert_eq!(order.flags(page), flags[page as usize], "page {page}, {step:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_structure_does_what_a_plain_queue_does(
            steps in proptest::collection::vec(step(), 1..400),
            frames in 1..=PAGES,
        ) {
            hold_against_a_queue(&mut Linked::new(PAGES, no_stamps()), &steps, frames as usize);
            hold_against_a_queue(&mut Ring::new(PAGES, frames), &steps, frames as usize);
            hold_against_a_queue(&mut Ages::new(no_entries()), &steps, frames as usize);
            // Near the ends of their counters, too.
            let mut ring = Ring::new(PAGES, frames).counting_from(u32::MAX - 20);
            hold_against_a_queue(&mut ring, &steps, frames as usize);
            let mut ring = Ring::new(PAGES, frames).counting_from(20);
            hold_against_a_queue(&mut ring, &steps, frames as usize);
            for (older, newer) in [(PAGES, 30), (30, PAGES)] {
                let mut ages = Ages::new(no_entries()).with_room_for(older, newer);
                hold_against_a_queue(&mut ages, &steps, frames as usize);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn every_structure_over_real_bytes_does_what_a_plain_queue_does(
            steps in proptest::collection::vec(step(), 1..400),
            frames in 1..=PAGES,
        ) {
            let frames = frames as usize;
            hold(&mut Linked::new(PAGES, stamped_pages(PAGES)), &steps, frames, 0);
            hold(&mut Ages::new(MarkedPages::new(stamped_pages(PAGES))), &steps, frames, 0);
        }
    }

    #[test]
    fn the_structure_is_chosen_by_size_and_by_whether_the_guest_pages() {
        assert!(matches!(Order::new(50, 20), Order::Linked(_)));
        assert!(matches!(Order::new(LARGE_PAGES, LARGE_PAGES), Order::Other(Other::Ages(_))));
        assert!(matches!(Order::new(LARGE_PAGES, 10), Order::Ring(_)));
        let in_pages = |frames| InPages::new(stamped_pages(PAGES), frames);
        assert!(matches!(in_pages(PAGES), InPages::Ages(_)));
        assert!(matches!(in_pages(PAGES - 1), InPages::Linked(_)));
    }
}
