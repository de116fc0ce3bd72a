//! Guests whose pages are real bytes, over links that nobody models.

use crate::common::{Manager, failure, manager, result, runs};
use crate::endings::Standalone;
use crate::migrations::assert_whole;
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

/// A small guest with pages of each kind, whose measured accesses take thirty milliseconds.
const SMALL: &str = "--scenario unlimited --set guest.pages=2000 --set guest.frames=2000 --set \
                     guest.zero_fraction=0.2 --set guest.compressible_fraction=0.3 --set \
                     measured_accesses=3000";

/// Pre-copy hands over after its first round then, however busy the machine is.
const CONVERGING: &str = "--set migration.stop_rule=qemu --set migration.downtime_limit=1h";

/// What went over the sockets of a run is told, and nothing was late.
fn assert_plane(result: &Value) {
    let plane = &result["plane"];
    let number = |key: &str| plane[key].as_u64().unwrap_or_else(|| panic!("{key}: {result}"));
    let pages = result["pages_transferred"].as_u64().expect("it is counted");
    let without_body = number("pages_zero") + number("pages_same");
    assert!(without_body > 0 && number("pages_compressed") > 0, "{plane}");
    assert!(without_body + number("pages_compressed") <= pages, "{plane}");
    assert!(number("bytes_sent") > 0 && number("bytes_sent") < pages * 4_096, "{plane}");
    assert!(plane["compression_ratio"].as_f64().is_some_and(|ratio| ratio > 1.0), "{plane}");
    assert_eq!((number("connections"), &plane["checksums"]), (2, &true.into()));
    assert!(plane["congestion"].as_str().is_some_and(|name| !name.is_empty()), "{plane}");
    for key in ["slip_ns", "slip_bound_ns"] {
        assert_eq!(result[key], Value::Null, "{key}");
    }
    assert_eq!((&result["slip_exceeded"], &result["out_of_order"]), (&false.into(), &0.into()));
    assert_eq!(result["scenario"]["link"]["bandwidth"], "unlimited");
    assert_eq!(result["scenario"]["time_scale"], 1);
}

#[test]
fn real_pages_move_there_and_back_under_each_kind_of_scheme() {
    let mut processes = Manager::with_servers(&["--event-level", "off"]);
    let link = "--set link.compression=lz4 --set link.connections=2";
    processes.say(&format!("vm create v --on a {SMALL} {link} {CONVERGING}"));
    let schemes = ["post-copy", "lazy-copy", "pre-copy", "post-copy"];
    for (scheme, to) in schemes.into_iter().zip(["b", "a"].into_iter().cycle()) {
        processes.say(&format!("migrate v --to {to} --scheme {scheme} --wait"));
    }
    processes.expect("Migration 4 of \"v\": completed");
    let shown = processes.json("vm show v");
    assert_eq!(shown["server"], "a");
    assert_eq!(shown["vm"]["summary"]["real_memory"], true);
    let text = processes.ctl("vm show v");
    assert!(String::from_utf8_lossy(&text.stdout).contains("Guest \"v\" on server \"a\": running"));
    let ended = processes.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let runs = runs(ended.directory.path());
    assert_eq!(runs.len(), 4, "{}", ended.stdout);
    for run in &runs {
        let result = result(run);
        let scheme = result["scheme"].as_str().expect("a name");
        assert!(schemes.contains(&scheme), "{scheme}");
        assert_whole(run, scheme);
        assert_plane(&result);
        let directory = run.to_str().expect("its name is text");
        let reported = manager(ended.directory.path(), &["report", directory]);
        assert!(reported.status.success(), "{}", String::from_utf8_lossy(&reported.stderr));
        assert!(run.join("report.html").is_file() && run.join("figures/timeline.svg").is_file());
    }
}

#[test]
fn a_guest_moves_over_the_kind_of_link_alone_that_it_was_created_for() {
    let mut processes = Manager::with_servers(&["--event-level", "off"]);
    processes.say(&format!("vm create real --on a {SMALL}"));
    processes.say("vm create modelled --on a");
    processes.expect("Guest \"modelled\" is on");
    let refused = |words: &str| failure(&processes.ctl(words));
    let refusal = refused(
        "migrate real --to b --set link.bandwidth=1Gbit/s --set link.latency=1ms --scheme post-copy",
    );
    let expected = "guest \"real\" was created for an unlimited link and cannot be moved over a";
    assert!(refusal.contains(expected), "{refusal}");
    let refusal = refused("migrate modelled --to b --set link.bandwidth=unlimited");
    let expected = "guest \"modelled\" was created for a modelled link and cannot be moved over an";
    assert!(refusal.contains(expected), "{refusal}");
    let refusal = refused("migrate real --to b --set link.latency=1ms");
    assert!(refusal.contains("--set link.latency=1ms: link.latency: "), "{refusal}");
    assert_eq!(processes.whereabouts("real"), ("a".to_owned(), "created".to_owned()));
    assert_eq!(processes.end().code, Some(0));
}

