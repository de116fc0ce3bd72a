//! The directories of runs: whole, never overwritten, read back.

mod common;

use common::record;
use lazycopy_migration::{Cause, Event, EventKind, Fate, FaultEnd, Scheme, Side};
use lazycopy_results::{ResultsError, RunRecord, RunWriter, list_runs, load_events, load_run};
use lazycopy_units::{Duration, Instant, PageNumber};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn events() -> Vec<Event> {
    let page = PageNumber(7);
    let kinds = [
        EventKind::Requested,
        EventKind::Handover { bytes: 4_272 },
        EventKind::PageArrived { page, cause: Cause::Demand, fate: Fate::EndedFault },
        EventKind::FaultEnded { page, by: FaultEnd::Remote, stalled: Duration::from_millis(900) },
        EventKind::Progress { step: Duration::from_nanos(3), count: u64::MAX },
        EventKind::Lost { reason: "the source died".to_owned() },
    ];
    let event = |(index, kind)| Event {
        at: Instant::from_nanos(u64::MAX - 9 + index as u64),
        side: if index % 2 == 0 { Side::Source } else { Side::Destination },
        kind,
    };
    kinds.into_iter().enumerate().map(event).collect()
}

fn write(folder: &Path, record: &RunRecord) -> Result<std::path::PathBuf, ResultsError> {
    let mut run = RunWriter::begin(folder, &record.run)?;
    events().iter().try_for_each(|event| run.event(event))?;
    run.finish(record, "before\n", "after\n")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    fs::read_dir(folder).unwrap().map(name).collect()
}

#[test]
fn a_directory_holds_the_record_the_events_and_both_states() {
    let folder = tempfile::tempdir().unwrap();
    let record = record(Scheme::LazyCopy, 3);
    let directory = write(&folder.path().join("a/b"), &record).unwrap();
    assert_eq!(directory, folder.path().join("a/b/paper-lazy-copy-3"));
    let files = ["after.txt", "before.txt", "events.jsonl", "result.json"];
    assert_eq!(names_in(&directory), BTreeSet::from(files.map(str::to_owned)));
    assert_eq!(load_run(&directory).unwrap(), record);
    assert_eq!(load_events(&directory).unwrap(), events());
    assert_eq!(fs::read_to_string(directory.join("before.txt")).unwrap(), "before\n");
    assert_eq!(fs::read_to_string(directory.join("after.txt")).unwrap(), "after\n");
    let lines = fs::read_to_string(directory.join("events.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), events().len());
}

#[test]
fn the_metrics_stand_at_the_top_level_and_nulls_are_written() {
    let json: serde_json::Value =
        serde_json::from_str(&record(Scheme::PostCopy, 1).to_json()).unwrap();
    assert_eq!(json["scheme"], "post-copy");
    assert_eq!(json["total_migration_time_ns"], 0);
    assert_eq!(json["outcome"], "completed");
    assert_eq!(json["schema_version"], 1);
    assert!(json.as_object().unwrap().contains_key("last_fault_ns"));
    assert!(json["last_fault_ns"].is_null());
}

#[test]
fn a_name_that_is_taken_gets_a_number_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let record = record(Scheme::LazyCopy, 3);
    fs::write(folder.path().join("paper-lazy-copy-3-2"), "a user's file").unwrap();
    fs::create_dir(folder.path().join("paper-lazy-copy-3-3")).unwrap();
    let first = write(folder.path(), &record).unwrap();
    let text = fs::read_to_string(first.join("result.json")).unwrap();
    let second = write(folder.path(), &record).unwrap();
    assert_eq!(second, folder.path().join("paper-lazy-copy-3-4"));
    assert_eq!(load_run(&second).unwrap().run, "paper-lazy-copy-3-4");
    assert_eq!(fs::read_to_string(first.join("result.json")).unwrap(), text);
    assert_eq!(names_in(&folder.path().join("paper-lazy-copy-3-3")), BTreeSet::new());
}

#[test]
fn many_writers_of_one_name_get_a_directory_each() {
    let folder = tempfile::tempdir().unwrap();
    let record = record(Scheme::LazyCopy, 3);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    write(folder.path(), &record).unwrap();
                }
            });
        }
    });
    let runs = list_runs(folder.path()).unwrap();
    assert_eq!((runs.whole.len(), runs.broken.len()), (80, 0));
    assert_eq!(names_in(folder.path()).len(), 80, "nothing is left aside");
    for run in &runs.whole {
        assert_eq!(load_run(&folder.path().join(&run.run)).unwrap().run, run.run);
    }
}

