//! The simulated world: two processes, what is on its way between them, and what goes wrong.

use super::case::FaultCase;
use super::checkers::Checkers;
use super::fault::{Fault, Phase, PlannedFault, Way};
use super::hosts::{Host, Hosts};
use super::parcel::Parcel;
use super::run::FaultOptions;
use super::wire::{Payload, Wire};
use lazycopy_guest::{Guest, GuestError, Memory, TimeoutKind};
use lazycopy_migration::{
    Destination, DestinationInput, DestinationOutput, Event, EventKind, Side, Source, SourceInput,
    SourceOutput,
};
use lazycopy_units::{Duration, Instant, PageNumber};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;

/// A fault that took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// When.
    pub at: Instant,
    /// In which phase.
    pub phase: Phase,
    /// What.
    pub fault: Fault,
}

/// What counts in a summary besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Recoveries that came to their end.
    pub recoveries: u64,
    /// Pages that were found lost in flight.
    pub pages_lost: u64,
    /// Guests that went on without their source.
    pub without_source: u64,
    /// Guests that an operator took back,
    pub reclaimed: u64,
    /// and those for which that was refused.
    pub reclaims_refused: u64,
    /// Control messages that came twice and were delivered once.
    pub duplicates_filtered: u64,
    /// Pauses.
    pub pauses: u64,
    /// Messages of several pages,
    pub runs: u64,
    /// and those of them that were lost in flight.
    pub runs_lost: u64,
    /// Pages whose memory the source gave up when they were acknowledged.
    pub pages_given_up: u64,
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Transmitted,
    Delivery(Way),
    SourceClock,
    DestinationClock,
    SourceDisk,
    DestinationDisk,
    SourceAccess,
    DestinationAccess,
    UrgentChoice,
    LinkChoice,
}

pub(crate) struct World<'a> {
    pub(super) case: &'a FaultCase,
    pub(crate) now: Instant,
    pub(crate) hosts: Hosts,
    pub(super) wire: Wire,
    /// What occupies the link, one after another, and until when.
    pub(super) sending: VecDeque<(Instant, Parcel)>,
    /// Pages that the destination has taken and not acknowledged.
    pub(super) taken: Vec<(PageNumber, u32)>,
    /// It acknowledges them though the guest does not run there yet.
    pub(super) acknowledges_early: bool,
    pub(super) manager_lives: bool,
    /// Faults that have not happened yet.
    pub(super) planned: Vec<PlannedFault>,
    /// The phase of the migration, and for how many steps.
    pub(super) phase: Option<(Phase, u32)>,
    pub(crate) hits: Vec<Hit>,
    /// When the last fault is over.
    pub(crate) calm_from: Instant,
    pub(crate) cancelled: bool,
    pub(crate) tally: Tally,
    pub(crate) checkers: Checkers,
}

impl<'a> World<'a> {
    /// The world of a case before anything happens; `prepare` may change the machines.
    pub(crate) fn new(
        case: &'a FaultCase,
        options: &FaultOptions,
        prepare: impl FnOnce(&mut Source, &mut Destination),
    ) -> Result<Self, GuestError> {
        let spec = Arc::new(case.guest.clone());
        let has_bytes = case.room.is_some();
        let mut guest = match has_bytes {
            true => Guest::new_in_pages(Arc::clone(&spec))?,
            false => Guest::new(Arc::clone(&spec))?,
        };
        guest.run_to(Instant::ZERO, case.warmup_accesses, Duration::ZERO)?;
        let checkers = Checkers::new(&spec);
        let mut source = Source::new(guest, case.parameters.clone());
        let (definition, parameters) = (Arc::clone(&spec), case.parameters.clone());
        let mut destination = if has_bytes {
            let refused = |error| GuestError::Memory { pages: spec.pages, error };
            let memory = Memory::in_pages(spec.pages, &spec).map_err(refused)?;
            Destination::receiving_into(memory, definition, parameters)
        } else {
            Destination::new(definition, parameters)
        };
        prepare(&mut source, &mut destination);
        let mut wire = Wire::new(case.link.latency);
        wire.filters_duplicates = options.filters_duplicates;
        Ok(World {
            case,
            now: Instant::ZERO,
            hosts: Hosts {
                source: Host::new(source, &case.patience),
                destination: Host::new(destination, &case.patience),
            },
            wire,
            sending: VecDeque::new(),
            taken: Vec::new(),
            acknowledges_early: options.acknowledges_early,
            manager_lives: true,
            planned: case.faults.clone(),
            phase: None,
            hits: Vec::new(),
            calm_from: Instant::ZERO,
            cancelled: false,
            tally: Tally::default(),
            checkers,
        })
    }

