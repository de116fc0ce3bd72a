//! Reports of sweeps over no axis, one, two and more.

mod common;

use common::{check, marks};
use lazycopy_migration::Scheme;
use lazycopy_report::{Report, SweepReport};
use lazycopy_results::{
    AxisValues, Metric, MetricValue, SCHEMA_VERSION, SweepAnalysis, SweepAxis, SweepCell,
    SweepContender, SweepManifest, SweepRecord,
};
use serde_json::{Value, json};
use std::convert::Infallible;

/// Enough for a difference that is the same at each seed to be beyond chance in every cell.
const SEEDS: u64 = 20;
const METRICS: [&str; 4] = ["total_migration_time_ns", "downtime_ns", "stall_time_ns", "faults"];

/// A sweep over axes of those names and values, as `sweep` would describe it.
fn manifest(axes: &[(&str, Value)]) -> SweepManifest {
    let axes: Vec<SweepAxis> = axes
        .iter()
        .map(|(name, values)| SweepAxis {
            name: (*name).to_owned(),
            values: values.as_array().unwrap().clone(),
        })
        .collect();
    let mut cells = vec![AxisValues::new()];
    for axis in &axes {
        let with = |cell: &AxisValues, value: &Value| {
            let mut cell = cell.clone();
            cell.insert(axis.name.clone(), value.clone());
            cell
        };
        cells = cells.iter().flat_map(|it| axis.values.iter().map(move |v| with(it, v))).collect();
    }
    let cell = |(number, axes): (usize, AxisValues)| SweepCell {
        cell: number as u64,
        bandwidth_bytes_per_sec: axes
            .get("link.bandwidth")
            .map_or(Some(8_224), |it| it.as_str()?.trim_end_matches("B/s").parse().ok()),
        axes,
        new_pages_per_sec: Some(0.8),
        guests: None,
    };
    let cells: Vec<SweepCell> = cells.into_iter().enumerate().map(cell).collect();
    let contender = |name: &str, scheme| SweepContender { name: name.to_owned(), scheme };
    let contenders = vec![
        contender("post-copy", Scheme::PostCopy),
        contender("lazy-copy", Scheme::LazyCopy),
        contender("adaptive", Scheme::LazyCopy),
    ];
    SweepManifest {
        schema_version: SCHEMA_VERSION,
        program_version: "0".to_owned(),
        fingerprint: "f00d".to_owned(),
        file: "a.toml".to_owned(),
        title: "Who wins <where>?".to_owned(),
        preset: Some("fair".to_owned()),
        runs: cells.len() as u64 * contenders.len() as u64 * SEEDS,
        contenders,
        axes,
        metrics: METRICS.map(str::to_owned).to_vec(),
        seeds: SEEDS,
        first_seed: 1,
        blocks: 1,
        cells,
    }
}

