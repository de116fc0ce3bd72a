//! What can go wrong between two servers, and when.

use lazycopy_migration::Side;
use lazycopy_simulation::faults::{Phase, Way};
use std::fmt;
use std::time::Duration;

/// Something that goes wrong, or that an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShellFault {
    /// A process dies; its system closes its connections.
    Crash(Side),
    /// A process dies, and begins anew after a while: it knows nothing of before.
    Restart(Side, Duration),
    /// What the servers say to each other is held up for a while, and then delivered.
    Hold(Duration),
    /// What the servers say to each other is lost for a while.
    Partition(Duration),
    /// What is said in one direction is lost for a while.
    OneWay(Way, Duration),
    /// For a while everything between the servers takes so long.
    Delay {
        /// How long a message takes.
        takes: Duration,
        /// For how long.
        lasts: Duration,
    },
    /// The connections between the servers are reset at both ends.
    Cut,
    /// They break at one end, which the other learns by the network.
    CutAt(Side),
    /// The manager is out of reach of both servers for a while.
    HoldManager(Duration),
    /// The manager's connections with both servers are reset.
    CutManager,
    /// A user takes the migration back.
    Cancel,
    /// An operator wants the source to try again at once.
    Recover,
    /// An operator wants the source to take the guest back.
    Reclaim,
}

/// Names of faults in tables, in the order of [`ShellFault::kind`].
pub const FAULT_KINDS: [&str; 16] = [
    "crash source",
    "crash destination",
    "restart source",
    "restart destination",
    "hold",
    "partition",
    "one way forward",
    "one way back",
    "delay",
    "cut",
    "cut at one end",
    "manager out of reach",
    "manager cut",
    "cancel",
    "recover",
    "reclaim",
];

impl ShellFault {
    /// Which of [`FAULT_KINDS`] it is.
    pub fn kind(&self) -> usize {
        match self {
            ShellFault::Crash(Side::Source) => 0,
            ShellFault::Crash(Side::Destination) => 1,
            ShellFault::Restart(Side::Source, _) => 2,
            ShellFault::Restart(Side::Destination, _) => 3,
            ShellFault::Hold(_) => 4,
            ShellFault::Partition(_) => 5,
            ShellFault::OneWay(Way::Forward, _) => 6,
            ShellFault::OneWay(Way::Backward, _) => 7,
            ShellFault::Delay { .. } => 8,
            ShellFault::Cut => 9,
            ShellFault::CutAt(_) => 10,
            ShellFault::HoldManager(_) => 11,
            ShellFault::CutManager => 12,
            ShellFault::Cancel => 13,
            ShellFault::Recover => 14,
            ShellFault::Reclaim => 15,
        }
    }

    /// How long it lasts.
    pub fn lasts(&self) -> Duration {
        match self {
            ShellFault::Restart(_, lasts)
            | ShellFault::Hold(lasts)
            | ShellFault::Partition(lasts)
            | ShellFault::OneWay(_, lasts)
            | ShellFault::HoldManager(lasts) => *lasts,
            ShellFault::Delay { takes, lasts } => *takes + *lasts,
            _ => Duration::ZERO,
        }
    }

    /// Whether a process dies by it.
    pub fn kills(&self) -> Option<Side> {
        match self {
            ShellFault::Crash(side) | ShellFault::Restart(side, _) => Some(*side),
            _ => None,
        }
    }
}

impl fmt::Display for ShellFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FAULT_KINDS[self.kind()])?;
        match self {
            ShellFault::Delay { takes, lasts } => write!(f, ": {takes:?}, for {lasts:?}"),
            ShellFault::CutAt(side) => write!(f, ": {side:?}"),
            _ if self.lasts() > Duration::ZERO => write!(f, " for {:?}", self.lasts()),
            _ => Ok(()),
        }
    }
}

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// While the two servers agree on the migration.
    Agreeing,
    /// In that phase of it.
    In(Phase),
    /// A side has noticed that the link broke after the hand-over.
    Paused,
    /// The link is whole again.
    Recovered,
}

impl Moment {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Moment::Agreeing => "agreeing",
            Moment::In(phase) => phase.name(),
            Moment::Paused => "paused",
            Moment::Recovered => "recovered",
        }
    }
}

/// A fault with its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    /// It happens when this has begun,
    pub moment: Moment,
    /// so much later.
    pub after: Duration,
    /// What happens.
    pub fault: ShellFault,
}

impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {:?} later: {}", self.moment.name(), self.after, self.fault)
    }
}
