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

#[test]
fn a_scenario_without_a_modelled_link_is_refused_by_its_key() {
    let directory = TempDir::new().unwrap();
    let words = ["simulate", "unlimited", "--out", "out"];
    let refusal = failure(&manager(directory.path(), &words));
    let expected = "unlimited: link.bandwidth: \"unlimited\" models no link, and virtual time";
    assert!(refusal.contains(expected), "{refusal}");
    assert!(!directory.path().join("out").exists());
    let set = |sets: &[&'static str]| {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let words: Vec<&str> =
            ["simulate", "unlimited", "--out", "out"].into_iter().chain(sets).collect();
        failure(&manager(directory.path(), &words))
    };
    for (sets, key) in [
        (&["time_scale=2"][..], "time_scale: 2"),
        (&["link.latency=1ms"], "link.latency: "),
        (&["link.connections=17"], "link.connections: 17"),
        (&["link.congestion="], "link.congestion: "),
        (&["link.bandwidth=1MB/s", "link.latency=1s", "link.page_check=true"], "link.page_check: "),
    ] {
        let refusal = set(sets);
        assert!(refusal.contains(key), "{sets:?}: {refusal}");
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_fleet_leaves_a_line_for_each_guest_and_the_network_beside_them() {
    let directory = TempDir::new().unwrap();
    let schemes = "stop-and-copy,pre-copy,post-copy,lazy-copy,hybrid-post-copy,hybrid-lazy-copy";
    for out in ["once", "twice"] {
        let words = ["simulate", "evacuation", "--scheme", schemes, "--seeds", "3", "--out", out];
        let output = manager(directory.path(), &words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for file in ["results.jsonl", "network.jsonl"] {
        let read = |out: &str| std::fs::read(directory.path().join(out).join(file)).unwrap();
        assert_eq!(read("once"), read("twice"), "{file}");
    }
    let once = directory.path().join("once");
    let (results, networks) = (results(&once), lines(&once.join("network.jsonl")));
    assert_eq!((results.len(), networks.len()), (6 * 3 * 8, 6 * 3));
    for (network, runs) in networks.iter().zip(results.chunks(8)) {
        let number = |value: &Value| value.as_u64().unwrap();
        assert_eq!((&network["guests"], &network["guests_completed"]), (&8.into(), &8.into()));
        let mut bytes = 0;
        for (guest, run) in runs.iter().enumerate() {
            let name = network["run"].as_str().unwrap();
            assert_eq!(run["run"], format!("{name}-guest{guest}"));
            assert_eq!((&run["seed"], &run["guest"]), (&network["seed"], &guest.into()));
            assert_eq!(run["digest_matches"], true, "{}", run["run"]);
            let destination = if guest < 4 { "host1" } else { "host2" };
            assert_eq!(run["source_server"], "host0");
            assert_eq!(run["destination_server"], destination);
            bytes += number(&run["bytes_transferred"]);
        }
        // What the guests sent is what left host 0 and what came into the others.
        let cards = network["cards"].as_array().unwrap();
        let carried = |host: u32, direction: &str| {
            let card = cards.iter().find(|it| it["host"] == host && it["direction"] == direction);
            number(&card.unwrap()["bytes"])
        };
        assert_eq!(carried(0, "out"), bytes, "{}", network["run"]);
        assert_eq!(carried(1, "in") + carried(2, "in"), bytes, "{}", network["run"]);
        assert_eq!(carried(0, "in") + carried(1, "out") + carried(2, "out"), 0);
    }
}

#[test]
fn neighbours_lose_where_a_migration_crosses_their_card_and_nowhere_else() {
    let directory = TempDir::new().unwrap();
    let neighbours = "fleet.neighbours=[\
        {source=0, rate=\"8224B/s\"}, {destination=1, rate=\"8224B/s\", on=\"2s\", off=\"1s\"}, \
        {source=2, destination=3, rate=\"8224B/s\"}, {source=1, rate=\"8224B/s\", off=\"3s\"}]";
    let words = [
        ["simulate", "neighbours", "--scheme", "post-copy,lazy-copy", "--seeds", "5"].as_slice(),
        &["--set", "fleet.hosts=4", "--set", neighbours, "--events", "--out", "out"],
    ]
    .concat();
    let output = manager(directory.path(), &words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let networks = lines(&directory.path().join("out/network.jsonl"));
    assert_eq!(networks.len(), 10);
    for network in &networks {
        let slowdown = |neighbour: usize| &network["neighbours"][neighbour]["slowdown"];
        let slowed = |neighbour: usize| slowdown(neighbour).as_f64().unwrap();
        assert!(slowed(0) > 1.5 && slowed(0) <= 2.0, "{}", slowed(0));
        assert!(slowed(1) > 1.2 && slowed(1) <= 2.0, "{}", slowed(1));
        assert_eq!((slowdown(2), slowdown(3)), (&1.0.into(), &1.0.into()), "{}", network["run"]);
        for card in network["cards"].as_array().unwrap() {
            let over_time = card["over_time"]["bytes"].as_array().unwrap();
            let sum: u64 = over_time.iter().map(|bytes| bytes.as_u64().unwrap()).sum();
            assert_eq!(card["bytes"], sum);
        }
    }
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    for expected in ["neighbours' slowdown", "out of host 0, mean", "- By time lost "] {
        assert!(printed.contains(expected), "{printed}");
    }
    let events = directory.path().join("out/events/lazy-copy-seed5-guest0.jsonl");
    assert!(events.exists());
}

#[test]
fn a_run_that_is_not_over_at_its_limit_costs_no_other_its_result() {
    let directory = TempDir::new().unwrap();
    let moving = "fleet.moves=[{starts=\"0s\"}, {starts=\"0s\"}]";
    let one_after_another = [
        ["simulate", "pre-copy", "--scheme", "post-copy,pre-copy", "--seeds", "4"].as_slice(),
        &["--set", "guest.think_time=100ms", "--set", "migration.max_rounds=1000000"],
        &["--set", moving, "--time-limit", "10m", "--out", "out"],
    ]
    .concat();
    let refusal = failure(&manager(directory.path(), &one_after_another));
    assert!(refusal.contains("pre-copy-seed"), "{refusal}");
    assert!(refusal.contains("600 s of model time, its limit"), "{refusal}");
    let results = results(&directory.path().join("out"));
    assert_eq!(results.iter().filter(|run| run["scheme"] == "post-copy").count(), 8);
    assert_eq!(std::fs::read_dir(directory.path().join("out")).unwrap().count(), 2);
}

#[test]
fn processes_refuse_a_fleet_and_a_simulation_forgets_the_one_before() {
    let directory = TempDir::new().unwrap();
    for words in [
        ["demo", "--scenario", "evacuation", "--out", "demo"].as_slice(),
        &["demo", "--scenario", "paper", "--set", "fleet.hosts=3", "--out", "demo"],
    ] {
        let refusal = failure(&manager(directory.path(), words));
        assert!(refusal.contains("fleet: several guests at once"), "{refusal}");
    }
    for (scenario, has_network) in [("neighbours", true), ("paper", false)] {
        assert!(manager(directory.path(), &["simulate", scenario, "--out", "o"]).status.success());
        assert_eq!(directory.path().join("o/network.jsonl").exists(), has_network, "{scenario}");
    }
}

#[test]
fn a_scenario_that_is_not_there_is_answered_with_those_that_are() {
    let directory = TempDir::new().unwrap();
    let refusal = failure(&manager(directory.path(), &["simulate", "papre"]));
    assert!(refusal.contains("\"papre\" is no file and no shipped scenario"), "{refusal}");
    assert!(refusal.contains("paper, fair") && refusal.contains("evacuation"), "{refusal}");
    let help = manager(directory.path(), &["simulate", "--help"]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(!help.contains("--listen") && !help.contains("--event-level"), "{help}");
    assert!(help.contains("--out <DIRECTORY>"), "{help}");
}

#[test]
fn results_in_a_directory_named_after_a_scenario_do_not_hide_it() {
    let directory = TempDir::new().unwrap();
    for _ in 0..2 {
        let output = manager(directory.path(), &["simulate", "paper", "--out", "paper"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    std::fs::create_dir(directory.path().join("mine")).unwrap();
    let refusal = failure(&manager(directory.path(), &["simulate", "mine"]));
    assert!(refusal.contains("mine: it is no scenario file"), "{refusal}");
}