#[test]
fn a_server_with_guests_of_real_memory_is_evacuated() {
    let mut processes = Manager::start(&["--event-level", "off"]);
    for server in ["a", "b", "c"] {
        processes.say(&format!("server start {server} --frames 6000"));
        processes.expect(&format!("Server \"{server}\" runs"));
    }
    for seed in 1..=3 {
        processes.say(&format!("vm create v{seed} --on a {SMALL} --set seed={seed}"));
        processes.expect(&format!("Guest \"v{seed}\" is on"));
    }
    let report = processes.json("server evacuate a --parallel 2 --scheme post-copy");
    let guests = report["guests"].as_array().expect("a list");
    assert_eq!(guests.len(), 3);
    for guest in guests {
        assert_eq!(guest["outcome"], "completed", "{report}");
        assert_eq!(guest["digest_matches"], true, "{report}");
    }
    assert_eq!(processes.json("server show a")["host"]["frames_taken"], 0);
    assert_eq!(processes.end().code, Some(0));
}

#[test]
fn the_next_manager_moves_guests_whose_memory_is_real() {
    let first = Manager::start(&[]);
    let address = first.address.clone();
    let servers = ["far", "near"].map(|name| Standalone::start(name, &address));
    let mut first = first;
    let small = "--scenario unlimited --set guest.pages=80 --set guest.frames=80";
    for _ in &servers {
        first.expect("is here");
    }
    first.say(&format!("vm create v --on far {small}"));
    first.say("vm start v");
    first.expect("\"v\" runs");
    assert!(first.ctl("quit").status.success(), "the guest's server stays");
    drop(first);
    let mut second = Manager::start_at(&address, &["--event-level", "off"]);
    for _ in &servers {
        second.expect("is here");
    }
    let moved = second.json("migrate v --to near --set measured_accesses=100 --wait");
    assert_eq!(moved["outcome"], "completed");
    assert_eq!(moved["digest_matches"], Value::Null, "nobody knows its history");
    assert_eq!(moved["scenario"]["link"]["bandwidth"], "unlimited");
    let back =
        second.json("migrate v --to far --set link.connections=2 --set measured_accesses=9 --wait");
    assert_eq!(back["plane"]["connections"], 2);
    for server in ["far", "near"] {
        second.say(&format!("server stop {server} --force"));
        second.expect("has ended");
    }
    drop(servers);
    assert_eq!(second.end().code, Some(0));
}

#[test]
fn a_demonstration_without_a_modelled_link_runs_one_migration_after_another() {
    let directory = TempDir::new().unwrap();
    let sets = ["guest.pages=500", "guest.frames=500", "measured_accesses=1000"];
    let mut words = vec!["demo", "--scenario", "unlimited", "--seeds", "2"];
    words.extend(["--scheme", "post-copy,lazy-copy"]);
    words.extend(sets.iter().flat_map(|set| ["--set", set]));
    let output = manager(directory.path(), &words);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stderr.contains("4 migrations one after another"), "{stderr}");
    assert!(stdout.contains("4 of 4 migrations completed"), "{stdout}");
    assert!(stdout.contains("By the clock: 4 of 4 runs had no modelled link"), "{stdout}");
    let results: Vec<Value> = runs(directory.path()).iter().map(|run| result(run)).collect();
    assert!(results.iter().all(|result| result["digest_matches"] == true));
}

/// Memory of this machine, in bytes.
fn memory() -> u64 {
    let told = fs::read_to_string("/proc/meminfo").expect("the system tells it");
    let line = told.lines().find_map(|line| line.strip_prefix("MemTotal:")).expect("in all");
    let kilobytes = line.trim().trim_end_matches("kB").trim();
    kilobytes.parse::<u64>().expect("a number of kilobytes") << 10
}

#[test]
fn a_guest_that_is_larger_than_the_machines_memory_is_refused_with_both_figures() {
    const PAGES: u64 = 16_000_000;
    let needed = PAGES * 4_096;
    if memory() >= needed {
        println!("skipped: this machine's memory holds a guest of {PAGES} pages");
        return;
    }
    let mut processes = Manager::start(&[]);
    processes.say("server start big --frames 20000000");
    processes.expect("Server \"big\" runs");
    let create = format!(
        "vm create huge --on big --scenario unlimited --set guest.pages={PAGES} --set \
         guest.frames={PAGES}"
    );
    let refusal = failure(&processes.ctl(&create));
    let expected = format!("guest \"huge\" needs {} MiB of memory", needed >> 20);
    assert!(refusal.contains(&expected), "{refusal}");
    assert!(refusal.contains("this machine has"), "{refusal}");
    let vms = processes.json("vm list");
    assert_eq!(vms["vms"].as_array().map(Vec::len), Some(0), "nothing is left of it");
    assert_eq!(processes.end().code, Some(0));
}
