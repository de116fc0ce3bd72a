//! The analysis as a table of text: `cells.csv`.

use super::SweepAnalysis;
use super::cell::{CellAnalysis, CellMeasure};
use crate::sweep::AxisValues;
use serde_json::Value;

/// Columns before those of the axes, and after them.
const FIRST: [&str; 1] = ["cell"];
const NEXT: [&str; 37] = [
    "new_pages_per_sec",
    "bandwidth_bytes_per_sec",
    "metric",
    "contender",
    "scheme",
    "runs",
    "counted",
    "incomplete",
    "differing",
    "values",
    "mean",
    "deviation",
    "mean_low",
    "mean_high",
    "least",
    "lower_quartile",
    "median",
    "upper_quartile",
    "greatest",
    "rank",
    "standing",
    "excess_over_best_other",
    "baseline",
    "pairs",
    "difference",
    "difference_low",
    "difference_high",
    "relative_difference",
    "less",
    "equal",
    "more",
    "p",
    "corrected_p",
    "signed_rank_p",
    "effect",
    "rank_correlation",
    "against_baseline",
];

impl SweepAnalysis {
    /// A line for each cell, measure and contender: `cells.csv`. What does not apply is empty;
    /// `standing` is `wins`, `ties` or `loses` in the cell, the last columns hold the contender
    /// against the baseline.
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let axes = self.axes.iter().map(|axis| axis.name.as_str());
        let header = FIRST.into_iter().chain(axes).chain(NEXT);
        writer.write_record(header).expect("memory takes it");
        for cell in &self.cells {
            for measure in &cell.measures {
                for contender in 0..self.contenders.len() {
                    let line = self.line(cell, measure, contender);
                    writer.write_record(line).expect("memory takes it");
                }
            }
        }
        let bytes = writer.into_inner().expect("memory takes it");
        String::from_utf8(bytes).expect("text was written")
    }

    fn line(&self, cell: &CellAnalysis, found: &CellMeasure, contender: usize) -> Vec<String> {
        let axes = self
            .axes
            .iter()
            .map(|axis| cell.place.axes.get(&axis.name).map_or_else(String::new, plain));
        let mut line: Vec<String> = vec![cell.place.cell.to_string()];
        line.extend(axes);
        let who = &self.contenders[contender];
        let runs = cell.runs[contender];
        line.extend([
            number(cell.place.new_pages_per_sec),
            cell.place.bandwidth_bytes_per_sec.map_or_else(String::new, |rate| rate.to_string()),
            found.measure.name().to_owned(),
            who.name.clone(),
            who.scheme.name().to_owned(),
        ]);
        line.extend(
            [runs.runs, runs.counted, runs.incomplete, runs.differing].map(|it| it.to_string()),
        );
        let figures = found.figures[contender];
        let (summary, spread) = (figures.summary, figures.quantiles);
        line.push(summary.map_or(0, |summary| summary.count).to_string());
        line.extend([
            number(summary.map(|summary| summary.mean)),
            number(summary.and_then(|summary| summary.deviation)),
            number(summary.and_then(|summary| Some(summary.interval?.0))),
            number(summary.and_then(|summary| Some(summary.interval?.1))),
            number(spread.map(|spread| spread.least)),
            number(spread.map(|spread| spread.lower_quartile)),
            number(spread.map(|spread| spread.median)),
            number(spread.map(|spread| spread.upper_quartile)),
            number(spread.map(|spread| spread.greatest)),
        ]);
        line.extend(place(found, contender));
        line.extend(self.against_baseline(found, contender));
        line
    }

    fn against_baseline(&self, found: &CellMeasure, contender: usize) -> [String; 15] {
        let Some(difference) = found.difference(contender, 0) else {
            return Default::default();
        };
        let (paired, interval) = (difference.paired, difference.paired.differences.interval);
        [
            self.contenders[0].name.clone(),
            paired.differences.count.to_string(),
            number(Some(paired.differences.mean)),
            number(interval.map(|interval| interval.0)),
            number(interval.map(|interval| interval.1)),
            number(paired.relative),
            paired.less.to_string(),
            paired.equal.to_string(),
            paired.more.to_string(),
            number(paired.p),
            number(difference.corrected_p),
            number(Some(paired.signed_rank_p)),
            number(paired.effect),
            number(Some(paired.rank_correlation)),
            difference.standing.name().to_owned(),
        ]
    }
}

/// Rank, standing, and the excess over the best of the others.
fn place(found: &CellMeasure, contender: usize) -> [String; 3] {
    let Some(ranking) = &found.ranking else { return Default::default() };
    let rank = ranking.order.iter().position(|ranked| *ranked == contender);
    let standing = match rank {
        None => "",
        Some(_) if ranking.winner() == Some(contender) => "wins",
        Some(_) if ranking.is_first(contender) => "ties",
        Some(_) => "loses",
    };
    let rank = rank.map_or_else(String::new, |rank| (rank + 1).to_string());
    [rank, standing.to_owned(), number(found.excess(contender))]
}

/// As in JSON; empty for what is not, `inf` for what has no bound.
fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value.is_finite() => Value::from(value).to_string(),
        Some(value) => value.to_string(),
    }
}

/// The value of an axis as it stands in a table.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// A cell in words: `link.bandwidth 1028B/s, guest.pages 50`; "the only cell" without axes.
pub(super) fn label(axes: &AxisValues, order: &[crate::sweep::SweepAxis]) -> String {
    let value = |name: &str, value: &Value| match value {
        Value::Object(keys) => {
            let keys = keys.iter().map(|(key, value)| format!("{key} {}", plain(value)));
            keys.collect::<Vec<_>>().join(", ")
        }
        value => format!("{name} {}", plain(value)),
    };
    let axes = order.iter().filter_map(|axis| Some(value(&axis.name, axes.get(&axis.name)?)));
    let label = axes.collect::<Vec<_>>().join(", ");
    if label.is_empty() { "the only cell".to_owned() } else { label }
}
