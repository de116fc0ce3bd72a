//! What each side counted: sums alone, so that a report stays small whatever was moved.

use crate::message::Cause;
use lazycopy_guest::Registers;
use lazycopy_units::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// Pages by the lane that they left by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCounts {
    /// Before the hand-over.
    pub round: u64,
    /// By the background push.
    pub background: u64,
    /// For the forward context.
    pub forward: u64,
    /// On demand.
    pub demand: u64,
}

impl PageCounts {
    /// So many more pages with that cause.
    pub fn add(&mut self, cause: Cause, pages: u32) {
        *match cause {
            Cause::Round => &mut self.round,
            Cause::Background => &mut self.background,
            Cause::Forward => &mut self.forward,
            Cause::Demand => &mut self.demand,
        } += u64::from(pages);
    }

    /// Pages in all.
    pub fn total(&self) -> u64 {
        self.round + self.background + self.forward + self.demand
    }
}

/// What the source counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// When the migration was asked for.
    pub requested_at: Option<Instant>,
    /// When the guest was suspended.
    pub suspended_at: Option<Instant>,
    /// The point of no return: when the context's transmission began.
    pub handover_at: Option<Instant>,
    /// When the source had learned of the completion and freed the guest.
    pub released_at: Option<Instant>,
    /// When the guest went back to running at the source, if it did, and why.
    pub returned: Option<(Instant, String)>,
    /// Pages whose transmission began.
    pub sent: PageCounts,
    /// Rounds that began before the suspension.
    pub rounds: u32,
    /// The round in which pre-copy was given up, if it was.
    pub never_converges_in: Option<u32>,
    /// Of the pages sent, those sent again since they were dirty again.
    pub resent: u64,
    /// Pages of the residency list that were withdrawn, with a notice.
    pub dropped: u64,
    /// Pages that waited and were not sent, since the guest had overwritten them.
    pub exempted: u64,
    /// Bytes of contexts and pages.
    pub bytes: u64,
    /// Bytes per second in the link's busiest tenth of a second: filled in by the driver, which
    /// owns the link.
    pub bandwidth_peak: Option<u64>,
    /// When the link had carried the last message: filled in by the driver, too.
    pub link_used_until: Option<Instant>,
    /// Accesses that the forward context completed.
    pub forward_accesses: u64,
}

/// What the destination counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationReport {
    /// When the guest was resumed.
    pub resumed_at: Option<Instant>,
    /// When nothing was missing any more.
    pub completed_at: Option<Instant>,
    /// When the measured accesses were completed.
    pub measured_at: Option<Instant>,
    /// When nothing was left to count.
    pub ended_at: Option<Instant>,
    /// When the guest was lost, and why.
    pub lost: Option<(Instant, String)>,
    /// Counted faults that a page from the source ended.
    pub faults_remote: u64,
    /// Counted faults that a load from the disk ended.
    pub faults_disk: u64,
    /// How long counted faults blocked the guest.
    pub stall_time: Duration,
    /// When the last counted fault ended.
    pub last_fault_at: Option<Instant>,
    /// Pages that arrived.
    pub arrived: PageCounts,
    /// Of these, arrived after completion.
    pub late: u64,
    /// Of these, held before.
    pub duplicate: u64,
    /// Of these, not installed since memory was full and the disk had them.
    pub discarded: u64,
    /// Of these, not installed since memory was full, but written to the disk.
    pub written_back: u64,
    /// Forward pages that the following context touched before it evicted them.
    pub forward_touched: u64,
    /// Pages that the following context touched for the first time while the migration lasted.
    pub first_touches: u64,
    /// First touches that found their page in memory.
    pub first_touches_found: u64,
    /// The guest's registers at its resume.
    pub resumed_registers: Option<Registers>,
    /// Its registers when the measured accesses were completed.
    pub measured_registers: Option<Registers>,
    /// Its registers when nothing was left to count.
    pub ended_registers: Option<Registers>,
    /// One hash over the stamps of all its pages then.
    pub ended_pages_digest: Option<u64>,
}
