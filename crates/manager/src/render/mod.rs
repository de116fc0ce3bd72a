//! Tables and figures in text.

mod guest;
mod host;

pub use guest::guest_figure;
pub use host::{figure, host_figure, phase_name, pool_table};

use comfy_table::{ContentArrangement, Table, presets};

/// A table with these headings, as wide as its content.
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().copied());
    table
}

/// A table as text, or a sentence where it has no rows.
pub fn table_or(table: &Table, otherwise: &str) -> String {
    match table.is_empty() {
        true => otherwise.to_owned(),
        false => table.trim_fmt(),
    }
}

/// A share in per cent, or a dash for a ratio of nothing.
pub fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0))
}
