//! How model time goes: as fast as a guest's `time_scale` says, slower, or not at all.
//!
//! The manager has one [`Pace`] for all its servers. It is a state and no event: whoever learns of
//! it late, or of several changes at once, comes to the same.

use crate::control::MigrationId;
use lazycopy_units::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// The most that time can be slowed down by. At a thousand a model second of the largest scale
/// still takes a millisecond; whoever wants it slower goes step by step.
pub const MAX_SLOWER: u32 = 1_000;

/// The longest that one step can be (ten years of 365.25 days, as in scenarios).
pub const LONGEST_STEP: Duration = Duration::from_secs(10 * 31_557_600);

/// How model time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Later states have greater ones, those of a later manager, too.
    pub revision: u64,
    /// It goes so many times slower than `time_scale` says: 1 to [`MAX_SLOWER`].
    pub slower: u32,
    /// Whether it stands still.
    pub frozen: bool,
    /// By how much it has gone on in steps altogether, of which those count that were added while
    /// it stood still.
    #[serde(rename = "stepped_ns")]
    pub stepped: Duration,
}

impl Default for Pace {
    /// As `time_scale` says.
    fn default() -> Self {
        Pace { revision: 0, slower: 1, frozen: false, stepped: Duration::ZERO }
    }
}

impl Pace {
    /// Whether it goes as `time_scale` says.
    pub fn is_usual(&self) -> bool {
        !self.frozen && self.slower == 1
    }

    /// Whether it is one that a manager can ask for.
    pub fn is_valid(&self) -> bool {
        (1..=MAX_SLOWER).contains(&self.slower)
    }
}

/// What came of another pace for a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paced {
    /// Which migration.
    pub migration: MigrationId,
    /// From when on its time goes so, on both sides. Absent where its instants are the clock's,
    /// which nobody slows down: over an unlimited link.
    #[serde(rename = "from_ns")]
    pub from: Option<Instant>,
    /// The instant that it does not pass, where it stands still or goes a step.
    #[serde(rename = "until_ns")]
    pub until: Option<Instant>,
}
