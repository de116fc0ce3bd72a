//! What a sweep leaves behind: `sweep.json` says what was run ([`SweepManifest`]), each line of
//! `results.jsonl` is one run ([`SweepRecord`](crate::SweepRecord)).
//!
//! A *cell* is one combination of the axes' values, numbered from 0, the last axis fastest. A
//! *contender* is what is compared in each cell. Every contender and cell sees the same seeds. The
//! runs are numbered by cell, then contender, then seed, and cut into *blocks* of about equal
//! size, which are computed and kept one by one.

use crate::directory::{ResultsError, failed};
use crate::record::{RecordError, SCHEMA_VERSION};
use lazycopy_migration::Scheme;
use serde::{Deserialize, Serialize, de};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// The manifest of a sweep, in its directory.
pub const SWEEP_FILE: &str = "sweep.json";

/// The runs of a sweep, one a line, in its directory.
pub const SWEEP_RESULTS_FILE: &str = "results.jsonl";

/// The same as a table, in its directory.
pub const SWEEP_TABLE_FILE: &str = "results.csv";

/// The finished blocks of a sweep, in its directory.
pub const SWEEP_PARTS_DIRECTORY: &str = "parts";

/// Values of the axes by their names.
pub type AxisValues = BTreeMap<String, Value>;

/// What was run: everything about a sweep but its results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepManifest {
    /// [`SCHEMA_VERSION`] of the program that ran it.
    pub schema_version: u32,
    /// Version of the program that ran it.
    pub program_version: String,
    /// A hash of all that decides the results, in hexadecimal digits: results belong to a sweep
    /// with the same fingerprint alone.
    pub fingerprint: String,
    /// The name of the sweep file, without its directory.
    pub file: String,
    /// The question: the first line of the sweep file.
    pub title: String,
    /// The preset that was asked for, if any.
    pub preset: Option<String>,
    /// What is compared; the first is the baseline.
    pub contenders: Vec<SweepContender>,
    /// The axes, the last fastest.
    pub axes: Vec<SweepAxis>,
    /// The metrics that were asked for, in the order of a record.
    pub metrics: Vec<String>,
    /// Runs of each cell and contender.
    pub seeds: u64,
    /// The first seed; the others are the numbers after it.
    pub first_seed: u64,
    /// How many runs there are in all: cells x contenders x seeds. Each is a record, or, where
    /// several guests are moved at once, one for each of them.
    pub runs: u64,
    /// How many blocks they are cut into, at least 1.
    pub blocks: u64,
    /// Every cell, by its number.
    pub cells: Vec<SweepCell>,
}

/// What is compared in each cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepContender {
    /// Its name; no two are the same.
    pub name: String,
    /// Its scheme.
    pub scheme: Scheme,
}

/// An axis: what varies from cell to cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepAxis {
    /// Its name: the key, unless the sweep file gives another.
    pub name: String,
    /// Its values; a point that sets several keys is an object.
    pub values: Vec<Value>,
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepCell {
    /// Its number, from 0.
    pub cell: u64,
    /// The value of each axis in it.
    pub axes: AxisValues,
    /// The guest's rate of touching new pages: with R pages resident at the request, R divided by
    /// the time that the reference run of the first seed takes to touch R distinct pages; where
    /// its measured accesses end before, the pages touched divided by that time. `None` where no
    /// time passes.
    pub new_pages_per_sec: Option<f64>,
    /// The link's bandwidth.
    pub bandwidth_bytes_per_sec: Option<u64>,
    /// How many guests each run moves at once, a record for each; absent for a guest by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guests: Option<u32>,
}

impl SweepManifest {
    /// Reads a manifest from its JSON.
    ///
    /// # Errors
    /// When it is none, or one of another schema version.
    pub fn from_json(text: &str) -> Result<SweepManifest, RecordError> {
        let value: Value = serde_json::from_str(text)?;
        match value.get("schema_version") {
            Some(version) if *version != SCHEMA_VERSION => {
                Err(RecordError::UnknownSchema { found: version.clone() })
            }
            _ => {
                let manifest: SweepManifest = serde_json::from_value(value)?;
                manifest.check().map_err(<serde_json::Error as de::Error>::custom)?;
                Ok(manifest)
            }
        }
    }

