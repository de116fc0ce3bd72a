//! Both machines of a migration as a pair, in virtual time.
//!
//! At one instant, in this order: deliveries and notices; disk completions; accesses at the
//! source; accesses at the destination; then the link chooses.

use lazycopy_guest::{Guest, GuestSnapshot, TimeoutKind};
use lazycopy_link::{Link, LinkParameters};
use lazycopy_migration::{
    Destination, DestinationInput, DestinationOutput, DestinationReport, Event, LinkMessage,
    MigrationParameters, Notice, Reply, Source, SourceInput, SourceOutput, SourceReport,
};
use lazycopy_units::{Duration, Instant};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Kinds of what happens, in their order at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Delivery,
    SourceDisk,
    DestinationDisk,
    SourceAccess,
    DestinationAccess,
    LinkChoice,
}

#[derive(Debug)]
enum Delivery {
    Transmitted,
    ToDestination(LinkMessage),
    Notice(Notice),
    Reply(Reply),
}

/// A delivery that is due; ordered by its instant, then by the sequence of scheduling.
#[derive(Debug)]
struct Due {
    at: Instant,
    sequence: u64,
    delivery: Delivery,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// Two machines, their link, and what is under way between them.
pub(crate) struct Engine {
    source: Source,
    destination: Destination,
    link: Link,
    deliveries: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    now: Instant,
    events: Vec<Event>,
    source_ended: bool,
    destination_ended: bool,
}

impl Engine {
    /// The migration of `guest`, which is asked for at the beginning of time.
    pub(crate) fn new(
        guest: Guest,
        parameters: &MigrationParameters,
        link: LinkParameters,
    ) -> Self {
        let spec = std::sync::Arc::clone(guest.spec());
        let mut engine = Engine {
            source: Source::new(guest, parameters.clone()),
            destination: Destination::new(spec, parameters.clone()),
            link: Link::new(link),
            deliveries: BinaryHeap::new(),
            sequence: 0,
            now: Instant::ZERO,
            events: Vec::new(),
            source_ended: false,
            destination_ended: false,
        };
        engine.source.handle_input(Instant::ZERO, SourceInput::Requested);
        engine.drain();
        engine
    }

    /// Runs until both machines have ended and nothing is under way.
    pub(crate) fn run(&mut self) {
        while let Some((at, kind)) = self.next() {
            debug_assert!(at >= self.now, "time ran backwards");
            self.now = at;
            match kind {
                Kind::Delivery => self.deliver(),
                Kind::SourceDisk => self.source.handle_input(at, SourceInput::DiskDue),
                Kind::DestinationDisk => {
                    self.destination.handle_input(at, DestinationInput::DiskDue);
                }
                Kind::SourceAccess => self.source.run(self.burst_limit(kind), u64::MAX),
                Kind::DestinationAccess => {
                    self.destination.run(self.burst_limit(kind), u64::MAX);
                }
                Kind::LinkChoice => self.source.handle_input(at, SourceInput::LinkFree),
            }
            self.drain();
        }
    }

    /// What happens next.
    fn next(&self) -> Option<(Instant, Kind)> {
        [
            self.deliveries.peek().map(|Reverse(due)| (due.at, Kind::Delivery)),
            self.source_due(),
            self.destination_due(),
            self.link_choice(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn source_due(&self) -> Option<(Instant, Kind)> {
        let due = self.source.poll_timeout()?;
        let kind = match due.kind {
            TimeoutKind::Disk => Kind::SourceDisk,
            TimeoutKind::Access => Kind::SourceAccess,
        };
        Some((due.at, kind))
    }

    /// The guest goes on for ever; its run ends with the books.
    fn destination_due(&self) -> Option<(Instant, Kind)> {
        let due = self.destination.poll_timeout().filter(|_| !self.destination_ended)?;
        let kind = match due.kind {
            TimeoutKind::Disk => Kind::DestinationDisk,
            TimeoutKind::Access => Kind::DestinationAccess,
        };
        Some((due.at, kind))
    }

    fn link_choice(&self) -> Option<(Instant, Kind)> {
        let at = self.source.wants_link()?.max(self.link.free_at());
        Some((at, Kind::LinkChoice))
    }

    /// How far a burst may go: before the next delivery, and before anything that the other
    /// machine may still send could arrive. Its messages take the latency.
    fn burst_limit(&self, kind: Kind) -> Instant {
        let latency = self.link.parameters().latency;
        let other = match kind {
            Kind::SourceAccess => self.destination_due(),
            _ => self.source_due(),
        };
        let delivery = self.deliveries.peek().map(|Reverse(due)| due.at);
        let other = other.map(|(at, _)| at.saturating_add(latency));
        let choice = self.link_choice().map(|(at, _)| match kind {
            Kind::SourceAccess => at.saturating_add(Duration::from_nanos(1)),
            _ => at.saturating_add(latency),
        });
        let next = [delivery, other, choice].into_iter().flatten().min().unwrap_or(Instant::MAX);
        next.saturating_sub(Duration::from_nanos(1)).max(self.now)
    }

    fn deliver(&mut self) {
        let Some(Reverse(Due { at, delivery, .. })) = self.deliveries.pop() else { return };
        match delivery {
            Delivery::Transmitted => self.source.handle_input(at, SourceInput::Transmitted),
            Delivery::Reply(reply) => self.source.handle_input(at, SourceInput::Received(reply)),
            Delivery::ToDestination(message) => {
                self.destination.handle_input(at, DestinationInput::Arrived(message));
            }
            Delivery::Notice(notice) => {
                self.destination.handle_input(at, DestinationInput::Received(notice));
            }
        }
    }

    /// Does what the machines ask for.
    fn drain(&mut self) {
        let latency = self.link.parameters().latency;
        while let Some(output) = self.source.poll_output() {
            match output {
                SourceOutput::Transmit { at, message } => {
                    let transmission = self.link.transmit(at, message.bytes());
                    self.schedule(transmission.ends, Delivery::Transmitted);
                    self.schedule(transmission.delivered, Delivery::ToDestination(message));
                }
                SourceOutput::Notify { at, notice } => {
                    self.schedule(at.saturating_add(latency), Delivery::Notice(notice));
                }
                SourceOutput::Event(event) => self.events.push(event),
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
                    self.schedule(at.saturating_add(latency), Delivery::Reply(reply));
                }
                DestinationOutput::Event(event) => self.events.push(event),
                DestinationOutput::Ended => self.destination_ended = true,
            }
        }
    }

    fn schedule(&mut self, at: Instant, delivery: Delivery) {
        self.sequence += 1;
        self.deliveries.push(Reverse(Due { at, sequence: self.sequence, delivery }));
    }

    /// Reports, events and the guest at the end.
    pub(crate) fn finish(
        self,
    ) -> (SourceReport, DestinationReport, Vec<Event>, Option<GuestSnapshot>) {
        assert!(self.source_ended && self.destination_ended, "a run stopped before its end");
        let mut source = self.source.report().clone();
        source.bandwidth_peak = Some(self.link.meter().peak_bytes_per_sec());
        let guest = self.destination.guest().or(self.source.guest());
        let after = guest.map(|guest| guest.snapshot(usize::MAX));
        (source, self.destination.report().clone(), self.events, after)
    }
}
