//! Records to test with.

use lazycopy_migration::{DestinationReport, Metrics, Outcome, Scheme, SourceReport, Verdict};
use lazycopy_results::{PROGRAM_VERSION, RunRecord, SCHEMA_VERSION};
use serde_json::json;

/// A completed run in which nothing happened.
pub fn record(scheme: Scheme, seed: u64) -> RunRecord {
    let verdict = Verdict { outcome: Outcome::Completed, reason: "nothing is missing".to_owned() };
    let metrics = Metrics {
        total_migration_time_ns: Some(0),
        preparation_time_ns: Some(0),
        resume_time_ns: Some(0),
        downtime_ns: Some(0),
        measured_time_ns: Some(0),
        ..Metrics::from_reports(
            scheme,
            &SourceReport::default(),
            &DestinationReport::default(),
            verdict,
        )
    };
    RunRecord {
        schema_version: SCHEMA_VERSION,
        program_version: PROGRAM_VERSION.to_owned(),
        run: format!("paper-{scheme}-{seed}"),
        preset: Some("paper".to_owned()),
        scheme,
        seed,
        guest: None,
        source_server: "alpha".to_owned(),
        destination_server: "beta".to_owned(),
        scenario: json!({ "seed": seed, "migration": { "scheme": scheme.name() } }),
        digest_matches: Some(true),
        slip_bound_ns: Some(10_000_000),
        slip_exceeded: false,
        out_of_order: 0,
        plane: None,
        metrics,
    }
}
