//! Counters that are put together from several events: the lead and the miss ratio.

use super::lines::Lines;
use lazycopy_guest::Registers;
use lazycopy_migration::Side;
use lazycopy_units::{Duration, Instant};
use serde_json::json;
use std::io;

/// Accesses of one run of them that are told one by one; of more, each so many-th, since a run may
/// have millions and a picture has a few thousand columns.
const MOST_POINTS: u64 = 64;

/// Accesses that one context completed.
#[derive(Debug, Default)]
struct Context {
    /// Before the present run.
    before: u64,
    first: Instant,
    step: Duration,
    count: u64,
    /// How many of the run were told.
    told: u64,
}

impl Context {
    fn begin(&mut self, first: Instant, step: Duration, count: u64) {
        self.before = self.before.saturating_add(self.count);
        (self.first, self.step, self.count, self.told) = (first, step, count, 0);
    }

    /// The instant of the next point to be told, and how many are then told.
    fn next(&self) -> Option<(Instant, u64)> {
        if self.told >= self.count {
            return None;
        }
        let stride = self.count.div_ceil(MOST_POINTS);
        let told = self.told.saturating_add(stride).min(self.count);
        let since = self.step.as_nanos().saturating_mul(told - 1);
        Some((self.first.saturating_add(Duration::from_nanos(since)), told))
    }

    /// Accesses completed at an instant of the run or after it.
    fn completed(&self, at: Instant) -> u64 {
        if self.count == 0 || at < self.first {
            return self.before;
        }
        let since = at.saturating_since(self.first).as_nanos();
        let done = since.checked_div(self.step.as_nanos()).map_or(self.count, |done| done + 1);
        self.before.saturating_add(done.min(self.count))
    }
}

/// How many accesses the forward context has completed more than the following context.
#[derive(Debug, Default)]
pub(super) struct Lead {
    forward: Context,
    following: Context,
    runs: bool,
}

impl Lead {
    pub fn forward(&mut self, at: Instant, step: Duration, count: u64) {
        self.runs = true;
        self.forward.begin(at, step, count);
    }

    pub fn following(&mut self, at: Instant, step: Duration, count: u64) {
        self.following.begin(at, step, count);
    }

    /// The forward context is gone.
    pub fn end(&mut self) {
        self.runs = false;
    }

    /// Tells the lead at each access before that instant.
    pub fn until<W: io::Write>(&mut self, lines: &mut Lines<W>, until: Instant) -> io::Result<()> {
        loop {
            let (forward, following) = (self.forward.next(), self.following.next());
            let at = match (forward, following) {
                (Some((first, _)), Some((second, _))) => first.min(second),
                (Some((at, _)), None) | (None, Some((at, _))) => at,
                (None, None) => return Ok(()),
            };
            if at >= until {
                return Ok(());
            }
            for (next, context) in [(forward, &mut self.forward), (following, &mut self.following)]
            {
                if let Some((_, told)) = next.filter(|next| next.0 == at) {
                    context.told = told;
                }
            }
            if self.runs {
                let ahead = i128::from(self.forward.completed(at));
                let lead = ahead - i128::from(self.following.completed(at));
                // Both counts are of 64 bits: a broken log may have any.
                let lead = i64::try_from(lead).unwrap_or(i64::MAX);
                lines.counter(Side::Source, at, "lead", json!({ "accesses": lead }))?;
            }
        }
    }
}

/// Misses of the guest since its start, by its accesses.
#[derive(Debug, Default)]
pub(super) struct Misses {
    misses: u64,
    /// Completed accesses, as long as they are known.
    accesses: Option<u64>,
    /// When the next access begins, if none is under way.
    next: Option<Instant>,
}

impl Misses {
    /// The registers are told; `next`: when the guest's next access begins.
    pub fn told<W: io::Write>(
        &mut self,
        lines: &mut Lines<W>,
        at: Instant,
        registers: Registers,
        next: Option<Instant>,
    ) -> io::Result<()> {
        (self.misses, self.accesses) = (registers.misses, Some(registers.accesses));
        self.next = next;
        self.tell(lines, at)
    }

    /// An access misses at that instant; all before it were hits.
    pub fn missed(&mut self, at: Instant, think: Option<Duration>) {
        self.misses += 1;
        let next = self.next.filter(|next| *next <= at);
        let since = next.map(|next| at.saturating_since(next).as_nanos());
        let hits = since.zip(think).and_then(|(since, think)| since.checked_div(think.as_nanos()));
        self.accesses = self.accesses.zip(hits).and_then(|(all, hits)| all.checked_add(hits));
        self.next = None;
    }

    /// The access that missed is completed.
    pub fn completed<W: io::Write>(
        &mut self,
        lines: &mut Lines<W>,
        at: Instant,
        think: Option<Duration>,
    ) -> io::Result<()> {
        self.accesses = self.accesses.and_then(|accesses| accesses.checked_add(1));
        self.next = think.map(|think| at.saturating_add(think));
        self.tell(lines, at)
    }

    fn tell<W: io::Write>(&self, lines: &mut Lines<W>, at: Instant) -> io::Result<()> {
        match self.accesses {
            Some(accesses) if accesses > 0 => {
                let ratio = self.misses as f64 / accesses as f64;
                let args = json!({ "since_start": ratio });
                lines.counter(Side::Destination, at, "miss ratio", args)
            }
            _ => Ok(()),
        }
    }
}
