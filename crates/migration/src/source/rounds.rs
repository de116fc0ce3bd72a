//! The source before the suspension, in schemes with rounds: the guest runs, its pages are sent,
//! and what it writes meanwhile is sent again (Clark et al., NSDI 2005).

use super::limiter::Limiter;
use crate::event::EventKind;
use crate::page_set::PageSet;
use crate::parameters::{BeforeHandover, MigrationParameters, RoundParameters, StopRule};
use lazycopy_guest::{Guest, Stop, Timeout, Victim};
use lazycopy_units::{Duration, Instant, PAGE_BYTES, PAGE_MESSAGE_BYTES, PageNumber, Rate};

/// What the free link is to be used for.
#[derive(Debug)]
pub(super) enum Choice {
    /// Send this page; whether it was sent before.
    Send { page: PageNumber, again: bool },
    /// The rounds are over: suspend the guest.
    Suspend,
    /// The rounds will not catch up with the guest.
    GiveUp { reason: String },
}

/// Under so much Clark's rule stops.
const CLARK_SMALL_BYTES: u64 = 256 << 10;
/// Clark's rule sends faster than pages were dirtied by so much (50 Mbit/s).
const CLARK_HEADROOM: u64 = 6_250_000;
/// Xen stops under so many dirty pages,
const XEN_SMALL_PAGES: u64 = 50;
/// or after so many rounds.
const XEN_ROUNDS: u32 = 5;

/// QEMU's auto-converge looks at periods of this length,
const THROTTLE_PERIOD: Duration = Duration::from_secs(1);
/// begins when so many of them had too many dirty pages,
const THROTTLE_AFTER_PERIODS: u32 = 2;
/// takes this share first, this much more each time, and this at most.
const THROTTLE_FIRST_PERCENT: u8 = 20;
const THROTTLE_STEP_PERCENT: u8 = 10;
const THROTTLE_MOST_PERCENT: u8 = 99;

/// The rounds of one migration, with the dirty log.
#[derive(Debug)]
pub(super) struct Rounds {
    guest: Guest,
    /// What this round has still to send, by page number from `cursor` on, wrapping.
    pending: Counted,
    cursor: u32,
    /// The dirty log: what was written, or made resident, since it was collected last.
    dirty: Counted,
    /// What was sent at least once.
    sent: PageSet,
    round: u32,
    round_began: Instant,
    requested_at: Instant,
    /// When the rounds are given up, if they are not over by then.
    deadline: Instant,
    limiter: Limiter,
    throttle: Throttle,
}

/// A set of pages and how many they are.
#[derive(Debug)]
struct Counted {
    pages: PageSet,
    count: u64,
}

impl Counted {
    fn new(pages: u32) -> Self {
        Counted { pages: PageSet::new(pages), count: 0 }
    }

    fn insert(&mut self, page: PageNumber) {
        self.count += u64::from(self.pages.insert(page));
    }

    fn remove(&mut self, page: PageNumber) -> bool {
        let there = self.pages.remove(page);
        self.count -= u64::from(there);
        there
    }
}

/// QEMU's auto-converge.
#[derive(Debug, Default)]
struct Throttle {
    period_began: Instant,
    bytes_sent: u64,
    bytes_dirtied: u64,
    high_periods: u32,
    percent: u8,
}

impl Rounds {
    /// The rounds of a guest that runs at `now`; every resident page is to be sent.
    pub(super) fn new(mut guest: Guest, now: Instant, parameters: &MigrationParameters) -> Self {
        let pages = guest.spec().pages;
        let mut pending = Counted::new(pages);
        for page in guest.memory().iter() {
            pending.insert(page);
        }
        guest.set_first_write_cost(parameters.rounds.first_write_cost);
        guest.set_keeps_pace(parameters.rounds.keeps_pace);
        let mut rounds = Rounds {
            pending,
            cursor: 0,
            dirty: Counted::new(pages),
            sent: PageSet::new(pages),
            round: 1,
            round_began: now,
            requested_at: now,
            deadline: parameters
                .rounds
                .max_time
                .map_or(Instant::MAX, |most| now.saturating_add(most)),
            limiter: Limiter::new(now, parameters),
            throttle: Throttle { period_began: now, ..Throttle::default() },
            guest,
        };
        rounds.watch_writes_of_pending();
        rounds
    }

    pub(super) fn guest(&self) -> &Guest {
        &self.guest
    }

    /// See [`Guest::keep_up`].
    pub(super) fn keep_up(&mut self, now: Instant, lag: Duration) {
        self.guest.keep_up(now, lag);
    }

    pub(super) fn round(&self) -> u32 {
        self.round
    }

    pub(super) fn pending(&self) -> u64 {
        self.pending.count
    }

