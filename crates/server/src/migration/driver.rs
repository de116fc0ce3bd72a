//! What is scheduled for a machine, handed over in the order of model time.

use crate::clock::{ModelClock, Wake};
use lazycopy_guest::{Timeout, TimeoutKind};
use lazycopy_units::{Duration, Instant};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Things handled in one step, before the socket is looked at again.
const STEP_LENGTH: u32 = 256;

/// Accesses of one burst: well below a millisecond, so that others get their turn.
const BURST_ACCESSES: u64 = 1 << 14;

/// A span that holds fewer accesses than this is gone through access by access, so that the
/// machine is never driven further than to its last access.
const FEW_ACCESSES: u64 = 64;

/// A machine as its driver sees it.
pub(crate) trait Machine {
    /// What happens to it.
    type Input;

    /// Takes what happened.
    fn handle_input(&mut self, now: Instant, input: Self::Input);

    /// A load from the disk is complete.
    fn disk_due(&mut self, now: Instant);

    /// The link is free and wanted.
    fn link_free(&mut self, now: Instant);

    /// Lets the guest take accesses.
    fn run(&mut self, until: Instant, budget: u64);

    /// When it wants to be woken.
    fn next_timeout(&self) -> Option<Timeout>;

    /// When the link chooses next, if something waits for it.
    fn next_link_choice(&self) -> Option<Instant>;

    /// Does what the machine asks for: the instants at which the last of it happened, and inputs
    /// that follow from it.
    fn drain(&mut self) -> Drained<Self::Input>;
}

/// What draining a machine gave.
pub(crate) struct Drained<Input> {
    /// When the last output was said; `None` without outputs.
    pub(crate) last: Option<Instant>,
    /// An input that follows: when, and since when that is known.
    pub(crate) follows: Option<(Instant, Instant, Input)>,
}

/// What happens at an instant, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Delivery,
    Disk,
    Access,
    LinkChoice,
}

/// An input that is due; ordered by its instant, by when it was scheduled, and by its coming.
struct Due<Input> {
    at: Instant,
    said: Instant,
    sequence: u64,
    input: Input,
}

impl<Input> Due<Input> {
    fn key(&self) -> (Instant, Instant, u64) {
        (self.at, self.said, self.sequence)
    }
}

impl<Input> PartialEq for Due<Input> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<Input> Eq for Due<Input> {}

impl<Input> PartialOrd for Due<Input> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<Input> Ord for Due<Input> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// A machine, what is scheduled for it, and how late it was driven.
pub(crate) struct Driver<M: Machine> {
    pub(crate) machine: M,
    deliveries: BinaryHeap<Reverse<Due<M::Input>>>,
    sequence: u64,
    /// Everything before this instant is done, and maybe some of what happens at it.
    current: Instant,
    /// The last instant at which something other than a delivery may have been done: a delivery
    /// that was due then or before has come too late.
    passed: Option<Instant>,
    /// The last of the deliveries that were done: when it was due, and said. One that belongs
    /// before it has come too late, too.
    delivered: (Instant, Instant),
    /// The last access that was taken alone, to tell how dense they are.
    last_access: Option<Instant>,
    slip: Duration,
    out_of_order: u64,
}

impl<M: Machine> Driver<M> {
    /// A driver of that machine, at the beginning of model time.
    pub(crate) fn new(machine: M) -> Self {
        Driver {
            machine,
            deliveries: BinaryHeap::new(),
            sequence: 0,
            current: Instant::ZERO,
            passed: None,
            delivered: (Instant::ZERO, Instant::ZERO),
            last_access: None,
            slip: Duration::ZERO,
            out_of_order: 0,
        }
    }

    /// How late anything was handled at most.
    pub(crate) fn slip(&self) -> Duration {
        self.slip
    }

    /// The clock had gone so far too far before it learnt of a standstill.
    pub(crate) fn went_too_far_by(&mut self, span: Duration) {
        self.slip = self.slip.max(span);
    }

    /// Deliveries that came when their instant had been passed.
    pub(crate) fn out_of_order(&self) -> u64 {
        self.out_of_order
    }

    /// Deliveries that are scheduled.
    pub(crate) fn scheduled(&self) -> usize {
        self.deliveries.len()
    }

    /// Schedules a delivery: said at one instant, due at the other.
    pub(crate) fn schedule(&mut self, at: Instant, said: Instant, input: M::Input) {
        self.sequence += 1;
        self.deliveries.push(Reverse(Due { at, said, sequence: self.sequence, input }));
    }

    /// Schedules a delivery for now, but after all that has come.
    pub(crate) fn schedule_last(&mut self, clock: ModelClock, input: M::Input) {
        let last = self.deliveries.iter().map(|Reverse(due)| due.at).max();
        let at = last.unwrap_or(Instant::ZERO).max(clock.now()).max(self.current);
        self.schedule(at, at, input);
    }

