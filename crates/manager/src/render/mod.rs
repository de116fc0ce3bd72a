//! Tables and figures in text.

mod guest;
mod host;
mod run;

pub use guest::guest_figure;
pub use host::{figure, host_figure, phase_name, pool_table};
pub use run::run_table;

use comfy_table::{ContentArrangement, ContentLineStyle, LineStyle, Table, TableStyle};
use lazycopy_protocol::control::Transfer;
use lazycopy_units::Duration;

/// Columns two blanks apart, a line below the headings.
const PLAIN: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('-'))
    .content_lines(ContentLineStyle::none());

/// A table with these headings, as wide as its content.
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(PLAIN);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
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

/// A time of a result, or a dash for null.
pub fn time(nanos: Option<u64>) -> String {
    nanos.map_or_else(|| "-".to_owned(), |nanos| Duration::from_nanos(nanos).to_string())
}

/// How far a running migration is.
pub fn progress(transfer: &Transfer) -> String {
    let arrived = transfer.arrived.total();
    let pages = match transfer.expected {
        Some(expected) => format!("{arrived} of {} pages", expected.max(arrived)),
        None => format!("{arrived} pages"),
    };
    format!("{pages}, {} page faults", transfer.faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_migration::PageCounts;

    #[test]
    fn progress_is_told_of_as_many_pages_as_are_known_to_come() {
        let arrived = PageCounts { background: 300, forward: 20, ..PageCounts::default() };
        let transfer = Transfer { arrived, faults: 4, ..Transfer::default() };
        assert_eq!(progress(&transfer), "320 pages, 4 page faults");
        let of = |expected| progress(&Transfer { expected: Some(expected), ..transfer });
        assert_eq!(of(1_000), "320 of 1000 pages, 4 page faults");
        assert_eq!(of(319), "320 of 320 pages, 4 page faults", "the forward context has added one");
    }
}
