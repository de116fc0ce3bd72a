//! What the fleet refuses.

use super::MAX_GUESTS;
use crate::grammar::MAX_NAME_BYTES;
use lazycopy_migration::Outcome;
use lazycopy_protocol::control::MigrationId;

/// Why the fleet refuses something. Each names the thing and says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// No server of that name.
    #[error("there is no server \"{name}\"; {known}")]
    UnknownServer {
        /// The name.
        name: String,
        /// Those that there are, in words.
        known: String,
    },
    /// The server's connection is gone.
    #[error("server \"{name}\" is gone; start it again, or wait until it reconnects")]
    ServerGone {
        /// The name.
        name: String,
    },
    /// A connected server has that name already.
    #[error("there is a server \"{name}\" already; servers need different names")]
    DuplicateServer {
        /// The name.
        name: String,
    },
    /// A name that cannot be typed.
    #[error(
        "its name is no name: 1 to {MAX_NAME_BYTES} letters, digits, '-', '_' and '.' make one"
    )]
    BadName,
    /// A server's address is no address.
    #[error("the server's address is no HOST:PORT")]
    BadAddress,
    /// A server brings more guests than any has.
    #[error("it brings {guests} guests along, a server has at most {MAX_GUESTS}")]
    TooManyGuests {
        /// So many.
        guests: usize,
    },
    /// A guest that a server brought along has no proper name.
    #[error("a guest that the server brought along has a name with letters that names cannot have")]
    BadGuestName,
    /// A server brings a guest that another server has.
    #[error("its guest \"{vm}\" is on server \"{on}\" already")]
    GuestElsewhere {
        /// The guest.
        vm: String,
        /// Where it is.
        on: String,
    },
    /// No guest of that name.
    #[error("there is no guest \"{name}\"; {known}")]
    UnknownVm {
        /// The name.
        name: String,
        /// Those that there are, in words.
        known: String,
    },
    /// A guest has that name already.
    #[error("there is a guest \"{name}\" already, on server \"{on}\"")]
    DuplicateVm {
        /// The name.
        name: String,
        /// Where it is.
        on: String,
    },
    /// A server has too few frames left.
    #[error(
        "guest \"{vm}\" needs {needed} frames, server \"{server}\" has {free} of {frames} left"
    )]
    DoesNotFit {
        /// The guest.
        vm: String,
        /// The server.
        server: String,
        /// The guest's frames.
        needed: u64,
        /// The server's free ones.
        free: u64,
        /// The server's frames in all.
        frames: u64,
    },
    /// Source and destination are one.
    #[error("guest \"{vm}\" is on server \"{server}\" already: a migration needs another one")]
    ToItself {
        /// The guest.
        vm: String,
        /// The server.
        server: String,
    },
    /// The guest is migrating.
    #[error(
        "guest \"{vm}\" is migrating to server \"{to}\" (migration {}): wait for it, or take it \
         back with: migrate cancel {vm}", id.0
    )]
    IsMigrating {
        /// The guest.
        vm: String,
        /// The destination.
        to: String,
        /// The migration.
        id: MigrationId,
    },
    /// The guest is migrating, and the link is broken.
    #[error(
        "guest \"{vm}\" is migrating to server \"{to}\" (migration {}), and the link broke after the \
         hand-over; to go on: migrate recover {vm}; to have it back, if it never ran there: migrate \
         reclaim {vm}", id.0
    )]
    IsPaused {
        /// The guest.
        vm: String,
        /// The destination.
        to: String,
        /// The migration.
        id: MigrationId,
    },
    /// The guest is not migrating.
    #[error("guest \"{vm}\" is not migrating")]
    NotMigrating {
        /// The guest.
        vm: String,
    },
    /// The guest has been handed over.
    #[error(
        "migration {} cannot be taken back: guest \"{vm}\" was handed over and is the \
         destination's, server \"{to}\"; wait for the end with: wait {vm}", id.0
    )]
    HandedOver {
        /// The guest.
        vm: String,
        /// The destination.
        to: String,
        /// The migration.
        id: MigrationId,
    },
    /// The guest has been handed over, and the link is broken.
    #[error(
        "migration {} cannot be cancelled: guest \"{vm}\" was handed over, and the link broke since; \
         to go on: migrate recover {vm}; to have it back, if it never ran there: migrate reclaim {vm}",
        id.0
    )]
    PausedAfterHandOver {
        /// The guest.
        vm: String,
        /// The migration.
        id: MigrationId,
    },
    /// The link of the guest's migration is not broken.
    #[error(
        "migration {} of guest \"{vm}\" is not paused: there is nothing to recover or to take back; \
         before the hand-over: migrate cancel {vm}", id.0
    )]
    NotPaused {
        /// The guest.
        vm: String,
        /// The migration.
        id: MigrationId,
    },
    /// The guest's last migration is over.
    #[error("guest \"{vm}\" is not migrating: migration {} has ended: {outcome}", id.0)]
    HasEnded {
        /// The guest.
        vm: String,
        /// The migration.
        id: MigrationId,
        /// How it ended.
        outcome: Outcome,
    },
    /// The server takes no guests.
    #[error(
        "server \"{server}\" is draining and takes no guests; to have it take them again: \
             server undrain {server}"
    )]
    Draining {
        /// The server.
        server: String,
    },
    /// The server takes guests as it is.
    #[error("server \"{server}\" is not draining: it takes guests")]
    NotDraining {
        /// The server.
        server: String,
    },
    /// The server's guests are moved off already.
    #[error("server \"{server}\" is being evacuated already; wait for that, status shows it")]
    Evacuating {
        /// The server.
        server: String,
    },
    /// Guests are moved between servers already.
    #[error("{what}; wait for that, status shows it")]
    GuestsAreMoved {
        /// By what, in words.
        what: String,
    },
    /// A server is to be evacuated to itself.
    #[error("server \"{server}\" cannot be evacuated to itself")]
    EvacuatedToItself {
        /// The server.
        server: String,
    },
    /// A guest that does not run cannot be defined elsewhere.
    #[error(
        "guest \"{vm}\" does not run, and this manager has not created it and does not know what \
         it is; start it, or delete it"
    )]
    NoDefinition {
        /// The guest.
        vm: String,
    },
    /// Guests or migrations would be lost.
    #[error("{what} would be lost; to do it all the same: {command} --force")]
    WouldBeLost {
        /// What, in words.
        what: String,
        /// The command that would do it.
        command: String,
    },
}
