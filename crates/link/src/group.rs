//! Flows that go equally fast, and the units that rates and work are counted in.

use lazycopy_units::{Duration, Instant, Rate};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Rates inside are whole parts of a byte per second, so many of them: with a thousand flows on a
/// slow card the remainder of the division would count otherwise.
pub(crate) const PARTS_PER_BYTE: u64 = 1024;

/// Work is counted in these per byte, so that a rate times nanoseconds is work without a division.
pub(crate) const WORK_PER_BYTE: u128 = 1_000_000_000 * PARTS_PER_BYTE as u128;

/// The fastest card, in bytes per second: what can be counted in parts of a byte (18 PB/s).
pub const MAX_CARD_RATE: u64 = u64::MAX / PARTS_PER_BYTE;

/// A rate in parts of a byte per second.
pub(crate) fn parts(rate: Rate) -> u64 {
    rate.bytes_per_sec().saturating_mul(PARTS_PER_BYTE)
}

/// How long `work` takes at `rate` parts per second, rounded up.
pub(crate) fn time_for(work: u128, rate: u64) -> Duration {
    let nanos = match (u64::try_from(work), rate) {
        (_, 0) => u64::MAX,
        (Ok(work), rate) => work.div_ceil(rate),
        (Err(_), rate) => u64::try_from(work.div_ceil(u128::from(rate))).unwrap_or(u64::MAX),
    };
    Duration::from_nanos(nanos)
}

/// Flows of one route and cap go equally fast: they share a clock that counts the work which each
/// of them has been given. A message is done when the clock passes its finish value.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) ports: [Option<usize>; 2],
    /// Parts per second that a flow may have at most.
    pub(crate) cap: u64,
    /// What a flow has where no other is busy.
    pub(crate) alone: u64,
    pub(crate) component: usize,
    /// Flows that send a message.
    pub(crate) busy: u64,
    /// How many did when the rate was set.
    settled: u64,
    pub(crate) rate: u64,
    clock: u128,
    since: Instant,
    finishing: BinaryHeap<Reverse<(u128, u32)>>,
    /// When the first of them is done at this rate.
    pub(crate) ends: Instant,
}

impl Group {
    pub(crate) fn new(
        ports: [Option<usize>; 2],
        cap: u64,
        alone: u64,
        component: usize,
        now: Instant,
    ) -> Self {
        Group {
            ports,
            cap,
            alone,
            component,
            busy: 0,
            settled: 0,
            rate: 0,
            clock: 0,
            since: now,
            finishing: BinaryHeap::new(),
            ends: Instant::MAX,
        }
    }

    /// Whether flows have become busy or idle since the rate was set.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.busy != self.settled
    }

    pub(crate) fn clock_at(&self, now: Instant) -> u128 {
        let nanos = now.saturating_since(self.since).as_nanos();
        self.clock + u128::from(self.rate) * u128::from(nanos)
    }

    fn advance(&mut self, now: Instant) {
        self.clock = self.clock_at(now);
        self.since = now;
    }

    fn predict(&mut self) {
        self.ends = match self.finishing.peek() {
            Some(Reverse((finish, _))) => {
                let left = finish.saturating_sub(self.clock);
                self.since.saturating_add(time_for(left, self.rate))
            }
            None => Instant::MAX,
        };
    }

    /// A flow begins a message; the value of the clock at which it will be done.
    pub(crate) fn begin(&mut self, now: Instant, flow: u32, bytes: u64) -> u128 {
        self.advance(now);
        let finish = self.clock + u128::from(bytes) * WORK_PER_BYTE;
        self.busy += 1;
        self.finishing.push(Reverse((finish, flow)));
        self.predict();
        finish
    }

    /// Ends the messages that are done at `now`.
    pub(crate) fn complete(&mut self, now: Instant, mut done: impl FnMut(u32)) {
        self.advance(now);
        while let Some(Reverse((finish, flow))) = self.finishing.peek().copied()
            && finish <= self.clock
        {
            self.finishing.pop();
            self.busy -= 1;
            done(flow);
        }
        self.predict();
    }

    /// A flow gives up its message.
    pub(crate) fn remove(&mut self, now: Instant, flow: u32) {
        self.advance(now);
        self.finishing.retain(|Reverse((_, other))| *other != flow);
        self.busy -= 1;
        self.predict();
    }

    /// From `now` on each flow gets `rate` parts per second.
    pub(crate) fn set_rate(&mut self, now: Instant, rate: u64) {
        self.advance(now);
        self.rate = rate;
        self.settled = self.busy;
        self.predict();
    }
}