    /// When the rate of the round, or the cap, allows the next message at the earliest, or the
    /// rounds are given up.
    pub(super) fn allowed_at(&self) -> Instant {
        self.limiter.allowed_at().min(self.deadline)
    }

    pub(super) fn poll_timeout(&self) -> Option<Timeout> {
        self.guest.poll_timeout()
    }

    /// Lets the guest run, as the guest. Returns when it stopped, and what is to be logged.
    pub(super) fn run(
        &mut self,
        until: Instant,
        budget: u64,
        parameters: &MigrationParameters,
    ) -> (Instant, Option<EventKind>) {
        let stop = self.guest.run(until, budget);
        self.collect_first_writes();
        match stop {
            Stop::Missed(page) => {
                let (_, since) = self.guest.blocked_on().expect("it has just missed");
                self.guest.begin_load(since, parameters.disk_latency_source);
                (since, Some(EventKind::Missed { page }))
            }
            _ => (self.guest.completed_at(), None),
        }
    }

    /// The disk answers the guest: a page made resident counts as dirty, one that was evicted is
    /// of no concern any more.
    pub(super) fn disk_due(&mut self, now: Instant) {
        let Some((page, _)) = self.guest.blocked_on() else { return };
        if let Some(Victim { page: evicted, .. }) = self.guest.complete_load(now) {
            self.pending.remove(evicted);
            self.dirty.remove(evicted);
        }
        self.dirty.insert(page);
        self.collect_first_writes();
    }

    fn collect_first_writes(&mut self) {
        for (page, _) in self.guest.memory_mut().take_first_writes() {
            self.dirty.insert(page);
        }
    }

    /// The message on its way has left the link.
    pub(super) fn transmitted(&mut self, now: Instant) {
        self.limiter.transmitted(now);
    }

    /// The link is free.
    pub(super) fn use_link(
        &mut self,
        now: Instant,
        parameters: &MigrationParameters,
        log: &mut Vec<EventKind>,
    ) -> Choice {
        if now >= self.deadline {
            return Choice::GiveUp { reason: self.out_of_time(now) };
        }
        let looks = self.limiter.look(now);
        loop {
            if self.is_round_over(looks, parameters) {
                if let Some(choice) = self.end_round(now, parameters, log) {
                    return choice;
                }
                continue;
            }
            let page = self.next_pending();
            if self.skips_dirty(parameters) && self.dirty.pages.contains(page) {
                continue;
            }
            self.limiter.sent(now, PAGE_MESSAGE_BYTES);
            self.throttle.bytes_sent += PAGE_MESSAGE_BYTES;
            self.share_processor(now, &parameters.rounds);
            return Choice::Send { page, again: !self.sent.insert(page) };
        }
    }

    /// QEMU learns of writes when it collects the log; the others look at it for each page.
    fn skips_dirty(&self, parameters: &MigrationParameters) -> bool {
        !self.follows_qemu(parameters)
    }

    fn follows_qemu(&self, parameters: &MigrationParameters) -> bool {
        parameters.scheme.parts().before_handover == BeforeHandover::RoundsThenCopy
            && parameters.rounds.stop_rule == StopRule::Qemu
    }

    /// A round is over when everything is sent; QEMU collects the log when it looks up from
    /// sending and what remains is below its threshold.
    fn is_round_over(&self, looks: bool, parameters: &MigrationParameters) -> bool {
        self.pending.count == 0
            || looks && self.follows_qemu(parameters) && self.is_under_threshold(&parameters.rounds)
    }

    /// The guest loses a share of its processor as long as a burst is sent, and what
    /// auto-converge takes.
    fn share_processor(&mut self, now: Instant, rounds: &RoundParameters) {
        let share = if self.limiter.is_in_burst(now) { rounds.burst_share_percent } else { 0 };
        let left = (100 - u32::from(share.min(99))) * (100 - u32::from(self.throttle.percent));
        let taken = 100 - left.div_ceil(100);
        self.guest.set_throttle(u8::try_from(taken).expect("it is a percentage"));
    }

    fn is_under_threshold(&self, rounds: &RoundParameters) -> bool {
        let limit = u128::from(rounds.downtime_limit.as_nanos());
        let bytes = u128::from(self.limiter.measured_rate()) * limit / 1_000_000_000;
        u128::from(self.pending.count * PAGE_BYTES) < bytes
    }

    fn next_pending(&mut self) -> PageNumber {
        let page = self.pending.pages.next_from(self.cursor).expect("something is pending");
        self.pending.remove(page);
        self.cursor = page.0.wrapping_add(1);
        page
    }

