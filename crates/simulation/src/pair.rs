//! The two machines of one migration, and what is under way between them.

use crate::agenda::{Kind, Turn};
use crate::journal::Journal;
use crate::options::AccessCount;
use lazycopy_guest::{Guest, TimeoutKind};
use lazycopy_link::{FlowId, Network};
use lazycopy_migration::{
    Destination, DestinationInput, DestinationOutput, LinkMessage, MigrationParameters, Source,
    SourceInput, SourceOutput,
};
use lazycopy_units::{Duration, Instant};
use std::collections::VecDeque;
use std::sync::Arc;

/// What is delivered to one of the machines, and when.
#[derive(Debug)]
struct Due<T> {
    at: Instant,
    sequence: u64,
    input: T,
}

/// Source and destination of one migration. Their messages share the network with others'; all
/// else that they do concerns them alone.
///
/// A machine's messages are due in the order in which it says them, since its bursts end before
/// anything is delivered to it: one queue each holds them in order.
pub(crate) struct Pair {
    pub(crate) source: Source,
    pub(crate) destination: Destination,
    pub(crate) flow: FlowId,
    latency: Duration,
    in_flight: Option<LinkMessage>,
    free_at: Instant,
    to_source: VecDeque<Due<SourceInput>>,
    to_destination: VecDeque<Due<DestinationInput>>,
    sequence: u64,
    pub(crate) journal: Journal,
    source_ended: bool,
    destination_ended: bool,
}

impl Pair {
    /// The migration of `guest`, which is asked for at `starts`.
    pub(crate) fn new(
        guest: Guest,
        parameters: &MigrationParameters,
        flow: FlowId,
        latency: Duration,
        starts: Instant,
        journal: Journal,
    ) -> Self {
        let spec = Arc::clone(guest.spec());
        let mut pair = Pair {
            source: Source::new(guest, parameters.clone()),
            destination: Destination::new(spec, parameters.clone()),
            flow,
            latency,
            in_flight: None,
            free_at: Instant::ZERO,
            to_source: VecDeque::new(),
            to_destination: VecDeque::new(),
            sequence: 0,
            journal,
            source_ended: false,
            destination_ended: false,
        };
        pair.deliver_to_source(starts, SourceInput::Requested);
        pair
    }

    /// When something happens here next, and what.
    pub(crate) fn turn(&self) -> Turn {
        if !self.uses_network() {
            return self.destination_due().min(self.delivery());
        }
        let contexts = self.source_due().min(self.destination_due());
        contexts.min(self.delivery()).min(self.link_choice())
    }

    #[inline]
    fn delivery(&self) -> Turn {
        let to_source = self.to_source.front().map(|due| due.at);
        let to_destination = self.to_destination.front().map(|due| due.at);
        Turn::at(to_source, Kind::Delivery).min(Turn::at(to_destination, Kind::Delivery))
    }

    #[inline]
    fn source_due(&self) -> Turn {
        let Some(due) = self.source.poll_timeout() else { return Turn::NEVER };
        match due.kind {
            TimeoutKind::Disk => Turn::new(due.at, Kind::SourceDisk),
            TimeoutKind::Access => Turn::new(due.at, Kind::SourceAccess),
        }
    }

    /// The guest goes on for ever; its run ends with the books.
    #[inline]
    fn destination_due(&self) -> Turn {
        if self.destination_ended {
            return Turn::NEVER;
        }
        let Some(due) = self.destination.poll_timeout() else { return Turn::NEVER };
        match due.kind {
            TimeoutKind::Disk => Turn::new(due.at, Kind::DestinationDisk),
            TimeoutKind::Access => Turn::new(due.at, Kind::DestinationAccess),
        }
    }

    #[inline]
    fn link_choice(&self) -> Turn {
        Turn::at(self.link_choice_at(), Kind::LinkChoice)
    }

    #[inline]
    fn link_choice_at(&self) -> Option<Instant> {
        let wanted = self.source.wants_link().filter(|_| self.in_flight.is_none())?;
        Some(wanted.max(self.free_at))
    }

