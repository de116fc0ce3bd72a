//! The metrics of one migration.

use super::{aligned, table, time};
use lazycopy_migration::Metrics;

/// The metrics of a migration as a table: times, faults by kind, pages by cause.
pub fn run_table(metrics: &Metrics) -> String {
    let mut times = table(&["", "time"]);
    for (name, nanos) in [
        ("total migration time", metrics.total_migration_time_ns),
        ("  downtime", metrics.downtime_ns),
        ("  resume time", metrics.resume_time_ns),
        ("stall time", Some(metrics.stall_time_ns)),
        ("measured time", metrics.measured_time_ns),
        ("  the reference run's", metrics.reference_measured_time_ns),
    ] {
        times.add_row([name.to_owned(), time(nanos)]);
    }
    let mut counts = table(&["", "number"]);
    for (name, count) in [
        ("page faults", metrics.faults),
        ("  ended by the source", metrics.faults_remote),
        ("  ended by the disk", metrics.faults_disk),
        ("pages transferred", metrics.pages_transferred),
        ("  before the hand-over", metrics.pages_round),
        ("  in the background", metrics.pages_background),
        ("  for the forward context", metrics.pages_forward),
        ("  on demand", metrics.pages_demand),
        ("bytes transferred", metrics.bytes_transferred),
    ] {
        counts.add_row([name.to_owned(), count.to_string()]);
    }
    format!("{}\n{}", aligned(times), aligned(counts))
}
