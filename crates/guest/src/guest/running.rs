//! A guest takes accesses: in bursts while they hit, and one by one where they miss.

use super::{Guest, Phase};
use crate::burst::{Burst, Stop, Taken};
use crate::memory::{Touch, Victim};
use crate::stamp::observe;
use crate::workload::{Access, WorkloadError};
use lazycopy_units::{Duration, Instant, PageNumber};

impl Guest {
    /// Takes accesses that begin at `until` or before, at most `budget` of them, until somebody
    /// must know. [`Guest::poll_timeout`] then tells where it stands.
    pub fn run(&mut self, until: Instant, budget: u64) -> Stop {
        self.run_or_page(until, budget, None)
    }

    /// As [`Guest::run`]; where `paging` tells how long a load takes, a miss does not end the
    /// burst, but the page is loaded.
    #[inline]
    fn run_or_page(&mut self, until: Instant, budget: u64, paging: Option<Duration>) -> Stop {
        let Phase::Ready { at } = self.phase else { return Stop::Idle };
        let end = self.accesses.saturating_add(budget).min(self.target.max(self.accesses));
        let mut burst = Burst {
            at,
            until,
            accesses: self.accesses,
            digest: self.digest,
            completed_at: self.completed_at,
            pace: self.pace,
            leaves_stamps: self.leaves_stamps,
        };
        let stop = loop {
            if burst.accesses == end {
                break Stop::Budget;
            }
            let left = usize::try_from(end - burst.accesses).unwrap_or(usize::MAX);
            self.look_ahead();
            let accesses = &self.batch[self.cursor..self.looked_at];
            let accesses = &accesses[..left.min(accesses.len())];
            let before = burst.accesses;
            let taken = self.memory.take(&mut burst, accesses, self.progress.as_mut());
            self.cursor += (burst.accesses - before) as usize;
            let (first_write, touched) = match taken {
                Taken::Limit => break Stop::Limit,
                Taken::Missed(page) => {
                    self.misses.record_miss(burst.accesses);
                    let Some(latency) = paging else { break Stop::Missed(page) };
                    let victim = self.memory.load(page, || self.disk.stamp(page));
                    self.write_back_victim(victim);
                    // The access is taken again, when its page is there.
                    burst.at = burst.at + latency;
                    continue;
                }
                Taken::All { first_write } => (first_write, None),
                Taken::Touched { page, first_write } => (first_write, Some(page)),
            };
            let Some(next) = self.fetch() else { break Stop::Idle };
            burst.at = burst.at + self.pace.time_to_next(next.think, first_write);
            if let Some(page) = touched {
                break Stop::Touched(page);
            }
        };
        self.accesses = burst.accesses;
        self.digest = burst.digest;
        self.completed_at = burst.completed_at;
        let at = burst.at;
        match stop {
            Stop::Missed(_) => {
                let since = at.max(self.clock_reads);
                self.phase = Phase::Blocked { since, load_due: None };
            }
            Stop::Limit | Stop::Budget | Stop::Touched(_) => self.phase = Phase::Ready { at },
            Stop::Idle => {}
        }
        stop
    }

    #[inline]
    fn look_ahead(&mut self) {
        if self.looked_at <= self.cursor {
            self.looked_at = self.cursor + self.memory.look_ahead(&self.batch[self.cursor..]);
        }
    }

    #[inline]
    fn complete(&mut self, at: Instant, page: PageNumber, stamp: u64) {
        self.digest = observe(self.digest, self.accesses, page, stamp);
        self.accesses += 1;
        self.cursor += 1;
        self.completed_at = at;
        if let Some(progress) = &mut self.progress {
            progress.record(at);
        }
    }

    /// The pending access, read from the workload if need be; on failure the guest is `Failed`.
    #[inline]
    pub(super) fn fetch(&mut self) -> Option<Access> {
        match self.batch.get(self.cursor) {
            Some(access) => Some(*access),
            None => self.refill(),
        }
    }

    #[cold]
    fn refill(&mut self) -> Option<Access> {
        self.batch.clear();
        self.cursor = 0;
        self.looked_at = 0;
        match self.workload.fill(&mut self.batch) {
            Ok(()) => Some(self.batch[0]),
            Err(error) => {
                self.failure = Some(error);
                self.phase = Phase::Failed;
                None
            }
        }
    }

    /// The access that missed asks the disk, which answers after `latency`.
    ///
    /// # Panics
    /// When the guest is not blocked.
    pub fn begin_load(&mut self, now: Instant, latency: Duration) {
        let Phase::Blocked { load_due, .. } = &mut self.phase else {
            panic!("a guest that is not blocked asked the disk");
        };
        *load_due = Some(now + latency);
    }

