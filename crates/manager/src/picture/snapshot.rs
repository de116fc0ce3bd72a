//! What the page is told: the state of the fleet as one document.

use lazycopy_migration::{Outcome, PageCounts, Scheme};
use lazycopy_protocol::control::{MemoryDensity, MigrationId, Pause, VmPhase};
use serde::Serialize;

/// The fleet. The document has a version and the time besides.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Snapshot {
    /// Where results go.
    pub results: String,
    pub pace: PaceView,
    pub servers: Vec<ServerView>,
    pub vms: Vec<VmView>,
    /// Those that run and the last that ended, in the order of their beginning.
    pub migrations: Vec<MigrationView>,
}

impl Snapshot {
    /// The document without its version and its time.
    pub(crate) fn body(&self) -> String {
        // Every key is text and every number finite or null: nothing in it can fail.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// How time goes on all servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PaceView {
    pub frozen: bool,
    pub slower: u32,
}

impl Default for PaceView {
    fn default() -> Self {
        PaceView { frozen: false, slower: 1 }
    }
}

/// A server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ServerView {
    pub name: String,
    pub address: String,
    pub pid: u32,
    pub frames: u64,
    pub frames_taken: u64,
    pub state: ServerState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServerState {
    Ready,
    Draining,
    /// Its connection stands, and it does not answer.
    Silent,
    /// Its connection is gone, and it is waited for.
    Away,
    Gone,
}

/// A guest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct VmView {
    pub name: String,
    pub server: String,
    pub phase: VmPhase,
    pub pages: u32,
    pub frames: u32,
    pub accesses: u64,
    pub miss_ratio: Option<f64>,
    pub recent_miss_ratio: Option<f64>,
    pub real_memory: bool,
    pub memory: Option<MemoryView>,
    pub migration: Option<MigrationId>,
}

/// A migration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct MigrationView {
    pub id: MigrationId,
    pub vm: String,
    pub source: String,
    pub destination: String,
    pub scheme: Scheme,
    pub time_scale: u64,
    pub phase: MigrationPhase,
    pub outcome: Option<Outcome>,
    pub reason: Option<String>,
    pub pause: Option<Pause>,
    pub started_unix_ms: u64,
    pub model_ns: u64,
    pub arrived: PageCounts,
    pub expected: Option<u64>,
    pub bytes: u64,
    pub faults_remote: u64,
    pub faults_disk: u64,
    /// The fault that blocks the guest now is in it.
    pub stall_ns: u64,
    pub fault: Option<FaultView>,
    pub progress: f64,
    pub left_ns: Option<u64>,
    pub forward_accesses: Option<u64>,
    pub following_accesses: Option<u64>,
    /// Model instants and bytes per second.
    pub link: Vec<(u64, f64)>,
    /// Model instants and misses per access.
    pub misses: Vec<(u64, f64)>,
    pub source_memory: Option<MemoryView>,
    pub destination_memory: Option<MemoryView>,
    /// Its run directory, below the results.
    pub directory: Option<String>,
    /// The last events in words; the page makes its own.
    #[serde(skip)]
    pub events: Vec<String>,
}

/// A page fault of a migration that blocks its guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FaultView {
    pub page: u32,
    /// The model instant of its beginning.
    pub since_ns: u64,
}

/// How far a migration is, by its steps; none is gone back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MigrationPhase {
    /// The servers agree with each other.
    Preparing,
    /// Pages are sent while the guest runs at the source.
    Rounds,
    /// The guest runs nowhere.
    Down,
    /// The guest runs at the destination, and pages are missing.
    Pushing,
    /// Nothing is missing; the measured accesses are not over.
    Measuring,
    /// It is over.
    Ended,
}

/// A guest's memory on one server.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(crate) enum MemoryView {
    /// Frame by frame, from least to most recently used.
    Cells { frames: u32, cells: Vec<Cell> },
    /// Shares of ranges of page numbers.
    Density { pages: u32, frames: u32, resident: Vec<f32>, by_cause: Causes },
}

/// A page in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cell {
    pub page: u32,
    pub dirty: bool,
    pub cause: CellCause,
    /// The lane that it has left the source by, at the source of a migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<CellCause>,
}

/// What brought a page into a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CellCause {
    /// It was there before, or the guest brought it in by itself.
    Own,
    Round,
    Background,
    Forward,
    Demand,
    /// A page fault of the migration, ended by a load from the disk.
    Disk,
}

/// Shares of the pages that have arrived, by cause; empty where nothing arrives.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Causes {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub round: Vec<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub background: Vec<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forward: Vec<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub demand: Vec<f32>,
}

impl MemoryView {
    /// A large memory.
    pub(crate) fn density(pages: u32, frames: u32, density: &MemoryDensity) -> Self {
        let MemoryDensity { resident, round, background, forward, demand } = density.clone();
        let by_cause = Causes { round, background, forward, demand };
        MemoryView::Density { pages, frames, resident, by_cause }
    }
}
