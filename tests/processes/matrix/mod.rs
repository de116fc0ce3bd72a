//! The matrix of failures: each failure in each phase of each scheme, between real processes.
//!
//! The ordinary suite runs a selection. `.ci/matrix` runs all cells, or the one that it is given.

mod cell;
mod judge;
pub mod laboratory;
pub mod network;
mod plan;
mod strike;
mod wire;

use cell::{Cell, Fault, Phase};
use judge::Ending;
use laboratory::Laboratory;
use network::Network;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Names the cells to run: `all`, or one by its name.
const CELLS: &str = "LAZYCOPY_MATRIX";

/// Set to anything: each process in a network namespace of its own.
const NAMESPACES: &str = "LAZYCOPY_MATRIX_NAMESPACES";

/// How many cells at once.
const AT_ONCE: &str = "LAZYCOPY_MATRIX_AT_ONCE";

/// In this time a migration has ended after a failure: all deadlines of the programs, one after the
/// other, and what a busy machine needs.
const BOUND: Duration = Duration::from_secs(90);

/// Each phase and each scheme at least once, and each failure but those for which everybody waits to
/// a deadline: stops and silence.
const SELECTION: [&str; 12] = [
    "stop-and-copy/offer/kill-destination",
    "stop-and-copy/suspended/pause-destination",
    "pre-copy/rounds/kill-destination",
    "pre-copy/suspended/cut",
    "post-copy/warm-up/kill-source",
    "post-copy/handed-over/kill-source",
    "lazy-copy/handed-over/kill-manager",
    "lazy-copy/completed/kill-source",
    "hybrid-post-copy/rounds/cut-off",
    "hybrid-post-copy/pushing/pause-source",
    "hybrid-lazy-copy/suspended/kill-source",
    "adaptive-lazy-copy/pushing/delay",
];

/// What came of a cell.
struct Row {
    cell: Cell,
    ending: Ending,
    took: Duration,
}

/// Runs one cell from the beginning to the end.
fn run(cell: Cell, in_namespaces: bool) -> Row {
    let begun = Instant::now();
    let ending = attempt(cell, in_namespaces).unwrap_or_else(|error| Ending {
        outcome: "-".to_owned(),
        reason: String::new(),
        broken: vec![error],
    });
    Row { cell, ending, took: begun.elapsed() }
}

fn attempt(cell: Cell, in_namespaces: bool) -> Result<Ending, String> {
    let network = if in_namespaces { Network::namespaces()? } else { Network::Loopback };
    // The wire cannot be told to hold one offer.
    let by_relay = !in_namespaces || cell.phase == Phase::Offer;
    let mut laboratory = Laboratory::open(network, by_relay)?;
    let mut waiting = strike::bring_about(&mut laboratory, cell)?;
    strike::strike(&mut laboratory, cell, &mut waiting)?;
    let waited = strike::await_end(&laboratory, cell, waiting, BOUND)?;
    Ok(judge::judge(&mut laboratory, cell, &waited))
}

/// Runs cells, some at a time, and tells of each when it is over.
fn run_all(cells: &[Cell], in_namespaces: bool, at_once: usize) -> Vec<Row> {
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(cells.len()) {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = run(*cell, in_namespaces);
                    let mut reason = row.ending.reason.replace('\n', " ");
                    if let Some((cut, _)) = reason.char_indices().nth(140) {
                        reason.truncate(cut);
                    }
                    let (outcome, took) = (&row.ending.outcome, row.took.as_secs_f64());
                    println!("{:<46} {outcome:<10} {took:>5.1} s  {reason}", row.cell.to_string());
                    rows.lock().expect("no other thread panics").push(row);
                }
            });
        }
    });
    rows.into_inner().expect("no thread panics")
}

/// Outcomes by failure and phase, over all schemes.
fn table(rows: &[Row]) -> String {
    let mut text = format!("\n{:<20}", "");
    let phases =
        || cell::PHASES.iter().filter(|(it, _)| rows.iter().any(|row| row.cell.phase == *it));
    phases().for_each(|(_, name)| text.push_str(&format!("{name:<26}")));
    for (fault, name) in cell::FAULTS {
        text.push_str(&format!("\n{name:<20}"));
        for (phase, _) in phases() {
            let here =
                rows.iter().filter(|row| (row.cell.fault, row.cell.phase) == (fault, *phase));
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            here.for_each(|row| *counts.entry(&row.ending.outcome).or_default() += 1);
            let counts: Vec<String> =
                counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
            text.push_str(&format!("{:<26}", counts.join(", ")));
        }
    }
    text
}

#[test]
fn no_failure_in_any_phase_breaks_a_guarantee() {
    let asked = std::env::var(CELLS).unwrap_or_default();
    let in_namespaces = std::env::var_os(NAMESPACES).is_some();
    let named = |name: &str| name.parse::<Cell>().unwrap_or_else(|error| panic!("{error}"));
    let mut cells = match asked.as_str() {
        "" => SELECTION.map(named).to_vec(),
        "all" => Cell::all(),
        one => one.split(',').map(named).collect(),
    };
    if in_namespaces {
        match Network::namespaces() {
            Ok(network) if network.delay_wire(Duration::from_millis(1)) => {}
            Ok(_) => {
                println!("skipped: every delay (the kernel has no netem)");
                cells.retain(|cell| cell.fault != Fault::Delay);
            }
            Err(reason) => {
                println!("skipped: the matrix in network namespaces ({reason})");
                return;
            }
        }
    }
    let at_once = std::env::var(AT_ONCE).ok().and_then(|it| it.parse().ok()).unwrap_or(4);
    let begun = Instant::now();
    let rows = run_all(&cells, in_namespaces, at_once);
    println!("{}\n\n{} cells in {:.0} s", table(&rows), rows.len(), begun.elapsed().as_secs_f64());
    let broken: Vec<String> = rows
        .iter()
        .filter(|row| !row.ending.broken.is_empty())
        .map(|row| {
            let (cell, broken) = (row.cell, row.ending.broken.join("\n    "));
            let how = if in_namespaces { "--namespaces " } else { "" };
            format!("{cell}: {}\n    {broken}\n  again: .ci/matrix {how}{cell}", row.ending.reason)
        })
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}
