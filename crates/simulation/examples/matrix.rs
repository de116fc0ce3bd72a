//! A workload of one's own, without a line of the core: a program that sums a matrix of pages, first
//! by rows and then by columns, is moved by each of three schemes.

use lazycopy_migration::Scheme;
use lazycopy_scenario::{Draft, ScenarioError};
use lazycopy_simulation::{Options, simulate_scenario};
use std::path::Path;

/// Pages of a row: the matrix has five of them.
const COLUMNS: u32 = 10;
const ROWS: u32 = 5;

/// The pages that the program touches, in its order.
fn touched() -> Vec<u32> {
    let by_rows = 0..ROWS * COLUMNS;
    let by_columns =
        (0..COLUMNS).flat_map(|column| (0..ROWS).map(move |row| row * COLUMNS + column));
    by_rows.chain(by_columns).collect()
}

/// A line for each scheme.
///
/// # Errors
/// When the scenario is wrong, or a run of it cannot be simulated.
pub fn table() -> Result<String, Box<dyn std::error::Error>> {
    let mut table = String::from("scheme              total     stall  faults  pages\n");
    for scheme in [Scheme::PostCopy, Scheme::LazyCopy, Scheme::AdaptiveLazyCopy] {
        let run = simulate_scenario(&scenario(scheme)?, 1, &Options::default())?.runs.remove(0);
        assert_eq!(run.digest_matches(), Some(true), "the guest is what it would have been");
        let metrics = run.metrics;
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let total = metrics.total_migration_time_ns.ok_or("the migration did not complete")?;
        table.push_str(&format!(
            "{:<18} {:>5.2} s {:>7.2} s {:>7} {:>6}\n",
            scheme,
            seconds(total),
            seconds(metrics.stall_time_ns),
            metrics.faults,
            metrics.pages_transferred,
        ));
    }
    Ok(table)
}

/// The paper's scenario with this program in its guest.
fn scenario(scheme: Scheme) -> Result<lazycopy_scenario::Scenario, ScenarioError> {
    Draft::shipped("paper", Path::new("."))?
        .set(&format!("guest.workload={{kind = \"list\", pages = {:?}}}", touched()))?
        .set(&format!("migration.scheme={scheme}"))?
        .finish()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    print!("{}", table()?);
    Ok(())
}
