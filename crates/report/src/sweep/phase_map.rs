//! The phase map: over two axes, who has least of a measure, by how much, and how surely.

use super::axes::{Axis, place};
use super::{Combination, Plan};
use crate::figure::{Figure, SMALL};
use crate::legend::{self, Sign};
use crate::measure::{file_name, meaning};
use crate::quantity::{counted, fixed};
use crate::run::capitalized;
use crate::style::SERIES;
use crate::svg::{Anchor, Drawing, text_width, wrapped};
use lazycopy_results::{CellAnalysis, CellMeasure, Measure};

const WIDTH: f64 = SMALL;
const RIGHT: f64 = WIDTH - 18.0;

/// The least and the greatest height of a cell.
const HEIGHTS: (f64, f64) = (11.0, 42.0);

/// Distance of the lines of the heading.
const LINE: f64 = 17.0;

/// The least distance of two ticks on the upright axis.
const TICK_ROW: f64 = 15.0;

/// A cell at least so large has its margin written in it.
const WRITTEN_FROM: (f64, f64) = (44.0, 18.0);

/// How opaque a cell is, by how much less the best has than the next: up to that share.
const BANDS: [(f64, f64, &str); 4] = [
    (0.02, 0.28, "up to 2 % less than the next"),
    (0.10, 0.50, "2 to 10 %"),
    (0.30, 0.75, "10 to 30 %"),
    (f64::INFINITY, 1.0, "over 30 %"),
];

/// What a map shows of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// Nobody completed all its runs there.
    Nobody,
    /// All have exactly the same.
    Equal,
    /// The first two have exactly the same, and less than the others.
    Shared(usize, usize),
    /// The best, by how much less than the next it has, and whether beyond chance.
    Best { contender: usize, margin: f64, is_certain: bool },
}

/// The cells of one map.
pub(crate) struct Map<'a> {
    pub plan: &'a Plan<'a>,
    pub x: &'a Axis,
    pub y: &'a Axis,
    /// The cells, and the values of the other axes.
    pub combination: &'a Combination<'a>,
    /// Number of the map among those of a measure; 0 where it is the only one.
    pub number: usize,
}

/// Where the map lies, and the size of its cells.
pub(super) struct Frame {
    left: f64,
    top: f64,
    pub width: f64,
    pub height: f64,
}