    /// Whether a message is on the link.
    pub(crate) fn is_sending(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether the migration may still use the network.
    pub(crate) fn uses_network(&self) -> bool {
        !self.source_ended || self.is_sending()
    }

    /// Takes its turn, and returns how many actions it took.
    ///
    /// Once it uses the network no more it affects nobody, and nobody affects it: it goes on by
    /// itself.
    pub(crate) fn act(
        &mut self,
        now: Instant,
        kind: Kind,
        network: &mut Network,
        bounds: &mut Bounds,
    ) -> u64 {
        self.act_once(now, kind, network, bounds);
        let mut actions = 1;
        while !self.uses_network()
            && actions < MAX_ACTIONS_ALONE
            && bounds.accesses.check().is_ok()
            && let Some((at, kind)) = self.turn().get()
            && at <= bounds.latest
        {
            self.act_once(at, kind, network, bounds);
            actions += 1;
        }
        actions
    }

    fn act_once(&mut self, now: Instant, kind: Kind, network: &mut Network, bounds: &mut Bounds) {
        let latest = bounds.latest;
        let budget = bounds.burst.min(bounds.accesses.budget());
        match kind {
            Kind::Delivery => self.deliver(),
            Kind::SourceDisk => self.source.handle_input(now, SourceInput::DiskDue),
            Kind::DestinationDisk => self.destination.handle_input(now, DestinationInput::DiskDue),
            Kind::SourceAccess => {
                let limit = self.source_limit(now, network).min(latest);
                bounds.accesses.add(self.source.run(limit.max(now), budget));
            }
            Kind::DestinationAccess => {
                let limit = self.destination_limit(now, network).min(latest);
                bounds.accesses.add(self.destination.run(limit.max(now), budget));
            }
            Kind::LinkChoice => self.source.handle_input(now, SourceInput::LinkFree { room: 1 }),
        }
        self.drain(network);
    }

    /// How far the context at the source may run: before anything is delivered to it, and up to
    /// the instant at which the link chooses.
    fn source_limit(&self, now: Instant, network: &Network) -> Instant {
        let later = |at: Instant| at.saturating_add(self.latency);
        let bounds = [
            self.to_source.front().map(|due| due.at),
            self.to_destination.front().map(|due| later(due.at)),
            self.destination_due().get().map(|(at, _)| later(at)),
            network.earliest_completion(self.flow, now),
            self.link_choice_at().map(|at| at.saturating_add(NANOSECOND)),
        ];
        before(bounds)
    }

    /// How far the guest at the destination may run: before anything is delivered to it that was
    /// said already, or that the source may still say. Messages take the latency.
    fn destination_limit(&self, now: Instant, network: &Network) -> Instant {
        let later = |at: Instant| at.saturating_add(self.latency);
        let bounds = [
            self.to_destination.front().map(|due| due.at),
            self.to_source.front().map(|due| later(due.at)),
            self.source_due().get().map(|(at, _)| later(at)),
            network.earliest_completion(self.flow, now).map(later),
            self.link_choice_at().map(later),
        ];
        before(bounds)
    }

    fn deliver(&mut self) {
        let to_source = self.to_source.front().map(|due| (due.at, due.sequence));
        let to_destination = self.to_destination.front().map(|due| (due.at, due.sequence));
        let source_first = match (to_source, to_destination) {
            (Some(one), Some(other)) => one < other,
            (one, _) => one.is_some(),
        };
        if source_first {
            if let Some(Due { at, input, .. }) = self.to_source.pop_front() {
                self.source.handle_input(at, input);
            }
        } else if let Some(Due { at, input, .. }) = self.to_destination.pop_front() {
            self.destination.handle_input(at, input);
        }
    }

    /// The message on the link has left it.
    pub(crate) fn transmitted(&mut self, now: Instant, network: &mut Network) {
        let message = self.in_flight.take().expect("a flow that ended a message was given one");
        self.free_at = now;
        let delivered = now.saturating_add(self.latency);
        self.deliver_to_destination(delivered, DestinationInput::Arrived(message));
        self.source.handle_input(now, SourceInput::Transmitted);
        self.drain(network);
    }

    /// Does what the machines ask for.
    fn drain(&mut self, network: &mut Network) {
        while let Some(output) = self.source.poll_output() {
            match output {
                SourceOutput::Transmit { at, message } => {
                    network.begin(self.flow, at, message.bytes());
                    self.in_flight = Some(message);
                }
                SourceOutput::Notify { at, notice } => {
                    let at = at.saturating_add(self.latency);
                    self.deliver_to_destination(at, DestinationInput::Received(notice));
                }
                SourceOutput::Event(event) => self.journal.note(event),
                SourceOutput::Ended => {
                    self.source_ended = true;
                    self.journal.end_source();
                    if let Some((at, reason)) = self.source.report().returned.clone() {
                        let input = DestinationInput::SourceLost { reason };
                        self.destination.handle_input(at, input);
                    }
                }
            }
        }
        while let Some(output) = self.destination.poll_output() {
            match output {
                DestinationOutput::Reply { at, reply } => {
                    let at = at.saturating_add(self.latency);
                    self.deliver_to_source(at, SourceInput::Received(reply));
                }
                DestinationOutput::Event(event) => self.journal.note(event),
                DestinationOutput::Ended => self.destination_ended = true,
            }
        }
    }

    fn deliver_to_source(&mut self, at: Instant, input: SourceInput) {
        self.sequence += 1;
        debug_assert!(self.to_source.back().is_none_or(|last| last.at <= at));
        self.to_source.push_back(Due { at, sequence: self.sequence, input });
    }

    fn deliver_to_destination(&mut self, at: Instant, input: DestinationInput) {
        self.sequence += 1;
        debug_assert!(self.to_destination.back().is_none_or(|last| last.at <= at));
        self.to_destination.push_back(Due { at, sequence: self.sequence, input });
    }

    /// When the link had carried the last message.
    pub(crate) fn free_at(&self) -> Instant {
        self.free_at
    }

    /// Whether both machines have ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.source_ended && self.destination_ended
    }
}

/// How long a burst may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The last instant at which an access may begin.
    pub(crate) latest: Instant,
    /// The most accesses.
    pub(crate) burst: u64,
    /// The accesses of all guests.
    pub(crate) accesses: AccessCount,
}

/// Actions that a pair takes in one turn, so that the engine's limits are looked at now and then.
const MAX_ACTIONS_ALONE: u64 = 1 << 16;

const NANOSECOND: Duration = Duration::from_nanos(1);

/// Just before the first of these instants.
fn before(bounds: [Option<Instant>; 5]) -> Instant {
    bounds.into_iter().flatten().min().unwrap_or(Instant::MAX).saturating_sub(NANOSECOND)
}
