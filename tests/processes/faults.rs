//! Refusals, garbage, and servers that die.

use crate::common::{
    FAST, Manager, SERVER, closed_after, failure, frame, kill_process, knocked, manager, result,
    runs,
};
use lazycopy_protocol::control::{FirstFrame, ServerHello, ToServer};
use lazycopy_protocol::pace::Pace;
use lazycopy_transport::Purpose;
use std::process::{Command, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Stop-and-copy over this link takes ten seconds of wall time: whatever is to happen before the
/// hand-over has time to.
const SLOW: &str = "--set time_scale=1 --set migration.scheme=stop-and-copy";

#[test]
fn garbage_on_either_port_closes_its_connection_and_nothing_else() {
    let mut manager = Manager::with_servers(&["--event-level", "off"]);
    let servers = manager.json("server list");
    let server = servers["servers"][0]["address"].as_str().unwrap().to_owned();
    let huge = [0xff; 64];
    let nonsense = frame(b"{\"hello\":\"nobody\"}");
    for address in [manager.address.clone(), server] {
        for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &huge, &nonsense, &frame(b"")] {
            closed_after(&address, bytes);
        }
    }
    manager.say(&format!("vm create v --on a {FAST}"));
    manager.say("migrate v --to b --wait");
    manager.expect("Migration 1 of \"v\": completed");
    let ended = manager.end();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains("was closed: "), "{}", ended.stdout);
}

/// What a manager answers to a server that introduces itself so.
fn answer_to(manager: &Manager, name: &str) -> ToServer {
    let hello = FirstFrame::Server(ServerHello {
        version: "0".to_owned(),
        name: name.to_owned(),
        pid: 1,
        address: "127.0.0.1:1".to_owned(),
        frames: 1,
        vms: Vec::new(),
        sides: Vec::new(),
        pace: Pace::default(),
    });
    let answer = knocked(&manager.address, Purpose::Server, async |mut stream| {
        stream.write_all(&frame(&serde_json::to_vec(&hello).unwrap())).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("the manager closes it");
        answer
    });
    serde_json::from_slice(&answer[4..]).expect("a frame")
}

