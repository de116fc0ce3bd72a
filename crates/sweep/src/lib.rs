//! Sweeps: one scenario over every combination of some values, under several contenders, with the
//! same seeds each.
//!
//! ```text
//! SWEEP.toml ─> Sweep::open: cells x contenders, each scenario validated once; a fingerprint
//!                  │
//!              compute: the blocks of a shard, on all cores ─> DIR/parts/BLOCK.jsonl
//!                  │
//!              merge: every block checked ─> DIR/results.jsonl, DIR/results.csv
//! ```
//!
//! The plan is cut into blocks of runs, whatever the number of shards and threads, so that the
//! bytes of the results do not depend on them. A block is written aside and renamed: one that is
//! there is whole, and is not computed again. What was written by another version or another
//! sweep is refused by the fingerprint in `DIR/sweep.json`.

mod aside;
mod axis;
mod block;
mod compute;
mod directory;
mod error;
mod file;
mod fingerprint;
mod merge;
mod plan;
mod reference;
mod shard;
mod table;
mod touch_rate;

/// A way in for the fuzzer.
#[doc(hidden)]
pub mod fuzzing {
    use crate::error::SweepError;
    use std::path::Path;

    /// Reads the text of a sweep file, and checks its own rules.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(text: &str) -> Result<(), SweepError> {
        crate::file::SweepFile::from_toml(text, Path::new("sweep.toml"), None).map(|_| ())
    }
}

pub use aside::{Aside, AsideError, Whole, remove_leftovers};
pub use compute::{Computed, Observer, Work, compute, on_threads};
pub use error::SweepError;
pub use file::{MAX_FILE_BYTES, MAX_RUNS, MAX_SCENARIOS};
pub use merge::merge;
pub use plan::Sweep;
pub use shard::{MAX_SHARDS, Shard, ShardError};
