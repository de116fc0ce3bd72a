//! The report of a sweep: as distributions where nothing varies, as lines over one axis, as phase
//! maps over two, as phase maps for the values of the others over more.

mod axes;
mod frontier;
mod lines;
mod losses;
mod phase_map;

use crate::contenders::{Contender, compare, distributions, means, rankings};
use crate::figure::Figure;
use crate::measure::{SHOWN, quantity};
use crate::page::{Cell, Page, Report};
use crate::quantity::{counted, fixed};
use crate::run::capitalized;
use crate::simulation::BOUND_BY_THE_LINK;
use crate::style::{SERIES, series_of};
use axes::{Axis, place};
use lazycopy_results::{
    AxisValues, CellAnalysis, Measure, SIGNIFICANCE, SweepAnalysis, SweepContender, SweepRecord,
};
use phase_map::Map;

/// Maps of each measure: a reader compares no more side by side.
const MOST_MAPS: usize = 12;

/// Cells whose means are in the page; there are files for more.
const MOST_CELLS: usize = 256;

/// A report of a sweep in the making. Where the sweep has a single cell, its runs are to be added,
/// too: how they are spread is not in the analysis.
#[derive(Debug)]
pub struct SweepReport<'a> {
    analysis: &'a SweepAnalysis,
    contenders: Vec<Contender>,
}

/// What all figures of a sweep need.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub analysis: &'a SweepAnalysis,
    /// All axes.
    pub axes: Vec<Axis>,
    /// Each contender's colour.
    pub colours: Vec<usize>,
}

/// The cells in which some axes have certain values.
#[derive(Debug)]
pub(crate) struct Combination<'a> {
    /// Which values.
    key: Vec<Option<usize>>,
    /// The same in words; empty without such axes.
    pub held: String,
    pub cells: Vec<&'a CellAnalysis>,
}

impl<'a> SweepReport<'a> {
    /// A report of that analysis.
    pub fn of(analysis: &'a SweepAnalysis) -> SweepReport<'a> {
        let colours = colours(&analysis.contenders);
        let named = analysis.contenders.iter().zip(&colours);
        let contenders = named.map(|(it, colour)| Contender::new(&it.name, *colour)).collect();
        SweepReport { analysis, contenders }
    }

    /// Whether the report shows single runs, and so wants them.
    pub fn wants_runs(&self) -> bool {
        self.analysis.cells.len() == 1
    }

    /// Adds a run, or a guest of one. What did not complete is in no figure.
    pub fn add(&mut self, record: &SweepRecord) {
        let contender = self.contenders.iter_mut().find(|it| it.name == record.contender);
        let Some(contender) = contender else { return };
        contender.runs += 1;
        if record.completed() != Some(false) && record.digest_matches != Some(false) {
            contender.count(record.seed, |measure| measure.value_in_sweep(record));
        }
    }

    /// The report.
    pub fn finish(&self) -> Report {
        let analysis = self.analysis;
        let plan = Plan {
            analysis,
            axes: analysis.axes.iter().map(Axis::of).collect(),
            colours: colours(&analysis.contenders),
        };
        let mut page = Page::new(match analysis.title.trim() {
            "" => "A sweep",
            title => title,
        });
        page.paragraph(&plan.extent());
        let mut words = plan.tallies();
        if self.wants_runs() {
            words = rankings(&self.contenders.iter().collect::<Vec<_>>());
        }
        words.extend(analysis.doubts.iter().cloned());
        words.push(BOUND_BY_THE_LINK.to_owned());
        page.sentences(&words);
        self.figures(&mut page, &plan);
        losses::losses(&mut page, &plan);
        plan.cells(&mut page);
        plan.scheme_of_things(&mut page);
        page.finish(&format!(
            "Analysed by lazycopy {}; fingerprint of the sweep {}. The same figures are in \
             analysis.json and cells.csv.",
            analysis.program_version, analysis.fingerprint
        ))
    }

    fn figures(&self, page: &mut Page, plan: &Plan) {
        let varied: Vec<&Axis> = plan.axes.iter().filter(|axis| axis.ticks.len() > 1).collect();
        match varied.as_slice() {
            [] => {
                let contenders: Vec<&Contender> = self.contenders.iter().collect();
                page.section("How runs are spread");
                page.figures(&distributions(&contenders));
                if let Some(baseline) = contenders.first() {
                    compare(page, &contenders, baseline);
                }
                means(page, &contenders);
            }
            [axis] => {
                page.section(&format!("Over {}", axis.label));
                let lines = SHOWN.into_iter().filter_map(|it| lines::lines(plan, axis, it));
                page.figures(&lines.collect::<Vec<_>>());
            }
            _ => plan.maps(page, &varied),
        }
    }
}

/// A colour for each contender: its scheme's where no other has it, else the next that is free.
fn colours(contenders: &[SweepContender]) -> Vec<usize> {
    let mut colours: Vec<Option<usize>> = vec![None; contenders.len()];
    let mut taken = Vec::new();
    let is_named_so = |it: &SweepContender| it.name == it.scheme.name();
    for named_so in [true, false] {
        for (contender, colour) in contenders.iter().zip(&mut colours) {
            let wanted = series_of(contender.scheme);
            let is_free = colour.is_none() && !taken.contains(&wanted);
            if is_named_so(contender) == named_so && named_so && is_free {
                *colour = Some(wanted);
                taken.push(wanted);
            }
        }
    }
    let free = (0..SERIES).filter(|colour| !taken.contains(colour));
    // Where there are more than colours, the numbers go on: the shapes of points differ still.
    let mut rest = free.collect::<Vec<_>>().into_iter().chain(SERIES..);
    colours.into_iter().map(|colour| colour.or_else(|| rest.next()).unwrap_or(0)).collect()
}

impl Plan<'_> {
    /// How much was run.
    fn extent(&self) -> String {
        let analysis = self.analysis;
        let names: Vec<&str> = analysis.contenders.iter().map(|it| &*it.name).collect();
        let runs = analysis.cells.len() as u64 * names.len() as u64 * analysis.seeds;
        let preset = analysis.preset.as_ref().map_or(String::new(), |it| format!(", preset {it}"));
        let over: Vec<String> = self
            .axes
            .iter()
            .map(|axis| format!("{} values of {}", axis.ticks.len(), axis.label))
            .collect();
        let over =
            if over.is_empty() { String::new() } else { format!(" over {}", over.join(" and ")) };
        format!(
            "{} of {}{over}: {}, {} each, the same seeds for all{preset}.",
            fixed(runs as f64, 0) + " simulated migrations",
            names.join(", "),
            counted(analysis.cells.len() as u64, "cell"),
            counted(analysis.seeds, "seed")
        )
    }