#[test]
fn servers_that_cannot_be_taken_are_told_why() {
    let manager = Manager::with_servers(&[]);
    for (name, part) in [("a", "\"a\" already"), ("../c", "name")] {
        match answer_to(&manager, name) {
            ToServer::Refused { reason } => assert!(reason.contains(part), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(manager.json("server list")["servers"].as_array().map(Vec::len), Some(2));
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_second_server_of_a_name_ends_with_the_reason() {
    let manager = Manager::with_servers(&[]);
    let second = Command::new(SERVER)
        .args(["--manager", &manager.address, "--name", "a"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let log = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(log.contains("there is a server \"a\" already"), "{log}");
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_port_in_use_is_an_error() {
    let first = Manager::start(&[]);
    let output = manager(first.directory.path(), &["--listen", &first.address]);
    let refusal = failure(&output);
    assert!(refusal.contains(&first.address) && refusal.contains("--listen"), "{refusal}");
    assert_eq!(first.end().code, Some(0));
}

#[test]
fn what_cannot_be_is_refused_and_named() {
    let mut manager = Manager::with_servers(&["--event-level", "milestones"]);
    manager.say("server start small --frames 10");
    manager.expect("Server \"small\" runs");
    manager.say(&format!("vm create v --on a {SLOW}"));
    manager.expect("Guest \"v\" is on server \"a\"");
    for (command, part) in [
        ("vm create v --on b", "there is a guest \"v\" already, on server \"a\""),
        ("vm create w --on small", "needs 20 frames, server \"small\" has 10 of 10"),
        ("server start a", "there is a server \"a\" already"),
        ("migrate v --to a", "is on server \"a\" already"),
        ("migrate v --to small", "needs 20 frames"),
        ("migrate v --to nowhere", "there is no server \"nowhere\""),
        ("migrate w --to b", "there is no guest \"w\""),
        ("migrate cancel v", "is not migrating"),
        ("vm resume v", "\"v\""),
        ("server stop nowhere", "there is no server \"nowhere\""),
    ] {
        let refusal = failure(&manager.ctl(command));
        assert!(refusal.contains(part), "{command}: {refusal}");
    }
    manager.say("migrate v --to b");
    manager.expect("v: Suspended at the source");
    for command in ["migrate v --to b", "vm suspend v", "vm delete v --force"] {
        let refusal = failure(&manager.ctl(command));
        assert!(refusal.contains("is migrating to server \"b\""), "{command}: {refusal}");
    }
    assert!(manager.ctl("migrate cancel v").status.success());
    manager.expect("Migration 1 of \"v\": cancelled");
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_cancelled_migration_leaves_the_guest_running_at_the_source() {
    let mut manager = Manager::with_servers(&["--event-level", "milestones"]);
    manager.say(&format!("vm create v --on a {SLOW}"));
    manager.say("vm start v");
    manager.say("migrate v --to b");
    manager.expect("v: Suspended at the source");
    assert!(manager.ctl("migrate cancel v").status.success());
    manager.expect("Migration 1 of \"v\": cancelled");
    assert_eq!(manager.whereabouts("v"), ("a".to_owned(), "running".to_owned()));
    let waited = manager.ctl("wait v");
    assert!(failure(&waited).contains("did not complete: cancelled"));
    let ended = manager.end();
    assert_eq!(ended.code, Some(0));
    assert_eq!(result(&runs(ended.directory.path())[0])["outcome"], "cancelled");
}

#[test]
fn a_server_that_dies_takes_its_guests_with_it_and_the_manager_says_so() {
    let mut manager = Manager::with_servers(&[]);
    manager.say("vm create v --on a");
    manager.say("vm create w --on b");
    manager.say("vm start v");
    manager.expect("\"v\" runs");
    kill_process(manager.server_pid("a"));
    let line = manager.expect("Server \"a\" is gone");
    assert!(line.contains("its guests with it: v"), "{line}");
    assert!(failure(&manager.ctl("vm show v")).contains("there is no guest \"v\""));
    assert!(failure(&manager.ctl("migrate w --to a")).contains("\"a\" is gone"));
    assert_eq!(manager.whereabouts("w").0, "b");
    manager.say("server start a");
    manager.expect("Server \"a\" runs");
    manager.say("vm create v --on a");
    manager.expect("Guest \"v\" is on server \"a\"");
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_destination_that_dies_before_the_hand_over_leaves_the_guest_running_at_the_source() {
    let mut manager = Manager::with_servers(&["--event-level", "milestones"]);
    manager.say(&format!("vm create v --on a {SLOW}"));
    manager.say("vm start v");
    manager.say("migrate v --to b");
    manager.expect("v: Suspended at the source");
    kill_process(manager.server_pid("b"));
    manager.expect("Server \"b\" is gone");
    manager.expect("Migration 1 of \"v\": failed");
    assert_eq!(manager.whereabouts("v"), ("a".to_owned(), "running".to_owned()));
    let ended = manager.end();
    assert_eq!(ended.code, Some(1), "a migration that failed is no success");
    assert!(ended.stderr.contains("did not complete: failed"), "{}", ended.stderr);
}

#[test]
fn a_source_that_dies_before_the_hand_over_takes_the_guest_with_it() {
    let mut manager = Manager::with_servers(&["--event-level", "milestones"]);
    manager.say(&format!("vm create v --on a {SLOW}"));
    manager.say("migrate v --to b");
    manager.expect("v: Suspended at the source");
    kill_process(manager.server_pid("a"));
    manager.expect("Migration 1 of \"v\": lost");
    assert!(failure(&manager.ctl("vm show v")).contains("there is no guest \"v\""));
    assert_eq!(manager.json("vm list")["vms"].as_array().map(Vec::len), Some(0));
    assert_eq!(manager.end().code, Some(1));
}

#[test]
fn a_migration_that_is_waited_for_and_does_not_complete_fails_its_line() {
    let mut manager = Manager::with_servers(&["--event-level", "milestones"]);
    manager.say(&format!("vm create v --on a {SLOW}"));
    manager.say("migrate v --to b --wait");
    manager.expect("v: Suspended at the source");
    kill_process(manager.server_pid("b"));
    let ended = manager.ended_by_itself();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("line 4: migration 1 of \"v\" did not complete"),
        "{}",
        ended.stderr
    );
}
