//! Who has least of a measure in a cell.

use super::cell::CellMeasure;
use crate::statistics::{Standing, ratio};
use serde::Serialize;

/// Who has least of a measure in a cell, among the contenders with a value in every run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// Those ranked, the least mean first; of equal means the earlier contender.
    pub order: Vec<usize>,
    /// Those that are not significantly more than the first: it wins only without any.
    pub tied: Vec<usize>,
    /// By how much the first's mean is less than the second's, as a share of the latter; `None`
    /// where only one is ranked.
    pub margin: Option<f64>,
}

impl Ranking {
    pub(super) fn of(cell: &CellMeasure) -> Option<Ranking> {
        if !cell.measure.less_is_better() {
            return None;
        }
        let mut ranked: Vec<(f64, usize)> = (0..cell.figures.len())
            .filter_map(|contender| Some((cell.whole_mean(contender)?, contender)))
            .collect();
        ranked.sort_by(|first, second| first.0.total_cmp(&second.0));
        let (least, best) = *ranked.first()?;
        let is_more = |contender| {
            let difference = cell.difference(contender, best);
            difference.is_some_and(|difference| difference.standing == Standing::More)
        };
        let order: Vec<usize> = ranked.iter().map(|(_, contender)| *contender).collect();
        let tied = order.iter().copied().skip(1).filter(|contender| !is_more(*contender)).collect();
        let margin = ranked.get(1).and_then(|(next, _)| ratio(next - least, *next));
        Some(Ranking { order, tied, margin })
    }

    /// The contender with less than every other that is ranked, beyond chance.
    pub fn winner(&self) -> Option<usize> {
        self.order.first().copied().filter(|_| self.tied.is_empty())
    }

    /// Whether nobody has significantly less than this contender.
    pub fn is_first(&self, contender: usize) -> bool {
        self.order.first() == Some(&contender) || self.tied.contains(&contender)
    }
}

impl CellMeasure {
    /// How much more a contender has than the best of the others; as [`CellMeasure::excess_over`].
    pub fn excess(&self, contender: usize) -> Option<f64> {
        let others: Vec<usize> = (0..self.figures.len()).filter(|it| *it != contender).collect();
        self.excess_over(contender, &others)
    }

    /// How much more a contender has than the best of some rivals, as a share of the latter; below
    /// zero where it has less than each. Infinite where it is not ranked, and where the best rival
    /// has none and it has some. `None` where no rival is ranked.
    pub fn excess_over(&self, contender: usize, rivals: &[usize]) -> Option<f64> {
        let ranking = self.ranking.as_ref()?;
        let best = ranking.order.iter().find(|ranked| rivals.contains(ranked))?;
        let least = self.whole_mean(*best)?;
        let excess = self.whole_mean(contender).and_then(|mean| ratio(mean - least, least));
        Some(excess.unwrap_or(f64::INFINITY))
    }
}
