//! A memory in lines: frame by frame, or, where it is large, as a density over its page numbers.

use super::super::line::Line;
use super::super::palette::{FAINT, TITLE, cause};
use crate::picture::snapshot::{Causes, Cell, CellCause, MemoryView};
use anstyle::Style;

/// Shares from none to all.
const SHARES: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A memory with its title, in so many columns and at most so many rows.
pub(super) fn memory(
    title: &str,
    view: Option<&MemoryView>,
    cause_of: impl Fn(&Cell) -> CellCause,
    (columns, rows): (usize, usize),
) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut heading = Line::styled(title, TITLE);
    match view {
        None => {
            heading.push(": nothing of it here", FAINT);
            lines.push(heading);
        }
        Some(MemoryView::Cells { frames, cells }) => {
            heading.push(
                format!(": {} of {frames} frames, least recently used first", cells.len()),
                Style::new(),
            );
            lines.push(heading);
            lines.extend(grid(*frames, cells, cause_of, (columns, rows.saturating_sub(1))));
        }
        Some(MemoryView::Density { pages, frames, resident, by_cause }) => {
            let share = resident.iter().sum::<f32>() / resident.len().max(1) as f32;
            let held = (share * *pages as f32).round();
            heading.push(format!(": about {held} of {frames} frames"), Style::new());
            lines.push(heading);
            lines.extend(density(*pages, resident, by_cause, columns));
        }
    }
    lines.truncate(rows.max(1));
    lines
}

/// Rows that a memory would take in so many columns, its title included.
pub(super) fn rows_of(view: Option<&MemoryView>, columns: usize) -> usize {
    match view {
        None => 1,
        Some(MemoryView::Cells { frames, cells }) => {
            let per_row = per_row(cells, columns);
            1 + (*frames as usize).max(cells.len()).div_ceil(per_row)
        }
        Some(MemoryView::Density { .. }) => 4,
    }
}

fn number_width(cells: &[Cell]) -> usize {
    let largest = cells.iter().map(|cell| cell.page).max().unwrap_or(0);
    largest.to_string().len().max(2)
}

/// A cell is a blank, its number, a letter for its cause and a star where it is dirty.
fn per_row(cells: &[Cell], columns: usize) -> usize {
    (columns / (number_width(cells) + 3)).max(1)
}

fn grid(
    frames: u32,
    cells: &[Cell],
    cause_of: impl Fn(&Cell) -> CellCause,
    (columns, rows): (usize, usize),
) -> Vec<Line> {
    let (width, per_row) = (number_width(cells), per_row(cells, columns));
    let all = (frames as usize).max(cells.len());
    let fits = rows.saturating_mul(per_row);
    // The last row then says how many are not shown.
    let shown = if all <= fits { all } else { rows.saturating_sub(1) * per_row };
    let mut lines = Vec::new();
    for first in (0..shown).step_by(per_row) {
        let mut line = Line::default();
        for index in first..shown.min(first + per_row) {
            match cells.get(index) {
                Some(cell) => {
                    let (letter, style) = cause(cause_of(cell));
                    let dirty = if cell.dirty { "*" } else { " " };
                    line.push(format!(" {:>width$}{letter}{dirty}", cell.page), style);
                }
                None => line.push(format!(" {:>width$}  ", "·"), FAINT),
            }
        }
        lines.push(line);
    }
    if shown < all {
        lines.push(Line::styled(format!("  and {} frames more", all - shown), FAINT));
    }
    lines
}

fn density(pages: u32, resident: &[f32], by_cause: &Causes, columns: usize) -> Vec<Line> {
    let width = columns.min(resident.len()).max(1);
    let lanes = [
        (CellCause::Round, &by_cause.round),
        (CellCause::Background, &by_cause.background),
        (CellCause::Forward, &by_cause.forward),
        (CellCause::Demand, &by_cause.demand),
    ];
    let lanes: Vec<(CellCause, Vec<f32>)> =
        lanes.into_iter().map(|(cause, shares)| (cause, resampled(shares, width))).collect();
    let (mut bars, mut letters) = (Line::default(), Line::default());
    for (column, share) in resampled(resident, width).into_iter().enumerate() {
        let at = |(_, shares): &&(CellCause, Vec<f32>)| shares.get(column).copied().unwrap_or(0.0);
        let most = lanes.iter().filter(|lane| at(lane) > 0.0);
        let most = most.max_by(|a, b| at(a).total_cmp(&at(b))).map(|(cause, _)| *cause);
        let (letter, style) = cause(most.unwrap_or(CellCause::Own));
        bars.push(block(f64::from(share)).to_string(), style);
        letters.push(letter, style);
    }
    let numbers = format!("page 0{:>1$}", pages.saturating_sub(1), width.saturating_sub(6).max(1));
    let has_letters = !letters.text().is_empty();
    let letters = has_letters.then_some(letters);
    [Some(bars), letters, Some(Line::styled(numbers, FAINT))].into_iter().flatten().collect()
}

/// The means over as many ranges as there are columns.
fn resampled(shares: &[f32], width: usize) -> Vec<f32> {
    let ranges = (0..width).map(|column| {
        let (from, to) = (column * shares.len() / width, (column + 1) * shares.len() / width);
        &shares[from..to.max(from + 1).min(shares.len())]
    });
    match shares.is_empty() {
        true => Vec::new(),
        false => ranges.map(|range| range.iter().sum::<f32>() / range.len() as f32).collect(),
    }
}

/// A share as a block; one that is not nothing is seen.
pub(super) fn block(share: f64) -> char {
    let eighths = (share.clamp(0.0, 1.0) * 8.0).round() as usize;
    SHARES[if share > 0.0 { eighths.max(1) } else { 0 }]
}
