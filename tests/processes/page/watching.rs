//! What viewers are shown while migrations run.

use super::{Live, Page, SEEN};
use crate::common::FAST;
use serde_json::{Value, json};

#[test]
fn a_snapshot_shows_servers_and_guests_and_their_memory() {
    let page = Page::with_servers();
    page.commands(&format!("vm create v --on a {SEEN}"));
    page.commands("vm start v");
    let large = "--set guest.pages=8000 --set guest.frames=4000";
    page.commands(&format!("vm create w --on b {large} {SEEN}"));
    let shown = page.read("/api/state");
    assert!(shown.head.contains("content-type: application/json"), "{}", shown.head);
    let shown = page.awaits(|shown| !shown["vms"][1]["memory"].is_null());
    let servers = shown["servers"].as_array().unwrap();
    assert_eq!((servers.len(), &servers[0]["name"]), (2, &json!("a")));
    assert_eq!((&servers[0]["state"], &servers[0]["frames_taken"]), (&json!("ready"), &json!(20)));
    let v = &shown["vms"][0];
    assert_eq!((&v["server"], &v["phase"]), (&json!("a"), &json!("running")));
    assert!(v["accesses"].as_u64().unwrap() > 0);
    assert_eq!((&v["memory"]["kind"], &v["memory"]["frames"]), (&json!("cells"), &json!(20)));
    assert_eq!(v["memory"]["cells"].as_array().unwrap().len(), 20);
    assert_eq!(v["memory"]["cells"][0]["cause"], "own");
    let w = &shown["vms"][1]["memory"];
    assert_eq!((&w["kind"], &w["pages"]), (&json!("density"), &json!(8000)));
    assert_eq!(w["resident"].as_array().unwrap().len(), 256);
    page.end();
}

/// More guests than have their memory in a picture.
const CROWD: usize = 18;

