//! One migration as the page follows it: from what both sides say while it runs.

use super::series::Series;
use super::snapshot::{CellCause, FaultView, MigrationPhase};
use lazycopy_guest::Registers;
use lazycopy_migration::{
    Cause, Event, EventKind, Fate, FaultEnd, Metrics, Outcome, PageCounts, Side,
};
use lazycopy_protocol::control::Transfer;
use lazycopy_units::{Instant, PAGE_MESSAGE_BYTES};
use std::collections::BTreeMap;

/// Samples of the link that the recent rate is taken over: some seconds of a slow migration, the
/// last few pages of a small one.
const RECENT_SAMPLES: usize = 16;

/// The most that a migration's progress is before it is complete.
const ALMOST: f64 = 0.99;

/// A migration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    /// When it was asked for, in milliseconds since 1970.
    pub(crate) started_unix_ms: u64,
    phase: Option<MigrationPhase>,
    at: Instant,
    counts: Counts,
    /// Pages that arrive in all, as the destination knows.
    expected: Option<u64>,
    /// The same as it can be guessed before.
    guessed: Option<u64>,
    /// Bytes of the context, once it has left, and once it has arrived.
    context: u64,
    context_came: bool,
    /// The page fault that blocks the guest, where faults are watched one by one, and the stall that
    /// was counted before it.
    fault: Option<(FaultView, u64)>,
    /// What the events say that the destination has told; each count may be behind the other.
    seen: Counts,
    progress: f64,
    link: Series,
    misses: Series,
    /// What brought pages into the destination's memory, as far as it is watched page by page.
    causes: BTreeMap<u32, CellCause>,
    /// The lane that pages have left the source by, as far as it is watched page by page.
    sent: BTreeMap<u32, CellCause>,
    /// Accesses that each context has completed.
    forward: Option<u64>,
    following: Option<u64>,
}

/// What has been counted so far; nothing of it shrinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub arrived: PageCounts,
    pub bytes: u64,
    pub faults_remote: u64,
    pub faults_disk: u64,
    pub stall_ns: u64,
}

impl Counts {
    fn raise_to(&mut self, other: &Counts) {
        let raise = |mine: &mut u64, other: u64| *mine = other.max(*mine);
        raise(&mut self.arrived.round, other.arrived.round);
        raise(&mut self.arrived.background, other.arrived.background);
        raise(&mut self.arrived.forward, other.arrived.forward);
        raise(&mut self.arrived.demand, other.arrived.demand);
        raise(&mut self.bytes, other.bytes);
        raise(&mut self.faults_remote, other.faults_remote);
        raise(&mut self.faults_disk, other.faults_disk);
        raise(&mut self.stall_ns, other.stall_ns);
    }
}

impl Track {
    pub(crate) fn new(started_unix_ms: u64) -> Self {
        Track { started_unix_ms, ..Track::default() }
    }

    /// A side has seen something.
    pub(crate) fn event(&mut self, event: &Event) {
        self.at = self.at.max(event.at);
        match &event.kind {
            EventKind::Requested => {}
            EventKind::RoundBegan { pages, .. } => {
                self.reach(MigrationPhase::Rounds);
                self.guessed = Some(self.counts.arrived.total() + pages);
            }
            EventKind::Suspended { resident, registers } => {
                self.reach(MigrationPhase::Down);
                self.paged(event.at, registers.accesses, registers.misses);
                self.guessed = self.guessed.or(Some(*resident));
            }
            EventKind::Handover { bytes } => self.context = *bytes,
            EventKind::ContextArrived => self.context_came = true,
            EventKind::Resumed { registers } => {
                self.reach(MigrationPhase::Pushing);
                self.follows(event.at, registers);
            }
            EventKind::Measured { registers } | EventKind::Ended { registers } => {
                self.follows(event.at, registers);
            }
            EventKind::Completed => {
                self.reach(MigrationPhase::Measuring);
                self.progress = 1.0;
            }
            EventKind::FaultBegan { page, .. } => {
                let fault = FaultView { page: page.0, since_ns: event.at.as_nanos() };
                self.fault = Some((fault, self.counts.stall_ns));
            }
            EventKind::FaultEnded { page, by, stalled } => {
                self.fault = None;
                match by {
                    FaultEnd::Remote => self.seen.faults_remote += 1,
                    FaultEnd::Disk => {
                        self.seen.faults_disk += 1;
                        self.causes.insert(page.0, CellCause::Disk);
                    }
                }
                self.seen.stall_ns += stalled.as_nanos();
            }
            EventKind::PageArrived { page, cause, fate } => {
                self.seen.arrived.add(*cause, 1);
                if matches!(fate, Fate::Installed | Fate::EndedFault) {
                    self.causes.insert(page.0, cell_cause(*cause));
                }
            }
            EventKind::PageSent { page, cause } => {
                self.sent.insert(page.0, cell_cause(*cause));
            }
            EventKind::Missed { page } | EventKind::Overwritten { page } => {
                if event.side == Side::Destination {
                    self.causes.remove(&page.0);
                }
            }
            _ => return,
        }
        let context = if self.context_came { self.context } else { 0 };
        self.seen.bytes = self.seen.arrived.total() * PAGE_MESSAGE_BYTES + context;
        let seen = self.seen;
        self.count(&seen, event.at);
    }

