//! Time that is frozen, stepped, slowed down and let go by commands.

use crate::common::{DEADLINE, Manager, ctl, failure, result, runs};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Instant;

/// The link's latency is 50 ms of wall time: a run tells the story of its seed on a loaded machine,
/// too.
const CALM: &str =
    "--set time_scale=200 --set link.latency=10s --set measured_accesses=20 --set seed=3";

/// Shows a guest until it stands at that instant of its migration, on both servers.
fn await_reading(manager: &Manager, at_ns: u64) {
    let reads = |vm: &Value| vm["moving"]["at_ns"] == json!(at_ns);
    let deadline = Instant::now() + DEADLINE;
    while !reads(&manager.json("vm show v")["vm"]) {
        assert!(Instant::now() < deadline, "it does not come to stand there");
    }
}

#[test]
fn a_run_that_was_frozen_and_stepped_leaves_the_same_events_and_figures() {
    let mut manager = Manager::with_servers(&[]);
    manager.json(&format!("vm create undisturbed --on a {CALM}"));
    manager.json("migrate undisturbed --to b --scheme lazy-copy --wait");

    assert_eq!(manager.json("time freeze")["pace"], json!({ "frozen": true, "slower": 1 }));
    manager.json(&format!("vm create v --on a {CALM}"));
    manager.json("migrate v --to b --scheme lazy-copy");
    await_reading(&manager, 0);
    let stepped = manager.json("time step 12s");
    let migration = &stepped["migrations"][0];
    assert_eq!((&migration["vm"], &migration["from_ns"]), (&json!("v"), &json!(0)));
    assert_eq!(migration["until_ns"], json!(12_000_000_000_u64));
    await_reading(&manager, 12_000_000_000);
    // What its destination has told of its progress may come a moment later.
    let shown = manager.json("vm show v")["vm"].clone();
    manager.say("time freeze");
    manager.expect("Time stands still already.");
    manager.expect("Migration 2 of \"v\" stands still at 12 s.");
    assert_eq!(manager.json("vm show v")["vm"], shown, "nothing moves");
    let status = manager.json("status");
    assert_eq!(status["pace"]["frozen"], json!(true));
    assert_eq!(status["migrations"][0]["vm"], "v");
    manager.say("time slow 3");
    manager.expect("Time stands still; it will go 3 times slower.");
    manager.say("time go");
    manager.expect("Time goes 3 times slower than each guest's time_scale says.");
    manager.say("time slow 1");
    manager.expect("Time goes as each guest's time_scale says.");
    manager.json("wait v");
    let ended = manager.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let runs = runs(ended.directory.path());
    let of = |vm: &str| {
        let is_of =
            |run: &&PathBuf| run.display().to_string().ends_with(&format!("-{vm}-lazy-copy"));
        let run = runs.iter().find(is_of).expect("it has a run");
        let events = std::fs::read_to_string(run.join("events.jsonl")).unwrap();
        (result(run), events)
    };
    let (mut undisturbed, mut paced) = (of("undisturbed"), of("v"));
    for (result, _) in [&mut undisturbed, &mut paced] {
        assert_eq!(
            (&result["outcome"], &result["slip_exceeded"]),
            (&json!("completed"), &json!(false))
        );
        let result = result.as_object_mut().unwrap();
        for own in ["run", "slip_ns", "slip_exceeded"] {
            assert!(result.remove(own).is_some(), "{own}");
        }
    }
    assert_eq!(undisturbed, paced);
}

#[test]
fn commands_go_on_while_time_stands_still_and_servers_that_come_later_stand_still_too() {
    let manager = Manager::with_servers(&[]);
    let refusal = failure(&ctl(&manager.address, &["time step 1s"]));
    assert!(refusal.contains("'time freeze' first"), "{refusal}");
    manager.json("time freeze");
    manager.json("time slow 10");
    manager.json("server start c");
    manager.json(&format!("vm create late --on c {CALM}"));
    manager.json("vm start late");
    let late = manager.json("vm show late");
    assert_eq!(late["vm"]["summary"]["phase"], "running");

    manager.json(&format!("vm create v --on a {CALM}"));
    manager.json("migrate v --to b --scheme stop-and-copy");
    await_reading(&manager, 0);
    manager.json("migrate cancel v");
    let waited = ctl(&manager.address, &["wait v"]);
    assert!(failure(&waited).contains("cancelled by a user"));
    assert_eq!(manager.whereabouts("v"), ("a".to_owned(), "running".to_owned()));
    assert_eq!(manager.json("vm show late"), late, "nothing moves");
    let pace = json!({ "pace": { "frozen": true, "slower": 10 } });
    assert_eq!(manager.json("time"), pace);
    manager.json("time go");
    let deadline = Instant::now() + DEADLINE;
    while manager.json("vm show late") == late {
        assert!(Instant::now() < deadline, "it does not go on");
    }
    manager.json("quit --force");
    assert_eq!(manager.ended_by_itself().code, Some(0));
}
