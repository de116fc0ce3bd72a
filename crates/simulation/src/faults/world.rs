//! The simulated world: two processes, what is on its way between them, and what goes wrong.

use super::case::FaultCase;
use super::checkers::Checkers;
use super::fault::{Fault, Phase, PlannedFault, Way};
use super::hosts::{Clock, Host, Hosts};
use super::wire::{Packet, Payload, Wire};
use lazycopy_guest::{Guest, TimeoutKind, WorkloadError};
use lazycopy_migration::{
    Destination, DestinationInput, DestinationOutput, Event, EventKind, LinkMessage,
    RecoveryAnswer, Source, SourceInput, SourceOutput,
};
use lazycopy_migration::{Reclaim, Side};
use lazycopy_units::{Duration, Instant};
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    LinkChoice,
}

pub(crate) struct World<'a> {
    case: &'a FaultCase,
    pub(crate) now: Instant,
    pub(crate) hosts: Hosts,
    wire: Wire,
    /// What occupies the link, and until when.
    sending: Option<(Instant, LinkMessage)>,
    manager_lives: bool,
    /// Faults that have not happened yet.
    planned: Vec<PlannedFault>,
    /// The phase of the migration, and for how many steps.
    phase: Option<(Phase, u32)>,
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
        filters_duplicates: bool,
        prepare: impl FnOnce(&mut Source, &mut Destination),
    ) -> Result<Self, WorkloadError> {
        let spec = Arc::new(case.guest.clone());
        let mut guest = Guest::new(Arc::clone(&spec))?;
        guest.run_to(Instant::ZERO, case.warmup_accesses, Duration::ZERO)?;
        let checkers = Checkers::new(&spec);
        let mut source = Source::new(guest, case.parameters.clone());
        let mut destination = Destination::new(spec, case.parameters.clone());
        prepare(&mut source, &mut destination);
        let mut wire = Wire::new(case.link.latency);
        wire.filters_duplicates = filters_duplicates;
        Ok(World {
            case,
            now: Instant::ZERO,
            hosts: Hosts {
                source: Host::new(source, &case.patience),
                destination: Host::new(destination, &case.patience),
            },
            wire,
            sending: None,
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
        let is_quiet = self.sending.is_none() && !self.wire.carries_messages();
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
        let sent = self.sending.as_ref().map(|(at, _)| (*at).max(stopped[0]));
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
        let wanted = source.machine.as_ref().and_then(Source::wants_link);
        let wanted = wanted.filter(|_| self.sending.is_none());
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
                if let Some((_, message)) = self.sending.take() {
                    self.send(Way::Forward, Payload::Link(message));
                    self.tell_source(SourceInput::Transmitted);
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
            Turn::LinkChoice => self.tell_source(SourceInput::LinkFree),
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
                    let takes = self.case.link.bandwidth.time_for(message.bytes());
                    self.sending = Some((at.max(self.now) + takes, message));
                }
                SourceOutput::Recover { recovery, .. } => {
                    self.tally.recoveries += 1;
                    self.send(Way::Forward, Payload::Recover(recovery));
                }
                SourceOutput::Notify { notice, .. } => {
                    self.send(Way::Forward, Payload::Notice(notice));
                }
                SourceOutput::Event(event) => self.note(event),
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
                DestinationOutput::Event(event) => self.note(event),
                DestinationOutput::Ended => self.hosts.destination.ended = true,
            }
        }
    }

    /// What the summary tells of.
    pub(crate) fn count(&mut self) {
        self.tally.duplicates_filtered = self.wire.filtered;
    }

    /// Messages that were lost after the last recovery: nobody asked for them any more.
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

    /// Where the migration is, and for how long.
    fn note_phase(&mut self) {
        self.checkers.look(self.now, &self.hosts);
        let phase = self.current_phase();
        self.phase = phase.map(|phase| match self.phase {
            Some((before, steps)) if before == phase => (phase, steps + 1),
            _ => (phase, 0),
        });
    }

    /// `None` where the migration is at its end. What a process had reached that died stays.
    fn current_phase(&self) -> Option<Phase> {
        let source = self.hosts.source.machine.as_ref();
        let destination = self.hosts.destination.machine.as_ref();
        let left = source.map(Source::report);
        if self.hosts.destination.ended || left.is_some_and(|it| it.returned.is_some()) {
            return None;
        }
        let arrived = destination.map(Destination::report);
        let reached = if arrived.is_some_and(|it| it.completed_at.is_some()) {
            Phase::Measuring
        } else if arrived.is_some_and(|it| it.resumed_at.is_some()) {
            Phase::Resumed
        } else if destination.is_some_and(Destination::is_past_context) {
            Phase::Pushing
        } else if left.is_some_and(|it| it.handover_at.is_some()) {
            Phase::ContextInFlight
        } else if left.is_some_and(|it| it.suspended_at.is_some()) {
            Phase::Suspended
        } else {
            Phase::Rounds
        };
        Some(self.phase.map_or(reached, |(before, _)| before.max(reached)))
    }

    /// Whether there is still something that the fault can befall.
    fn can_strike(&self, fault: Fault) -> bool {
        let Hosts { source, destination } = &self.hosts;
        match fault {
            Fault::Crash(Side::Source)
            | Fault::Restart(Side::Source, _)
            | Fault::Pause(Side::Source, _)
            | Fault::Cancel => source.machine.is_some() && source.stopped_until <= self.now,
            Fault::Crash(Side::Destination)
            | Fault::Restart(Side::Destination, _)
            | Fault::Pause(Side::Destination, _) => {
                destination.machine.is_some() && destination.stopped_until <= self.now
            }
            Fault::LoseManager => self.manager_lives,
            _ => source.machine.is_some() && destination.machine.is_some(),
        }
    }

    /// The next planned fault whose moment has come. Whether there was one.
    fn break_something(&mut self) -> bool {
        let Some((phase, steps)) = self.phase else { return false };
        let is_due = |it: &PlannedFault| it.phase == phase && steps >= it.after_steps;
        let Some(next) = self.planned.iter().position(is_due) else { return false };
        let fault = self.planned.remove(next).fault;
        if !self.can_strike(fault) {
            return true;
        }
        self.hits.push(Hit { at: self.now, phase, fault });
        let until = self.now.saturating_add(fault.lasts());
        self.calm_from = self.calm_from.max(until);
        self.strike(fault, until);
        self.note_phase();
        true
    }

    fn strike(&mut self, fault: Fault, until: Instant) {
        match fault {
            Fault::Crash(side) => self.kill(side, None),
            Fault::Restart(side, _) => self.kill(side, Some(until)),
            Fault::Pause(Side::Source, _) => self.hosts.source.stopped_until = until,
            Fault::Pause(Side::Destination, _) => self.hosts.destination.stopped_until = until,
            Fault::Partition(_) => {
                self.wire.block(Way::Forward, until);
                self.wire.block(Way::Backward, until);
            }
            Fault::OneWay(way, _) => self.wire.block(way, until),
            Fault::Delay { by, .. } => self.wire.delay(by, until),
            Fault::Duplicate(messages) => self.wire.duplicate(messages),
            Fault::Cut => self.wire.cut(self.now, self.hosts.source.session.connection),
            Fault::LoseManager => self.manager_lives = false,
            Fault::Cancel if self.manager_lives => {
                self.cancelled = true;
                self.tell_source(SourceInput::Cancelled { reason: "a user's word".to_owned() });
            }
            Fault::Cancel => {}
        }
    }

    /// A process dies. The other end of its connection hears of it, if anything comes through; the
    /// manager, if it lives, tells the other side.
    fn kill(&mut self, side: Side, restarts_at: Option<Instant>) {
        let manager = self.case.patience.manager;
        let told_at = self.manager_lives.then(|| self.now.saturating_add(manager));
        self.checkers.dies(side, &self.hosts);
        match side {
            Side::Source => {
                self.send(Way::Forward, Payload::Reset);
                self.hosts.source.machine = None;
                self.hosts.source.restarts_at = restarts_at;
                self.hosts.destination.told_at = told_at;
                self.sending = None;
            }
            Side::Destination => {
                self.send(Way::Backward, Payload::Reset);
                self.hosts.destination.machine = None;
                self.hosts.destination.restarts_at = restarts_at;
                self.hosts.source.told_at = told_at;
            }
        }
    }
}