    /// The destination has told how far it is.
    pub(crate) fn transfer(&mut self, transfer: &Transfer) {
        self.at = self.at.max(transfer.at);
        self.expected = transfer.expected.or(self.expected);
        let told = Counts {
            arrived: transfer.arrived,
            bytes: transfer.bytes,
            faults_remote: transfer.faults.saturating_sub(transfer.faults_disk),
            faults_disk: transfer.faults_disk,
            stall_ns: transfer.stall.as_nanos(),
        };
        self.count(&told, transfer.at);
    }

    /// The clock of a side reads so much, whether anything happens or not.
    pub(super) fn reads(&mut self, at: Instant) {
        self.at = self.at.max(at);
    }

    /// The guest at the destination is there.
    pub(crate) fn follows(&mut self, at: Instant, registers: &Registers) {
        self.following = self.following.max(Some(registers.accesses));
        self.paged(at, registers.accesses, registers.misses);
    }

    /// The forward context is there.
    pub(crate) fn leads(&mut self, registers: &Registers) {
        self.forward = self.forward.max(Some(registers.accesses));
    }

    /// The guest has completed so many accesses, of which so many missed.
    pub(crate) fn paged(&mut self, at: Instant, accesses: u64, misses: u64) {
        self.at = self.at.max(at);
        self.misses.note(at.as_nanos(), misses, accesses);
    }

    /// It is over; with its metrics, where it has any.
    pub(crate) fn end(&mut self, outcome: Outcome, metrics: Option<&Metrics>) {
        self.reach(MigrationPhase::Ended);
        if outcome == Outcome::Completed {
            self.progress = 1.0;
        }
        if let Some(metrics) = metrics {
            let arrived = PageCounts {
                round: metrics.pages_round,
                background: metrics.pages_background,
                forward: metrics.pages_forward,
                demand: metrics.pages_demand,
            };
            self.counts.raise_to(&Counts {
                arrived,
                bytes: metrics.bytes_transferred,
                faults_remote: metrics.faults_remote,
                faults_disk: metrics.faults_disk,
                stall_ns: metrics.stall_time_ns,
            });
        }
    }

    /// Pages that are in the destination's memory no longer have come by no cause.
    pub(crate) fn keep_causes(&mut self, resident: impl Fn(u32) -> bool) {
        self.causes.retain(|page, _| resident(*page));
    }

    /// Whether the suspension of the guest, or what precedes it, has been heard of.
    pub(super) fn has_suspended(&self) -> bool {
        self.guessed.is_some()
    }

    /// It has come as far as that.
    pub(super) fn reach(&mut self, phase: MigrationPhase) {
        if phase == MigrationPhase::Ended {
            self.fault = None;
        }
        self.phase = self.phase.max(Some(phase));
    }

