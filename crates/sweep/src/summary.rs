//! What a sweep says at a glance: means, and in how many cells each contender's is the least.

use lazycopy_results::{MetricValue, RunPlace, SweepManifest, SweepRecord};
use std::collections::BTreeMap;

/// The metrics that the summary compares; less of each is better.
pub const COMPARED: [&str; 4] =
    ["total_migration_time_ns", "downtime_ns", "stall_time_ns", "faults"];

const METRICS: usize = COMPARED.len();

/// What a sweep says at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// What was run.
    pub manifest: SweepManifest,
    /// Each contender, in the manifest's order.
    pub contenders: Vec<Means>,
    /// Cells in which every run of every contender completed, by metric of [`COMPARED`]: wins are
    /// counted in these alone.
    pub compared_cells: [u64; METRICS],
    /// Runs whose guest differs from its reference run: there should be none.
    pub mismatches: u64,
}

/// One contender over all cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Means {
    /// Its name.
    pub contender: String,
    /// Its runs.
    pub runs: u64,
    /// Of these, those known to have completed, or not known not to.
    pub completed: u64,
    /// Means over the completed runs, by metric of [`COMPARED`]; `None` where none was written.
    pub means: [Option<f64>; METRICS],
    /// In how many cells its mean is the least, by metric of [`COMPARED`].
    pub wins: [Wins; METRICS],
}

/// In how many cells a contender's mean is the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wins {
    /// Less than every other's.
    pub alone: u64,
    /// As little as another's.
    pub shared: u64,
}

/// Sums over the runs of a cell and contender.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    runs: u64,
    completed: u64,
    counted: [u64; METRICS],
    sums: [u128; METRICS],
}

/// Sums by cell and contender, exact, so that they do not depend on the order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    sums: BTreeMap<(usize, usize), Sums>,
    mismatches: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, place: RunPlace, record: &SweepRecord) {
        self.mismatches += u64::from(record.digest_matches == Some(false));
        let sums = self.sums.entry((place.cell, place.contender)).or_default();
        sums.runs += 1;
        if record.completed() == Some(false) {
            return;
        }
        sums.completed += 1;
        for (index, metric) in COMPARED.into_iter().enumerate() {
            if let Some(MetricValue::Integer(value)) = record.metric(metric) {
                sums.counted[index] += 1;
                sums.sums[index] += u128::from(*value);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Tally) {
        self.mismatches += other.mismatches;
        for (place, sums) in other.sums {
            self.sums.entry(place).or_default().merge(&sums);
        }
    }

    fn of(&self, cell: usize, contender: usize) -> Sums {
        self.sums.get(&(cell, contender)).copied().unwrap_or_default()
    }
}

impl Sums {
    fn merge(&mut self, other: &Sums) {
        self.runs += other.runs;
        self.completed += other.completed;
        for index in 0..METRICS {
            self.counted[index] += other.counted[index];
            self.sums[index] += other.sums[index];
        }
    }
}

impl Summary {
    pub(crate) fn of(manifest: SweepManifest, tally: &Tally) -> Summary {
        let count = manifest.contenders.len();
        let cells = 0..manifest.cells.len();
        let mut contenders: Vec<Means> = (0..count)
            .map(|contender| {
                let mut all = Sums::default();
                cells.clone().for_each(|cell| all.merge(&tally.of(cell, contender)));
                let mean = |index: usize| {
                    let counted = all.counted[index];
                    (counted > 0).then(|| all.sums[index] as f64 / counted as f64)
                };
                Means {
                    contender: manifest.contenders[contender].name.clone(),
                    runs: all.runs,
                    completed: all.completed,
                    means: std::array::from_fn(mean),
                    wins: [Wins::default(); METRICS],
                }
            })
            .collect();
        let mut compared_cells = [0; METRICS];
        for cell in cells {
            let sums: Vec<Sums> = (0..count).map(|contender| tally.of(cell, contender)).collect();
            for (index, compared) in compared_cells.iter_mut().enumerate() {
                if sums.iter().any(|one| one.counted[index] < one.runs) {
                    continue;
                }
                *compared += 1;
                let least = sums.iter().map(|one| one.sums[index]).min();
                let winners: Vec<usize> =
                    (0..count).filter(|it| Some(sums[*it].sums[index]) == least).collect();
                for winner in &winners {
                    let wins = &mut contenders[*winner].wins[index];
                    match winners.len() {
                        1 => wins.alone += 1,
                        _ => wins.shared += 1,
                    }
                }
            }
        }
        Summary { manifest, contenders, compared_cells, mismatches: tally.mismatches }
    }
}
