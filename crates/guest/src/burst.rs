//! Where a guest's burst ends, and when it goes on.

use crate::memory::Touch;
use crate::progress::ProgressLog;
use crate::stamp::observe;
use crate::workload::Access;
use lazycopy_units::{Duration, Instant, PageNumber};

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

/// How the guest's think times are stretched.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    pub(crate) first_write_cost: Duration,
    pub(crate) keeps_pace: bool,
    pub(crate) throttle_percent: u8,
}

impl Pace {
    /// From the beginning of an access to that of the next.
    #[inline]
    pub(crate) fn time_to_next(&self, think: Duration, first_write: bool) -> Duration {
        match (first_write, self.keeps_pace) {
            (false, _) => self.throttled(think),
            (true, false) => self.throttled(think) + self.first_write_cost,
            (true, true) => self.throttled(think.max(self.first_write_cost)),
        }
    }

    #[inline]
    pub(crate) fn throttled(&self, think: Duration) -> Duration {
        match self.throttle_percent {
            0 => think,
            percent => Duration::from_nanos(think.as_nanos() * 100 / u64::from(100 - percent)),
        }
    }
}

/// What changes with every access of a burst.
#[derive(Debug)]
pub(crate) struct Burst {
    /// When the access at hand begins.
    pub(crate) at: Instant,
    /// The last instant at which one may begin.
    pub(crate) until: Instant,
    /// Completed accesses of the guest, and its digest.
    pub(crate) accesses: u64,
    pub(crate) digest: u64,
    pub(crate) completed_at: Instant,
    pub(crate) pace: Pace,
    /// See [`Guest::leave_stamps`](crate::Guest::leave_stamps).
    pub(crate) leaves_stamps: bool,
}

/// Why a burst took no more of the accesses that it was given. In `at` is then the beginning of the
/// access that was not taken, or of the last one that was.
#[derive(Debug)]
pub(crate) enum Taken {
    /// They are all completed; whether the last was the first write to a page.
    All { first_write: bool },
    /// A watched page was touched by the last that was completed.
    Touched { page: PageNumber, first_write: bool },
    /// The next begins after the limit.
    Limit,
    /// The next missed.
    Missed(PageNumber),
}

impl Burst {
    /// Takes accesses as long as they hit; `touch` takes the access with that index to memory.
    #[inline(always)]
    pub(crate) fn take(
        &mut self,
        accesses: &[Access],
        mut progress: Option<&mut ProgressLog>,
        mut touch: impl FnMut(&Access, u64) -> Touch,
    ) -> Taken {
        // What changes with every access stays in the processor's registers.
        let Burst { mut at, until, accesses: mut index, mut digest, mut completed_at, .. } = *self;
        let pace = self.pace;
        let mut rest = accesses.iter();
        let mut next = rest.next();
        let mut first_write = false;
        let taken = loop {
            let Some(access) = next else { break Taken::All { first_write } };
            if at > until {
                break Taken::Limit;
            }
            match touch(access, index) {
                Touch::Miss => break Taken::Missed(access.page),
                Touch::Hit { stamp, watched, first_write: first } => {
                    digest = observe(digest, index, access.page, stamp);
                    index += 1;
                    completed_at = at;
                    first_write = first;
                    if let Some(progress) = &mut progress {
                        progress.record(at);
                    }
                    if watched {
                        break Taken::Touched { page: access.page, first_write };
                    }
                    next = rest.next();
                    if let Some(next) = next {
                        at = at + pace.time_to_next(next.think, first_write);
                    }
                }
            }
        };
        *self = Burst { at, accesses: index, digest, completed_at, ..*self };
        taken
    }
}
