//! What a simulation keeps, and how long it may go on.

use lazycopy_units::Instant;

/// How long a simulation may go on: beyond, it ends with an error instead of running for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The last instant of model time.
    pub time: Instant,
    /// The most actions of the engine: a message, a burst of accesses, a load, a choice.
    pub actions: u64,
    /// The most accesses of all guests together, those of forward contexts, of warm-ups and of
    /// reference runs included.
    pub accesses: u64,
}

/// Some minutes of work: a guest that pages takes some ten million accesses per second, one whose
/// accesses hit ten times as many.
const MOST_ACCESSES: u64 = 10_000_000_000;

impl Default for Limits {
    /// 290 years of model time, of which a `u64` holds twice as many; a thousand million actions, a
    /// few minutes of work; and ten thousand million accesses, some minutes of work, too.
    fn default() -> Self {
        Limits {
            time: Instant::from_nanos(u64::MAX / 2),
            actions: 1_000_000_000,
            accesses: MOST_ACCESSES,
        }
    }
}

/// What a simulation keeps besides the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Keep the events, which pages are resident before and after, and what the cards of a fleet
    /// carried over time.
    pub events: bool,
    /// Run the guest without a migration, too, to compare with.
    pub reference: bool,
    /// The most accesses that a guest takes in one burst, at least 1. No result depends on it:
    /// a burst ends in any case before anything could happen to its guest.
    pub burst: u64,
    /// How long it may go on.
    pub limits: Limits,
}

impl Default for Options {
    /// Everything is kept.
    fn default() -> Self {
        Options { events: true, reference: true, burst: u64::MAX, limits: Limits::default() }
    }
}

impl Options {
    /// Nothing but the metrics, for sweeps.
    pub fn metrics_only() -> Self {
        Options { events: false, reference: false, ..Options::default() }
    }

    /// How many resident pages a snapshot names.
    pub(crate) fn snapshot_pages(&self) -> usize {
        if self.events { usize::MAX } else { 0 }
    }
}

/// A simulation did not end within its [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// Model time ran out.
    #[error("the simulation was not over at {0} of model time, its limit")]
    Time(Instant),
    /// Too much happened.
    #[error("the simulation was not over after {0} actions, its limit")]
    Actions(u64),
    /// Guests took, or would have to take, too many accesses.
    #[error(
        "the simulation takes more than {0} accesses, its limit (the warm-up and the reference run \
         count, too): lower warmup_accesses or measured_accesses, or raise guest.think_time"
    )]
    Accesses(u64),
}

/// Counts the accesses of all guests of a simulation against their limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessCount {
    limit: u64,
    taken: u64,
}

impl AccessCount {
    pub(crate) fn new(limits: &Limits) -> Self {
        AccessCount { limit: limits.accesses, taken: 0 }
    }

    /// The most that a burst may take: by one more than are left it shows that it goes on.
    pub(crate) fn budget(&self) -> u64 {
        self.limit.saturating_sub(self.taken).saturating_add(1)
    }

    /// So many were taken.
    pub(crate) fn add(&mut self, accesses: u64) {
        self.taken = self.taken.saturating_add(accesses);
    }

    /// So many will be taken at once, if they may.
    pub(crate) fn reserve(&mut self, accesses: u64) -> Result<(), Exceeded> {
        self.add(accesses);
        self.check()
    }

    /// Whether no more were taken than may be.
    pub(crate) fn check(&self) -> Result<(), Exceeded> {
        if self.taken > self.limit { Err(Exceeded::Accesses(self.limit)) } else { Ok(()) }
    }
}
