//! How often each contender wins, and where it is worst and best.

use super::SweepAnalysis;
use super::cell::{CellAnalysis, CellMeasure};
use crate::measure::Measure;
use serde::Serialize;

/// One contender in one measure, over all cells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tally {
    /// The measure.
    pub measure: Measure,
    /// The contender.
    pub contender: usize,
    /// Cells in which it wins.
    pub wins: usize,
    /// Cells in which it is among the first, and nobody wins.
    pub ties: usize,
    /// Cells in which another has significantly less.
    pub losses: usize,
    /// Cells in which it is not ranked: it did not complete all its runs.
    pub unranked: usize,
    /// Where it is worst against the best of the others; `None` where no other is ranked anywhere.
    pub worst: Option<Extreme>,
    /// Where it is best against the best of the others.
    pub best: Option<Extreme>,
}

/// The cell where something is greatest or least.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Extreme {
    /// Number of the cell.
    pub cell: u64,
    /// How much more it has there than the best of the others, as a share of the latter; infinite
    /// (in JSON null) where it did not complete all its runs, or the others have none.
    pub excess: f64,
}

impl SweepAnalysis {
    /// How each contender does in a measure over all cells, in the order of the contenders; empty
    /// where less of it is not better or the sweep does not tell it.
    pub fn tallies(&self, measure: Measure) -> Vec<Tally> {
        let told = measure.less_is_better() && self.measures.contains(&measure);
        let contenders = if told { self.contenders.len() } else { 0 };
        (0..contenders).map(|contender| self.tally(measure, contender)).collect()
    }

    fn tally(&self, measure: Measure, contender: usize) -> Tally {
        let mut tally = Tally {
            measure,
            contender,
            wins: 0,
            ties: 0,
            losses: 0,
            unranked: 0,
            worst: None,
            best: None,
        };
        for cell in &self.cells {
            let Some(found) = cell.measure(measure) else { continue };
            tally.count(found);
            let Some(excess) = found.excess(contender) else { continue };
            let here = Extreme { cell: cell.place.cell, excess };
            if tally.worst.is_none_or(|worst| excess > worst.excess) {
                tally.worst = Some(here);
            }
            if tally.best.is_none_or(|best| excess < best.excess) {
                tally.best = Some(here);
            }
        }
        tally
    }

    /// The cells in which a contender has more than the best of some rivals by more than `bound`,
    /// a share, the worst first: where a scheme that should be right everywhere is not.
    pub fn failures(
        &self,
        measure: Measure,
        contender: usize,
        rivals: &[usize],
        bound: f64,
    ) -> Vec<Extreme> {
        let failure = |cell: &CellAnalysis| {
            let excess = cell.measure(measure)?.excess_over(contender, rivals)?;
            (excess > bound).then_some(Extreme { cell: cell.place.cell, excess })
        };
        let mut failures: Vec<Extreme> = self.cells.iter().filter_map(failure).collect();
        failures.sort_by(|first, second| second.excess.total_cmp(&first.excess));
        failures
    }
}

impl Tally {
    fn count(&mut self, found: &CellMeasure) {
        let ranking = found.ranking.as_ref();
        match ranking.filter(|ranking| ranking.order.contains(&self.contender)) {
            None => self.unranked += 1,
            Some(ranking) if ranking.winner() == Some(self.contender) => self.wins += 1,
            Some(ranking) if ranking.is_first(self.contender) => self.ties += 1,
            Some(_) => self.losses += 1,
        }
    }
}
