//! Servers that are emptied, drained and evened out.

use crate::common::{FAST, Manager, ctl, failure, kill_process, result, runs};
use serde_json::Value;
use std::collections::BTreeMap;

/// Stop-and-copy with half of this link takes a second of wall time: what is to happen before the
/// hand-over has time to.
const UNHURRIED: &str =
    "--set time_scale=20 --set measured_accesses=1 --set migration.scheme=stop-and-copy";

/// A manager with servers of so many frames, and `guests` guests "v1" and so on, on the first.
fn fleet(level: &str, servers: &[(&str, u64)], guests: usize, settings: &str) -> Manager {
    let mut manager = Manager::start(&["--event-level", level]);
    for (server, frames) in servers {
        manager.say(&format!("server start {server} --frames {frames}"));
        manager.expect(&format!("Server \"{server}\" runs"));
    }
    for number in 1..=guests {
        let on = servers[0].0;
        manager.say(&format!("vm create v{number} --on {on} {settings} --set seed={number}"));
        manager.expect(&format!("Guest \"v{number}\" is on"));
    }
    manager
}

/// The JSON of a command that fails.
fn failed_json(manager: &Manager, command: &str) -> Value {
    let output = ctl(&manager.address, &["--json", command]);
    assert_eq!(output.status.code(), Some(1), "{command}: {output:?}");
    serde_json::from_slice(&output.stdout).expect("still JSON")
}

/// The guests of each server, as the manager knows them.
fn guests_by_server(manager: &Manager) -> BTreeMap<String, Vec<String>> {
    let status = manager.json("status");
    let mut servers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for vm in status["vms"].as_array().expect("a list") {
        let text = |key: &str| vm[key].as_str().expect("a name").to_owned();
        servers.entry(text("server")).or_default().push(text("name"));
    }
    servers
}

/// The state of a server in `server list`.
fn state(manager: &Manager, server: &str) -> String {
    let output = manager.ctl("server list");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with(server)).expect("it is listed");
    line.split_whitespace().nth(1).expect("the state is second").to_owned()
}

#[test]
fn eight_guests_leave_a_server_three_at_once_and_each_arrives_whole() {
    let settings = format!("{FAST} --set guest.write_fraction=0.3");
    let manager = fleet("off", &[("a", 200), ("b", 200), ("c", 200)], 8, &settings);
    let report = manager.json("server evacuate a --to b,c --parallel 3 --scheme post-copy");
    let guests = report["guests"].as_array().expect("a list");
    assert_eq!(guests.len(), 8);
    for guest in guests {
        assert_eq!(
            (&guest["outcome"], &guest["digest_matches"]),
            (&"completed".into(), &true.into())
        );
        assert!(guest["total_migration_time_ns"].as_u64() > guest["downtime_ns"].as_u64());
        assert!(guest["directory"].as_str().is_some_and(|path| path.contains("post-copy")));
    }
    let totals = &report["totals"];
    assert_eq!((&totals["moved"], &totals["migrations_completed"]), (&8.into(), &8.into()));
    assert_eq!((&totals["at_once"], &totals["remaining"]), (&3.into(), &0.into()));
    let wall = totals["wall_duration_ns"].as_u64().expect("it took time");
    assert_eq!(totals["model_duration_ns"].as_u64(), Some(wall * 1000));
    let by_server = guests_by_server(&manager);
    assert_eq!((by_server["b"].len(), by_server["c"].len(), by_server.len()), (4, 4, 2));
    let ended = manager.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let runs = runs(ended.directory.path());
    let results: Vec<Value> = runs.iter().map(|run| result(run)).collect();
    assert_eq!(results.len(), 8);
    let sum = |key: &str| results.iter().filter_map(|result| result[key].as_u64()).sum::<u64>();
    for key in ["pages_transferred", "bytes_transferred"] {
        assert_eq!(totals[key].as_u64(), Some(sum(key)), "{key}");
    }
    let share = |result: &Value| result["scenario"]["link"]["bandwidth"] == "2741B/s";
    assert!(results.iter().all(share), "each has a third of 8224B/s");
}

#[test]
fn what_has_no_room_remains_and_is_named_and_the_others_go() {
    let manager = fleet("off", &[("a", 200), ("small", 50)], 3, FAST);
    let report = failed_json(&manager, "server evacuate a");
    let error = report["error"].as_str().expect("an error");
    assert!(error.contains("1 of 3 guests of server \"a\"") && error.contains("\"v3\""), "{error}");
    assert!(error.contains("20 frames") && error.contains("10 on \"small\""), "{error}");
    assert_eq!(report["totals"]["moved"], 2);
    assert_eq!(report["guests"][2]["outcome"], "remains");
    assert_eq!(guests_by_server(&manager)["a"], ["v3"]);
    let refusal = failure(&manager.ctl("server evacuate a --set link.bandwith=1MB/s"));
    assert!(refusal.contains("bandwith"), "{refusal}");
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_script_ends_where_a_server_cannot_be_emptied() {
    let mut manager = fleet("off", &[("a", 200), ("small", 50)], 3, FAST);
    manager.say("server drain a");
    let ended = manager.ended_by_itself();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("line 6: 1 of 3 guests"), "{}", ended.stderr);
    assert!(ended.stderr.contains("until: server undrain a"), "{}", ended.stderr);
}

