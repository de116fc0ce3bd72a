//! The scripted demonstration.

use crate::common::{DEADLINE, MANAGER, failure, manager, result, runs};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// The servers of demonstrations that a test's process has started.
fn servers_below(pid: u32) -> usize {
    let processes = std::fs::read_dir("/proc").expect("the system lists its processes");
    let parents = processes.flatten().filter_map(|process| {
        let status = std::fs::read_to_string(process.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        line.trim().parse::<u32>().ok()
    });
    parents.filter(|parent| *parent == pid).count()
}

#[test]
fn a_small_demonstration_compares_and_reports() {
    let directory = TempDir::new().unwrap();
    let arguments = [
        "demo",
        "--seeds",
        "2",
        "--preset",
        "paper",
        "--scenario",
        "paper",
        "--scheme",
        "post-copy,lazy-copy",
        "--set",
        "time_scale=1000",
        "--set",
        "link.latency=4s",
    ];
    let output = manager(directory.path(), &arguments);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("post-copy") && stdout.contains("lazy-copy"), "{stdout}");
    assert!(!stdout.contains("stop-and-copy"), "{stdout}");
    assert!(stdout.contains("less total migration time"), "{stdout}");
    assert!(stdout.contains("fewer page faults"), "{stdout}");
    assert!(stdout.contains("4 of 4 migrations completed"), "{stdout}");
    let results: Vec<_> = runs(directory.path()).iter().map(|run| result(run)).collect();
    assert_eq!(results.len(), 4);
    assert!(results.iter().all(|result| result["digest_matches"] == true));
    assert!(results.iter().all(|result| result["preset"] == "paper"));
    let seeds: BTreeSet<u64> =
        results.iter().filter_map(|result| result["seed"].as_u64()).collect();
    assert_eq!(seeds, BTreeSet::from([1, 2]));
}

#[test]
fn the_recorded_program_runs_from_anywhere() {
    let directory = TempDir::new().unwrap();
    let arguments = [
        "demo",
        "--seeds",
        "1",
        "--scenario",
        "recorded",
        "--scheme",
        "lazy-copy",
        "--quiet",
        "--out",
        "elsewhere",
        "--set",
        "warmup_accesses=1000",
        "--set",
        "warmup_jitter=100",
        "--set",
        "measured_accesses=2000",
        "--set",
        "guest.workload.instruction_time=1us",
    ];
    let output = manager(directory.path(), &arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    let run = std::fs::read_dir(directory.path().join("elsewhere")).unwrap().next().unwrap();
    assert_eq!(result(&run.unwrap().path())["digest_matches"], true);
}

#[test]
fn a_demonstration_that_cannot_be_is_refused() {
    let directory = TempDir::new().unwrap();
    let refused = |arguments: &[&str]| failure(&manager(directory.path(), arguments));
    assert!(refused(&["demo", "--scenario", "nowhere.toml"]).contains("nowhere.toml"));
    assert!(refused(&["demo", "--set", "link.latenzy=1s"]).contains("latenzy"));
    let seeds = manager(directory.path(), &["demo", "--seeds", "0"]);
    assert_eq!(seeds.status.code(), Some(2));
    assert!(runs(directory.path()).is_empty());
}

#[test]
fn an_interrupted_demonstration_leaves_no_process_behind() {
    let directory = TempDir::new().unwrap();
    let mut demo = Command::new(MANAGER)
        .args(["demo", "--seeds", "1", "--preset", "fair"])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + DEADLINE;
    while servers_below(demo.id()) < 2 {
        assert!(Instant::now() < deadline, "its servers did not start");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    kill(Pid::from_raw(demo.id() as i32), Signal::SIGINT).unwrap();
    let status = demo.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let own = format!("{}", demo.id());
    let left = std::fs::read_dir("/proc").unwrap().flatten().filter(|process| {
        let status = std::fs::read_to_string(process.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("PPid:").is_some_and(|id| id.trim() == own))
    });
    assert_eq!(left.count(), 0);
    assert!(runs(directory.path()).iter().all(|run| run.join("result.json").is_file()));
}