/// The driver at the source.
impl World<'_> {
    fn source_clock(&mut self) {
        let Some(clock) = self.hosts.source.take_clock(self.now, &self.case.patience) else {
            return;
        };
        match clock {
            Clock::Told => {
                self.close_at_source("the manager says that the destination died");
                self.tell_source(SourceInput::Recovered(RecoveryAnswer::Unknown));
            }
            Clock::Beat => self.send(Way::Forward, Payload::Beat),
            Clock::Silence => {
                self.send(Way::Forward, Payload::Reset);
                self.close_at_source("the destination is silent");
            }
            Clock::Reclaim => {
                let safe = self.hosts.source.machine.as_ref().map(Source::reclaim);
                match safe {
                    Some(Reclaim::Safe(_)) => self.tally.reclaimed += 1,
                    _ => self.tally.reclaims_refused += 1,
                }
                self.checkers.reclaims();
                self.tell_source(SourceInput::Reclaimed { reason: "an operator".to_owned() });
            }
            Clock::GiveUp => {
                self.hosts.source.session.tries_at = None;
                let reason = "the destination was out of reach for too long".to_owned();
                self.tell_source(SourceInput::DestinationLost { reason });
            }
            Clock::Try => {
                let session = &mut self.hosts.source.session;
                session.connection += 1;
                let connection = session.connection;
                let machine = self.hosts.source.machine.as_ref();
                let returned = machine.and_then(|it| it.report().returned.clone());
                let payload = match returned {
                    Some((_, reason)) => Payload::Withdrawn(reason),
                    None => Payload::Ask,
                };
                self.wire.send(self.now, Way::Forward, connection, payload);
            }
        }
    }

    /// The source takes its connection for broken.
    fn close_at_source(&mut self, reason: &str) {
        let (now, patience) = (self.now, &self.case.patience);
        let host = &mut self.hosts.source;
        if !host.session.is_up || host.ended {
            return;
        }
        host.session.is_up = false;
        self.sending = None;
        host.session.tries_at = Some(now.saturating_add(patience.retry));
        host.session.gives_up_at = Some(now.saturating_add(patience.source));
        host.session.reclaims_at = self.case.reclaim.map(|after| now.saturating_add(after));
        self.tell_source(SourceInput::LinkLost { reason: reason.to_owned() });
    }

    fn at_source(&mut self, packet: Packet) {
        let host = &mut self.hosts.source;
        if host.machine.is_none() {
            return;
        }
        if packet.connection != host.session.connection {
            return;
        }
        match packet.payload {
            Payload::Reset => self.close_at_source("the connection was reset"),
            Payload::Answer(answer) => {
                if host.session.is_up || host.ended {
                    return;
                }
                host.session.is_up = true;
                host.session.heard_at = self.now;
                host.session.beats_at = self.now;
                host.session.tries_at = None;
                self.tell_source(SourceInput::Recovered(*answer));
                let host = &mut self.hosts.source;
                if host.machine.as_ref().is_some_and(Source::is_paused) {
                    host.session.is_up = false;
                } else {
                    host.session.gives_up_at = None;
                    host.session.reclaims_at = None;
                }
            }
            Payload::Reply(reply) if host.session.is_up => {
                host.session.heard_at = self.now;
                self.tell_source(SourceInput::Received(reply));
            }
            _ => host.session.heard_at = self.now,
        }
    }

    /// The machine at the source has ended: the destination is told, if the guest came back.
    fn source_ended(&mut self) {
        let patience = &self.case.patience;
        let host = &mut self.hosts.source;
        host.ended = true;
        let Some(report) = host.machine.as_ref().map(Source::report) else { return };
        let (returned, is_released) = (report.returned.clone(), report.released_at.is_some());
        let session = &mut host.session;
        session.reclaims_at = None;
        session.gives_up_at = None;
        session.tries_at = None;
        match returned {
            Some((_, reason)) if session.is_up => {
                self.send(Way::Forward, Payload::Withdrawn(reason))
            }
            Some(_) => {
                session.tries_at = Some(self.now.saturating_add(patience.retry));
                session.gives_up_at = Some(self.now.saturating_add(patience.source));
            }
            // What is still on the link arrives, and counts.
            None if is_released => {}
            None => self.send(Way::Forward, Payload::Reset),
        }
    }
}