    /// Installs the page that the guest is blocked on as most recent and completes the access at
    /// `now`. Returns the victim, which has been written back if it was dirty.
    ///
    /// # Panics
    /// When the guest is not blocked.
    #[inline]
    pub fn complete_blocked(&mut self, now: Instant, stamp: u64, dirty: bool) -> Option<Victim> {
        let Phase::Blocked { .. } = self.phase else {
            panic!("a page was given to a guest that is not blocked");
        };
        let victim = self.install_most_recent(self.batch[self.cursor].page, stamp, dirty);
        self.take_blocked(now);
        victim
    }

    /// The access that missed finds its page and is completed at `now`.
    #[inline]
    fn take_blocked(&mut self, now: Instant) {
        let access = self.batch[self.cursor];
        let Touch::Hit { stamp, .. } =
            self.memory.touch(&access, self.accesses, self.leaves_stamps)
        else {
            unreachable!("the page was installed just now");
        };
        self.complete(now, access.page, stamp);
        if let Some(next) = self.fetch() {
            self.phase = Phase::Ready { at: now + self.pace.throttled(next.think) };
        }
    }

    /// The disk answers: [`Guest::complete_blocked`] with the page as the disk has it.
    ///
    /// # Panics
    /// When the guest is not blocked.
    #[inline]
    pub fn complete_load(&mut self, now: Instant) -> Option<Victim> {
        let (page, _) = self.blocked_on().expect("a load was completed for a guest not blocked");
        let victim = self.memory.load(page, || self.disk.stamp(page));
        self.write_back_victim(victim);
        self.take_blocked(now);
        victim
    }

    #[inline]
    fn write_back_victim(&mut self, victim: Option<Victim>) {
        if let Some(Victim { page, stamp, dirty: true, .. }) = victim {
            self.disk.write_back(page, stamp);
        }
    }

    /// Puts a page into memory as the most recent one. Returns the victim, which has been written
    /// back if it was dirty.
    #[inline]
    pub fn install_most_recent(
        &mut self,
        page: PageNumber,
        stamp: u64,
        dirty: bool,
    ) -> Option<Victim> {
        let victim = self.memory.install_most_recent(page, stamp, dirty);
        self.write_back_victim(victim);
        victim
    }

    /// Writes a page to the disk that is not installed.
    pub fn write_back(&mut self, page: PageNumber, stamp: u64) {
        self.memory.forget_left(page);
        self.disk.write_back(page, stamp);
    }

    /// Writes every dirty page to the disk, and keeps it in memory, clean. Returns how many they
    /// were.
    pub fn checkpoint(&mut self) -> u64 {
        let dirty: Vec<PageNumber> =
            self.memory.iter().filter(|page| self.memory.is_dirty(*page)).collect();
        for page in &dirty {
            self.disk.write_back(*page, self.stamp(*page));
            self.memory.mark_clean(*page);
        }
        dirty.len() as u64
    }

    /// Runs the guest at ordinary paging until `accesses` accesses are completed in all, from
    /// `now` on, loads taking `latency`, and leaves it suspended. Returns the instant at which the
    /// last was completed.
    ///
    /// # Errors
    /// When the workload fails on the way.
    pub fn run_to(
        &mut self,
        now: Instant,
        accesses: u64,
        latency: Duration,
    ) -> Result<Instant, WorkloadError> {
        self.completed_at = now;
        self.set_target(accesses);
        self.resume(now);
        while self.accesses < accesses && self.is_running() {
            self.run_or_page(Instant::MAX, u64::MAX, Some(latency));
        }
        self.set_target(u64::MAX);
        self.suspend();
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(self.completed_at),
        }
    }

    /// What the first write to a page costs while the dirty log is kept, besides the think time.
    pub fn set_first_write_cost(&mut self, cost: Duration) {
        self.pace.first_write_cost = cost;
    }

    /// Whether the guest paces its accesses by the clock: then the cost of a first write is hidden
    /// in the think time after it, and delays the next access only where it is the longer of the
    /// two. What is late is not caught up with.
    pub fn set_keeps_pace(&mut self, keeps_pace: bool) {
        self.pace.keeps_pace = keeps_pace;
    }

    /// Takes away a share of the guest's processor, 0 to 99 per cent: think times grow by
    /// 100 / (100 - percent).
    pub fn set_throttle(&mut self, percent: u8) {
        self.pace.throttle_percent = percent.min(99);
    }

    /// From now on writes leave the stamps of their pages as they are; in all else they are writes.
    /// For the forward context, of which only the course counts, and whose pages are sent as they
    /// were before it wrote to them.
    pub fn leave_stamps(&mut self) {
        self.leaves_stamps = true;
    }
}
