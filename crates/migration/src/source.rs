//! The source machine.

use crate::event::Event;
use crate::message::{LinkMessage, Notice, Reply};
use crate::parameters::MigrationParameters;
use crate::report::SourceReport;
use lazycopy_guest::{Guest, Timeout};
use lazycopy_units::Instant;

/// What happened, for the source.
#[derive(Clone, Debug)]
pub enum SourceInput {
    /// The migration was asked for. The guest is suspended, or the rounds begin.
    Requested,
    /// The message that occupied the link has left it.
    Transmitted,
    /// The link is free and [`Source::wants_link`] said that something waits: after all else that
    /// happens at an instant.
    LinkFree,
    /// What [`Source::poll_timeout`] announced of the disk is due.
    DiskDue,
    /// A message from the destination was delivered.
    Received(Reply),
    /// A user takes the migration back. Refused (ignored) after the hand-over.
    Cancelled {
        /// The user's reason.
        reason: String,
    },
    /// The destination, or the way to it, is gone.
    DestinationLost {
        /// What was seen.
        reason: String,
    },
}

/// What the source asks of its driver.
#[derive(Clone, Debug)]
pub enum SourceOutput {
    /// Occupy the link with this message from `at` on.
    Transmit {
        /// When.
        at: Instant,
        /// What.
        message: LinkMessage,
    },
    /// Deliver this control message one latency after `at`.
    Notify {
        /// When it was said.
        at: Instant,
        /// What.
        notice: Notice,
    },
    /// Something to log.
    Event(Event),
    /// Nothing more will happen here: the guest was released, or has returned.
    Ended,
}

/// The source of a migration.
#[derive(Debug)]
pub struct Source {}

impl Source {
    /// A source that holds `guest`, which runs or is suspended, until the migration is asked for.
    pub fn new(_guest: Guest, _parameters: MigrationParameters) -> Self {
        todo!()
    }

    /// Takes what happened at `now`.
    pub fn handle_input(&mut self, _now: Instant, _input: SourceInput) {
        todo!()
    }

    /// Lets the context that runs here take accesses that begin at `until` or before, at most
    /// `budget` of them. It returns early where an output is to be polled.
    pub fn run(&mut self, _until: Instant, _budget: u64) {
        todo!()
    }

    /// When the source wants to be woken: by [`SourceInput::DiskDue`], or by [`Source::run`].
    pub fn poll_timeout(&self) -> Option<Timeout> {
        todo!()
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<SourceOutput> {
        todo!()
    }

    /// Whether something waits for the link.
    pub fn wants_link(&self) -> bool {
        todo!()
    }

    /// Whether the point of no return has been passed.
    pub fn has_handed_over(&self) -> bool {
        todo!()
    }

    /// The guest, while the source holds it as the guest (before the hand-over, or returned).
    pub fn guest(&self) -> Option<&Guest> {
        todo!()
    }

    /// What was counted so far.
    pub fn report(&self) -> &SourceReport {
        todo!()
    }

    /// The guest, if it is here, running or suspended as it was.
    pub fn into_guest(self) -> Option<Guest> {
        todo!()
    }
}
