//! The destination machine.

use crate::event::Event;
use crate::message::{LinkMessage, Notice, Reply};
use crate::parameters::MigrationParameters;
use crate::report::DestinationReport;
use lazycopy_guest::{Guest, GuestSpec, Timeout};
use lazycopy_units::Instant;
use std::sync::Arc;

/// What happened, for the destination.
#[derive(Clone, Debug)]
pub enum DestinationInput {
    /// A message was delivered by the link.
    Arrived(LinkMessage),
    /// A control message from the source was delivered.
    Received(Notice),
    /// What [`Destination::poll_timeout`] announced of the disk is due.
    DiskDue,
    /// The source, or the way to it, is gone.
    SourceLost {
        /// What was seen.
        reason: String,
    },
}

/// What the destination asks of its driver.
#[derive(Clone, Debug)]
pub enum DestinationOutput {
    /// Deliver this control message one latency after `at`.
    Reply {
        /// When it was said.
        at: Instant,
        /// What.
        reply: Reply,
    },
    /// Something to log.
    Event(Event),
    /// Nothing is left to count: the migration is complete, the measured accesses are completed
    /// and no counted fault is open; or the guest is lost or never came. A guest that is here
    /// goes on running.
    Ended,
}

/// The destination of a migration.
#[derive(Debug)]
pub struct Destination {}

impl Destination {
    /// A destination that waits for a guest of that definition.
    pub fn new(_spec: Arc<GuestSpec>, _parameters: MigrationParameters) -> Self {
        todo!()
    }

    /// Takes what happened at `now`.
    pub fn handle_input(&mut self, _now: Instant, _input: DestinationInput) {
        todo!()
    }

    /// Lets the guest take accesses that begin at `until` or before, at most `budget` of them. It
    /// returns early where an output is to be polled.
    pub fn run(&mut self, _until: Instant, _budget: u64) {
        todo!()
    }

    /// When the destination wants to be woken: by [`DestinationInput::DiskDue`], or by
    /// [`Destination::run`].
    pub fn poll_timeout(&self) -> Option<Timeout> {
        todo!()
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<DestinationOutput> {
        todo!()
    }

    /// The guest, once its context has arrived and unless it is lost.
    pub fn guest(&self) -> Option<&Guest> {
        todo!()
    }

    /// What was counted so far.
    pub fn report(&self) -> &DestinationReport {
        todo!()
    }

    /// The guest, running, for its ordinary life here.
    pub fn into_guest(self) -> Option<Guest> {
        todo!()
    }
}