    /// Takes what was counted up to that instant, by the clock of whoever tells it.
    fn count(&mut self, told: &Counts, at: Instant) {
        let before = self.counts.bytes;
        self.counts.raise_to(told);
        let (now, bytes) = (at.as_nanos(), self.counts.bytes);
        // Between two pages the link is not idle; once nothing is missing, it is.
        if bytes > before || self.link.is_empty() || self.phase() >= MigrationPhase::Measuring {
            self.link.note(now, bytes, now);
        }
        if let Some(remaining) = self.remaining() {
            let bytes = self.counts.bytes as f64;
            let all = bytes + remaining as f64;
            let progress = if all > 0.0 { bytes / all } else { 0.0 };
            self.progress = self.progress.max(progress.min(ALMOST));
        }
    }

    /// Bytes that are still to come, as far as is known: none once all is there.
    fn remaining(&self) -> Option<u64> {
        let missing = self.expected()?.saturating_sub(self.counts.arrived.total());
        let context = if self.context_came { 0 } else { self.context };
        Some(missing * PAGE_MESSAGE_BYTES + context)
    }

    pub(crate) fn phase(&self) -> MigrationPhase {
        self.phase.unwrap_or(MigrationPhase::Preparing)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The page fault that blocks the guest now, as far as is known.
    pub(crate) fn fault(&self) -> Option<FaultView> {
        self.fault.map(|(fault, _)| fault)
    }

    /// How long page faults have blocked the guest so far, by the one that still does, too: its end
    /// may be counted before it is heard of.
    pub(crate) fn stall_ns(&self) -> u64 {
        let open = self.fault.map(|(fault, before)| {
            before.saturating_add(self.at.as_nanos().saturating_sub(fault.since_ns))
        });
        self.counts.stall_ns.max(open.unwrap_or(0))
    }

    /// Pages that arrive in all, as far as is known.
    pub(crate) fn expected(&self) -> Option<u64> {
        self.expected.or(self.guessed)
    }

    /// The share of the bytes that has arrived: of those that have, and those that are still
    /// expected. What is expected may grow; progress does not shrink by it.
    pub(crate) fn progress(&self) -> f64 {
        self.progress
    }

    /// Model time until nothing is missing: the bytes still expected over the recent rate.
    pub(crate) fn left_ns(&self) -> Option<u64> {
        match self.phase() {
            MigrationPhase::Ended => None,
            MigrationPhase::Measuring => Some(0),
            _ => {
                let rate = self.link.recent(RECENT_SAMPLES).filter(|rate| *rate > 0.0)?;
                Some((self.remaining()? as f64 / rate) as u64)
            }
        }
    }

    pub(crate) fn model_ns(&self) -> u64 {
        self.at.as_nanos()
    }

    /// Model instants and bytes per second.
    pub(crate) fn link(&self) -> Vec<(u64, f64)> {
        self.link.points(1e9)
    }

    /// Model instants and misses per access: a miss is counted before its access is completed.
    pub(crate) fn misses(&self) -> Vec<(u64, f64)> {
        let points = self.misses.points(1.0).into_iter();
        points.map(|(at, ratio)| (at, ratio.min(1.0))).collect()
    }

    pub(crate) fn forward(&self) -> Option<u64> {
        self.forward
    }

    pub(crate) fn following(&self) -> Option<u64> {
        self.following
    }

    pub(crate) fn cause(&self, page: u32) -> CellCause {
        self.causes.get(&page).copied().unwrap_or(CellCause::Own)
    }

    /// The lane that a page has left the source by, where they are watched one by one.
    pub(crate) fn sent(&self, page: u32) -> Option<CellCause> {
        self.sent.get(&page).copied()
    }

    /// The pages that have come, where they are watched one by one.
    pub(crate) fn arrived(&self) -> impl Iterator<Item = (u32, CellCause)> {
        self.causes.iter().map(|(page, cause)| (*page, *cause))
    }
}

fn cell_cause(cause: Cause) -> CellCause {
    match cause {
        Cause::Round => CellCause::Round,
        Cause::Background => CellCause::Background,
        Cause::Forward => CellCause::Forward,
        Cause::Demand => CellCause::Demand,
    }
}

#[cfg(test)]
#[path = "track/tests.rs"]
mod tests;
