//! One cell of a sweep.

use super::ranking::Ranking;
use crate::measure::Measure;
use crate::statistics::{Difference, Quantiles, Summary};
use crate::sweep::SweepCell;
use serde::Serialize;

/// What the runs of one cell say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellAnalysis {
    /// Which cell it is.
    #[serde(flatten)]
    pub place: SweepCell,
    /// How many runs each contender's figures are from.
    pub runs: Vec<RunCounts>,
    /// Each of the sweep's measures, in their order.
    pub measures: Vec<CellMeasure>,
}

/// The runs of a contender in a cell. A run that is not counted is in no figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunCounts {
    /// All of them.
    pub runs: u64,
    /// Of these, those that the figures are from.
    pub counted: u64,
    /// Of these, those known not to have completed.
    pub incomplete: u64,
    /// Of those that completed, those whose guest differs from its reference run: a bug.
    pub differing: u64,
}

/// One measure in one cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellMeasure {
    /// Of what.
    pub measure: Measure,
    /// Each contender's figures.
    pub figures: Vec<ContenderFigures>,
    /// The differences of all pairs of contenders that have a seed in common.
    pub pairs: Vec<Pair>,
    /// Who has least of it; `None` where less is not better, or no contender completed all its
    /// runs.
    pub ranking: Option<Ranking>,
}

/// The figures of one contender.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ContenderFigures {
    /// Mean and spread over the runs in which the measure applies; `None` without any.
    pub summary: Option<Summary>,
    /// Where these values lie; `None` without any.
    pub quantiles: Option<Quantiles>,
    /// Whether the measure has a value in every run: one that did not complete may have been the
    /// worst, and so a contender is ranked only where it has them all.
    pub whole: bool,
}

/// Two contenders, seed by seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The contender whose values are the first: the later one.
    pub first: usize,
    /// The contender that they are held against: the earlier one.
    pub second: usize,
    /// First less second.
    pub difference: Difference,
}

impl CellAnalysis {
    /// What it says of a measure; `None` where the sweep's metrics do not tell it.
    pub fn measure(&self, measure: Measure) -> Option<&CellMeasure> {
        self.measures.iter().find(|found| found.measure == measure)
    }
}

impl CellMeasure {
    /// The difference of any two contenders, first less second; `None` where they have no seed in
    /// common, and of one to itself.
    pub fn difference(&self, first: usize, second: usize) -> Option<Difference> {
        let pair = |first, second| {
            self.pairs.iter().find(|pair| (pair.first, pair.second) == (first, second))
        };
        let forth = pair(first, second).map(|pair| pair.difference);
        forth.or_else(|| pair(second, first).map(|pair| pair.difference.reversed()))
    }

    /// The mean of a contender that has a value in every run.
    pub(crate) fn whole_mean(&self, contender: usize) -> Option<f64> {
        let figures = self.figures.get(contender).filter(|figures| figures.whole)?;
        Some(figures.summary?.mean)
    }
}