#[test]
fn a_viewer_chooses_a_guest_whose_memory_is_shown_beside_the_first_ones() {
    let page = Page::with_servers();
    for number in 10..10 + CROWD {
        page.commands(&format!("vm create v{number} --on a {SEEN}"));
        page.commands(&format!("vm start v{number}"));
    }
    let has_memory = |shown: &Value, vm: usize| !shown["vms"][vm]["memory"].is_null();
    let shown = page.awaits(|shown| has_memory(shown, 15));
    assert!(!has_memory(&shown, 16) && !has_memory(&shown, CROWD - 1), "others are not shown");
    let is_seen = |(name, shown): &(String, Value)| {
        name == "state" && has_memory(shown, CROWD - 1) && has_memory(shown, 0)
    };
    assert!(page.live_at("/api/live?show=v27").any(|event| is_seen(&event)));
    page.awaits(|shown| !has_memory(shown, CROWD - 1));
    let watched = page.commands("watch v26");
    assert_eq!(watched["vm"]["memory"]["kind"], "cells", "whoever watches one has chosen it");
    for wrong in ["show=", "show=..%2f", "v27", "show=v27&show=v26"] {
        let answer = page.read(&format!("/api/live?{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
        assert!(answer.error().contains("show"), "{}", answer.body);
    }
    page.end();
}

#[test]
fn a_viewer_that_comes_while_the_guest_waits_is_told_for_which_page() {
    let page = Page::with_servers();
    page.commands("time freeze");
    page.commands(&format!("vm create v --on a {SEEN}"));
    page.commands("migrate v --to b --scheme post-copy");
    let fault = |shown: &Value| shown["migrations"][0]["fault"].clone();
    let shown = page.awaits(|shown| shown["migrations"][0]["model_ns"] == 0);
    assert_eq!(fault(&shown), Value::Null);
    page.commands("time step 3s");
    let shown = page.awaits(|shown| shown["migrations"][0]["model_ns"] == 3_000_000_000_u64);
    let waits = fault(&shown);
    let since = waits["since_ns"].as_u64().expect("the guest waits");
    assert_eq!(shown["migrations"][0]["stall_ns"].as_u64(), Some(3_000_000_000 - since));
    let said = page.live().find(|(name, _)| name == "state").expect("there is a first picture");
    assert_eq!(fault(&said.1), waits, "the first picture has it");
    page.end();
}

#[test]
fn a_viewer_that_comes_late_is_told_the_end_of_the_log() {
    let page = Page::with_servers();
    page.commands(&format!("vm create v --on a {FAST} --set measured_accesses=5"));
    page.commands("migrate v --to b --scheme post-copy --wait");
    let (_, told) = page.live().find(|(name, _)| name == "recent").unwrap();
    let told = told.as_array().unwrap();
    let numbers: Vec<u64> = told.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    let has = |name: &str| told.iter().any(|entry| entry["event"]["event"] == name);
    assert!(has("handover") && has("page_sent") && has("ended"), "{told:?}");
    page.end();
}

#[test]
fn a_viewer_sees_the_fleet_then_the_log_and_progress_that_does_not_go_back() {
    let page = Page::with_servers();
    page.commands(&format!("vm create v --on a {SEEN}"));
    let mut live = page.live();
    let (first, shown) = live.next().unwrap();
    assert_eq!((first.as_str(), &shown["migrations"]), ("state", &json!([])));
    page.commands("migrate v --to b --scheme lazy-copy --set measured_accesses=15");
    let (mut progress, mut version, mut events) = (0.0, 0, Vec::new());
    let (mut filling, mut leading) = (0, false);
    let last = loop {
        let (name, data) = live.next().expect("the manager goes on");
        if name == "log" {
            events.extend(data.as_array().unwrap().clone());
            continue;
        }
        assert!(data["version"].as_u64().unwrap() > version, "each is newer");
        version = data["version"].as_u64().unwrap();
        let migration = data["migrations"][0].clone();
        let now = migration["progress"].as_f64().unwrap_or(progress);
        assert!((progress..=1.0).contains(&now), "{progress} and then {now}");
        progress = now;
        let cells = migration["destination_memory"]["cells"].as_array().map_or(0, Vec::len);
        filling += u32::from(0 < cells && cells < 20 && progress < 1.0);
        leading |=
            migration["forward_accesses"].as_u64() > migration["following_accesses"].as_u64();
        if migration["outcome"] == "completed" {
            break migration;
        }
    };
    assert_eq!((progress, &last["phase"], &last["left_ns"]), (1.0, &json!("ended"), &Value::Null));
    assert!(filling > 0, "the destination was seen while it filled");
    assert!(leading, "the forward context was seen ahead");
    let sequence: Vec<u64> = events.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert!(sequence.is_sorted_by(|one, other| one < other), "{sequence:?}");
    let arrived = |cause: &str| {
        let of_cause = |entry: &&Value| {
            entry["event"]["event"] == "page_arrived" && entry["event"]["cause"] == cause
        };
        events.iter().filter(of_cause).count() as u64
    };
    for cause in ["background", "forward", "demand"] {
        assert_eq!(last["arrived"][cause], arrived(cause), "{cause}");
    }
    assert!(arrived("background") > 0);
    assert_eq!((&events[0]["vm"], &events[0]["migration"]), (&json!("v"), &json!(1)));
    let directory = last["directory"].as_str().expect("its result is written");
    assert!(page.manager.directory.path().join("results").join(directory).is_dir());
    page.commands("quit --force");
    assert!(live.all(|(name, _)| !name.is_empty()), "the stream ends with the manager");
    assert_eq!(page.manager.ended_by_itself().code, Some(0));
}

#[test]
fn metrics_count_what_has_been_migrated() {
    let page = Page::with_servers();
    page.commands(&format!("vm create v --on a {}", FAST));
    let result = page.commands("migrate v --to b --scheme post-copy --wait");
    let answer = page.read("/metrics");
    assert!(answer.head.contains("content-type: application/openmetrics-text"), "{}", answer.head);
    assert!(answer.body.ends_with("# EOF\n"));
    let value = |name: &str| -> f64 {
        let mut samples = answer.body.lines().filter(|line| !line.starts_with('#'));
        let sample = samples.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        sample.unwrap_or_else(|| panic!("no {name} in {}", answer.body)).parse().expect("a number")
    };
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("lazycopy_"), "{line}");
        assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
    }
    assert_eq!(value("lazycopy_servers{state=\"ready\"}"), 2.0);
    assert_eq!(value("lazycopy_guests{phase=\"running\"}"), 1.0);
    let completed = "lazycopy_migrations_total{scheme=\"post-copy\",outcome=\"completed\"}";
    assert_eq!(value(completed), 1.0);
    let number = |key: &str| result[key].as_f64().unwrap_or_else(|| panic!("{key}: {result}"));
    for (cause, key) in [("background", "pages_background"), ("demand", "pages_demand")] {
        let name = format!("lazycopy_pages_arrived_total{{cause=\"{cause}\"}}");
        assert_eq!(value(&name), number(key), "{name}");
    }
    for (end, key) in [("remote", "faults_remote"), ("disk", "faults_disk")] {
        let name = format!("lazycopy_page_faults_total{{ended_by=\"{end}\"}}");
        assert_eq!(value(&name), number(key), "{name}");
    }
    let stall = value("lazycopy_stall_seconds_total");
    assert!((stall - number("stall_time_ns") / 1e9).abs() < 1e-6, "{stall}");
    assert_eq!(value("lazycopy_transferred_bytes_total"), number("bytes_transferred"));
    page.end();
}

