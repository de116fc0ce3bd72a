//! What drives the machine at the destination: it answers a source that asks, and waits for it no
//! longer than it may.

use super::fault::Way;
use super::hosts::Clock;
use super::wire::{Packet, Payload};
use super::world::World;
use lazycopy_migration::{Destination, DestinationInput, RecoveryAnswer};

impl World<'_> {
    pub(super) fn destination_clock(&mut self) {
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

    pub(super) fn at_destination(&mut self, packet: Packet) {
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
                self.taken.clear();
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
                    Payload::Link(parcel) => {
                        self.receive(&parcel);
                        self.tell_destination(DestinationInput::Arrived(parcel.message));
                        self.acknowledge();
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
