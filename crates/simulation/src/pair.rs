//! The two machines of one migration, and what is under way between them.

use crate::agenda::{Kind, Turn};
use crate::journal::Journal;
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
        let turns =
            [self.delivery(), self.source_due(), self.destination_due(), self.link_choice()];
        turns.into_iter().flatten().min()
    }

    fn delivery(&self) -> Turn {
        let to_source = self.to_source.front().map(|due| due.at);
        let to_destination = self.to_destination.front().map(|due| due.at);
        let first = match (to_source, to_destination) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other)?,
        };
        Some((first, Kind::Delivery))
    }

    fn source_due(&self) -> Turn {
        let due = self.source.poll_timeout()?;
        let kind = match due.kind {
            TimeoutKind::Disk => Kind::SourceDisk,
            TimeoutKind::Access => Kind::SourceAccess,
        };
        Some((due.at, kind))
    }

    /// The guest goes on for ever; its run ends with the books.
    fn destination_due(&self) -> Turn {
        let due = self.destination.poll_timeout().filter(|_| !self.destination_ended)?;
        let kind = match due.kind {
            TimeoutKind::Disk => Kind::DestinationDisk,
            TimeoutKind::Access => Kind::DestinationAccess,
        };
        Some((due.at, kind))
    }

    fn link_choice(&self) -> Turn {
        let wanted = self.source.wants_link().filter(|_| self.in_flight.is_none())?;
        Some((wanted.max(self.free_at), Kind::LinkChoice))
    }

    /// Whether a message is on the link.
    pub(crate) fn is_sending(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether the migration may still use the network.
    pub(crate) fn uses_network(&self) -> bool {
        !self.source_ended || self.is_sending()
    }

    /// Takes its turn. No burst goes beyond `latest`, or has more than `burst` accesses.
    pub(crate) fn act(
        &mut self,
        now: Instant,
        kind: Kind,
        network: &mut Network,
        latest: Instant,
        burst: u64,
    ) {
        match kind {
            Kind::Delivery => self.deliver(),
            Kind::SourceDisk => self.source.handle_input(now, SourceInput::DiskDue),
            Kind::DestinationDisk => self.destination.handle_input(now, DestinationInput::DiskDue),
            Kind::SourceAccess => {
                let limit = self.source_limit(now, network).min(latest);
                self.source.run(limit.max(now), burst);
            }
            Kind::DestinationAccess => {
                let limit = self.destination_limit(now, network).min(latest);
                self.destination.run(limit.max(now), burst);
            }
            Kind::LinkChoice => self.source.handle_input(now, SourceInput::LinkFree),
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
            self.destination_due().map(|(at, _)| later(at)),
            network.earliest_completion(self.flow, now),
            self.link_choice().map(|(at, _)| at.saturating_add(NANOSECOND)),
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
            self.source_due().map(|(at, _)| later(at)),
            network.earliest_completion(self.flow, now).map(later),
            self.link_choice().map(|(at, _)| later(at)),
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

    /// Whether both machines have ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.source_ended && self.destination_ended
    }
}

const NANOSECOND: Duration = Duration::from_nanos(1);

/// Just before the first of these instants.
fn before(bounds: [Option<Instant>; 5]) -> Instant {
    bounds.into_iter().flatten().min().unwrap_or(Instant::MAX).saturating_sub(NANOSECOND)
}