/// The driver at the destination.
impl World<'_> {
    fn destination_clock(&mut self) {
        let Some(clock) = self.hosts.destination.take_clock(self.now, &self.case.patience) else {
            return;
        };
        match clock {
            Clock::Told => {
                let reason = "the source is dead".to_owned();
                self.hosts.destination.session.is_up = false;
                self.tell_destination(DestinationInput::SourceLost { reason, is_dead: true });
            }
            Clock::Beat => self.send(Way::Backward, Payload::Beat),
            Clock::Silence => {
                self.send(Way::Backward, Payload::Reset);
                self.close_at_destination("the source is silent");
            }
            Clock::GiveUp => {
                let reason = "the source was out of reach for too long".to_owned();
                self.tell_destination(DestinationInput::SourceLost { reason, is_dead: false });
            }
            Clock::Try | Clock::Reclaim => {}
        }
    }

    /// The destination takes its connection for broken.
    fn close_at_destination(&mut self, reason: &str) {
        let gives_up_at = self.now.saturating_add(self.case.patience.destination);
        let host = &mut self.hosts.destination;
        if !host.session.is_up || host.ended {
            return;
        }
        host.session.is_up = false;
        host.session.gives_up_at = host.session.gives_up_at.or(Some(gives_up_at));
        self.tell_destination(DestinationInput::LinkLost { reason: reason.to_owned() });
    }

    fn at_destination(&mut self, packet: Packet) {
        let connection = packet.connection;
        let host = &mut self.hosts.destination;
        if host.machine.is_none() {
            return self.nobody_answers(&packet);
        }
        match packet.payload {
            Payload::Ask | Payload::Withdrawn(_) if connection > host.session.connection => {
                self.close_at_destination("the source made a new connection");
                let host = &mut self.hosts.destination;
                host.session.connection = connection;
                host.session.is_up = true;
                host.session.heard_at = self.now;
                host.session.beats_at = self.now;
                if let Payload::Withdrawn(reason) = packet.payload {
                    return self.tell_destination(DestinationInput::Withdrawn { reason });
                }
                let answer = host.machine.as_ref().map(Destination::answer_recovery);
                let answer = Box::new(answer.unwrap_or(RecoveryAnswer::Unknown));
                self.send(Way::Backward, Payload::Answer(answer));
            }
            // A word of an older connection, or on one that is closed here.
            _ if connection != host.session.connection => {
                self.wire.lose(connection, &packet.payload);
            }
            Payload::Reset => self.close_at_destination("the connection was reset"),
            _ if !host.session.is_up => {
                self.wire.lose(connection, &packet.payload);
                self.wire.send(self.now, Way::Backward, connection, Payload::Reset);
            }
            payload => {
                host.session.heard_at = self.now;
                match payload {
                    Payload::Link(message) => {
                        self.tell_destination(DestinationInput::Arrived(message));
                    }
                    Payload::Notice(notice) => {
                        self.tell_destination(DestinationInput::Received(notice));
                    }
                    Payload::Recover(word) => {
                        host.session.gives_up_at = None;
                        self.tell_destination(DestinationInput::Recovered(word));
                    }
                    Payload::Withdrawn(reason) => {
                        self.tell_destination(DestinationInput::Withdrawn { reason });
                    }
                    _ => {}
                }
            }
        }
    }

    /// The process is dead: its system refuses connections, or its successor knows nothing.
    fn nobody_answers(&mut self, packet: &Packet) {
        let restarted = self.hosts.destination.restarts_at.is_some_and(|at| at <= self.now);
        let answer = match packet.payload {
            Payload::Ask if restarted => Payload::Answer(Box::new(RecoveryAnswer::Unknown)),
            Payload::Reset => return,
            _ => Payload::Reset,
        };
        self.wire.send(self.now, Way::Backward, packet.connection, answer);
    }
}
