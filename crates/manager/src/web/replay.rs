//! The accesses of a run's guest, made again from its scenario and seed: hits are no events, and
//! the order of a memory is made of them.

use super::failure::Failure;
use lazycopy_guest::{Access, WorkloadSpec, Write, open_workload};
use lazycopy_migration::{Event, EventKind};
use lazycopy_results::RunRecord;
use lazycopy_scenario::Scenario;
use serde_json::{Value, json};

/// Accesses that are made again at most: a page holds all of them at once.
const MOST_ACCESSES: u64 = 1 << 20;

/// The accesses of a run from its warm-up's end to the last that its events tell: `first`, the
/// number of the first of them; `pages`; and `writes`, 1 where one writes.
///
/// # Errors
/// When they cannot be made again, by what is in the way.
pub(super) fn accesses(record: &RunRecord, events: &str) -> Result<Value, Failure> {
    let text = toml::to_string(&record.scenario).map_err(Failure::internal)?;
    let scenario = Scenario::from_toml(&text, "result.json, scenario");
    let scenario = scenario.map_err(|error| Failure::refused(error.to_string()))?;
    let spec = scenario.guest_spec(record.seed);
    if let WorkloadSpec::Trace { .. } = spec.workload {
        let reason = "a recorded program's accesses are not made again";
        return Err(Failure::unknown(reason.to_owned()));
    }
    let first = scenario.warmup(record.seed);
    let count = last(events).saturating_sub(first);
    if count > MOST_ACCESSES {
        let reason = format!("{count} accesses are more than the {MOST_ACCESSES} that are shown");
        return Err(Failure::too_large(reason));
    }
    let failed = |error: lazycopy_guest::WorkloadError| Failure::refused(error.to_string());
    let mut workload = open_workload(&spec, first).map_err(failed)?;
    let mut made: Vec<Access> = Vec::new();
    while (made.len() as u64) < count {
        workload.fill(&mut made).map_err(failed)?;
    }
    made.truncate(count as usize);
    let pages: Vec<u32> = made.iter().map(|access| access.page.0).collect();
    let writes: Vec<u8> = made.iter().map(|access| u8::from(access.write != Write::None)).collect();
    Ok(json!({ "first": first, "pages": pages, "writes": writes }))
}

/// How many accesses the guest had completed when that was last told.
fn last(events: &str) -> u64 {
    let told = events.lines().filter(|line| line.contains("\"registers\""));
    let told = told.filter_map(|line| serde_json::from_str::<Event>(line).ok());
    let registers = told.filter_map(|event| match event.kind {
        EventKind::Suspended { registers, .. }
        | EventKind::Resumed { registers }
        | EventKind::Measured { registers } => Some(registers.accesses),
        _ => None,
    });
    registers.max().unwrap_or_default()
}
