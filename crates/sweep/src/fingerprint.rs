//! A hash of all that decides the results of a sweep.

use lazycopy_guest::WorkloadSpec;
use lazycopy_results::SweepManifest;
use lazycopy_scenario::{Scenario, ScenarioError};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names the way in which the hash is made; it changes when that does.
const KIND: &str = "lazycopy sweep 1";

/// Hexadecimal digits that are kept: 128 bits.
const DIGITS: usize = 32;

/// Of the manifest, as far as results depend on it, and of every scenario by cell and contender.
/// A recorded program counts by what its file holds, not by where it lies.
pub(crate) fn fingerprint(
    manifest: &SweepManifest,
    reference: bool,
    scenarios: &[Scenario],
) -> Result<String, ScenarioError> {
    let mut hasher = blake3::Hasher::new();
    // Each text after its length, so that no two sequences of texts are the same.
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    let SweepManifest { schema_version, program_version, seeds, first_seed, blocks, .. } = manifest;
    add(KIND);
    add(program_version);
    add(&format!("{schema_version} {seeds} {first_seed} {blocks} {reference}"));
    let json = |value: serde_json::Result<String>| value.expect("it has string keys alone");
    add(&json(serde_json::to_string(&manifest.axes)));
    add(&json(serde_json::to_string(&manifest.contenders)));
    add(&manifest.metrics.join(" "));
    let recordings = recordings(scenarios)?;
    let documents: Vec<String> =
        scenarios.par_iter().map(|scenario| document(scenario, &recordings)).collect();
    documents.iter().for_each(|document| add(document));
    let mut digits = hasher.finalize().to_hex().to_string();
    digits.truncate(DIGITS);
    Ok(digits)
}

/// The hash of each recorded program's file.
fn recordings(scenarios: &[Scenario]) -> Result<BTreeMap<&Path, String>, ScenarioError> {
    let mut hashes = BTreeMap::new();
    for scenario in scenarios {
        if let WorkloadSpec::Trace { file, .. } = &scenario.guest.workload
            && !hashes.contains_key(file.as_path())
        {
            let bytes = std::fs::read(file).map_err(|error| ScenarioError::Unreadable {
                file: file.clone(),
                problem: error.to_string(),
            })?;
            hashes.insert(file.as_path(), hash(&bytes));
        }
    }
    Ok(hashes)
}

/// The hash of a scenario's document.
fn document(scenario: &Scenario, recordings: &BTreeMap<&Path, String>) -> String {
    let WorkloadSpec::Trace { file, .. } = &scenario.guest.workload else {
        return hash(scenario.to_toml().as_bytes());
    };
    let content = PathBuf::from(&recordings[file.as_path()]);
    let mut scenario = scenario.clone();
    if let WorkloadSpec::Trace { file, .. } = &mut scenario.guest.workload {
        *file = content;
    }
    hash(scenario.to_toml().as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
