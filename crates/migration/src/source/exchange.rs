//! What the source machine is told, and what it asks for.

use crate::event_log::EventRun;
use crate::message::{LinkMessage, Notice, Reply};
use lazycopy_units::Instant;

/// What happened, for the source.
#[derive(Clone, Debug)]
pub enum SourceInput {
    /// The migration was asked for: the guest is suspended, or the rounds begin.
    Requested,
    /// The message that occupied the link has left it.
    Transmitted,
    /// The link is free and [`wants_link`](super::Source::wants_link) said that something waits: at the later of the
    /// two instants, after all else that happens then.
    LinkFree {
        /// How many pages may go at once, at least 1; a modelled link takes one.
        room: u32,
    },
    /// A way of their own is free for the pages of the demand and forward lanes, and
    /// [`wants_urgent_link`](super::Source::wants_urgent_link) said that one waits. For drivers
    /// that have such a way besides the link.
    UrgentLinkFree,
    /// What [`poll_timeout`](super::Source::poll_timeout) announced of the disk is due.
    DiskDue,
    /// A message from the destination was delivered.
    Received(Reply),
    /// A user takes the migration back. Without effect after the hand-over.
    Cancelled {
        /// The user's reason.
        reason: String,
    },
    /// The destination, or the way to it, is gone. Before the hand-over the guest goes on here;
    /// after it the source never runs it again by itself.
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
    Event(EventRun),
    /// Nothing more will happen here: the guest was released, has returned, or is lost.
    Ended,
}
