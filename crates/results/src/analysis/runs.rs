//! The runs of one cell, as they come, until the cell is whole.

use super::cell::{CellAnalysis, CellMeasure, ContenderFigures, Pair, RunCounts};
use crate::measure::Measure;
use crate::statistics::{Difference, Paired, Quantiles, Summary};
use crate::sweep::{RunPlace, SweepCell};
use crate::sweep_record::SweepRecord;

/// The runs of one cell.
pub(super) struct CellRuns<'a> {
    measures: &'a [Measure],
    /// By contender, in the order of the seeds.
    runs: Vec<Vec<Run>>,
}

/// A run. Where it moves several guests they share its link and are not independent, so that its
/// value of a measure is their mean: the run is what is drawn.
struct Run {
    seed: u64,
    guests: u32,
    incomplete: bool,
    differing: bool,
    /// By measure: the sum over the guests.
    sums: Vec<Option<f64>>,
}

impl<'a> CellRuns<'a> {
    pub(super) fn new(contenders: usize, measures: &'a [Measure]) -> Self {
        CellRuns { measures, runs: (0..contenders).map(|_| Vec::new()).collect() }
    }

    /// Takes a record, which is of the run at that place.
    pub(super) fn add(&mut self, place: RunPlace, record: &SweepRecord) {
        let incomplete = record.completed() == Some(false);
        let differing = !incomplete && record.digest_matches == Some(false);
        let values = self.measures.iter().map(|measure| measure.value_in_sweep(record));
        let runs = &mut self.runs[place.contender];
        match runs.last_mut().filter(|run| run.seed == place.seed) {
            Some(run) => {
                run.guests += 1;
                run.incomplete |= incomplete;
                run.differing |= differing;
                for (sum, value) in run.sums.iter_mut().zip(values) {
                    *sum = sum.zip(value).map(|(sum, value)| sum + value);
                }
            }
            None => runs.push(Run {
                seed: place.seed,
                guests: 1,
                incomplete,
                differing,
                sums: values.collect(),
            }),
        }
    }

    /// What the cell says, its differences not corrected for those of other cells.
    pub(super) fn finish(&self, cell: &SweepCell) -> CellAnalysis {
        let measure = |(index, measure): (usize, &Measure)| {
            let values: Vec<Vec<Option<f64>>> = self
                .runs
                .iter()
                .map(|runs| runs.iter().map(|run| run.value(index)).collect())
                .collect();
            CellMeasure {
                measure: *measure,
                figures: values.iter().map(|values| figures(values)).collect(),
                pairs: pairs(&values),
                ranking: None,
            }
        };
        let measures = self.measures.iter().enumerate().map(measure).collect();
        let runs = self.runs.iter().map(|runs| counts(runs)).collect();
        CellAnalysis { place: cell.clone(), runs, measures }
    }
}

impl Run {
    fn is_counted(&self) -> bool {
        !self.incomplete && !self.differing
    }

    fn value(&self, measure: usize) -> Option<f64> {
        let sum = self.sums[measure].filter(|_| self.is_counted())?;
        Some(sum / f64::from(self.guests))
    }
}

fn counts(runs: &[Run]) -> RunCounts {
    let count = |wanted: fn(&Run) -> bool| runs.iter().filter(|run| wanted(run)).count() as u64;
    RunCounts {
        runs: runs.len() as u64,
        counted: count(Run::is_counted),
        incomplete: count(|run| run.incomplete),
        differing: count(|run| run.differing && !run.incomplete),
    }
}

fn figures(values: &[Option<f64>]) -> ContenderFigures {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    ContenderFigures {
        summary: Summary::of(&known),
        quantiles: Quantiles::of(&known),
        whole: known.len() == values.len(),
    }
}

fn pairs(values: &[Vec<Option<f64>>]) -> Vec<Pair> {
    let pair = |(first, second): (usize, usize)| {
        let by_seed = values[first].iter().zip(&values[second]);
        let paired = Paired::of(by_seed.filter_map(|(first, second)| first.zip(*second)))?;
        Some(Pair { first, second, difference: Difference::alone(paired) })
    };
    let all = (0..values.len()).flat_map(|first| (0..first).map(move |second| (first, second)));
    all.filter_map(pair).collect()
}
