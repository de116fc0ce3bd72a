//! The analysis at a terminal.

use super::text::label;
use super::{CellAnalysis, Extreme, SweepAnalysis, Tally};
use crate::measure::Measure;
use crate::statistics::SIGNIFICANCE;
use crate::wording;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt;

/// Up to this many cells each is printed: two dozen with six measures are some screens already.
pub(super) const CELLS_IN_FULL: usize = 24;

/// What is printed, where the sweep tells it: what a scheme that wins must win in, and what
/// explains it. The files hold all measures.
const SHOWN: [Measure; 6] = [
    Measure::TotalMigrationTime,
    Measure::GuestPause,
    Measure::Downtime,
    Measure::StallTime,
    Measure::MeasuredTime,
    Measure::Faults,
];

impl SweepAnalysis {
    /// A line for each cell and measure: each contender's mean with what it differs from the
    /// baseline's, and who wins.
    pub fn cells_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let contenders = self.contenders.iter().map(|contender| contender.name.clone());
        let ends = ["cell".to_owned(), "measure".to_owned()];
        table.set_header(ends.into_iter().chain(contenders).chain(["winner".to_owned()]));
        for cell in &self.cells {
            for measure in self.shown() {
                table.add_row(self.cell_row(cell, measure));
            }
        }
        let figures = 2..2 + self.contenders.len();
        for index in figures {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.to_string()
    }

    /// A line for each measure and contender: in how many cells it wins, where it is worst and
    /// best.
    pub fn tally_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "measure",
            "contender",
            "wins",
            "ties",
            "loses",
            "not completed",
            "worst against the best other",
            "best against the best other",
        ]);
        for measure in self.shown() {
            for tally in self.tallies(measure) {
                table.add_row(self.tally_row(&tally));
            }
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }

    fn shown(&self) -> impl Iterator<Item = Measure> + '_ {
        SHOWN.into_iter().filter(|measure| self.measures.contains(measure))
    }

    fn cell_row(&self, cell: &CellAnalysis, measure: Measure) -> Vec<String> {
        let mut row = vec![label(&cell.place.axes, &self.axes), measure.label().to_owned()];
        let Some(found) = cell.measure(measure) else { return row };
        for (contender, figures) in found.figures.iter().enumerate() {
            let mean = figures.summary.map(|it| wording::figure(it.mean, measure.unit()));
            let relative = found.difference(contender, 0).and_then(|it| it.paired.relative);
            row.push(match (mean, relative) {
                (None, _) => "-".to_owned(),
                (Some(mean), None) => mean,
                (Some(mean), Some(relative)) => {
                    format!("{mean} ({})", wording::relative(relative))
                }
            });
        }
        row.push(self.winner(found));
        row
    }

    fn winner(&self, found: &super::CellMeasure) -> String {
        let Some(ranking) = &found.ranking else { return "-".to_owned() };
        let name = |contender: &usize| self.contenders[*contender].name.clone();
        match (ranking.winner(), ranking.margin) {
            (Some(winner), Some(margin)) => {
                format!("{}, {}", name(&winner), wording::relative(-margin))
            }
            (Some(winner), None) => format!("{}, alone", name(&winner)),
            (None, _) => {
                let tied: Vec<String> =
                    ranking.order.iter().filter(|it| ranking.is_first(**it)).map(name).collect();
                format!("tie: {}", wording::names(&tied))
            }
        }
    }

    fn tally_row(&self, tally: &Tally) -> [String; 8] {
        let extreme = |extreme: Option<Extreme>| match extreme {
            Some(Extreme { cell, excess }) => {
                let place = self.cells.iter().find(|found| found.place.cell == cell);
                let place = place.map(|found| label(&found.place.axes, &self.axes));
                format!("{} ({})", wording::relative(excess), place.unwrap_or_default())
            }
            None => "-".to_owned(),
        };
        [
            tally.measure.label().to_owned(),
            self.contenders[tally.contender].name.clone(),
            tally.wins.to_string(),
            tally.ties.to_string(),
            tally.losses.to_string(),
            tally.unranked.to_string(),
            extreme(tally.worst),
            extreme(tally.best),
        ]
    }
}

impl fmt::Display for SweepAnalysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = wording::counted(self.cells.len() as u64, "cell");
        let seeds = wording::counted(self.seeds, "seed");
        write!(f, "{} ({cells}, {seeds} each", self.title)?;
        match &self.preset {
            Some(preset) => writeln!(f, ", preset {preset})")?,
            None => writeln!(f, ")")?,
        }
        if self.cells.len() <= CELLS_IN_FULL {
            writeln!(f, "{}", self.cells_table())?;
            writeln!(f, "In brackets: the mean difference to the baseline of the same seeds.")?;
        } else {
            writeln!(f, "{}", self.tally_table())?;
        }
        writeln!(
            f,
            "A contender wins a cell where it has less than every other, p < {SIGNIFICANCE} after \
             Holm's correction over all cells and pairs."
        )?;
        self.doubts.iter().try_for_each(|doubt| writeln!(f, "- {doubt}"))
    }
}
