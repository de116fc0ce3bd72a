//! At which instant of model time each phase of each scheme is struck: the middle of the phase, as the
//! same scenario has it in virtual time.

use super::cell::{Cell, Phase};
use crate::common::manager;
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

/// What every guest is created with. A latency of the link takes 100 ms of wall time.
const GUEST: &str = "--set time_scale=40 --set measured_accesses=20 --set link.latency=4s \
                     --set guest.write_fraction=0.3 --set disk.latency_source=1s \
                     --set disk.latency_destination=1s --set migration.recover_within=15s";

/// A warm-up that takes some tenths of a second of a processor.
const LONG_WARM_UP: &str = "--set warmup_accesses=1000000";

/// Settings of the guest of a cell. Where the hand-over would follow the suspension at once, the
/// checkpoint lies between.
pub fn guest(phase: Phase) -> String {
    match phase {
        Phase::WarmUp => format!("{GUEST} {LONG_WARM_UP}"),
        Phase::Suspended => format!("{GUEST} --set migration.checkpoint=true"),
        _ => GUEST.to_owned(),
    }
}

/// The instant, in nanoseconds of model time. Of phases before it begins there is none.
pub fn instant(cell: Cell) -> Result<Option<u64>, String> {
    let (from, to) = match cell.phase {
        Phase::WarmUp | Phase::Offer => return Ok(None),
        Phase::Rounds => ("round_began", "suspended"),
        Phase::Suspended => ("suspended", "handover"),
        Phase::HandedOver => ("handover", "resumed"),
        Phase::Pushing => ("resumed", "completed"),
        Phase::Completed => ("completed", "released"),
    };
    let directory = TempDir::new().map_err(|error| error.to_string())?;
    let mut arguments = vec!["simulate", "paper", "--scheme", cell.scheme.name, "--events"];
    let settings = guest(cell.phase);
    arguments.extend(settings.split_whitespace());
    let done = manager(directory.path(), &arguments);
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    let events = directory.path().join(format!("results/events/{}-seed1.jsonl", cell.scheme.name));
    let text = fs::read_to_string(&events).map_err(|error| error.to_string())?;
    let at = |kind: &str| -> Result<u64, String> {
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_kind = |event: &Value| event["event"] == kind;
        let found = events.filter(of_kind).find_map(|event| event["at_ns"].as_u64());
        found.ok_or_else(|| format!("{cell}: in virtual time nothing is {kind}"))
    };
    let (from, to) = (at(from)?, at(to)?);
    if to <= from {
        return Err(format!("{cell}: in virtual time this phase takes no time"));
    }
    Ok(Some(from + (to - from) / 2))
}
