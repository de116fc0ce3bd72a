//! The link's bandwidth against the guest's rate of touching new pages, on a phase map.

use super::phase_map::{Frame, Map};
use lazycopy_results::CellAnalysis;
use lazycopy_units::PAGE_MESSAGE_BYTES;

impl Map<'_> {
    /// For each column, the link's bandwidth relative to the guest's rate of touching new pages;
    /// from the least to the greatest, where that rate differs from row to row.
    pub(super) fn ratios(&self) -> Vec<String> {
        let text = |column: usize| {
            let of_column = |cell: &&&CellAnalysis| self.x.index(&cell.place.axes) == Some(column);
            let ratios =
                self.combination.cells.iter().filter(of_column).filter_map(|cell| ratio(cell));
            let (least, most) =
                ratios.fold((f64::INFINITY, 0.0f64), |(low, high), it| (low.min(it), high.max(it)));
            match (two_digits(least), two_digits(most)) {
                _ if most == 0.0 => "\u{2013}".to_owned(),
                (least, most) if least == most => format!("{least}\u{d7}"),
                (least, most) => format!("{least}\u{2013}{most}\u{d7}"),
            }
        };
        (0..self.x.ticks.len()).map(text).collect()
    }

    /// The sides of cells between those whose link carries fewer pages than the guest touches new
    /// ones, and the others.
    pub(super) fn frontier(&self, frame: &Frame) -> Vec<((f64, f64), (f64, f64))> {
        let mut keeps_up = vec![vec![None; self.y.ticks.len()]; self.x.ticks.len()];
        for cell in &self.combination.cells {
            let axes = &cell.place.axes;
            if let (Some(x), Some(y)) = (self.x.index(axes), self.y.index(axes)) {
                keeps_up[x][y] = ratio(cell).map(|ratio| ratio >= 1.0);
            }
        }
        let differ = |first: Option<bool>, second: Option<bool>| {
            first.zip(second).is_some_and(|(first, second)| first != second)
        };
        let mut sides = Vec::new();
        for x in 0..self.x.ticks.len() {
            for y in 0..self.y.ticks.len() {
                let (left, upper) = self.corner(frame, (x, y));
                let (right, lower) = (left + frame.width, upper + frame.height);
                let here = keeps_up[x][y];
                if keeps_up.get(x + 1).is_some_and(|next| differ(here, next[y])) {
                    sides.push(((right, upper), (right, lower)));
                }
                if keeps_up[x].get(y + 1).is_some_and(|next| differ(here, *next)) {
                    sides.push(((left, upper), (right, upper)));
                }
            }
        }
        sides
    }
}

/// Pages that the link carries per new page that the guest touches.
fn ratio(cell: &CellAnalysis) -> Option<f64> {
    let pages = cell.place.bandwidth_bytes_per_sec? as f64 / PAGE_MESSAGE_BYTES as f64;
    Some(pages / cell.place.new_pages_per_sec.filter(|rate| *rate > 0.0)?)
}

fn two_digits(value: f64) -> String {
    match value {
        10.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
