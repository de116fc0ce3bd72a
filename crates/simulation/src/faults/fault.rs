//! What can go wrong, and when.

use lazycopy_migration::Side;
use lazycopy_units::Duration;
use std::fmt;

/// How far a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The guest runs at the source while its pages are sent.
    Rounds,
    /// The guest is suspended at the source.
    Suspended,
    /// It was handed over, and its context has not arrived.
    ContextInFlight,
    /// The context has arrived, and the guest waits for the forward context's head start.
    Pushing,
    /// The guest runs at the destination, and pages of it are missing.
    Resumed,
    /// Nothing is missing; the accesses that the run measures are not completed.
    Measuring,
}

impl Phase {
    /// Every phase, in the order of a migration.
    pub const ALL: [Phase; 6] = [
        Phase::Rounds,
        Phase::Suspended,
        Phase::ContextInFlight,
        Phase::Pushing,
        Phase::Resumed,
        Phase::Measuring,
    ];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Rounds => "rounds",
            Phase::Suspended => "suspended",
            Phase::ContextInFlight => "context in flight",
            Phase::Pushing => "pushing, not resumed",
            Phase::Resumed => "resumed",
            Phase::Measuring => "measuring",
        }
    }
}

/// Which way messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From source to destination.
    Forward,
    /// From destination to source.
    Backward,
}

/// Something that goes wrong, or that an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process dies.
    Crash(Side),
    /// A process dies, and begins anew after a while: it knows nothing of before.
    Restart(Side, Duration),
    /// A process is stopped for a while; what is sent to it waits.
    Pause(Side, Duration),
    /// Nothing comes through for a while, in neither direction: what is sent is held up.
    Partition(Duration),
    /// Nothing comes through in one direction for a while.
    OneWay(Way, Duration),
    /// For a while everything takes so much longer.
    Delay {
        /// How much.
        by: Duration,
        /// For how long.
        lasts: Duration,
    },
    /// So many of the next control messages come twice.
    Duplicate(u32),
    /// The connection is cut: what is on its way is lost.
    Cut,
    /// The manager is gone: nobody tells one side that the other is dead.
    LoseManager,
    /// A user takes the migration back.
    Cancel,
}

/// Names of faults in tables, in the order of [`Fault::kind`].
pub const FAULT_KINDS: [&str; 14] = [
    "crash source",
    "crash destination",
    "restart source",
    "restart destination",
    "pause source",
    "pause destination",
    "partition",
    "one way forward",
    "one way back",
    "delay",
    "duplicate",
    "cut",
    "lose manager",
    "cancel",
];

impl Fault {
    /// Which of [`FAULT_KINDS`] it is.
    pub fn kind(&self) -> usize {
        match self {
            Fault::Crash(Side::Source) => 0,
            Fault::Crash(Side::Destination) => 1,
            Fault::Restart(Side::Source, _) => 2,
            Fault::Restart(Side::Destination, _) => 3,
            Fault::Pause(Side::Source, _) => 4,
            Fault::Pause(Side::Destination, _) => 5,
            Fault::Partition(_) => 6,
            Fault::OneWay(Way::Forward, _) => 7,
            Fault::OneWay(Way::Backward, _) => 8,
            Fault::Delay { .. } => 9,
            Fault::Duplicate(_) => 10,
            Fault::Cut => 11,
            Fault::LoseManager => 12,
            Fault::Cancel => 13,
        }
    }

    /// How long it lasts: until then the simulation promises nothing but safety.
    pub(crate) fn lasts(&self) -> Duration {
        match self {
            Fault::Restart(_, lasts)
            | Fault::Pause(_, lasts)
            | Fault::Partition(lasts)
            | Fault::OneWay(_, lasts) => *lasts,
            Fault::Delay { by, lasts } => *by + *lasts,
            _ => Duration::ZERO,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FAULT_KINDS[self.kind()])?;
        match self {
            Fault::Delay { by, lasts } => write!(f, " by {by} for {lasts}"),
            Fault::Duplicate(messages) => write!(f, " {messages} messages"),
            _ if self.lasts() > Duration::ZERO => write!(f, " for {}", self.lasts()),
            _ => Ok(()),
        }
    }
}

/// A fault with its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    /// It happens in this phase,
    pub phase: Phase,
    /// after so many steps of the simulation in it. If the phase is shorter it does not happen.
    pub after_steps: u32,
    /// What happens.
    pub fault: Fault,
}

impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, after {} steps", self.phase.name(), self.fault, self.after_steps)
    }
}