    /// Collects the dirty log, and decides.
    fn end_round(
        &mut self,
        now: Instant,
        parameters: &MigrationParameters,
        log: &mut Vec<EventKind>,
    ) -> Option<Choice> {
        let rule = parameters.rounds.stop_rule;
        let dirtied = self.dirty.count;
        self.collect_dirty_log();
        if parameters.rounds.auto_converge {
            self.throttle_guest(now, dirtied, log);
        }
        let over = match (parameters.scheme.parts().before_handover, rule) {
            (BeforeHandover::RoundsThenPush, rule) => {
                // How many rounds there are is said; how fast they go is up to the rule.
                if rule == StopRule::Clark {
                    self.is_over_by_clark(now, dirtied, &parameters.rounds);
                }
                self.round >= parameters.rounds.hybrid_rounds
            }
            (_, StopRule::Xen) => self.pending.count < XEN_SMALL_PAGES || self.round >= XEN_ROUNDS,
            (_, StopRule::Clark) => self.is_over_by_clark(now, dirtied, &parameters.rounds),
            (_, StopRule::Qemu) => {
                self.pending.count == 0 || self.is_under_threshold(&parameters.rounds)
            }
        };
        if over || self.pending.count == 0 {
            return Some(Choice::Suspend);
        }
        if self.round >= parameters.rounds.max_rounds {
            let left = self.pending.count;
            let reason = format!("{left} pages were dirty after round {}", self.round);
            return Some(Choice::GiveUp { reason });
        }
        self.round += 1;
        self.round_began = now;
        log.push(EventKind::RoundBegan { round: self.round, pages: self.pending.count });
        None
    }

    /// Everything dirty is pending, and its next write will be logged.
    fn collect_dirty_log(&mut self) {
        let pages = self.guest.spec().pages;
        let dirty = std::mem::replace(&mut self.dirty, Counted::new(pages));
        for page in dirty.pages.iter() {
            self.pending.insert(page);
            self.guest.memory_mut().watch_write(page);
        }
    }

    fn watch_writes_of_pending(&mut self) {
        for page in self.pending.pages.iter() {
            self.guest.memory_mut().watch_write(page);
        }
    }

    /// Whether the next round is not worth while; sets its rate.
    fn is_over_by_clark(&mut self, now: Instant, dirtied: u64, rounds: &RoundParameters) -> bool {
        let nanos = u128::from((now - self.round_began).as_nanos().max(1));
        let dirty_rate = u128::from(dirtied * PAGE_BYTES) * 1_000_000_000 / nanos;
        let rate = u64::try_from(dirty_rate).unwrap_or(u64::MAX).saturating_add(CLARK_HEADROOM);
        let rate = Rate::from_bytes_per_sec(rate).expect("it is above the headroom");
        self.limiter.set_rate(rate.max(rounds.minimum_rate));
        self.pending.count * PAGE_BYTES < CLARK_SMALL_BYTES
            || self.limiter.maximum().is_some_and(|maximum| rate > maximum)
    }

    /// Why the rounds end at their deadline.
    fn out_of_time(&self, now: Instant) -> String {
        let dirty = self.dirty.pages.iter().filter(|page| !self.pending.pages.contains(*page));
        let left = self.pending.count + dirty.count() as u64;
        let elapsed = now - self.requested_at;
        format!(
            "{left} pages were dirty or still to be sent in round {}, after {elapsed}",
            self.round
        )
    }

    fn throttle_guest(&mut self, now: Instant, dirtied: u64, log: &mut Vec<EventKind>) {
        let throttle = &mut self.throttle;
        throttle.bytes_dirtied += dirtied * PAGE_BYTES;
        if now.saturating_since(throttle.period_began) < THROTTLE_PERIOD {
            return;
        }
        if throttle.bytes_dirtied > throttle.bytes_sent / 2 {
            throttle.high_periods += 1;
        }
        if throttle.high_periods >= THROTTLE_AFTER_PERIODS {
            throttle.high_periods = 0;
            throttle.percent = match throttle.percent {
                0 => THROTTLE_FIRST_PERCENT,
                percent => (percent + THROTTLE_STEP_PERCENT).min(THROTTLE_MOST_PERCENT),
            };
            self.guest.set_throttle(throttle.percent);
            log.push(EventKind::Throttled { percent: throttle.percent });
        }
        throttle.period_began = now;
        throttle.bytes_sent = 0;
        throttle.bytes_dirtied = 0;
    }

    /// The guest, running or not, without its dirty log; and the pages that the destination does
    /// not have as they are.
    pub(super) fn into_guest(mut self) -> (Guest, PageSet) {
        self.collect_first_writes();
        self.collect_dirty_log();
        for page in (0..self.guest.spec().pages).map(PageNumber) {
            self.guest.memory_mut().forget_write(page);
        }
        self.guest.set_first_write_cost(Duration::ZERO);
        self.guest.set_keeps_pace(false);
        self.guest.set_throttle(0);
        (self.guest, self.pending.pages)
    }
}