#[test]
fn a_stopped_guest_goes_along_and_a_suspended_one_stays_with_the_reason() {
    let mut manager = fleet("off", &[("a", 200), ("b", 200)], 3, FAST);
    for line in ["vm start v1", "vm suspend v1", "vm start v2", "vm stop v2"] {
        manager.say(line);
    }
    manager.expect("\"v2\" is stopped");
    let report = failed_json(&manager, "server evacuate a");
    let outcomes: Vec<&str> =
        (0..3).filter_map(|i| report["guests"][i]["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["remains", "relocated", "completed"]);
    assert!(report["error"].as_str().is_some_and(|error| error.contains("resume it first")));
    assert_eq!(manager.whereabouts("v1"), ("a".to_owned(), "suspended".to_owned()));
    assert_eq!(manager.whereabouts("v2"), ("b".to_owned(), "stopped".to_owned()));
    manager.say("vm resume v1");
    manager.expect("\"v1\" runs again");
    assert_eq!(manager.json("server evacuate a")["totals"]["moved"], 1);
    manager.say("vm start v2");
    manager.expect("\"v2\" runs on server \"b\"");
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_drained_server_is_empty_and_stays_so_until_it_is_undrained() {
    let manager = fleet("off", &[("a", 200), ("b", 200)], 2, FAST);
    let report = manager.json("server drain a");
    assert_eq!((&report["draining"], &report["totals"]["moved"]), (&true.into(), &2.into()));
    assert_eq!(
        (state(&manager, "a"), state(&manager, "b")),
        ("drained".into(), "connected".into())
    );
    for command in ["vm create w --on a", "migrate v1 --to a", "server evacuate b --to a"] {
        let refusal = failure(&manager.ctl(command));
        assert!(refusal.contains("\"a\" is draining"), "{command}: {refusal}");
        assert!(refusal.contains("server undrain a"), "{command}: {refusal}");
    }
    let refusal = failure(&manager.ctl("server evacuate b"));
    assert!(refusal.contains("no other server takes guests"), "{refusal}");
    assert!(manager.ctl("server undrain a").status.success());
    assert_eq!(state(&manager, "a"), "connected");
    assert_eq!(manager.json("server evacuate b")["totals"]["moved"], 2);
    assert_eq!(guests_by_server(&manager)["a"], ["v1", "v2"]);
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_server_that_is_undrained_meanwhile_is_not_said_to_be_draining() {
    let mut manager = fleet("off", &[("a", 200), ("b", 200)], 1, UNHURRIED);
    manager.say("server drain a");
    while state(&manager, "a") != "draining" {}
    assert!(manager.ctl("server undrain a").status.success());
    manager.expect("guests of server \"a\" moved");
    let ended = manager.end();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.stdout.contains("takes no guests"), "{}", ended.stdout);
}

#[test]
fn servers_are_rebalanced_once_and_then_there_is_nothing_to_move() {
    let manager = fleet("off", &[("a", 120), ("b", 120), ("c", 60)], 5, FAST);
    let planned = manager.json("server rebalance --dry-run");
    assert_eq!(planned["plan"]["moves"].as_array().map(Vec::len), Some(3));
    assert_eq!(guests_by_server(&manager)["a"].len(), 5, "nothing has moved");
    let done = manager.json("server rebalance --parallel 2");
    assert_eq!((&done["plan"], &done["totals"]["moved"]), (&planned["plan"], &3.into()));
    let by_server = guests_by_server(&manager);
    assert_eq!(["a", "b", "c"].map(|server| by_server[server].len()), [2, 2, 1]);
    let again = manager.ctl("server rebalance");
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("Nothing to move"), "{again:?}");
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_guest_whose_destination_dies_before_the_hand_over_goes_to_another_server() {
    let servers = [("a", 200), ("b", 200), ("c", 200)];
    let mut manager = fleet("milestones", &servers, 3, UNHURRIED);
    let b = manager.server_pid("b");
    manager.say("server evacuate a --parallel 2");
    manager.expect("v1: Suspended at the source");
    kill_process(b);
    manager.expect("of \"v1\": failed");
    manager.expect("3 guests of server \"a\" moved: 3 of 4 migrations completed");
    assert_eq!(guests_by_server(&manager)["c"], ["v1", "v2", "v3"]);
    let ended = manager.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn guests_that_are_lost_with_their_destination_are_named_and_the_others_complete() {
    let settings = "--set time_scale=20 --set measured_accesses=1 --set migration.scheme=post-copy";
    let servers = [("a", 200), ("b", 200), ("c", 200)];
    let mut manager = fleet("milestones", &servers, 3, settings);
    let b = manager.server_pid("b");
    manager.say("server evacuate a --parallel 2");
    manager.expect("v1: Resumed at the destination");
    kill_process(b);
    let ended = manager.ended_by_itself();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("1 of 3 guests of server \"a\""), "{}", ended.stderr);
    assert!(ended.stderr.contains("\"v1\": lost: server \"b\""), "{}", ended.stderr);
    for migration in ["of \"v2\": completed", "of \"v3\": completed"] {
        assert!(ended.stdout.contains(migration), "no {migration} in {}", ended.stdout);
    }
}
