//! What stands in a record is what the engine gives for that run alone.

use crate::common::{Place, computed};
use lazycopy_results::{Metric, SweepRecord, SweepRecords};
use lazycopy_scenario::Draft;
use lazycopy_simulation::{Options, simulate_scenario};
use lazycopy_sweep::merge;

const MIXED: &str = r#"# Are they what they should be?
scenario = "writes"
preset = "fair"
seeds = 12
schemes = ["post-copy"]
set = { "guest.write_fraction" = 0.3, "migration.max_time" = "10m" }
[[contenders]]
name = "rounds"
set = { migration.scheme = "hybrid-lazy-copy", migration.hybrid_rounds = 2 }
[[contenders]]
name = "pre-copy"
set = { "migration.scheme" = "pre-copy" }
[[axes]]
key = "disk.latency_source"
values = ["0s", "1s"]
[[axes]]
key = "guest.workload"
values = ["queue", { kind = "zipf", exponent = 1.5 }]
"#;

fn records(text: &str) -> Vec<SweepRecord> {
    let place = Place::new();
    let out = place.path("out");
    computed(&place.open(text).unwrap(), &out, "0/1", 2);
    merge(&out).unwrap();
    SweepRecords::open(&out).unwrap().map(Result::unwrap).collect()
}

#[test]
fn every_record_is_that_of_its_scenario_and_seed() {
    let records = records(MIXED);
    assert_eq!(records.len(), 4 * 3 * 12);
    let disks = ["0s", "1s"];
    let workloads = ["\"queue\"", "{kind=\"zipf\",exponent=1.5}"];
    let schemes = ["post-copy", "hybrid-lazy-copy", "pre-copy"];
    for (index, record) in records.iter().enumerate() {
        let (cell, contender) = (index / 36, index / 12 % 3);
        let draft = Draft::shipped("writes", &std::env::temp_dir()).unwrap();
        let scenario = [
            "guest.write_fraction=0.3".to_owned(),
            "migration.max_time=10m".to_owned(),
            "migration.hybrid_rounds=2".to_owned(),
            format!("migration.scheme={}", schemes[contender]),
            format!("disk.latency_source={}", disks[cell / 2]),
            format!("guest.workload={}", workloads[cell % 2]),
        ]
        .iter()
        .fold(draft.preset("fair".parse().unwrap()), |draft, set| draft.set(set).unwrap());
        let scenario = scenario.finish().unwrap();
        let run = simulate_scenario(&scenario, record.seed, &Options::default()).unwrap();
        let run = run.runs.first().unwrap();
        assert_eq!(record.digest_matches, run.digest_matches(), "{record:?}");
        assert_eq!(record.scheme.name(), schemes[contender]);
        for (metric, value) in &record.metrics {
            assert_eq!(*value, metric.value(&run.metrics), "{metric:?} of {record:?}");
        }
        assert_eq!(record.metrics.len(), Metric::ALL.len());
    }
}

#[test]
fn metrics_are_those_that_were_asked_for_in_the_order_of_a_record() {
    let text = "scenario = \"paper\"\nseeds = 3\nreference = false\n\
                metrics = [\"outcome\", \"reference_measured_time_ns\", \"downtime_ns\"]\n";
    let records = records(text);
    let line = r#"{"schema_version":1,"cell":0,"axes":{},"contender":"lazy-copy","scheme":"lazy-copy","seed":3,"digest_matches":null,"downtime_ns":"#;
    let written = records[2].to_json_line();
    assert!(written.starts_with(line), "{written}");
    let end = r#","reference_measured_time_ns":null,"outcome":"completed"}"#;
    assert!(written.ends_with(end), "{written}");
}

#[test]
fn a_merged_sweep_says_where_runs_did_not_complete() {
    let place = Place::new();
    let text = "scenario = \"slow-link\"\nseeds = 4\nschemes = [\"post-copy\", \"pre-copy\"]\n\
                set = { \"migration.max_time\" = \"30s\" }\n\
                [[axes]]\nkey = \"link.bandwidth\"\nvalues = [\"1028B/s\", \"1GB/s\"]\n";
    let out = place.path("out");
    computed(&place.open(text).unwrap(), &out, "0/1", 1);
    let analysis = merge(&out).unwrap();
    let doubt =
        "Not counted: 4 runs of pre-copy in 1 cell, not completed; it can win in none of them.";
    assert_eq!(analysis.doubts, [doubt]);
    for (name, text) in [("analysis.json", analysis.to_json()), ("cells.csv", analysis.to_csv())] {
        assert_eq!(std::fs::read_to_string(out.join(name)).unwrap(), text);
    }
}

#[test]
fn several_guests_at_once_have_a_record_each() {
    let text = "scenario = \"evacuation\"\nseeds = 3\nschemes = [\"post-copy\", \"lazy-copy\"]\n\
                [[axes]]\nkey = \"fleet.moves\"\n\
                values = [[{ guests = 2 }], [{ guests = 1 }, { guests = 2, source = 1, \
                destination = 2 }]]\n";
    let records = records(text);
    let guests = |cell: u64| if cell == 0 { 2 } else { 3 };
    let places: Vec<_> =
        records.iter().map(|it| (it.cell, it.scheme.name(), it.seed, it.guest)).collect();
    let expected: Vec<_> = (0..2)
        .flat_map(|cell| ["post-copy", "lazy-copy"].map(|scheme| (cell, scheme)))
        .flat_map(|(cell, scheme)| (1..=3).map(move |seed| (cell, scheme, seed)))
        .flat_map(|(cell, scheme, seed)| {
            (0..guests(cell)).map(move |guest| (cell, scheme, seed, Some(guest)))
        })
        .collect();
    assert_eq!(places, expected);
    let last = Draft::shipped("evacuation", &std::env::temp_dir()).unwrap();
    let moves = "fleet.moves=[{guests=1},{guests=2,source=1,destination=2}]";
    let last = last.set(moves).unwrap().set("migration.scheme=lazy-copy").unwrap();
    let runs = simulate_scenario(&last.finish().unwrap(), 3, &Options::default()).unwrap().runs;
    for (record, run) in records[records.len() - 3..].iter().zip(&runs) {
        assert_eq!(record.digest_matches, Some(true));
        for (metric, value) in &record.metrics {
            assert_eq!(*value, metric.value(&run.metrics), "{metric:?} of {record:?}");
        }
    }
}

#[test]
fn a_sweep_of_another_version_is_not_merged() {
    let place = Place::new();
    let text = "scenario = \"paper\"\nseeds = 2\nschemes = [\"post-copy\"]\n";
    let out = place.path("out");
    computed(&place.open(text).unwrap(), &out, "0/1", 1);
    let manifest = std::fs::read_to_string(out.join("sweep.json")).unwrap();
    let version = format!("\"{}\"", lazycopy_results::PROGRAM_VERSION);
    std::fs::write(out.join("sweep.json"), manifest.replacen(&version, "\"0.0.9\"", 1)).unwrap();
    let error = merge(&out).unwrap_err().to_string();
    assert!(error.contains("version 0.0.9 has computed this sweep"), "{error}");
}