    /// Who wins how many cells, a sentence for each measure that is shown.
    fn tallies(&self) -> Vec<String> {
        let cells = self.analysis.cells.len();
        let sentence = |measure: Measure| {
            let tallies = self.analysis.tallies(measure);
            let won: usize = tallies.iter().map(|tally| tally.wins).sum();
            let winners: Vec<String> = tallies
                .iter()
                .filter(|tally| tally.wins > 0)
                .map(|tally| {
                    format!(
                        "{} wins {}",
                        self.analysis.contenders[tally.contender].name, tally.wins
                    )
                })
                .collect();
            let winners = match winners.as_slice() {
                [] => "nobody wins any".to_owned(),
                winners => winners.join(", "),
            };
            let rest = match cells - won.min(cells) {
                0 => String::new(),
                rest => format!("; in {rest} the best are equal or not told apart"),
            };
            let label = capitalized(measure.label());
            let noun = counted(cells as u64, "cell");
            (!tallies.is_empty()).then(|| format!("{label}, of {noun}: {winners}{rest}."))
        };
        let mut sentences: Vec<String> = SHOWN.into_iter().filter_map(sentence).collect();
        sentences.push(format!(
            "A contender wins a cell where it has less than every other, paired by seed, p < \
             {SIGNIFICANCE} after Holm's correction over all cells and pairs of the sweep."
        ));
        sentences
    }

    /// Phase maps over the link's bandwidth, or else the first axis, and the next one; for each
    /// combination of the others' values.
    fn maps(&self, page: &mut Page, varied: &[&Axis]) {
        let x = varied.iter().find(|axis| axis.is_bandwidth()).unwrap_or(&varied[0]);
        let others: Vec<&&Axis> = varied.iter().filter(|axis| axis.name != x.name).collect();
        let (y, held) = (others[0], &others[1..]);
        let combinations = self.combinations(held);
        page.section(&format!("Phase maps: {} and {}", x.label, y.label));
        page.paragraph(
            "Each cell has the colour of the contender with the least mean, the stronger the more \
             it has less than the next. Hatched cells may be chance.",
        );
        if combinations.len() > MOST_MAPS {
            page.paragraph(&format!(
                "Of {} combinations of the other axes' values the first {MOST_MAPS} are drawn; \
                 cells.csv has them all.",
                combinations.len()
            ));
        }
        let maps = |measure: Measure| -> Vec<Figure> {
            let map = |(index, combination): (usize, &Combination<'_>)| {
                let number = if combinations.len() > 1 { index + 1 } else { 0 };
                Map { plan: self, x, y, combination, number }.figure(measure)
            };
            combinations.iter().take(MOST_MAPS).enumerate().filter_map(map).collect()
        };
        if combinations.len() == 1 {
            return page.figures(&SHOWN.into_iter().flat_map(maps).collect::<Vec<_>>());
        }
        for measure in SHOWN {
            let figures = maps(measure);
            if !figures.is_empty() {
                page.subsection(&capitalized(measure.label()));
                page.figures(&figures);
            }
        }
    }

