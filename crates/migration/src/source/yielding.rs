//! When a forward context yields to the link.

use crate::message::Context;
use crate::parameters::MigrationParameters;
use lazycopy_units::{Duration, Instant, PAGE_MESSAGE_BYTES};

/// One page in so many of the residency list may be pushed beyond what was saved: a total migration
/// time 1.6 % above post-copy's at most.
const SLACK: usize = 64;

/// So many times faster than the link must the destination's disk be before a page is left to it:
/// the disk delays the guest at each such page, the link only where the forward context's lead is
/// too short. Of 8, 12, 16 and 32, tried on the maps of bandwidth, disk, locality and writes in
/// `configs/sweeps`, 12 makes the scheme better than post-copy and lazy-copy in the most cells.
const DISK_FASTER_THAN_LINK: u128 = 12;

/// The link's budget (ours). Post-copy sends each page of the residency list, and that bounds its
/// total migration time. A forward context adds the pages that it loads from the disk, and saves
/// those that it evicts before they are sent. This one spends what it saves and hardly more, so
/// that it is as fast as post-copy where the link is busy throughout; and it spends nothing where
/// the destination's disk is much faster than the link, so that what is saved shortens the
/// migration.
#[derive(Debug)]
pub(super) struct Yielding {
    /// Pages that may still be pushed beyond the residency list.
    credit: u64,
    /// When the message on the link began, and its bytes.
    sending: (Instant, u64),
    /// What a page takes on the link, from the last message.
    page_time: Duration,
    /// What the destination's disk takes.
    disk_latency: Duration,
}

impl Yielding {
    /// The context leaves at `now`.
    pub(super) fn new(now: Instant, context: &Context, parameters: &MigrationParameters) -> Self {
        let outdated = context.residency.outdated().count();
        Yielding {
            credit: (outdated / SLACK) as u64,
            sending: (now, context.bytes),
            page_time: Duration::ZERO,
            disk_latency: parameters.disk_latency_destination,
        }
    }

    /// So many pages leave.
    pub(super) fn begin_pages(&mut self, now: Instant, count: u32) {
        self.sending = (now, PAGE_MESSAGE_BYTES * u64::from(count));
    }

    /// What was sent has left.
    pub(super) fn transmitted(&mut self, now: Instant) {
        let (began, bytes) = self.sending;
        let taken = u128::from((now - began).as_nanos());
        let nanos = taken * u128::from(PAGE_MESSAGE_BYTES) / u128::from(bytes.max(1));
        self.page_time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    }

    /// A page that waited need not be sent any more.
    pub(super) fn give_back(&mut self) {
        self.credit += 1;
    }

    /// What a page takes on the link behind `waiting` others.
    pub(super) fn time_behind(&self, waiting: usize) -> Duration {
        let nanos = u128::from(self.page_time.as_nanos()) * (waiting as u128 + 1);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Whether a page that the destination's disk has, too, may be pushed behind `waiting` others.
    /// If so it is paid for.
    pub(super) fn take_for_loaded(&mut self, waiting: usize) -> bool {
        let link = u128::from(self.time_behind(waiting).as_nanos());
        let disk = u128::from(self.disk_latency.as_nanos());
        let may = self.credit > 0 && link <= DISK_FASTER_THAN_LINK * disk;
        self.credit -= u64::from(may);
        may
    }
}