#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(300);
    for name in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a b", "a\n", &long] {
        let record = RunRecord { run: name.to_owned(), ..record(Scheme::LazyCopy, 3) };
        let error = write(folder.path(), &record).unwrap_err();
        assert!(matches!(error, ResultsError::Name { .. }), "{name:?}: {error}");
    }
    assert_eq!(names_in(folder.path()), BTreeSet::new());
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = write(&file, &record(Scheme::LazyCopy, 3)).unwrap_err().to_string();
    assert!(error.starts_with(&file.display().to_string()), "{error}");
    assert_eq!(names_in(folder.path()).len(), 1);
}

#[test]
fn what_is_not_finished_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = RunWriter::begin(folder.path(), "given-up").unwrap();
    events().iter().for_each(|event| run.event(event).unwrap());
    assert_eq!(names_in(folder.path()).len(), 1);
    drop(run);
    assert_eq!(names_in(folder.path()), BTreeSet::new());
}

#[test]
fn broken_runs_are_told_by_name_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 1..=4 {
        write(folder.path(), &record(Scheme::LazyCopy, seed)).unwrap();
    }
    let run = |seed| folder.path().join(format!("paper-lazy-copy-{seed}"));
    fs::write(run(2).join("result.json"), "{ \"schema_version\": 1 }").unwrap();
    let text = fs::read_to_string(run(3).join("result.json")).unwrap();
    let newer = text.replace("\"schema_version\": 1", "\"schema_version\": 7");
    fs::write(run(3).join("result.json"), newer).unwrap();
    fs::remove_file(run(4).join("result.json")).unwrap();
    fs::create_dir(folder.path().join("reference")).unwrap();
    fs::create_dir(folder.path().join(".x.partial")).unwrap();
    fs::write(folder.path().join("notes.txt"), "a user's").unwrap();

    let runs = list_runs(folder.path()).unwrap();
    assert_eq!(runs.whole, [record(Scheme::LazyCopy, 1)]);
    let broken: Vec<(&str, String)> =
        runs.broken.iter().map(|run| (&*run.name, run.error.to_string())).collect();
    assert_eq!(broken.len(), 3, "{broken:?}");
    assert_eq!(broken[0].0, "paper-lazy-copy-2");
    assert!(broken[0].1.contains("it is no result: missing field"), "{}", broken[0].1);
    assert_eq!(broken[1].0, "paper-lazy-copy-3");
    assert!(
        broken[1].1.ends_with("its schema_version is 7; this program reads 1"),
        "{}",
        broken[1].1
    );
    assert_eq!(broken[2].0, "paper-lazy-copy-4");
    assert!(broken[2].1.contains("result.json"), "{}", broken[2].1);
}

#[test]
fn a_folder_that_is_not_there_has_no_runs() {
    let folder = tempfile::tempdir().unwrap();
    let runs = list_runs(&folder.path().join("none")).unwrap();
    assert!(runs.whole.is_empty() && runs.broken.is_empty());
}

#[test]
fn a_broken_event_is_named_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let directory = write(folder.path(), &record(Scheme::LazyCopy, 1)).unwrap();
    let path = directory.join("events.jsonl");
    let text = fs::read_to_string(&path).unwrap().replacen("handover", "hangover", 1);
    fs::write(&path, text).unwrap();
    let error = load_events(&directory).unwrap_err().to_string();
    assert!(error.contains("events.jsonl, line 2: "), "{error}");
}

#[test]
fn text_that_is_no_record_is_refused() {
    for text in ["", "[]", "{}", "null", "{\"schema_version\": \"1\"}"] {
        assert!(RunRecord::from_json(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn a_record_that_is_read_back_is_equal(
        times: [Option<u64>; 4], counts: [u64; 4], lead in prop::option::of(-1e12..1e12f64),
        accuracy in prop::option::of(0.0..=1.0f64), matches: Option<bool>, reason in "\\PC{0,20}",
        seed: u64, scheme in prop::sample::select(Scheme::ALL.to_vec()),
    ) {
        let mut record = record(scheme, seed);
        record.digest_matches = matches;
        record.preset = None;
        record.slip_bound_ns = times[3];
        let metrics = &mut record.metrics;
        (metrics.total_migration_time_ns, metrics.downtime_ns) = (times[0], times[1]);
        metrics.bandwidth_peak = times[2];
        (metrics.faults, metrics.pages_transferred) = (counts[0], counts[1]);
        (metrics.bytes_transferred, metrics.stall_time_ns) = (counts[2], counts[3]);
        (metrics.forward_lead_mean, metrics.forward_accuracy) = (lead, accuracy);
        metrics.reason = reason;
        prop_assert_eq!(RunRecord::from_json(&record.to_json()).unwrap(), record);
    }
}