    /// The cells by the values of those axes, in the cells' order.
    fn combinations(&self, held: &[&&Axis]) -> Vec<Combination<'_>> {
        let mut combinations: Vec<Combination<'_>> = Vec::new();
        for cell in &self.analysis.cells {
            let values = &cell.place.axes;
            let key: Vec<Option<usize>> = held.iter().map(|axis| axis.index(values)).collect();
            match combinations.iter_mut().find(|found| found.key == key) {
                Some(found) => found.cells.push(cell),
                None => {
                    let held = held_in_words(held, values);
                    combinations.push(Combination { key, held, cells: vec![cell] });
                }
            }
        }
        combinations
    }

    /// Each contender's mean in a cell, with its name.
    pub fn means(&self, cell: &CellAnalysis, measure: Measure) -> Vec<String> {
        let Some(found) = cell.measure(measure) else { return Vec::new() };
        let mean = |(index, contender): (usize, &SweepContender)| {
            let mean = found.figures[index].summary.map(|it| quantity(measure).figure(it.mean));
            let whole = if found.figures[index].whole { "" } else { ", not all completed" };
            format!("{} {}{whole}", contender.name, mean.unwrap_or_else(|| "\u{2013}".to_owned()))
        };
        self.analysis.contenders.iter().enumerate().map(mean).collect()
    }

    /// A cell by its number, in words.
    pub fn place_of(&self, cell: u64) -> String {
        let found = self.analysis.cells.iter().find(|found| found.place.cell == cell);
        found.map_or_else(String::new, |found| place(&self.axes, &found.place.axes))
    }

    fn cells(&self, page: &mut Page) {
        if self.analysis.cells.len() < 2 {
            return;
        }
        page.section("Every cell");
        if self.analysis.cells.len() > MOST_CELLS {
            let cells = counted(self.analysis.cells.len() as u64, "cell");
            return page.remark(&format!("{cells} are too many for a page: see cells.csv."));
        }
        let mut header = vec!["cell"];
        header.extend(self.analysis.contenders.iter().map(|it| &*it.name));
        header.push("wins");
        for measure in SHOWN.into_iter().filter(|it| self.analysis.measures.contains(it)) {
            page.begin_details(&format!(
                "{}: means and their 95 % intervals",
                capitalized(measure.label())
            ));
            let rows = self.analysis.cells.iter().filter_map(|cell| self.cell_row(cell, measure));
            page.table(&header, &rows.collect::<Vec<_>>());
            page.end_details();
        }
    }

    fn cell_row(&self, cell: &CellAnalysis, measure: Measure) -> Option<Vec<Cell>> {
        let found = cell.measure(measure)?;
        let winner = found.ranking.as_ref().and_then(|ranking| ranking.winner());
        let mut row = vec![Cell::Text(place(&self.axes, &cell.place.axes))];
        let means = found.figures.iter().map(|it| crate::measure::mean_text(measure, it.summary));
        row.extend(means.map(Cell::Number));
        row.push(Cell::Text(match winner {
            Some(winner) => self.analysis.contenders[winner].name.clone(),
            None => "\u{2013}".to_owned(),
        }));
        Some(row)
    }

    fn scheme_of_things(&self, page: &mut Page) {
        page.section("What was run");
        let contender = |it: &SweepContender| {
            vec![Cell::Text(it.name.clone()), Cell::Text(it.scheme.name().to_owned())]
        };
        let rows: Vec<Vec<Cell>> = self.analysis.contenders.iter().map(contender).collect();
        page.table(&["contender", "scheme"], &rows);
        if self.axes.is_empty() {
            return;
        }
        let axis = |it: &Axis| {
            let values = it.ticks.join(", ");
            vec![Cell::Text(it.label.clone()), Cell::Code(it.name.clone()), Cell::Text(values)]
        };
        let rows: Vec<Vec<Cell>> = self.axes.iter().map(axis).collect();
        page.table(&["axis", "key or name", "values"], &rows);
    }
}

/// `think time 1 s, share of writes 0.5`.
fn held_in_words(held: &[&&Axis], cell: &AxisValues) -> String {
    let part = |axis: &&&Axis| Some(format!("{} {}", axis.label, axis.ticks[axis.index(cell)?]));
    held.iter().filter_map(part).collect::<Vec<_>>().join(", ")
}