    pub(crate) fn begin(&mut self) {
        self.tell_source(SourceInput::Requested);
        self.note_phase();
    }

    /// The next thing happens. Whether there was one.
    pub(crate) fn step(&mut self) -> bool {
        if self.break_something() {
            return true;
        }
        let Some((at, turn)) = self.next_turn() else { return false };
        self.now = self.now.max(at);
        self.wake();
        self.take(turn);
        self.note_phase();
        true
    }

    pub(crate) fn has_ended(&self) -> bool {
        let Hosts { source, destination } = &self.hosts;
        let is_quiet = self.sending.is_empty() && !self.wire.carries_messages();
        let is_dead = source.machine.is_none() || destination.machine.is_none();
        source.is_done() && destination.is_done() && (is_dead || is_quiet)
    }

    fn next_turn(&self) -> Option<(Instant, Turn)> {
        let (source, destination) = (&self.hosts.source, &self.hosts.destination);
        let stopped = [source.stopped_until, destination.stopped_until];
        let patience = &self.case.patience;
        let mut next: Option<(Instant, Turn)> = None;
        // In the order in which what happens at one instant takes place.
        let mut offer = |at: Option<Instant>, turn: Turn| {
            if let Some(at) = at.map(|at| at.max(self.now))
                && next.is_none_or(|(first, _)| at < first)
            {
                next = Some((at, turn));
            }
        };
        let sent = self.sending.front().map(|(at, _)| (*at).max(stopped[0]));
        offer(sent, Turn::Transmitted);
        if let Some((at, way)) = self.wire.next(stopped) {
            offer(Some(at), Turn::Delivery(way));
        }
        offer(source.next_clock(patience), Turn::SourceClock);
        offer(destination.next_clock(patience), Turn::DestinationClock);
        let of_source = source.machine.as_ref().and_then(Source::poll_timeout);
        let of_destination = destination.machine.as_ref().filter(|_| !destination.ended);
        let of_destination = of_destination.and_then(Destination::poll_timeout);
        let due = |timeout: Option<lazycopy_guest::Timeout>, kind, stopped: Instant| {
            timeout.filter(|due| due.kind == kind).map(|due| due.at.max(stopped))
        };
        offer(due(of_source, TimeoutKind::Disk, stopped[0]), Turn::SourceDisk);
        offer(due(of_destination, TimeoutKind::Disk, stopped[1]), Turn::DestinationDisk);
        offer(due(of_source, TimeoutKind::Access, stopped[0]), Turn::SourceAccess);
        offer(due(of_destination, TimeoutKind::Access, stopped[1]), Turn::DestinationAccess);
        let has_urgent_way = self.case.room.is_some();
        let is_urgent = source.machine.as_ref().is_some_and(Source::wants_urgent_link);
        let urgent = (has_urgent_way && is_urgent).then_some(stopped[0]);
        offer(urgent, Turn::UrgentChoice);
        let wanted = source.machine.as_ref().and_then(Source::wants_link);
        let wanted = wanted.filter(|_| self.sending.is_empty());
        offer(wanted.map(|at| at.max(stopped[0])), Turn::LinkChoice);
        next
    }

