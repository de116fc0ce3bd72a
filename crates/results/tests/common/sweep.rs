//! Sweeps to analyse.

use lazycopy_migration::Scheme;
use lazycopy_results::{
    AxisValues, Metric, MetricValue, SCHEMA_VERSION, SweepAxis, SweepCell, SweepContender,
    SweepManifest, SweepRecord,
};
use serde_json::json;

/// The metrics of the sweeps here.
pub const METRICS: [&str; 5] =
    ["total_migration_time_ns", "downtime_ns", "faults", "stall_time_ns", "outcome"];

/// What a run of a sweep is to show: total migration time, downtime, faults and stall time; `None`
/// where it is not to complete.
pub type Figures = Option<[u64; 4]>;

/// A sweep with one axis, its first seed 1.
pub fn manifest(schemes: &[Scheme], cells: u64, seeds: u64) -> SweepManifest {
    let contender =
        |scheme: &Scheme| SweepContender { name: scheme.name().to_owned(), scheme: *scheme };
    let cell = |cell| SweepCell {
        cell,
        axes: AxisValues::from([("disk.latency".to_owned(), json!(format!("{cell}s")))]),
        new_pages_per_sec: Some(0.5),
        bandwidth_bytes_per_sec: Some(8224),
        guests: None,
    };
    SweepManifest {
        schema_version: SCHEMA_VERSION,
        program_version: "0.1.0".to_owned(),
        fingerprint: "00ff".to_owned(),
        file: "disks.toml".to_owned(),
        title: "Which disk?".to_owned(),
        preset: Some("fair".to_owned()),
        contenders: schemes.iter().map(contender).collect(),
        axes: vec![SweepAxis {
            name: "disk.latency".to_owned(),
            values: (0..cells).map(|cell| json!(format!("{cell}s"))).collect(),
        }],
        metrics: METRICS.map(str::to_owned).to_vec(),
        seeds,
        first_seed: 1,
        runs: cells * schemes.len() as u64 * seeds,
        blocks: 1,
        cells: (0..cells).map(cell).collect(),
    }
}

/// All runs of a sweep, in order; `figures` by cell, contender and seed.
pub fn records(
    manifest: &SweepManifest,
    figures: impl Fn(u64, usize, u64) -> Figures,
) -> Vec<SweepRecord> {
    let record = |run| {
        let place = manifest.place(run);
        let (cell, contender) =
            (&manifest.cells[place.cell], &manifest.contenders[place.contender]);
        let figures = figures(cell.cell, place.contender, place.seed);
        let values = match figures {
            Some([total, downtime, faults, stall]) => {
                let completed = MetricValue::Text("completed".to_owned());
                let [total, downtime, faults, stall] =
                    [total, downtime, faults, stall].map(MetricValue::Integer);
                [total, downtime, faults, stall, completed]
            }
            None => {
                let reason = MetricValue::Text("never_converges".to_owned());
                let zero = MetricValue::Integer(0);
                [MetricValue::Null, MetricValue::Null, zero.clone(), zero, reason]
            }
        };
        let metrics = METRICS.iter().map(|name| Metric::named(name).unwrap()).zip(values);
        SweepRecord {
            schema_version: SCHEMA_VERSION,
            cell: cell.cell,
            axes: cell.axes.clone(),
            contender: contender.name.clone(),
            scheme: contender.scheme,
            seed: place.seed,
            guest: None,
            digest_matches: Some(true),
            metrics: metrics.collect(),
        }
    };
    (0..manifest.runs).map(record).collect()
}
