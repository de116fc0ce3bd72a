//! When the planned failures happen, and what they do.

use super::fault::{Fault, Phase, PlannedFault, Way};
use super::hosts::Hosts;
use super::wire::Payload;
use super::world::{Hit, World};
use lazycopy_migration::{Destination, Side, Source, SourceInput};
use lazycopy_units::Instant;

impl World<'_> {
    /// Where the migration is, and for how long.
    pub(super) fn note_phase(&mut self) {
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
    pub(super) fn break_something(&mut self) -> bool {
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
                self.lose_what_is_sent();
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