    /// A process that was stopped goes on from now, and not from when it stopped.
    fn wake(&mut self) {
        let Hosts { source, destination } = &mut self.hosts;
        if source.stopped_until > Instant::ZERO
            && let Some(machine) = &mut source.machine
        {
            machine.keep_up(self.now, Duration::ZERO);
        }
        if destination.stopped_until > Instant::ZERO
            && let Some(machine) = &mut destination.machine
        {
            machine.keep_up(self.now, Duration::ZERO);
        }
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Transmitted => {
                if let Some((_, parcel)) = self.sending.pop_front() {
                    self.send(Way::Forward, Payload::Link(parcel));
                    if self.sending.is_empty() {
                        self.tell_source(SourceInput::Transmitted);
                    }
                }
            }
            Turn::Delivery(way) => {
                let Some(packet) = self.wire.deliver(way) else { return };
                match way {
                    Way::Forward => self.at_destination(packet),
                    Way::Backward => self.at_source(packet),
                }
            }
            Turn::SourceClock => self.source_clock(),
            Turn::DestinationClock => self.destination_clock(),
            Turn::SourceDisk => self.tell_source(SourceInput::DiskDue),
            Turn::DestinationDisk => self.tell_destination(DestinationInput::DiskDue),
            Turn::SourceAccess => {
                if let Some(machine) = &mut self.hosts.source.machine {
                    machine.run(self.now, 1);
                }
                self.drain();
            }
            Turn::DestinationAccess => {
                if let Some(machine) = &mut self.hosts.destination.machine {
                    machine.run(self.now, 1);
                }
                self.drain();
            }
            Turn::UrgentChoice => self.send_urgent(),
            Turn::LinkChoice => {
                let room = self.case.room.unwrap_or(1);
                self.tell_source(SourceInput::LinkFree { room });
            }
        }
    }

    pub(super) fn tell_source(&mut self, input: SourceInput) {
        if let Some(machine) = &mut self.hosts.source.machine {
            machine.handle_input(self.now, input);
        }
        self.drain();
    }

    pub(super) fn tell_destination(&mut self, input: DestinationInput) {
        if let Some(machine) = &mut self.hosts.destination.machine {
            machine.handle_input(self.now, input);
        }
        self.drain();
    }

    /// One side's word goes out on its connection, if it has one.
    pub(super) fn send(&mut self, way: Way, payload: Payload) {
        let session = match way {
            Way::Forward => &self.hosts.source.session,
            Way::Backward => &self.hosts.destination.session,
        };
        if session.is_up {
            self.wire.send(self.now, way, session.connection, payload);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.hosts.source.machine.as_mut().and_then(Source::poll_output) {
            match output {
                SourceOutput::Transmit { at, message } => {
                    self.checkers.transmits(&message, &self.hosts);
                    self.occupy_link(at, message);
                }
                SourceOutput::Recover { recovery, .. } => {
                    self.tally.recoveries += 1;
                    self.send(Way::Forward, Payload::Recover(recovery));
                }
                SourceOutput::Notify { notice, .. } => {
                    self.send(Way::Forward, Payload::Notice(notice));
                }
                SourceOutput::Event(run) => run.events().for_each(|event| self.note(event)),
                SourceOutput::Ended => self.source_ended(),
            }
        }
        loop {
            let machine = self.hosts.destination.machine.as_mut();
            let Some(output) = machine.and_then(Destination::poll_output) else { break };
            match output {
                DestinationOutput::Reply { reply, .. } => {
                    self.send(Way::Backward, Payload::Reply(reply));
                }
                DestinationOutput::Event(run) => run.events().for_each(|event| self.note(event)),
                DestinationOutput::Ended => self.hosts.destination.ended = true,
            }
        }
    }

    /// What the summary tells of.
    pub(crate) fn count(&mut self) {
        self.tally.duplicates_filtered = self.wire.filtered;
        self.tally.runs_lost = self.wire.lost_runs;
    }

    /// Pages that were lost after the last recovery: nobody asked for them any more.
    pub(crate) fn lost_late(&self) -> u64 {
        self.wire.lost_of(self.hosts.source.session.connection)
    }

    fn note(&mut self, event: Event) {
        match (&event.kind, event.side) {
            (EventKind::PageLost { .. }, _) => self.tally.pages_lost += 1,
            (EventKind::SourceLost { .. }, _) => self.tally.without_source += 1,
            (EventKind::Paused { .. }, Side::Source) => self.tally.pauses += 1,
            _ => {}
        }
        self.checkers.note(&event, &self.hosts);
    }
}
