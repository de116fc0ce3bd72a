//! A guest's accesses to its memory.

use super::Memory;
use super::order::{DIRTY, LruOrder, Order, Other, RESIDENT, WATCH_TOUCH, WATCH_WRITE, with_order};
use crate::burst::{Burst, Taken};
use crate::progress::ProgressLog;
use crate::stamp::{overwritten_stamp, written_stamp};
use crate::workload::{Access, Write};
use lazycopy_units::PageNumber;

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

impl Memory {
    /// The access with that index: on a hit the page becomes most recent and a write changes its
    /// stamp, unless that is to be left as it is.
    #[inline]
    pub(crate) fn touch(&mut self, access: &Access, index: u64, leaves_stamp: bool) -> Touch {
        let Memory { order, first_writes, .. } = self;
        with_order!(order, lru => touch(lru, first_writes, access, index, leaves_stamp))
    }

    /// Reads what the first of these accesses will read, and tells how many they are: at least
    /// one. They wait for memory all at once here, where little is done for each, and not one
    /// after another when they are taken. A small memory is near, and has nothing to wait for.
    #[inline]
    pub(crate) fn look_ahead(&self, accesses: &[Access]) -> usize {
        match &self.order {
            Order::Linked(_) => accesses.len(),
            Order::Ring(lru) => look_ahead(lru, accesses),
            Order::Other(Other::Ages(lru)) => look_ahead(lru, accesses),
            Order::Other(Other::InPages(lru)) => look_ahead(lru, accesses),
        }
    }

    /// Lets a burst take accesses as long as they hit.
    #[inline]
    pub(crate) fn take(
        &mut self,
        burst: &mut Burst,
        accesses: &[Access],
        progress: Option<&mut ProgressLog>,
    ) -> Taken {
        let Memory { order, first_writes, .. } = self;
        let leaves_stamp = burst.leaves_stamps;
        with_order!(order, lru => {
            burst.take(accesses, progress, |access, index| {
                touch(lru, first_writes, access, index, leaves_stamp)
            })
        })
    }
}

/// So many accesses are looked at in advance: many more than a processor has under way by itself,
/// few enough that what they read stays in the first-level cache.
const LOOK_AHEAD: usize = 64;

/// [`Memory::look_ahead`] in the structure at hand.
fn look_ahead(lru: &impl LruOrder, accesses: &[Access]) -> usize {
    let accesses = &accesses[..accesses.len().min(LOOK_AHEAD)];
    let seen = accesses.iter().fold(0, |seen, access| seen ^ lru.look_at(access.page.0));
    // Without it the compiler would leave out what nobody uses.
    std::hint::black_box(seen);
    accesses.len()
}

/// [`Memory::touch`] in the structure at hand.
#[inline(always)]
fn touch(
    lru: &mut impl LruOrder,
    first_writes: &mut Vec<(PageNumber, u64)>,
    access: &Access,
    index: u64,
    leaves_stamp: bool,
) -> Touch {
    let Access { page, write, .. } = *access;
    let flags = lru.flags(page.0);
    if flags & RESIDENT == 0 {
        return Touch::Miss;
    }
    let mut stamp = lru.stamp(page.0);
    let watched = flags & WATCH_TOUCH != 0;
    let first_write = write != Write::None && flags & WATCH_WRITE != 0;
    if write == Write::None {
        lru.make_newest(page.0, flags, flags & !WATCH_TOUCH);
    } else {
        if first_write {
            first_writes.push((page, stamp));
        }
        if !leaves_stamp {
            stamp = after_write(stamp, access, index);
            lru.set_stamp(page.0, stamp);
        }
        lru.make_newest(page.0, flags, (flags | DIRTY) & !(WATCH_WRITE | WATCH_TOUCH));
    }
    Touch::Hit { stamp, watched, first_write }
}

/// What a write makes of a page's stamp: a part of the page keeps its history, the whole page
/// forgets it.
#[inline]
fn after_write(stamp: u64, access: &Access, index: u64) -> u64 {
    match access.write {
        Write::WholePage => overwritten_stamp(access.page, index),
        Write::Part | Write::None => written_stamp(stamp, index),
    }
}
