//! Recorded programs.

use super::{Access, Workload, WorkloadError};
use lazycopy_units::Duration;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a first pass over a trace finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// Pages that it touches.
    pub pages: u32,
    /// Accesses after references to one page in a row were merged.
    pub accesses: u64,
    /// Instructions executed.
    pub instructions: u64,
}

/// Reads a trace once.
///
/// # Errors
/// The first line that is broken, or that the file cannot be read.
pub fn summarize_trace(_file: &Path) -> Result<TraceSummary, WorkloadError> {
    todo!()
}

pub(crate) struct Trace {}

impl Trace {
    pub(crate) fn open(
        _file: &Path,
        _instruction_time: Duration,
        _pages: u32,
        _position: u64,
    ) -> Result<Self, WorkloadError> {
        todo!()
    }
}

impl Workload for Trace {
    fn fill(&mut self, _batch: &mut Vec<Access>) -> Result<(), WorkloadError> {
        todo!()
    }
}
