//! What a guest takes along, and what can be seen of it.

use lazycopy_units::PageNumber;
use serde::{Deserialize, Serialize};

/// The registers of a guest: all that it takes along besides its pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    /// Completed accesses; also the program counter, the index of the next access.
    pub accesses: u64,
    /// Running hash over what every access saw.
    pub digest: u64,
    /// Misses since the start.
    pub misses: u64,
}

/// A page in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResidentPage {
    /// Which page.
    pub page: PageNumber,
    /// Its stamp.
    pub stamp: u64,
    /// Whether it differs from what the disk has.
    pub dirty: bool,
}

/// What can be seen of a guest at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuestSnapshot {
    /// Its registers.
    pub registers: Registers,
    /// Pages that it can address.
    pub pages: u32,
    /// Frames of its memory.
    pub frames: u32,
    /// How many of its pages are in memory.
    pub resident_count: u32,
    /// The first of them, from least to most recently used; all, where the limit of the call
    /// allowed it.
    pub resident: Vec<ResidentPage>,
    /// Misses per access since the start; absent before the first access.
    pub miss_ratio: Option<f64>,
    /// Misses per access over the last [`RECENT_ACCESSES`](crate::RECENT_ACCESSES).
    pub recent_miss_ratio: Option<f64>,
}