    /// Whether its numbers are of one sweep.
    fn check(&self) -> Result<(), String> {
        let sizes = [self.cells.len() as u64, self.contenders.len() as u64, self.seeds];
        let runs = sizes.into_iter().try_fold(1u64, u64::checked_mul);
        if runs != Some(self.runs) || self.runs == 0 {
            return Err(format!("{} runs are not cells x contenders x seeds", self.runs));
        }
        if !(1..=self.runs).contains(&self.blocks) {
            return Err(format!("{} blocks cannot hold {} runs", self.blocks, self.runs));
        }
        if self.cells.iter().any(|cell| cell.guests == Some(0)) {
            return Err("a cell has no guests".to_owned());
        }
        let numbered = self.cells.iter().zip(0..).all(|(cell, number)| cell.cell == number);
        if !numbered {
            return Err("its cells are not numbered from 0".to_owned());
        }
        Ok(())
    }

    /// The manifest as indented JSON with a line feed at its end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a manifest has string keys");
        text.push('\n');
        text
    }

    /// Reads the manifest of the sweep in a directory.
    ///
    /// # Errors
    /// When it cannot be read, or is no manifest of this schema version.
    pub fn load(directory: &Path) -> Result<SweepManifest, ResultsError> {
        let path = directory.join(SWEEP_FILE);
        let text = std::fs::read_to_string(&path).map_err(failed(&path))?;
        SweepManifest::from_json(&text).map_err(|error| ResultsError::Record { path, error })
    }

    /// The numbers of the runs of a block.
    pub fn block(&self, block: u64) -> Range<u64> {
        let bound = |block: u64| {
            let runs = u128::from(self.runs) * u128::from(block) / u128::from(self.blocks.max(1));
            u64::try_from(runs).unwrap_or(u64::MAX)
        };
        bound(block)..bound(block + 1)
    }

    /// The cell, contender (their indices) and seed of the run with that number.
    pub fn place(&self, run: u64) -> RunPlace {
        let (seeds, contenders) = (self.seeds.max(1), (self.contenders.len() as u64).max(1));
        RunPlace {
            cell: (run / seeds / contenders) as usize,
            contender: (run / seeds % contenders) as usize,
            seed: self.first_seed.saturating_add(run % seeds),
        }
    }
}

impl SweepCell {
    /// The guests of each run, as its records number them.
    pub fn guest_numbers(&self) -> impl Iterator<Item = Option<u32>> + Clone + use<> {
        let by_itself = self.guests.is_none().then_some(None);
        by_itself.into_iter().chain((0..self.guests.unwrap_or_default()).map(Some))
    }
}

/// Where a run stands in its sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunPlace {
    /// Index of the cell.
    pub cell: usize,
    /// Index of the contender.
    pub contender: usize,
    /// The seed.
    pub seed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn manifest(cells: usize, contenders: usize, seeds: u64, blocks: u64) -> SweepManifest {
        let contender =
            |index| SweepContender { name: format!("c{index}"), scheme: Scheme::PostCopy };
        let cell = |cell| SweepCell {
            cell,
            axes: AxisValues::new(),
            new_pages_per_sec: Some(0.7),
            bandwidth_bytes_per_sec: Some(8224),
            guests: None,
        };
        SweepManifest {
            schema_version: SCHEMA_VERSION,
            program_version: "0".to_owned(),
            fingerprint: "0".to_owned(),
            file: "a.toml".to_owned(),
            title: "Why?".to_owned(),
            preset: None,
            contenders: (0..contenders).map(contender).collect(),
            axes: Vec::new(),
            metrics: vec!["faults".to_owned()],
            seeds,
            first_seed: 5,
            runs: cells as u64 * contenders as u64 * seeds,
            blocks,
            cells: (0..cells as u64).map(cell).collect(),
        }
    }

    #[test]
    fn a_manifest_is_read_back() {
        let manifest = manifest(3, 2, 10, 4);
        assert_eq!(SweepManifest::from_json(&manifest.to_json()).unwrap(), manifest);
        let older = manifest.to_json().replace("\"schema_version\": 1", "\"schema_version\": 0");
        assert!(matches!(SweepManifest::from_json(&older), Err(RecordError::UnknownSchema { .. })));
    }

    proptest! {
        #[test]
        fn blocks_hold_every_run_once_in_order(
            cells in 1usize..5, contenders in 1usize..4, seeds in 1u64..30, blocks in 1u64..50,
        ) {
            let manifest = manifest(cells, contenders, seeds, blocks);
            let runs: Vec<u64> = (0..blocks).flat_map(|block| manifest.block(block)).collect();
            prop_assert_eq!(&runs, &(0..manifest.runs).collect::<Vec<_>>());
            let places: Vec<RunPlace> = runs.iter().map(|run| manifest.place(*run)).collect();
            prop_assert!(places.is_sorted() && places.windows(2).all(|two| two[0] != two[1]));
            let last = RunPlace { cell: cells - 1, contender: contenders - 1, seed: 4 + seeds };
            prop_assert_eq!(places.last(), Some(&last));
        }
    }
}