/// Guests whose memory is a picture of several hundred kilobytes together.
const MANY: usize = 8;

/// All of them are in memory.
const FULL: &str = "--set guest.resident_at_start=all";

/// Bytes that are shown meanwhile: more than the system takes for a socket.
const SHOWN_BYTES: usize = 12 << 20;

#[test]
fn viewers_that_never_read_keep_nobody_waiting_and_are_not_remembered_for() {
    let page = Page::with_servers();
    for number in 0..MANY {
        let size = "--set guest.pages=1000 --set guest.frames=1000";
        page.commands(&format!("vm create v{number} --on a {size} {FULL}"));
        page.commands(&format!("vm start v{number}"));
    }
    let deaf: Vec<Live> = (0..8).map(|_| page.live()).collect();
    let mut reading = page.live();
    let memory = || resident_bytes(page.manager.pid());
    let (before, mut shown) = (memory(), 0);
    while shown < SHOWN_BYTES {
        let (_, data) = reading.next().expect("others are shown what there is");
        shown += data.to_string().len();
    }
    let grown = memory().saturating_sub(before);
    assert!(grown < SHOWN_BYTES * deaf.len() / 4, "{grown} bytes are kept for who does not read");
    let asked = page.read("/api/state").json();
    assert_eq!(asked["vms"].as_array().unwrap().len(), MANY);
    page.end();
}

/// The memory that a process has.
fn resident_bytes(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

#[test]
fn viewers_are_told_how_time_goes_and_where_a_migration_stands() {
    let page = Page::with_servers();
    let shown = page.awaits(|shown| shown["servers"].as_array().is_some_and(|it| it.len() == 2));
    assert_eq!(shown["pace"], json!({ "frozen": false, "slower": 1 }));
    page.commands("time slow 2");
    page.commands("time freeze");
    page.commands(&format!("vm create v --on a {SEEN}"));
    page.commands("migrate v --to b --scheme lazy-copy");
    let stands_at =
        |at: u64| move |shown: &Value| shown["migrations"][0]["model_ns"].as_u64() == Some(at);
    let shown = page.awaits(stands_at(0));
    assert_eq!(shown["pace"], json!({ "frozen": true, "slower": 2 }));
    let stepped = page.commands("time step 700ms");
    assert_eq!(stepped["migrations"][0]["until_ns"], 700_000_000);
    let shown = page.awaits(stands_at(700_000_000));
    assert_eq!(shown["migrations"][0]["phase"], "down");
    page.end();
}
