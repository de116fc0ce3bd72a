//! Recordings of programs.

use super::guests::spec;
use lazycopy_guest::{GuestSpec, ResidentAtStart, WorkloadSpec, open_workload, summarize_trace};
use lazycopy_units::Duration;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Accesses of a recording that are looked at.
const LOOKED_AT: u64 = 2_000;

/// A recording, plain or compressed: what a first pass counts is what the workload does.
pub fn trace(data: &[u8]) {
    let Some(file) = file() else { return };
    if fs::write(&file, data).is_err() {
        return;
    }
    let Ok(summary) = summarize_trace(&file) else { return };
    let instruction_time = Duration::from_nanos(10);
    let spec = GuestSpec {
        frames: summary.pages,
        resident_at_start: ResidentAtStart::None,
        workload: WorkloadSpec::Trace { file, instruction_time },
        ..spec(summary.pages)
    };
    spec.validate().expect("it is a recording of so many pages");
    let from = summary.accesses.saturating_sub(10);
    let mut workload = open_workload(&spec, from).expect("it was read to its end");
    let mut accesses = Vec::new();
    while (accesses.len() as u64) < LOOKED_AT {
        workload.fill(&mut accesses).expect("it was read to its end");
    }
    assert!(accesses.iter().all(|access| access.page.0 < summary.pages));
    // A lap later it is the same.
    let lap = usize::try_from(summary.accesses).unwrap_or(usize::MAX);
    for (first, later) in accesses.iter().zip(accesses.iter().skip(lap)) {
        assert_eq!((first.page, first.write), (later.page, later.write));
    }
}

/// A file of this process's own.
fn file() -> Option<PathBuf> {
    static DIRECTORY: OnceLock<Option<TempDir>> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| TempDir::new().ok());
    directory.as_ref().map(|directory| directory.path().join("trace"))
}
