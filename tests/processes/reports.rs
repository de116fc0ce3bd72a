//! Reports by the command, on each kind of directory and on what is none.

use crate::common::{FAST, Manager, failure, manager, runs};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const SWEEP: &str = r#"# Who wins?
scenario = "paper"
seeds = 8
schemes = ["post-copy", "lazy-copy"]
[[axes]]
key = "link.bandwidth"
values = ["1028B/s", "8224B/s"]
[[axes]]
key = "disk.latency_destination"
values = ["1s", "11s"]
"#;

fn succeeds(directory: &Path, words: &[&str]) -> String {
    let output = manager(directory, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes the report of `name` twice; the page, and the names of its figures.
fn report(directory: &Path, name: &str) -> (String, Vec<String>) {
    let read = || {
        let said = succeeds(directory, &["report", name]);
        assert!(said.contains(&format!("{name}/report.html")), "{said}");
        fs::read_to_string(directory.join(name).join("report.html")).unwrap()
    };
    let page = read();
    // Left by an earlier report on something else.
    let _ = fs::write(directory.join(name).join("figures/old.svg"), "<svg/>");
    assert_eq!(page, read(), "the same results give the same bytes");
    let figures = fs::read_dir(directory.join(name).join("figures")).unwrap();
    let mut figures: Vec<String> =
        figures.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    figures.sort();
    let left = fs::read_dir(directory.join(name)).unwrap().flatten();
    let aside = left.filter(|entry| entry.file_name().to_string_lossy().ends_with(".partial"));
    assert_eq!(aside.count(), 0);
    (page, figures)
}

#[test]
fn a_run_between_processes_has_a_report() {
    let mut processes = Manager::with_servers(&["--out", "results"]);
    processes.say(&format!("vm create web --on a {FAST}"));
    processes.say("migrate web --to b --scheme lazy-copy --wait");
    processes.expect("Migration 1 of \"web\": completed");
    processes.say("quit --force");
    let ended = processes.end();
    let run = runs(ended.directory.path()).pop().expect("the run has a directory");
    let name = format!("results/{}", run.file_name().unwrap().to_string_lossy());
    let (page, figures) = report(ended.directory.path(), &name);
    assert!(page.contains("<h1>Lazy-copy: completed in "), "{page}");
    assert_eq!(figures, ["timeline.svg"]);
    let refusal = failure(&manager(ended.directory.path(), &["report", "results"]));
    assert!(refusal.contains(&format!("(1) has a report of its own, such as {name}")), "{refusal}");
}

#[test]
fn a_simulation_has_a_report() {
    let directory = TempDir::new().unwrap();
    let schemes = ["simulate", "paper", "--scheme", "post-copy,lazy-copy", "--seeds", "5"];
    let words = [schemes.as_slice(), &["--events", "--out", "out"]].concat();
    succeeds(directory.path(), &words);
    let (page, figures) = report(directory.path(), "out");
    assert!(page.contains("Post-copy, lazy-copy: 5 migrations each"), "{page}");
    for figure in
        ["distribution-faults.svg", "differences-stall-time.svg", "timeline-lazy-copy.svg"]
    {
        assert!(figures.iter().any(|name| name == figure), "{figures:?}");
    }
}

#[test]
fn a_sweep_has_a_report_and_its_analysis() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("who.toml"), SWEEP).unwrap();
    succeeds(directory.path(), &["sweep", "who.toml", "--out", "out"]);
    let (page, figures) = report(directory.path(), "out");
    assert!(page.contains("<h1>Who wins?</h1>"), "{page}");
    assert!(figures.iter().any(|name| name == "phase-map-guest-pause.svg"), "{figures:?}");
    let analysis = fs::read_to_string(directory.path().join("out/analysis.json")).unwrap();
    let analysis: serde_json::Value = serde_json::from_str(&analysis).unwrap();
    assert_eq!(analysis["cells"].as_array().unwrap().len(), 4);
    let cells = fs::read_to_string(directory.path().join("out/cells.csv")).unwrap();
    assert!(cells.starts_with("cell,link.bandwidth,disk.latency_destination,"), "{cells}");
}

#[test]
fn what_is_no_result_is_refused_by_its_name_and_line() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out");
    let refused = |words: &str| {
        let refusal = failure(&manager(directory.path(), &["report", "out"]));
        assert!(refusal.contains(words), "{refusal}");
        assert!(!out.join("report.html").exists());
    };
    refused("out: there is no such directory; name that of a run");
    fs::create_dir(&out).unwrap();
    refused("out holds no result.json (a run), no results.jsonl (a simulation)");
    fs::write(out.join("results.jsonl"), "").unwrap();
    refused("out/results.jsonl holds no results");
    succeeds(directory.path(), &["simulate", "paper", "--seeds", "3", "--out", "whole"]);
    let whole = fs::read_to_string(directory.path().join("whole/results.jsonl")).unwrap();
    fs::write(out.join("results.jsonl"), &whole[..whole.len() - 100]).unwrap();
    refused("out/results.jsonl, line 3: it is no result");
    fs::write(out.join("results.jsonl"), whole.replacen("_version\":1", "_version\":9", 1))
        .unwrap();
    refused("out/results.jsonl, line 1: its schema_version is 9");
    fs::write(out.join("results.jsonl"), [0xff, 0xfe, b'\n']).unwrap();
    refused("out/results.jsonl, line 1: it is no text");
    fs::write(out.join("results.jsonl"), &whole).unwrap();
    fs::create_dir(out.join("events")).unwrap();
    fs::write(out.join("events/lazy-copy-seed1.jsonl"), "{}\n").unwrap();
    refused("out/events/lazy-copy-seed1.jsonl, line 1");
}

#[test]
fn a_sweep_that_is_not_whole_is_refused_with_what_to_do() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("who.toml"), SWEEP).unwrap();
    succeeds(directory.path(), &["sweep", "who.toml", "--out", "out", "--shard", "0/1"]);
    let results = directory.path().join("out/results.jsonl");
    let whole = fs::read_to_string(&results).unwrap();
    fs::remove_file(&results).unwrap();
    let refused = |words: &str| {
        let refusal = failure(&manager(directory.path(), &["report", "out"]));
        assert!(refusal.contains(words), "{refusal}");
    };
    refused("manager merge out");
    let lines: Vec<&str> = whole.lines().collect();
    fs::write(&results, lines[..10].join("\n")).unwrap();
    refused("out/results.jsonl: the results end after 10 of 64 runs");
    fs::write(&results, [lines[1], lines[0]].join("\n")).unwrap();
    refused("out/results.jsonl: line 1 of the results is cell 0, post-copy, seed 2");
    fs::write(&results, format!("{}\n{{", lines[0])).unwrap();
    refused("out/results.jsonl, line 2");
    assert!(!directory.path().join("out/report.html").exists());
}

#[test]
fn a_report_that_cannot_be_written_leaves_nothing_half_written() {
    let directory = TempDir::new().unwrap();
    succeeds(directory.path(), &["simulate", "paper", "--seeds", "2", "--out", "out"]);
    let out = directory.path().join("out");
    fs::write(out.join("figures"), "in the way").unwrap();
    let refusal = failure(&manager(directory.path(), &["report", "out"]));
    assert!(refusal.contains("out/figures"), "{refusal}");
    assert!(!out.join("report.html").exists());
}
