//! Migrations from command to result.

use crate::common::{FAST, Manager, manager, result, runs};
use std::path::Path;
use tempfile::TempDir;

const SCHEMES: [&str; 3] = ["stop-and-copy", "post-copy", "lazy-copy"];

/// Holds a run's directory to what every run's must be.
pub fn assert_whole(run: &Path, scheme: &str) {
    let result = result(run);
    let number = |key: &str| result[key].as_u64().unwrap_or_else(|| panic!("{key}: {result}"));
    assert_eq!(result["outcome"], "completed");
    assert_eq!(result["scheme"], scheme);
    assert_eq!(result["digest_matches"], true, "the guest differs from its reference run");
    let times = ["preparation_time_ns", "downtime_ns", "resume_time_ns"];
    assert_eq!(number("total_migration_time_ns"), times.map(number).iter().sum::<u64>());
    assert_eq!(number("faults"), number("faults_remote") + number("faults_disk"));
    let causes = ["pages_round", "pages_background", "pages_forward", "pages_demand"];
    assert_eq!(number("pages_transferred"), causes.map(number).iter().sum::<u64>());
    assert!(number("reference_measured_time_ns") <= number("measured_time_ns"));
    let text = |file: &str| std::fs::read_to_string(run.join(file)).expect("the file is there");
    for (file, at_source, at_destination) in [("before.txt", 1, 0), ("after.txt", 0, 1)] {
        let text = text(file);
        let (source, destination) = text.split_once("(b) Destination host").expect("two hosts");
        for (host, guests) in [(source, at_source), (destination, at_destination)] {
            assert_eq!(host.matches("Page table").count(), guests, "{file}: {host}");
            assert_eq!(host.matches("Memory, least recently used first").count(), guests);
        }
    }
    assert_events_agree(&text("events.jsonl"), &result);
}

/// The events tell the same numbers as the metrics, and no page crosses the link twice.
fn assert_events_agree(events: &str, result: &serde_json::Value) {
    let events: Vec<serde_json::Value> =
        events.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect();
    let count = |kind: &str| events.iter().filter(|event| event["event"] == kind).count() as u64;
    assert_eq!(result["pages_transferred"], count("page_sent"));
    assert_eq!(result["faults"], count("fault_ended"));
    assert_eq!(count("handover"), 1);
    let instants: Vec<u64> = events.iter().filter_map(|event| event["at_ns"].as_u64()).collect();
    assert!(instants.is_sorted(), "the events of both sides are merged in the order of time");
    let handover = events.iter().position(|event| event["event"] == "handover").expect("one");
    let mut sent: Vec<u64> = events[handover..]
        .iter()
        .filter(|event| event["event"] == "page_sent")
        .filter_map(|event| event["page"].as_u64())
        .collect();
    let all = sent.len();
    sent.sort_unstable();
    sent.dedup();
    assert_eq!(sent.len(), all, "a page crossed the link twice");
}

#[test]
fn a_script_moves_a_guest_under_each_scheme_and_back() {
    let directory = TempDir::new().unwrap();
    let mut script = "server start a\nserver start b --frames 40 # two guests\n".to_owned();
    script.push_str(&format!(
        "vm create v --on a {FAST} --set guest.write_fraction=0.4 --set measured_accesses=60\n"
    ));
    script.push_str("migrate v --to b --wait\n");
    for (number, scheme) in SCHEMES.iter().enumerate() {
        let to = ["a", "b"][number % 2];
        script.push_str(&format!("migrate v --to {to} --scheme {scheme} --wait\n"));
    }
    script.push_str("vm show v\nresults\n");
    std::fs::write(directory.path().join("all.script"), script).unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--event-level", "off", "run", "all.script"];
    let output = manager(directory.path(), &arguments);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let runs = runs(directory.path());
    assert_eq!(runs.len(), 4, "{stdout}");
    for scheme in SCHEMES {
        let run = runs.iter().find(|run| run.display().to_string().ends_with(scheme));
        assert_whole(run.expect("each scheme has a run"), scheme);
    }
    assert!(stdout.contains("Guest \"v\" on server \"a\": running"), "{stdout}");
}