/// Its runs: `time` gives the seconds of a cell and contender; seeds differ by a little.
fn records(
    manifest: &SweepManifest,
    time: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<SweepRecord> {
    let record = |run| {
        let place = manifest.place(run);
        let value = time(place.cell, place.contender);
        let nanos = value.map(|it| ((it + 0.001 * (place.seed % 3) as f64) * 1e9) as u64);
        let value = nanos.map_or(MetricValue::Null, MetricValue::Integer);
        SweepRecord {
            schema_version: SCHEMA_VERSION,
            cell: place.cell as u64,
            axes: manifest.cells[place.cell].axes.clone(),
            contender: manifest.contenders[place.contender].name.clone(),
            scheme: manifest.contenders[place.contender].scheme,
            seed: place.seed,
            guest: None,
            digest_matches: Some(true),
            metrics: METRICS.map(|name| (Metric::named(name).unwrap(), value.clone())).to_vec(),
        }
    };
    (0..manifest.runs).map(record).collect()
}

fn report(manifest: &SweepManifest, records: &[SweepRecord]) -> Report {
    let all = records.iter().cloned().map(Ok::<_, Infallible>);
    let analysis = SweepAnalysis::of(manifest, all).unwrap();
    let mut report = SweepReport::of(&analysis);
    if report.wants_runs() {
        records.iter().for_each(|record| report.add(record));
    }
    report.finish()
}

/// As [`alternating`], but the adaptive one is far behind: each cell has one winner.
fn alone(cell: usize, contender: usize) -> Option<f64> {
    if contender == 2 { Some(20.0) } else { alternating(cell, contender) }
}

fn bandwidths() -> Value {
    json!(["1028B/s", "2056B/s", "4112B/s", "8224B/s"])
}

fn latencies() -> Value {
    json!(["10ms", "1s", "11s"])
}

/// Post-copy needs ten seconds; lazy-copy half of it in even cells and 5 % more in odd ones; the
/// adaptive one as much as the better of both.
fn alternating(cell: usize, contender: usize) -> Option<f64> {
    let lazy = if cell.is_multiple_of(2) { 5.0 } else { 10.5 };
    Some([10.0, lazy, f64::min(10.0, lazy)][contender])
}

#[test]
fn without_axes_the_runs_themselves_are_drawn() {
    let manifest = manifest(&[]);
    let report = report(&manifest, &records(&manifest, alternating));
    check(&report);
    assert_eq!(marks(&report, "distribution-total-migration-time", "run"), 3 * SEEDS as usize);
    assert_eq!(marks(&report, "differences-downtime", "interval"), 2);
    assert!(report.html.contains("Who wins &lt;where&gt;?"));
}

#[test]
fn over_one_axis_each_contender_has_a_line_with_a_point_for_each_cell() {
    let manifest = manifest(&[("migration.head_start", json!([0, 1, 2, 4, 8]))]);
    let report = report(&manifest, &records(&manifest, alternating));
    check(&report);
    for measure in ["total-migration-time", "downtime", "stall-time", "guest-pause", "faults"] {
        let figure = format!("lines-{measure}");
        assert_eq!(marks(&report, &figure, "cell"), 3 * 5);
        assert_eq!(marks(&report, &figure, "band"), 3);
    }
}

#[test]
fn over_two_axes_each_cell_shows_who_wins() {
    let manifest =
        manifest(&[("link.bandwidth", bandwidths()), ("disk.latency_destination", latencies())]);
    let report = report(&manifest, &records(&manifest, alone));
    check(&report);
    let map = "phase-map-total-migration-time";
    assert_eq!(marks(&report, map, "cell"), 12);
    let cells = |class| marks(&report, map, class) - marks_of_key(&report, map, class);
    assert_eq!((cells("s0"), cells("s1")), (6, 6));
    assert_eq!(marks(&report, map, "uncertain"), 0);
    assert!(report.html.contains("Of 12 cells: post-copy wins 6, lazy-copy wins 6."));
    // 0.8 new pages a second are 3,290 B/s: the third bandwidth is the first that keeps up.
    assert!(report.html.contains("0.31\u{d7}") && report.html.contains("2.5\u{d7}"));
    assert_eq!(marks(&report, map, "frontier"), 3 + 1, "a side in each row, and the key");
}

fn marks_of_key(report: &Report, figure: &str, class: &str) -> usize {
    let (_, text) = report.figures.iter().find(|(name, _)| name == figure).unwrap();
    text.matches(&format!("class=\"fill key {class}\"")).count()
}

#[test]
fn a_cell_that_two_share_has_both_colours_and_chance_is_hatched() {
    let manifest =
        manifest(&[("link.bandwidth", bandwidths()), ("disk.latency_destination", latencies())]);
    let mut runs = records(&manifest, |cell, contender| match (cell, contender) {
        (0, 2) => Some(20.0),
        (0, _) => Some(10.0),
        (1, _) => Some(10.0),
        (2, _) => None,
        (_, 2) => Some(30.0),
        _ => alternating(cell, contender),
    });
    // In cell 3 lazy-copy is less at one seed alone, and by much.
    for run in runs.iter_mut().filter(|run| run.cell == 3) {
        let nanos = match (&*run.contender, run.seed) {
            ("lazy-copy", 1) => 1_000_000_000,
            ("adaptive", _) => 30_000_000_000,
            _ => 10_000_000_000,
        };
        run.metrics.iter_mut().for_each(|(_, value)| *value = MetricValue::Integer(nanos));
    }
    let report = report(&manifest, &runs);
    check(&report);
    let map = "phase-map-downtime";
    assert_eq!(marks(&report, map, "half"), 2 + 2, "two halves, and the key's");
    assert_eq!(marks(&report, map, "none"), 1 + 1);
    assert_eq!(marks(&report, map, "nobody"), 1 + 1);
    assert_eq!(marks(&report, map, "uncertain"), 1);
}

#[test]
fn over_more_axes_there_is_a_map_for_each_value_of_the_others_up_to_a_bound() {
    let few = manifest(&[
        ("guest.write_fraction", json!([0.0, 0.5])),
        ("link.bandwidth", bandwidths()),
        ("memory", json!([{"guest.pages": 50}, {"guest.pages": 100}])),
    ]);
    let report_of = |manifest: &SweepManifest| report(manifest, &records(manifest, alone));
    let report = report_of(&few);
    check(&report);
    for number in 1..=2 {
        assert_eq!(marks(&report, &format!("phase-map-faults-{number}"), "cell"), 8);
    }
    assert!(report.html.contains("memory (pages of the guest) 100</text>"));
    let many = manifest(&[
        ("link.bandwidth", json!(["1028B/s", "2056B/s"])),
        ("disk.latency_destination", json!(["1s", "2s"])),
        ("migration.head_start", json!([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])),
    ]);
    let report = report_of(&many);
    check(&report);
    assert!(report.html.contains("Of 13 combinations of the other axes' values the first 12"));
}

#[test]
fn losses_are_counted_against_the_best_of_the_others() {
    let manifest = manifest(&[("link.bandwidth", bandwidths())]);
    let text = report(&manifest, &records(&manifest, alternating)).html;
    assert!(text.contains("Adaptive loses by more than 2 % in no cell."), "{text}");
    // 5 % in two of the four cells, in five measures.
    assert!(text.contains("lazy-copy: where it is worse by more than 2 % (10 lines)"), "{text}");
    assert!(text.contains(
        "Total migration time, adaptive against the better of post-copy and lazy-copy: worse by \
         more than 2 % in 0 of 4 cells; better than both beyond chance in 0."
    ));
}

#[test]
fn a_contender_that_does_not_complete_is_not_ranked() {
    let manifest = manifest(&[("link.bandwidth", bandwidths())]);
    let time = |cell, contender| (contender > 0).then(|| alternating(cell, contender)).flatten();
    let report = report(&manifest, &records(&manifest, time));
    check(&report);
    assert_eq!(marks(&report, "lines-downtime", "cell"), 2 * 4);
    assert!(report.html.contains("not all runs completed"));
}

#[test]
fn the_same_sweep_gives_the_same_bytes() {
    let manifest =
        manifest(&[("link.bandwidth", bandwidths()), ("disk.latency_destination", latencies())]);
    let runs = records(&manifest, alternating);
    assert_eq!(report(&manifest, &runs), report(&manifest, &runs));
}
