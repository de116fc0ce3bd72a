//! Where a guest's burst ends, and when it goes on.

use lazycopy_units::{Instant, PageNumber};

/// Why a burst ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The next access begins after the burst's limit.
    Limit,
    /// The burst's budget of accesses is spent, or the target is reached: others get a turn.
    Budget,
    /// A watched page was touched by the access that was just completed.
    Touched(PageNumber),
    /// An access missed: the guest is blocked until its page is installed.
    Missed(PageNumber),
    /// The guest is blocked, suspended or its workload has failed: it does not run at all.
    Idle,
}

/// When a guest wants to be woken, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// The instant.
    pub at: Instant,
    /// What is due then.
    pub kind: TimeoutKind,
}

/// What is due. At one instant disk completions come before accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeoutKind {
    /// A load from the disk is complete.
    Disk,
    /// An access begins.
    Access,
}
