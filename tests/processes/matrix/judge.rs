//! What must hold when a cell is over, whatever the programs do about its failure: the guarantees of the
//! model, as far as they can be seen from outside.

use super::cell::{Cell, Fault, Phase};
use super::laboratory::{Laboratory, PROMPT};
use crate::common::{LOOK_AGAIN, result};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::Instant;

/// A quick way to the third server, and five accesses there: a guest that lost or mixed up anything
/// is not what its reference run is.
const TO_REFUGE: &str = "migrate v --to c --scheme stop-and-copy --set link.bandwidth=1GB/s \
                         --set link.latency=400ms --set measured_accesses=5 --wait";

/// How a migration ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its outcome; `refused` where there was none.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// Which guarantees were broken.
    pub broken: Vec<String>,
}

/// The outcomes that the guarantees allow. A link that is dead is found out after a while, and the
/// guest may have been handed over meanwhile.
pub fn allowed(cell: Cell, was_handed_over: bool) -> Vec<&'static str> {
    use Fault as F;
    let is_silent = matches!(cell.fault, F::Silence | F::CutOff);
    let before = cell.phase.is_before_the_hand_over() && !(is_silent && was_handed_over);
    let mut allowed = match (cell.fault, cell.phase) {
        // Nothing is left to fail: the destination has it all.
        (
            F::KillSource | F::StopSource | F::StopDestination | F::Cut | F::CutOff | F::Silence,
            Phase::Completed,
        ) => vec!["completed"],
        (F::KillSource, _) if before => vec!["lost"],
        (F::KillDestination, _) if before => vec!["failed"],
        // The shared disk may have what is missing.
        (F::KillSource, _) => vec!["completed", "lost"],
        // By an operator's word, where the source can prove that the guest never ran there.
        (F::KillDestination, Phase::HandedOver) => vec!["lost", "failed"],
        (F::KillDestination, _) => vec!["lost"],
        (F::StopSource | F::StopDestination | F::Cut | F::CutOff | F::Silence, _) if before => {
            vec!["completed", "failed"]
        }
        // What is not found again: the guest may be taken back as long as it never ran there.
        (F::CutOff, phase) if phase != Phase::Pushing => vec!["completed", "lost", "failed"],
        (F::CutOff, _) => vec!["completed", "lost"],
        // A link that comes back costs time alone.
        (F::StopSource | F::StopDestination | F::Cut | F::Silence, _) => vec!["completed"],
        // These cost time and nothing else.
        (F::KillManager | F::StopManager | F::PauseSource | F::PauseDestination | F::Delay, _) => {
            vec!["completed"]
        }
    };
    let may_be_refused = !matches!(cell.fault, F::PauseSource | F::PauseDestination | F::Delay);
    if cell.phase.is_before_the_beginning() && may_be_refused {
        allowed.push("refused");
    }
    allowed
}

/// Looks at everything that can be seen.
pub fn judge(laboratory: &mut Laboratory, cell: Cell, waited: &Output) -> Ending {
    let told = String::from_utf8_lossy(&waited.stderr).trim().to_owned();
    let mut broken = Vec::new();
    // Then who waited was told that nobody knows: what came of it shows later.
    let was_unknown = told.contains("has not answered since");
    if was_unknown && let Err(error) = await_rest(laboratory) {
        broken.push(error);
    }
    let listed = laboratory.json("results").map_err(|error| broken.push(error));
    let listed = listed.as_ref().ok().and_then(|it| it["results"].as_array());
    let entry = listed.and_then(|all| all.iter().rfind(|it| it["vm"] == "v").cloned());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (outcome, reason) = match &entry {
        Some(entry) => (text(&entry["result"]["outcome"]), text(&entry["result"]["reason"])),
        None => ("refused".to_owned(), told.clone()),
    };
    let allowed =
        allowed(cell, entry.is_some() && count(&laboratory.runs(), "source", "handover") > 0);
    if !allowed.contains(&&*outcome) {
        broken.push(format!("the outcome is {outcome}, may be {}", allowed.join(" or ")));
    }
    if reason.is_empty() {
        broken.push("no reason is named".to_owned());
    }
    if waited.status.success() != (outcome == "completed" && !was_unknown) {
        broken.push(format!("it is {outcome}, and {} ({told})", waited.status));
    }
    let is_told = was_unknown || told.contains(&outcome);
    if outcome != "completed" && outcome != "refused" && !is_told {
        broken.push(format!("who waits is not told that it is {outcome}: {told}"));
    }
    if entry.is_some() {
        broken.extend(wrong_in_files(laboratory, &outcome));
    }
    let place = await_place(laboratory, cell, &outcome, &mut broken);
    if place {
        broken.extend(wrong_on_a_journey(laboratory));
    }
    for (name, log) in laboratory.logs() {
        broken.extend(
            log.lines()
                .filter(|it| it.contains("panicked at"))
                .map(|line| format!("{name}: {line}")),
        );
    }
    Ending { outcome, reason, broken }
}

