//! A sweep at a glance: a row for each contender.

use comfy_table::{CellAlignment, Table, presets};
use lazycopy_sweep::{COMPARED, Means, Summary, Wins};
use lazycopy_units::Duration;

/// What the metrics of [`COMPARED`] are called.
const HEADS: [&str; COMPARED.len()] = ["total migration time", "downtime", "stall time", "faults"];

pub(super) fn text(summary: &Summary) -> String {
    let manifest = &summary.manifest;
    let mut lines = vec![
        manifest.title.clone(),
        format!(
            "{} cells x {} contenders x {} seeds{}; means over all cells, and in how many cells \
             a contender's mean is the least",
            manifest.cells.len(),
            manifest.contenders.len(),
            manifest.seeds,
            manifest.preset.as_ref().map_or_else(String::new, |it| format!(", preset {it}")),
        ),
        table(summary),
    ];
    lines.extend(remarks(summary));
    lines.join("\n")
}

fn table(summary: &Summary) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let heads = HEADS.iter().flat_map(|head| [(*head).to_owned(), "least in".to_owned()]);
    table.set_header([String::new(), "completed".to_owned()].into_iter().chain(heads));
    for means in &summary.contenders {
        let figures = (0..COMPARED.len()).flat_map(|index| {
            [mean(means, index), wins(means.wins[index], summary.compared_cells[index])]
        });
        let completed = if means.completed == means.runs {
            means.runs.to_string()
        } else {
            format!("{} of {}", means.completed, means.runs)
        };
        table.add_row([means.contender.clone(), completed].into_iter().chain(figures));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn mean(means: &Means, index: usize) -> String {
    match means.means[index] {
        None => "-".to_owned(),
        Some(mean) if COMPARED[index].ends_with("_ns") => {
            Duration::from_nanos(mean.round() as u64).to_string()
        }
        Some(mean) => format!("{mean:.2}"),
    }
}

fn wins(wins: Wins, cells: u64) -> String {
    match (cells, wins) {
        (0, _) => "-".to_owned(),
        (_, Wins { alone, shared: 0 }) => alone.to_string(),
        (_, Wins { alone, shared }) => format!("{alone} (+{shared} equal)"),
    }
}

/// What the table does not say.
fn remarks(summary: &Summary) -> Vec<String> {
    let mut remarks = Vec::new();
    let cells = summary.manifest.cells.len() as u64;
    let compared = summary.compared_cells.iter().max().copied().unwrap_or_default();
    if summary.contenders.iter().any(|it| it.completed < it.runs) {
        remarks.push(format!(
            "- Runs that did not complete are in no mean: the contenders' means are of different \
             runs then. Cells are compared where every run of every contender completed: {compared} \
             of {cells}."
        ));
    }
    if summary.contenders.len() > 1 {
        remarks.push(
            "- The least mean, however small the difference: whether it is one beyond chance this \
             table does not say."
                .to_owned(),
        );
    }
    if summary.contenders.iter().any(|it| it.means.contains(&None)) {
        remarks.push("- A dash: not among the metrics that the sweep writes.".to_owned());
    }
    if summary.mismatches > 0 {
        remarks.push(format!(
            "- In {} runs the guest differs from its reference run: this is a bug.",
            summary.mismatches
        ));
    }
    remarks
}
