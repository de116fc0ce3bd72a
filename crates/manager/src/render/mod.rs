//! Tables and figures in text.

mod guest;
mod host;
mod run;

pub use guest::guest_figure;
pub use host::{figure, host_figure, phase_name, pool_table};
pub use run::run_table;

use crate::presence::instant_text;
use comfy_table::{
    CellAlignment, ContentArrangement, ContentLineStyle, LineStyle, Table, TableStyle,
};
use lazycopy_protocol::control::{Pause, Transfer};
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

/// A table as text: names begin, and quantities end, below each other.
pub fn aligned(mut table: Table) -> String {
    let cells = |table: &Table, column: usize| -> Vec<String> {
        table.row_iter().filter_map(|row| Some(row.cell_iter().nth(column)?.content())).collect()
    };
    for column in 0..table.column_count() {
        let heading = table.header().and_then(|row| Some(row.cell_iter().nth(column)?.content()));
        let cells = cells(&table, column);
        let is_name = heading.is_some_and(|heading| NAMES.contains(&&*heading));
        let all = cells.iter().all(|cell| cell == "-" || is_quantity(cell));
        if !is_name
            && all
            && let Some(column) = table.column_mut(column)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Headings of columns that hold names, even if these are digits.
const NAMES: [&str; 6] = ["guest", "server", "source", "destination", "from", "to"];

/// Whether a cell holds a number, with a unit or without.
fn is_quantity(cell: &str) -> bool {
    let mut words = cell.split(' ');
    let number = words.next().unwrap_or_default();
    let number = number.trim_end_matches(|letter: char| letter.is_alphabetic());
    let unit = words.next().unwrap_or_default();
    let is_number =
        number.starts_with(|letter: char| letter.is_ascii_digit()) && number.parse::<f64>().is_ok();
    is_number && unit.len() <= 3 && words.next().is_none()
}

/// A table as text, or a sentence where it has no rows.
pub fn table_or(table: Table, otherwise: &str) -> String {
    match table.is_empty() {
        true => otherwise.to_owned(),
        false => aligned(table),
    }
}

/// So many bytes, in decimal units.
pub fn bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        _ if bytes < 1e3 => format!("{bytes:.0} B"),
        _ if bytes < 1e6 => format!("{:.1} kB", bytes / 1e3),
        _ if bytes < 1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} GB", bytes / 1e9),
    }
}

/// A time in nanoseconds to be read at a glance: two or three digits.
pub fn short_time(nanos: u64) -> String {
    let secs = nanos as f64 / 1e9;
    match secs {
        _ if nanos == 0 => "0 s".to_owned(),
        _ if secs < 1e-3 => format!("{:.0} µs", secs * 1e6),
        _ if secs < 1.0 => format!("{:.0} ms", secs * 1e3),
        _ if secs < 10.0 => format!("{secs:.1} s"),
        _ if secs < 120.0 => format!("{secs:.0} s"),
        _ => format!("{} min {:02} s", secs as u64 / 60, secs as u64 % 60),
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

/// A migration whose link is broken: why, since when, what happens by itself, and what may be done.
pub fn pause(vm: &str, pause: &Pause) -> String {
    let Pause { reason, since_unix_ms, until_unix_ms, reclaim } = pause;
    let since = instant_text(*since_unix_ms);
    let mut text = format!("paused since {since}: {reason}. ");
    text.push_str(&match until_unix_ms {
        Some(until) => format!(
            "The two servers try to find each other again until {}; at once: migrate recover {vm}.",
            instant_text(*until)
        ),
        None => format!("Nothing more is tried but by: migrate recover {vm}."),
    });
    match reclaim {
        Some(Ok(why)) => {
            text.push_str(&format!(" The guest may be taken back ({why}): migrate reclaim {vm}."));
        }
        Some(Err(why)) => text.push_str(&format!(" It cannot be taken back: {why}.")),
        None => {}
    }
    text
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

    #[test]
    fn quantities_end_and_names_begin_below_each_other() {
        let mut shown = table(&["guest", "pages", "stall", "address"]);
        shown.add_row(["7", "50", "1.5s", "127.0.0.1:7070"]);
        shown.add_row(["web", "4096", "-", "127.0.0.1:17070"]);
        shown.add_row(["naïve", "9", "22 ms", "127.0.0.1:1"]);
        let expected = "\
guest  pages  stall  address
-------------------------------------
7         50   1.5s  127.0.0.1:7070
web     4096      -  127.0.0.1:17070
naïve      9  22 ms  127.0.0.1:1";
        let text = aligned(shown);
        let lines: Vec<&str> = text.lines().collect();
        let expected: Vec<&str> = expected.lines().collect();
        assert_eq!((lines[0], &lines[2..]), (expected[0], &expected[2..]), "{text}");
    }

    #[test]
    fn times_and_sizes_are_short() {
        let times = [0, 12_000, 12_000_000, 3_210_000_000, 42_000_000_000, 150_000_000_000];
        let said = times.map(short_time);
        assert_eq!(said, ["0 s", "12 µs", "12 ms", "3.2 s", "42 s", "2 min 30 s"]);
        assert_eq!([999, 4_112, 5_000_000].map(bytes), ["999 B", "4.1 kB", "5.0 MB"]);
    }
}