    /// Hands over what happens at the beginning of model time.
    pub(crate) fn begin(&mut self, clock: ModelClock, input: M::Input) {
        self.slip = clock.now().saturating_since(Instant::ZERO);
        self.handle_now(input);
    }

    /// Hands an input over at once, at the instant up to which the machine has been driven.
    pub(crate) fn handle_now(&mut self, input: M::Input) {
        self.machine.handle_input(self.current, input);
        self.drain();
    }

    /// Hands an input over at once, before all that is due and has not been done.
    pub(crate) fn handle_at(&mut self, clock: ModelClock, input: M::Input) {
        let now = clock.now();
        let at = self.next().map_or(now, |(due, _)| due.min(now));
        self.current = self.current.max(at);
        self.handle_now(input);
    }

    /// Does what is due by the clock, in the order of its instants. Returns when to go on.
    pub(crate) fn step(&mut self, clock: ModelClock) -> Wake {
        for _ in 0..STEP_LENGTH {
            let Some((at, kind)) = self.next() else { return Wake::Never };
            let now = clock.now();
            if at > now {
                return clock.wake_at(at);
            }
            self.slip = self.slip.max(now.saturating_since(at));
            if kind == Kind::Access {
                if self.take_accesses(at, now) {
                    return Wake::Soon;
                }
            } else {
                self.happen(at, kind);
            }
        }
        Wake::Soon
    }

    fn next(&self) -> Option<(Instant, Kind)> {
        let delivery = self.deliveries.peek().map(|Reverse(due)| (due.at, Kind::Delivery));
        let timeout = self.machine.next_timeout().map(|timeout| match timeout.kind {
            TimeoutKind::Disk => (timeout.at, Kind::Disk),
            TimeoutKind::Access => (timeout.at, Kind::Access),
        });
        let choice = self.machine.next_link_choice().map(|at| (at, Kind::LinkChoice));
        [delivery, timeout, choice].into_iter().flatten().min()
    }

    fn happen(&mut self, at: Instant, kind: Kind) {
        let at_or_late = at.max(self.current);
        match kind {
            Kind::Delivery => {
                let Some(Reverse(due)) = self.deliveries.pop() else { return };
                let place = (at, due.said);
                let passed = self.passed.is_some_and(|passed| at <= passed);
                self.out_of_order += u64::from(passed || place < self.delivered);
                self.delivered = self.delivered.max(place);
                self.machine.handle_input(at_or_late, due.input);
            }
            Kind::Disk => self.machine.disk_due(at_or_late),
            Kind::LinkChoice => self.machine.link_free(at_or_late),
            Kind::Access => {}
        }
        self.current = at_or_late;
        if kind != Kind::Delivery {
            self.passed = Some(at_or_late);
        }
        self.drain();
    }

    /// Takes the access that begins at `at`, or, where they are dense, a burst of those that begin
    /// before anything else and before `now`. Returns whether it was a burst.
    fn take_accesses(&mut self, at: Instant, now: Instant) -> bool {
        let limit = self.burst_limit(now).max(at);
        let step = self.last_access.take().map(|last| at.saturating_since(last).as_nanos().max(1));
        let is_burst =
            step.is_some_and(|step| limit.saturating_since(at).as_nanos() / step >= FEW_ACCESSES);
        let until = if is_burst {
            limit
        } else {
            self.last_access = Some(at);
            at
        };
        self.machine.run(until, BURST_ACCESSES);
        self.current = self.current.max(at);
        let before_next = match self.machine.next_timeout() {
            Some(next) => next.at.saturating_sub(Duration::from_nanos(1)),
            None => until,
        };
        let reached = self.drain().unwrap_or(until.min(before_next)).max(self.current);
        self.current = reached;
        self.passed = Some(reached);
        is_burst
    }

    /// Accesses that begin then come before everything else that is scheduled.
    fn burst_limit(&self, now: Instant) -> Instant {
        let before = |at: Instant| at.saturating_sub(Duration::from_nanos(1));
        let delivery = self.deliveries.peek().map_or(now, |Reverse(due)| before(due.at));
        let choice = self.machine.next_link_choice().unwrap_or(now);
        now.min(delivery).min(choice)
    }

    fn drain(&mut self) -> Option<Instant> {
        let mut last = None;
        loop {
            let drained = self.machine.drain();
            last = last.max(drained.last);
            match drained.follows {
                Some((at, said, input)) => self.schedule(at, said, input),
                None => return last,
            }
        }
    }
}

#[cfg(test)]
mod tests;
