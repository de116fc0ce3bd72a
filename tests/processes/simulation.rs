//! Migrations in virtual time, by the command.

use crate::common::{failure, manager};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

fn results(directory: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(directory.join("results.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_same_simulation_gives_the_same_bytes() {
    let directory = TempDir::new().unwrap();
    let schemes = "stop-and-copy,pre-copy,post-copy,lazy-copy,hybrid-post-copy,hybrid-lazy-copy,adaptive-lazy-copy";
    for out in ["once", "twice"] {
        let words = ["simulate", "paper", "--scheme", schemes, "--seeds", "20", "--out", out];
        let output = manager(directory.path(), &words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let once = std::fs::read(directory.path().join("once/results.jsonl")).unwrap();
    let twice = std::fs::read(directory.path().join("twice/results.jsonl")).unwrap();
    assert_eq!(once, twice);
    let results = results(&directory.path().join("once"));
    assert_eq!(results.len(), 140);
    for result in &results {
        assert_eq!(result["outcome"], "completed", "{}", result["run"]);
        assert_eq!(result["digest_matches"], true, "{}", result["run"]);
        assert_eq!(result["slip_ns"], Value::Null);
    }
    let seeds = |scheme| results.iter().filter(|it| it["scheme"] == scheme).count();
    assert_eq!((seeds("pre-copy"), seeds("adaptive-lazy-copy")), (20, 20));
}

#[test]
fn events_are_added_where_they_are_asked_for() {
    let directory = TempDir::new().unwrap();
    let words = ["simulate", "paper", "--scheme", "lazy-copy", "--events", "--out", "out"];
    assert!(manager(directory.path(), &words).status.success());
    let events = directory.path().join("out/events/lazy-copy-seed1.jsonl");
    let events = std::fs::read_to_string(events).unwrap();
    let sent = events.lines().filter(|line| line.contains("\"page_sent\"")).count();
    let results = results(&directory.path().join("out"));
    assert_eq!(results[0]["pages_transferred"].as_u64(), Some(sent as u64));
}

#[test]
fn pre_copy_that_cannot_catch_up_has_its_verdict() {
    let directory = TempDir::new().unwrap();
    let words = [
        ["simulate", "paper", "--scheme", "pre-copy", "--out", "out"].as_slice(),
        &["--set", "guest.write_fraction=1", "--set", "guest.think_time=\"100ms\""],
        &["--set", "migration.max_rounds=12"],
    ]
    .concat();
    let output = manager(directory.path(), &words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result = &results(&directory.path().join("out"))[0];
    assert_eq!(result["outcome"], "never_converges");
    assert!(result["reason"].as_str().unwrap().contains("round 12"), "{}", result["reason"]);
    assert_eq!(result["total_migration_time_ns"], Value::Null);
}

#[test]
fn what_cannot_be_simulated_is_refused_by_its_key() {
    let directory = TempDir::new().unwrap();
    for (set, problem) in [
        ("migration.downtime_limit=0s", "migration.downtime_limit"),
        ("link.bandwidth=0B/s", "above zero"),
        ("guest.frames=0", "guest.frames"),
        ("guest.think_time=200years", "guest.think_time"),
    ] {
        let words = ["simulate", "paper", "--set", set, "--out", "out"];
        let refusal = failure(&manager(directory.path(), &words));
        assert!(refusal.contains(problem), "{refusal}");
        assert!(!directory.path().join("out").exists(), "{set} left something behind");
    }
}
