//! The files of simulations: whole or not at all, and nothing of earlier ones among them.

use crate::common::{DEADLINE, LOOK_AGAIN, MANAGER, failure, manager};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

fn simulate(directory: &Path, words: &[&str]) {
    let output = manager(directory, &[&["simulate", "paper", "--out", "out"], words].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn partial(out: &Path) -> usize {
    let events = names(&out.join("events"));
    names(out).iter().chain(&events).filter(|name| name.contains(".partial")).count()
}

/// A simulation that takes very long and is writing already.
fn under_way(directory: &Path) -> Child {
    let before = partial(&directory.join("out"));
    let mut child = Command::new(MANAGER)
        .args(["simulate", "paper", "--seeds", "50000000", "--events", "--out", "out"])
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + DEADLINE;
    // Results, the network, and the events of a few runs.
    while partial(&directory.join("out")) < before + 5 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        assert!(Instant::now() < deadline, "nothing is written");
        std::thread::sleep(LOOK_AGAIN);
    }
    child
}

#[test]
fn a_signal_ends_a_simulation_without_a_trace_of_it() {
    let directory = TempDir::new().unwrap();
    simulate(directory.path(), &["--events"]);
    let out = directory.path().join("out");
    let before = (names(&out), names(&out.join("events")));
    let results = fs::read(out.join("results.jsonl")).unwrap();
    let signals = [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)];
    for (signal, code) in signals {
        let child = under_way(directory.path());
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("Interrupted: nothing was written"), "{said}");
        assert_eq!((names(&out), names(&out.join("events"))), before);
        assert_eq!(fs::read(out.join("results.jsonl")).unwrap(), results);
    }
}

#[test]
fn what_a_killed_simulation_left_is_removed_by_the_next_unless_one_is_at_work() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out");
    let mut killed = under_way(directory.path());
    killed.kill().unwrap();
    killed.wait().unwrap();
    let left = partial(&out);
    assert!(left >= 5);
    let mut at_work = under_way(directory.path());
    let theirs = partial(&out);
    simulate(directory.path(), &[]);
    assert!(partial(&out) >= theirs, "files of one at work were removed");
    at_work.kill().unwrap();
    at_work.wait().unwrap();
    fs::write(out.join(".somebody-elses.partial"), "").unwrap();
    simulate(directory.path(), &[]);
    let expected = [".somebody-elses.partial", "results.jsonl"].map(str::to_owned);
    assert_eq!(names(&out), BTreeSet::from(expected));
}

#[test]
fn events_of_an_earlier_simulation_go_and_other_files_stay() {
    let directory = TempDir::new().unwrap();
    let events = directory.path().join("out/events");
    simulate(directory.path(), &["--events", "--seeds", "3", "--scheme", "post-copy,lazy-copy"]);
    assert_eq!(names(&events).len(), 6);
    fs::write(events.join("notes.jsonl"), "mine").unwrap();
    simulate(directory.path(), &["--events", "--seeds", "1", "--scheme", "lazy-copy"]);
    let expected = ["lazy-copy-seed1.jsonl", "notes.jsonl"].map(str::to_owned);
    assert_eq!(names(&events), BTreeSet::from(expected));
    simulate(directory.path(), &[]);
    assert_eq!(names(&events), BTreeSet::from(["notes.jsonl".to_owned()]));
    fs::remove_file(events.join("notes.jsonl")).unwrap();
    simulate(directory.path(), &["--events"]);
    simulate(directory.path(), &[]);
    assert!(!events.exists());
}

#[test]
fn output_that_cannot_be_printed_is_a_failure() {
    let directory = TempDir::new().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(MANAGER)
        .args(["simulate", "paper", "--out", "out"])
        .current_dir(directory.path())
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let refusal = failure(&output);
    assert!(refusal.contains("standard output: No space left on device"), "{refusal}");
    assert!(directory.path().join("out/results.jsonl").exists());
}

#[test]
fn seeds_and_rules_of_every_scheme_are_looked_at_before_anything_is_written() {
    let directory = TempDir::new().unwrap();
    for (words, problem) in [
        (
            ["--set", "seed=9223372036854775807", "--seeds", "2"].as_slice(),
            "--seeds: 2 seeds from seed = 9223372036854775807 on go beyond",
        ),
        (
            &[
                ["--scheme", "post-copy,pre-copy", "--set", "migration.auto_converge=true"],
                ["--set", "guest.think_time=5years", "--set", "measured_accesses=1"],
                ["--set", "warmup_accesses=1", "--set", "migration.scheme=post-copy"],
            ]
            .concat(),
            "guest.think_time: with it a run may take",
        ),
    ] {
        let words = [&["simulate", "paper", "--out", "out"], words].concat();
        let refusal = failure(&manager(directory.path(), &words));
        assert!(refusal.contains(problem), "{refusal}");
        assert!(!directory.path().join("out").exists());
    }
    let words = ["--set", "seed=9223372036854775807", "--seeds", "1"];
    simulate(directory.path(), &words);
}
