//! What drives the machine at the source: it asks a lost destination again and again, until it may
//! wait no longer, and tells it when the guest came back.

use super::fault::Way;
use super::hosts::Clock;
use super::wire::{Packet, Payload};
use super::world::World;
use lazycopy_migration::{Reclaim, RecoveryAnswer, Source, SourceInput};

impl World<'_> {
    pub(super) fn source_clock(&mut self) {
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
        host.session.tries_at = Some(now.saturating_add(patience.retry));
        host.session.gives_up_at = Some(now.saturating_add(patience.source));
        host.session.reclaims_at = self.case.reclaim.map(|after| now.saturating_add(after));
        self.lose_what_is_sent();
        self.tell_source(SourceInput::LinkLost { reason: reason.to_owned() });
    }

    /// The link is gone from under what occupies it.
    pub(super) fn lose_what_is_sent(&mut self) {
        let runs = self.sending.drain(..).filter(|(_, parcel)| parcel.pages() > 1);
        self.wire.lost_runs += runs.count() as u64;
    }

    pub(super) fn at_source(&mut self, packet: Packet) {
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
            Payload::Taken(taken) if host.session.is_up => {
                host.session.heard_at = self.now;
                self.give_up(&taken);
            }
            _ => host.session.heard_at = self.now,
        }
    }

    /// The machine at the source has ended: the destination is told, if the guest came back.
    pub(super) fn source_ended(&mut self) {
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