/// Waits until the source has done what it was told before it hung, or has said that it will not.
fn await_rest(laboratory: &Laboratory) -> Result<(), String> {
    laboratory.await_that("what was told before is done", || {
        let status = laboratory.json("status")?;
        let none = |key: &str| status[key].as_array().is_some_and(Vec::is_empty);
        let servers = status["servers"].as_array().into_iter().flatten();
        let mut answering = servers.map(|it| it["silent_since_unix_ms"].is_null());
        Ok(none("migrations") && answering.all(|answers| answers))
    })
}

/// How many events of a kind the side told of.
fn count(runs: &[PathBuf], side: &str, kind: &str) -> usize {
    let Some(run) = runs.first() else { return 0 };
    let events = fs::read_to_string(run.join("events.jsonl")).unwrap_or_default();
    let events = events.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok());
    events.filter(|event| event["event"] == kind && event["side"] == side).count()
}

/// What is wrong in the run's files.
fn wrong_in_files(laboratory: &Laboratory, outcome: &str) -> Vec<String> {
    let runs = laboratory.runs();
    let [run] = &runs[..] else { return vec![format!("one run was expected: {runs:?}")] };
    let mut wrong = Vec::new();
    let result = result(run);
    if result["outcome"] != outcome {
        wrong.push(format!("result.json says {}, results {outcome}", result["outcome"]));
    }
    if outcome == "completed" && result["digest_matches"] != true {
        wrong.push("the guest differs from its reference run".to_owned());
    }
    let count = |side: &str, kind: &str| count(&runs, side, kind);
    let returned = count("source", "returned");
    if returned > 0 && count("destination", "resumed") > 0 {
        wrong.push("the guest was resumed at the destination and went on at the source".to_owned());
    }
    if outcome == "failed" && count("source", "handover") > returned {
        wrong.push("the guest was handed over, did not return, and is said to have".to_owned());
    }
    for (side, kind) in [("source", "handover"), ("destination", "resumed")] {
        if count(side, kind) > 1 {
            wrong.push(format!("{kind}: more than once"));
        }
    }
    wrong
}

/// Waits until the guest is where that outcome says, by the servers' own words and the manager's.
/// Returns whether it is anywhere.
fn await_place(
    laboratory: &mut Laboratory,
    cell: Cell,
    outcome: &str,
    broken: &mut Vec<String>,
) -> bool {
    let expected: &[(&str, &str)] = match outcome {
        "completed" => &[("b", "running")],
        "lost" => &[],
        "refused" if cell.fault == Fault::KillSource => &[],
        "refused" => &[("a", "created")],
        _ => &[("a", "running")],
    };
    let deadline = Instant::now() + PROMPT;
    loop {
        let said = laboratory.said_by_servers("v");
        if said.iter().filter(|(_, phase)| phase == "running").count() > 1 {
            broken.push(format!("two servers run the guest: {said:?}"));
            return false;
        }
        let vms = laboratory.json("vm list").unwrap_or_default();
        let vms = vms["vms"].as_array().into_iter().flatten();
        let known: Vec<&str> =
            vms.filter(|it| it["vm"]["vm"] == "v").filter_map(|it| it["server"].as_str()).collect();
        let is_there = said.iter().map(|(server, phase)| (*server, phase.as_str()));
        if is_there.eq(expected.iter().copied())
            && known.iter().eq(expected.iter().map(|(server, _)| server))
        {
            return !expected.is_empty();
        }
        if Instant::now() > deadline {
            broken.push(format!(
                "it is {outcome}, and the guest is not at {expected:?}: the servers say {said:?}, \
                 the manager {known:?}"
            ));
            return false;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Moves the guest once more, without failures: it has to be whole.
fn wrong_on_a_journey(laboratory: &Laboratory) -> Vec<String> {
    match laboratory.json(TO_REFUGE) {
        Ok(run) if run["outcome"] == "completed" && run["digest_matches"] == true => Vec::new(),
        Ok(run) => vec![format!(
            "moved on, it is {}, digest_matches {}",
            run["outcome"], run["digest_matches"]
        )],
        Err(error) => vec![format!("it cannot be moved on: {error}")],
    }
}