#[test]
fn a_guest_that_has_run_for_a_while_migrates_without_losing_anything() {
    let mut manager = Manager::with_servers(&["--event-level", "off"]);
    manager.say(&format!("vm create v --on a {FAST} --set guest.write_fraction=0.3"));
    manager.say("vm start v");
    manager.expect("\"v\" runs on server \"a\"");
    manager.say("vm suspend v");
    manager.expect("is suspended");
    manager.say("vm resume v");
    manager.say("migrate v --to b --scheme lazy-copy --wait");
    manager.expect("Migration 1 of \"v\": completed");
    assert_eq!(manager.whereabouts("v"), ("b".to_owned(), "running".to_owned()));
    let ended = manager.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let runs = runs(ended.directory.path());
    assert_whole(&runs[0], "lazy-copy");
    assert!(result(&runs[0])["scenario"]["guest"]["write_fraction"] == 0.3);
}

#[test]
fn a_context_of_which_the_connection_takes_a_part_at_a_time_arrives_though_nothing_follows_it() {
    let mut manager = Manager::start(&["--event-level", "off"]);
    manager.say("server start a --frames 200000");
    manager.say("server start b --frames 200000");
    manager.say(
        "vm create v --on a --scenario large-guest --set guest.pages=200000 --set \
         guest.frames=200000 --set guest.resident_at_start=all --set warmup_accesses=0 --set \
         measured_accesses=1 --set guest.workload.exponent=0 --set guest.think_time=1s --set \
         link.bandwidth=100GB/s --set link.latency=1ms",
    );
    manager.say("migrate v --to b --scheme stop-and-copy --wait");
    manager.expect("Migration 1 of \"v\": completed");
    let ended = manager.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn events_are_printed_as_the_papers_program_prints_them() {
    let mut manager = Manager::with_servers(&["--event-level", "all"]);
    // Page after page, one more than there are frames: the first is on the disk alone, the next
    // ones wait at the end of a slow link's queue.
    manager.say(&format!(
        "vm create v --on a {FAST} --set guest.workload.kind=sequential --set guest.pages=20 --set \
         guest.frames=19 --set migration.push_order=mru --set link.bandwidth=1028B/s --set \
         disk.latency_destination=1s"
    ));
    manager.say("migrate v --to b --scheme post-copy");
    manager.expect("v: Suspended at the source");
    manager.say("wait v");
    let line = manager.expect("Migration 1 of \"v\": completed");
    assert!(line.contains("page faults: "), "{line}");
    let ended = manager.end();
    for part in [
        "s] v: Page fault: Page",
        "is in source memory!",
        "is not in source memory!",
        "is loaded from disk!",
        "is transferred (background).",
        "is transferred (on demand).",
        "v: Resumed at the destination: pc 200.",
        "v: Migration complete.",
    ] {
        assert!(ended.stdout.contains(part), "no \"{part}\" in\n{}", ended.stdout);
    }
}

#[test]
fn a_policy_holds_for_later_migrations_and_an_option_wins_over_it() {
    let mut manager = Manager::with_servers(&["--event-level", "off"]);
    manager.say("policy set scheme=stop-and-copy push_order=mru");
    manager.say(&format!("vm create v --on a {FAST}"));
    manager.say("migrate v --to b --wait");
    manager.expect("Migration 1 of \"v\": completed");
    manager.say("migrate v --to a --scheme post-copy --wait");
    manager.expect("Migration 2 of \"v\": completed");
    let results = &manager.json("results")["results"];
    for (number, scheme) in [(0, "stop-and-copy"), (1, "post-copy")] {
        let migration = &results[number]["result"]["scenario"]["migration"];
        assert_eq!(
            (&migration["scheme"], &migration["push_order"]),
            (&scheme.into(), &"mru".into())
        );
    }
    assert_eq!(manager.end().code, Some(0));
}
