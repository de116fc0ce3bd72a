//! Managers that are killed and come back, requests that are sent again, servers that hang.

use crate::common::{DEADLINE, LOOK_AGAIN, MANAGER, Manager, failure, manager, result, runs};
use crate::endings::{Standalone, send};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A guest whose run takes half a second: a migration of some tenths, and a few accesses after it.
const QUICK: &str = "--set time_scale=100 --set measured_accesses=20 --set \
                     disk.latency_destination=1s --set guest.write_fraction=0.2";

/// Stop-and-copy over this link takes ten seconds of wall time.
const SLOW: &str = "--set time_scale=1 --set migration.scheme=stop-and-copy";

/// Kills a manager and starts another one in its place, which its servers find.
fn restart(manager: Manager, servers: &[&str]) -> Manager {
    let (directory, address) = manager.kill();
    let mut manager = Manager::start_in(directory, &address, &["--event-level", "all"]);
    // They come in any order.
    for _ in servers {
        manager.expect("\" is here: ");
    }
    manager
}

/// The servers that have a guest, as they tell themselves.
fn owners(manager: &Manager, vm: &str) -> Vec<String> {
    let listed = manager.json("vm list");
    let listed = listed["vms"].as_array().expect("it is a list");
    let of_it = listed.iter().filter(|it| it["vm"]["vm"] == vm);
    of_it.map(|it| it["server"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The result of a guest's last run.
fn result_of(manager: &Manager, vm: &str) -> Value {
    let runs = runs(manager.directory.path());
    let of_it = |run: &&std::path::PathBuf| run.to_string_lossy().contains(&format!("-{vm}-"));
    result(runs.iter().rfind(of_it).expect("its run is written"))
}

#[test]
fn a_migration_in_flight_is_followed_and_written_by_the_next_manager() {
    let mut manager = Manager::start(&["--event-level", "all"]);
    let _servers = ["a", "b"].map(|name| Standalone::start(name, &manager.address));
    ["a", "b"].iter().for_each(|_| drop(manager.expect("\" is here: ")));
    let moments = [
        ("post-copy", "Migration requested"),
        ("pre-copy", "Round 1 begins"),
        ("lazy-copy", "Suspended at the source"),
        ("lazy-copy", "Resumed at the source as the forward context"),
        ("post-copy", "Freed at the source"),
    ];
    for (number, (scheme, moment)) in moments.into_iter().enumerate() {
        let vm = format!("v{number}");
        manager.say(&format!("vm create {vm} --on a {QUICK}"));
        manager.say(&format!("migrate {vm} --to b --scheme {scheme}"));
        manager.expect(&format!("{vm}: {moment}"));
        manager = restart(manager, &["a", "b"]);
        let waited = manager.ctl(&format!("wait {vm}"));
        assert!(waited.status.success(), "{scheme}, {moment}: {waited:?}");
        let result = result_of(&manager, &vm);
        assert_eq!(result["outcome"], "completed", "{scheme}, {moment}");
        assert_eq!(result["digest_matches"], true, "{scheme}, {moment}");
        assert_eq!(owners(&manager, &vm), ["b"], "{scheme}, {moment}");
        assert_eq!(manager.whereabouts(&vm).1, "running");
    }
    // All of them are remembered, by their numbers, and the guests are still known.
    let results = manager.json("results");
    let numbers: Vec<u64> = results["results"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["migration"].as_u64())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(runs(manager.directory.path()).len(), 5);
    assert!(manager.ctl("migrate v0 --to a --wait").status.success());
    assert_eq!(result_of(&manager, "v0")["digest_matches"], true);
    for server in ["a", "b"] {
        assert!(manager.ctl(&format!("server stop {server} --force")).status.success());
    }
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_service_that_is_killed_while_time_stands_still_goes_on_from_there() {
    let mut manager = Manager::start(&["serve"]);
    let _servers = ["a", "b"].map(|name| Standalone::start(name, &manager.address));
    ["a", "b"].iter().for_each(|_| drop(manager.expect("\" is here: ")));
    manager.json("time freeze");
    manager.json(&format!("vm create v --on a {QUICK}"));
    manager.json("migrate v --to b --scheme lazy-copy");
    manager.json("time step 5s");
    let (directory, address) = manager.kill();
    let mut manager = Manager::start_in(directory, &address, &["serve"]);
    ["a", "b"].iter().for_each(|_| drop(manager.expect("\" is here: ")));
    let stepped = manager.json("time step 1s");
    assert_eq!(stepped["pace"], serde_json::json!({ "frozen": true, "slower": 1 }));
    let migration = &stepped["migrations"][0];
    assert_eq!(
        (&migration["vm"], migration["until_ns"].as_u64()),
        (&"v".into(), Some(6_000_000_000))
    );
    manager.json("time go");
    manager.json("wait v");
    let result = result_of(&manager, "v");
    assert_eq!(
        (&result["outcome"], &result["digest_matches"]),
        (&"completed".into(), &true.into())
    );
    for server in ["a", "b"] {
        assert!(manager.ctl(&format!("server stop {server} --force")).status.success());
    }
    manager.json("quit");
    assert_eq!(manager.ended_by_itself().code, Some(0));
}

#[test]
fn a_request_with_a_name_is_carried_out_once_also_over_a_restart() {
    let mut manager = Manager::start(&["--event-level", "all"]);
    let _servers = ["a", "b"].map(|name| Standalone::start(name, &manager.address));
    ["a", "b"].iter().for_each(|_| drop(manager.expect("\" is here: ")));
    let request = |manager: &Manager, name: &str, command: &str| {
        let mut ctl = Command::new(MANAGER);
        ctl.args(["ctl", "--connect", &manager.address, "--request-id", name, command]);
        ctl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ctl
    };
    let create = format!("vm create v --on a {QUICK}");
    let first = request(&manager, "create", &create).output().unwrap();
    let again = request(&manager, "create", &create).output().unwrap();
    assert!(first.status.success() && again.status.success(), "{again:?}");
    assert_eq!(first.stdout, again.stdout);
    let other = request(&manager, "create", "vm delete v").output().unwrap();
    assert!(failure(&other).contains("a name is one request's"), "{other:?}");
    assert!(manager.ctl("policy set push_order=mru").status.success());
    let migrate = "migrate v --to b --scheme post-copy --wait";
    let waiting = request(&manager, "migrate", migrate).spawn().unwrap();
    manager.expect("Resumed at the destination");
    manager = restart(manager, &["a", "b"]);
    let waited = waiting.wait_with_output().unwrap();
    assert!(waited.status.success(), "{waited:?}");
    assert!(String::from_utf8_lossy(&waited.stdout).contains("total migration time"));
    let again = request(&manager, "migrate", migrate).output().unwrap();
    assert_eq!(again.stdout, waited.stdout);
    let again = request(&manager, "create", &create).output().unwrap();
    assert_eq!(first.stdout, again.stdout, "the guest is on another server by now");
    assert_eq!(owners(&manager, "v"), ["b"]);
    assert_eq!(runs(manager.directory.path()).len(), 1);
    let policy = manager.json("policy show");
    assert_eq!(policy["policy"]["migration.push_order"], "mru");
    assert!(manager.ctl("quit").status.success());
}

#[test]
fn damaged_state_is_told_and_kept_aside_and_one_manager_alone_has_it() {
    let first = Manager::start(&[]);
    assert!(first.ctl("policy set scheme=pre-copy").status.success());
    let second = manager(first.directory.path(), &["--listen", "127.0.0.1:0"]);
    let refusal = failure(&second);
    assert!(refusal.contains(&format!("(process {})", first.pid())), "{refusal}");
    assert!(refusal.contains("--state"), "{refusal}");
    let (directory, address) = first.kill();
    let state = directory.path().join("results/.state/state.jsonl");
    let mut text = std::fs::read(&state).unwrap();
    text.extend(b"{\"key\":\"polic");
    std::fs::write(&state, &text).unwrap();
    std::fs::create_dir(directory.path().join("results/.run.1999999999.0.partial")).unwrap();
    let third = Manager::start_in(directory, &address, &[]);
    let said = third.said();
    assert!(said.contains("state.jsonl, line 3: it is cut off"), "{said}");
    assert!(said.contains("the manager ended while it wrote the run \"run\""), "{said}");
    assert_eq!(third.json("policy show")["policy"]["migration.scheme"], "pre-copy");
    let aside = std::fs::read_dir(third.directory.path().join("results/.state")).unwrap();
    let aside = aside.flatten().find(|it| it.file_name().to_string_lossy().contains("damaged"));
    assert_eq!(std::fs::read(aside.expect("it is kept aside").path()).unwrap(), text);
    assert_eq!(third.end().code, Some(0));
}

#[test]
fn a_server_that_hangs_is_named_and_its_migration_is_taken_back_when_it_goes_on() {
    let mut manager = Manager::with_servers(&["--event-level", "milestones"]);
    manager.say(&format!("vm create v --on a {SLOW}"));
    manager.say(&format!("vm create w --on b {SLOW}"));
    manager.say("vm start w");
    manager.say("migrate v --to b");
    manager.expect("v: Suspended at the source");
    let source = u32::try_from(manager.server_pid("a")).unwrap();
    send(source, Signal::SIGSTOP);
    // Nobody knows yet that it hangs: the answer comes in bounded time all the same.
    let asked = Instant::now();
    let unknown = failure(&manager.ctl("migrate cancel v"));
    assert!(unknown.contains("migration 1 of \"v\" is taken back is not known"), "{unknown}");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    manager.expect("Server \"a\" does not answer");
    let asked = Instant::now();
    for command in ["vm create x --on a", "migrate w --to a", "server show a", "migrate cancel v"] {
        let refusal = failure(&manager.ctl(command));
        assert!(refusal.contains("server \"a\" has not answered since 2"), "{command}: {refusal}");
    }
    let listed = manager.json("vm list");
    assert_eq!(listed["left_out"], serde_json::json!(["a"]));
    assert_eq!(manager.whereabouts("w"), ("b".to_owned(), "running".to_owned()));
    let status = manager.ctl("status");
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("not answering since 2"), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    send(source, Signal::SIGCONT);
    manager.expect("Server \"a\" answers again");
    manager.expect("Migration 1 of \"v\": cancelled");
    assert_eq!(manager.whereabouts("v"), ("a".to_owned(), "running".to_owned()));
    assert!(manager.ctl("migrate cancel v").status.success(), "it is taken back already");
    let deadline = Instant::now() + DEADLINE;
    while manager.json("server list")["servers"][0]["silent_since_unix_ms"] != Value::Null {
        assert!(Instant::now() < deadline, "it is still said to be silent");
        std::thread::sleep(LOOK_AGAIN);
    }
    manager.say("quit --force");
    assert_eq!(manager.ended_by_itself().code, Some(0));
}

#[test]
fn cancel_says_what_is_so_in_every_phase() {
    let mut manager = Manager::with_servers(&["--event-level", "milestones"]);
    assert!(failure(&manager.ctl("migrate cancel v")).contains("there is no guest \"v\""));
    // Lasts until it is taken back: a warm-up.
    manager.say(&format!(
        "vm create v --on a {SLOW} --set guest.think_time=1us --set warmup_accesses=1000000000000"
    ));
    manager.expect("Guest \"v\" is on server \"a\"");
    assert!(failure(&manager.ctl("migrate cancel v")).contains("is not migrating"));
    let mut ctl = Command::new(MANAGER);
    ctl.args(["ctl", "--connect", &manager.address, "migrate v --to b"]);
    let waiting = ctl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while manager.json("status")["migrations"].as_array().is_none_or(Vec::is_empty) {
        assert!(Instant::now() < deadline, "no migration begins");
        std::thread::sleep(LOOK_AGAIN);
    }
    // The source may not have heard of it yet.
    while !manager.ctl("migrate cancel v").status.success() {
        assert!(Instant::now() < deadline, "it cannot be taken back");
    }
    let refused = waiting.wait_with_output().unwrap();
    assert!(failure(&refused).contains("cancelled before it began"), "{refused:?}");
    assert!(manager.ctl("migrate cancel v").status.success(), "it is taken back already");
    // After the hand-over.
    manager.say(&format!("vm create w --on a {SLOW} --set migration.scheme=post-copy"));
    manager.say("migrate w --to b");
    manager.expect("w: Resumed at the destination");
    let refusal = failure(&manager.ctl("migrate cancel w"));
    assert!(refusal.contains("cannot be taken back"), "{refusal}");
    manager.say(&format!("vm create x --on a {QUICK}"));
    manager.say("migrate x --to b --wait");
    manager.expect(" of \"x\": completed");
    let refusal = failure(&manager.ctl("migrate cancel x"));
    assert!(refusal.contains("has ended: completed"), "{refusal}");
    manager.say("quit --force");
    assert_eq!(manager.ended_by_itself().code, Some(0));
}
