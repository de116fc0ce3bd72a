//! A hash of all that decides the results of a sweep.

use lazycopy_guest::WorkloadSpec;
use lazycopy_results::SweepManifest;
use lazycopy_scenario::{Scenario, ScenarioError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names the way in which the hash is made; it changes when that does.
const KIND: &str = "lazycopy sweep 1";

/// Hexadecimal digits that are kept: 128 bits.
const DIGITS: usize = 32;

pub(crate) struct Fingerprint {
    hasher: blake3::Hasher,
    recordings: BTreeMap<PathBuf, String>,
}

impl Fingerprint {
    /// Of the manifest, as far as results depend on it, and of every scenario by cell and
    /// contender. A recorded program counts by what its file holds, not by where it lies.
    pub(crate) fn of(
        manifest: &SweepManifest,
        reference: bool,
        scenarios: &[Scenario],
    ) -> Result<String, ScenarioError> {
        let mut fingerprint =
            Fingerprint { hasher: blake3::Hasher::new(), recordings: BTreeMap::new() };
        let SweepManifest { schema_version, program_version, seeds, first_seed, blocks, .. } =
            manifest;
        fingerprint.add(KIND);
        fingerprint.add(program_version);
        fingerprint.add(&format!("{schema_version} {seeds} {first_seed} {blocks} {reference}"));
        let json = |value: serde_json::Result<String>| value.expect("it has string keys alone");
        fingerprint.add(&json(serde_json::to_string(&manifest.axes)));
        fingerprint.add(&json(serde_json::to_string(&manifest.contenders)));
        fingerprint.add(&manifest.metrics.join(" "));
        for scenario in scenarios {
            fingerprint.add_scenario(scenario)?;
        }
        let mut digits = fingerprint.hasher.finalize().to_hex().to_string();
        digits.truncate(DIGITS);
        Ok(digits)
    }

    /// A text, after its length, so that no two sequences of texts are the same.
    fn add(&mut self, text: &str) {
        self.hasher.update(&(text.len() as u64).to_le_bytes());
        self.hasher.update(text.as_bytes());
    }

    fn add_scenario(&mut self, scenario: &Scenario) -> Result<(), ScenarioError> {
        let WorkloadSpec::Trace { file, .. } = &scenario.guest.workload else {
            self.add(&scenario.to_toml());
            return Ok(());
        };
        let content = self.recording(file)?;
        let mut scenario = scenario.clone();
        if let WorkloadSpec::Trace { file, .. } = &mut scenario.guest.workload {
            *file = PathBuf::from(content);
        }
        self.add(&scenario.to_toml());
        Ok(())
    }

    fn recording(&mut self, file: &Path) -> Result<String, ScenarioError> {
        if let Some(hash) = self.recordings.get(file) {
            return Ok(hash.clone());
        }
        let bytes = std::fs::read(file).map_err(|error| ScenarioError::Unreadable {
            file: file.to_owned(),
            problem: error.to_string(),
        })?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        self.recordings.insert(file.to_owned(), hash.clone());
        Ok(hash)
    }
}