impl Map<'_> {
    /// Draws a measure; `None` where it cannot be ranked.
    pub fn figure(&self, measure: Measure) -> Option<Figure> {
        let verdicts: Vec<(usize, usize, &CellAnalysis, Verdict)> = self
            .combination
            .cells
            .iter()
            .filter_map(|cell| {
                let axes = &cell.place.axes;
                let at = (self.x.index(axes)?, self.y.index(axes)?);
                Some((at.0, at.1, *cell, verdict(cell.measure(measure)?)))
            })
            .collect();
        if verdicts.is_empty() {
            return None;
        }
        let frame = self.frame();
        let bottom = frame.top + frame.height * self.y.ticks.len() as f64;
        let has_ratio = self.x.is_bandwidth();
        let legend_top = bottom + if has_ratio { 76.0 } else { 44.0 };
        let frontier = self.frontier(&frame);
        let legend = self.legend(&verdicts, !frontier.is_empty());
        let height = legend_top + legend::height(&legend, 14.0, RIGHT) + 8.0;
        let mut drawing = Drawing::new(WIDTH, height);
        let title = format!("{}: who has least", capitalized(measure.label()));
        drawing.text("title", (14.0, 22.0), Anchor::Start, &title);
        for (index, line) in self.heading().iter().rev().enumerate() {
            let y = frame.top - 9.0 - index as f64 * LINE;
            drawing.text("label", (14.0, y), Anchor::Start, line);
        }
        for (x, y, cell, verdict) in &verdicts {
            self.cell(&mut drawing, &frame, (*x, *y), *verdict, &self.note(cell, measure));
        }
        for (from, to) in frontier {
            drawing.line("frontier", from, to);
        }
        self.axes(&mut drawing, &frame, bottom);
        legend::draw(&mut drawing, &legend, (14.0, legend_top), RIGHT);
        let name = match self.number {
            0 => format!("phase-map-{}", file_name(measure)),
            number => format!("phase-map-{}-{number}", file_name(measure)),
        };
        let caption = format!("{} {}", meaning(measure), self.summary(&verdicts));
        Some(Figure::new(&name, &title, caption, drawing))
    }

    fn frame(&self) -> Frame {
        let ticks = self.y.ticks.iter().map(|tick| text_width(tick)).fold(0.0, f64::max);
        let left = (24.0 + ticks).min(WIDTH / 2.0);
        let width = (RIGHT - left) / self.x.ticks.len() as f64;
        let height = (0.7 * width).clamp(HEIGHTS.0, HEIGHTS.1);
        Frame { left, top: 39.0 + LINE * self.heading().len() as f64, width, height }
    }

    /// What is held, and the name of the upright axis, which stands above it: upright there is no
    /// room for a long one.
    fn heading(&self) -> Vec<String> {
        let upwards = format!("\u{2191} {}", self.y.label);
        let lines = [&self.combination.held, &upwards].map(|text| wrapped(text, RIGHT - 14.0));
        lines.concat()
    }

    /// The upper left corner of a cell: values grow to the right and upwards.
    pub(super) fn corner(&self, frame: &Frame, (x, y): (usize, usize)) -> (f64, f64) {
        let row = (self.y.ticks.len() - 1 - y) as f64;
        (frame.left + x as f64 * frame.width, frame.top + row * frame.height)
    }

    fn cell(
        &self,
        drawing: &mut Drawing,
        frame: &Frame,
        at: (usize, usize),
        verdict: Verdict,
        note: &str,
    ) {
        let corner = self.corner(frame, at);
        // A hair of the ground between cells.
        let hair = if frame.width > 20.0 { 1.5 } else { 0.4 };
        let size = (frame.width - hair, frame.height - hair);
        let middle = (corner.0 + size.0 / 2.0, corner.1 + size.1 / 2.0 + 4.5);
        let is_written = frame.width >= WRITTEN_FROM.0 && frame.height >= WRITTEN_FROM.1;
        let text = match verdict {
            Verdict::Nobody => {
                drawing.rect("cell nobody", corner, size, note);
                "\u{2013}".to_owned()
            }
            Verdict::Equal => {
                drawing.rect("cell none", corner, size, note);
                "=".to_owned()
            }
            Verdict::Shared(first, second) => {
                let series = [first, second].map(|contender| self.plan.colours[contender]);
                legend::split(drawing, series, corner, size, "cell", note);
                "=".to_owned()
            }
            Verdict::Best { contender, margin, is_certain } => {
                let series = self.plan.colours[contender] % SERIES;
                let opacity = band(margin);
                drawing.tint(&format!("cell fill s{series}"), corner, size, opacity, note);
                if !is_certain {
                    drawing.hatch("hatch uncertain", corner, size, 6.0);
                }
                let decimals = if margin < 0.0995 { 1 } else { 0 };
                format!("{} %", fixed(margin * 100.0, decimals))
            }
        };
        if is_written {
            drawing.text("value", middle, Anchor::Middle, &text);
        }
    }

    fn axes(&self, drawing: &mut Drawing, frame: &Frame, bottom: f64) {
        let mut last = f64::INFINITY;
        for (index, tick) in self.y.ticks.iter().enumerate() {
            let y = self.corner(frame, (0, index)).1 + frame.height / 2.0 + 4.0;
            if last - y >= TICK_ROW {
                drawing.text("tick", (frame.left - 7.0, y), Anchor::End, tick);
                last = y;
            }
        }
        let ratios = self.x.is_bandwidth().then(|| self.ratios());
        let mut free_from = 0.0;
        for (index, tick) in self.x.ticks.iter().enumerate() {
            let x = self.corner(frame, (index, 0)).0 + frame.width / 2.0;
            let ratio = ratios.as_ref().map(|ratios| &*ratios[index]);
            let half = text_width(tick).max(ratio.map_or(0.0, text_width)) / 2.0;
            if x - half < free_from || x + half > WIDTH {
                continue;
            }
            free_from = x + half + 6.0;
            drawing.line("axis", (x, bottom), (x, bottom + 3.0));
            drawing.text("tick", (x, bottom + 16.0), Anchor::Middle, tick);
            if let Some(ratio) = ratio {
                drawing.text("tick", (x, bottom + 32.0), Anchor::Middle, ratio);
            }
        }
        let middle = |text: &str| {
            // Where it is wider than the axis, it still stays on the paper.
            let half = text_width(text) / 2.0;
            ((frame.left + RIGHT) / 2.0).min(WIDTH - 8.0 - half).max(8.0 + half)
        };
        let label_y = bottom + if ratios.is_some() { 51.0 } else { 35.0 };
        drawing.text("label", (middle(&self.x.label), label_y), Anchor::Middle, &self.x.label);
        if ratios.is_some() {
            let text = "below: pages that it carries per new page touched by the guest";
            drawing.text("tick", (middle(text), label_y + 16.0), Anchor::Middle, text);
        }
    }

    fn legend(
        &self,
        verdicts: &[(usize, usize, &CellAnalysis, Verdict)],
        has_frontier: bool,
    ) -> Vec<(Sign, String)> {
        let has = |wanted: &dyn Fn(Verdict) -> bool| verdicts.iter().any(|it| wanted(it.3));
        let mut entries = Vec::new();
        for (index, contender) in self.plan.analysis.contenders.iter().enumerate() {
            let is_drawn = |verdict| match verdict {
                Verdict::Best { contender, .. } => contender == index,
                Verdict::Shared(first, second) => [first, second].contains(&index),
                Verdict::Equal | Verdict::Nobody => false,
            };
            if has(&is_drawn) {
                entries.push((Sign::Fill(self.plan.colours[index], 1.0), contender.name.clone()));
            }
        }
        if let Some((Sign::Fill(series, _), _)) = entries.first().cloned() {
            for (_, opacity, text) in BANDS {
                entries.push((Sign::Fill(series, opacity), text.to_owned()));
            }
        }
        if has(&|it| matches!(it, Verdict::Best { is_certain: false, .. })) {
            entries.push((Sign::Hatched, "may be chance".to_owned()));
        }
        if has(&|it| it == Verdict::Equal) {
            entries.push((Sign::Square("none"), "all equal".to_owned()));
        }
        let shared = verdicts.iter().find_map(|it| match it.3 {
            Verdict::Shared(first, second) => Some((first, second)),
            _ => None,
        });
        if let Some((first, second)) = shared {
            let sign = Sign::Split(self.plan.colours[first], self.plan.colours[second]);
            entries.push((sign, "both equal".to_owned()));
        }
        if has(&|it| it == Verdict::Nobody) {
            entries.push((Sign::Square("nobody"), "nobody completed all runs".to_owned()));
        }
        if has_frontier {
            let text = "the link carries as many pages as the guest touches new ones";
            entries.push((Sign::Frontier, text.to_owned()));
        }
        entries
    }

    fn note(&self, cell: &CellAnalysis, measure: Measure) -> String {
        let means = self.plan.means(cell, measure).join(", ");
        format!("{}: {means}", place(&self.plan.axes, &cell.place.axes))
    }

    /// How many cells each contender wins on this map.
    fn summary(&self, verdicts: &[(usize, usize, &CellAnalysis, Verdict)]) -> String {
        let count = |wanted: &dyn Fn(Verdict) -> bool| {
            verdicts.iter().filter(|(.., verdict)| wanted(*verdict)).count() as u64
        };
        let mut parts = Vec::new();
        for (index, contender) in self.plan.analysis.contenders.iter().enumerate() {
            let wins = count(
                &|it| matches!(it, Verdict::Best { contender, is_certain: true, .. } if contender == index),
            );
            if wins > 0 {
                parts.push(format!("{} wins {wins}", contender.name));
            }
        }
        for (sum, text) in [
            (count(&|it| matches!(it, Verdict::Best { is_certain: false, .. })), "may be chance"),
            (count(&|it| matches!(it, Verdict::Shared(..))), "shared by two"),
            (count(&|it| it == Verdict::Equal), "equal"),
            (count(&|it| it == Verdict::Nobody), "without anyone"),
        ] {
            if sum > 0 {
                parts.push(format!("{sum} {text}"));
            }
        }
        format!("Of {}: {}.", counted(verdicts.len() as u64, "cell"), parts.join(", "))
    }
}

fn verdict(found: &CellMeasure) -> Verdict {
    let Some(ranking) = &found.ranking else { return Verdict::Nobody };
    let mean = |contender: &usize| found.figures[*contender].summary.map(|summary| summary.mean);
    match ranking.order.as_slice() {
        [] => Verdict::Nobody,
        [first, .., last] if mean(first) == mean(last) => Verdict::Equal,
        [first, second, ..] if mean(first) == mean(second) => Verdict::Shared(*first, *second),
        [first, ..] => Verdict::Best {
            contender: *first,
            // Alone, since no other completed all its runs there.
            margin: ranking.margin.unwrap_or(1.0),
            is_certain: ranking.winner().is_some(),
        },
    }
}

fn band(margin: f64) -> f64 {
    let found = BANDS.iter().find(|(bound, ..)| margin <= *bound);
    found.map_or(1.0, |(_, opacity, _)| *opacity)
}
