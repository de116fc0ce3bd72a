//! The accesses of a run's guest, made again from its scenario and seed: hits are no events, and
//! the order of a memory is made of them.

use lazycopy_guest::{Access, WorkloadError, WorkloadSpec, Write, open_workload};
use lazycopy_migration::{Event, EventKind};
use lazycopy_results::RunRecord;
use lazycopy_scenario::{Scenario, ScenarioError};
use serde::Serialize;

/// Why a guest's accesses are not made again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessesError {
    #[error("a recorded program's accesses are not made again")]
    Recorded,
    #[error("{count} accesses are more than the {most} that are shown")]
    TooMany { count: u64, most: u64 },
    #[error(transparent)]
    Scenario(#[from] Box<ScenarioError>),
    #[error("result.json, scenario: {0}")]
    NoToml(#[from] toml::ser::Error),
    #[error(transparent)]
    Workload(#[from] WorkloadError),
}

/// Accesses one after another.
#[derive(Debug, Serialize)]
pub(crate) struct Accesses {
    /// The number of the first of them.
    pub first: u64,
    /// Their pages.
    pub pages: Vec<u32>,
    /// 1 where one writes.
    pub writes: Vec<u8>,
}

/// The scenario of a run.
pub(crate) fn scenario(record: &RunRecord) -> Result<Scenario, AccessesError> {
    let text = toml::to_string(&record.scenario)?;
    Ok(Scenario::from_toml(&text, "result.json, scenario").map_err(Box::new)?)
}

/// The accesses of a run from its warm-up's end to the last that its events tell.
pub(crate) fn accesses<'a>(
    record: &RunRecord,
    events: impl IntoIterator<Item = &'a Event>,
    most: u64,
) -> Result<Accesses, AccessesError> {
    let scenario = scenario(record)?;
    let first = scenario.warmup(record.seed);
    made(&scenario, record.seed, first, last(events).saturating_sub(first), most)
}

/// The pages of the next accesses after so many.
pub(crate) fn upcoming(
    record: &RunRecord,
    after: u64,
    count: u64,
) -> Result<Vec<u32>, AccessesError> {
    Ok(made(&scenario(record)?, record.seed, after, count, count)?.pages)
}

fn made(
    scenario: &Scenario,
    seed: u64,
    first: u64,
    count: u64,
    most: u64,
) -> Result<Accesses, AccessesError> {
    let spec = scenario.guest_spec(seed);
    if let WorkloadSpec::Trace { .. } = spec.workload {
        return Err(AccessesError::Recorded);
    }
    if count > most {
        return Err(AccessesError::TooMany { count, most });
    }
    let mut workload = open_workload(&spec, first)?;
    let mut made: Vec<Access> = Vec::new();
    while (made.len() as u64) < count {
        workload.fill(&mut made)?;
    }
    made.truncate(count as usize);
    Ok(Accesses {
        first,
        pages: made.iter().map(|access| access.page.0).collect(),
        writes: made.iter().map(|access| u8::from(access.write != Write::None)).collect(),
    })
}

/// How many accesses the guest had completed when that was last told.
fn last<'a>(events: impl IntoIterator<Item = &'a Event>) -> u64 {
    let registers = events.into_iter().filter_map(|event| match event.kind {
        EventKind::Suspended { registers, .. }
        | EventKind::Resumed { registers }
        | EventKind::Measured { registers } => Some(registers.accesses),
        _ => None,
    });
    registers.max().unwrap_or_default()
}
