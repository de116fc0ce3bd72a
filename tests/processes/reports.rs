//! Reports by the command, on each kind of directory and on what is none.

use crate::common::{FAST, Manager, failure, manager, runs};
use serde_json::Value;
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
    assert_eq!(figures, ["hosts-after.svg", "hosts-before.svg", "timeline.svg"]);
    // With the live page's own playback, and the guest's memory as after.txt has it.
    assert!(page.contains("id=\"replay-data\"") && page.contains("modules[\"reducer.js\"]"));
    assert!(!page.contains("src=") && !page.contains("href="), "nothing is fetched");
    let drawn = fs::read_to_string(run.join("figures/hosts-after.svg")).unwrap();
    let after = fs::read_to_string(run.join("after.txt")).unwrap();
    let (_, memory) = after.split_once("20 of 20 frames").expect("the guest is there");
    let frames: Vec<&str> =
        memory.lines().skip(1).take(2).flat_map(str::split_whitespace).collect();
    assert!(
        frames.len() == 20 && frames.iter().all(|page| drawn.contains(&format!(">{page}</text>")))
    );
    has_a_trace(ended.directory.path(), &name);
    let refusal = failure(&manager(ended.directory.path(), &["report", "results"]));
    assert!(refusal.contains(&format!("(1) has a report of its own, such as {name}")), "{refusal}");
}

/// Writes the trace of a run, and holds it against its result.
fn has_a_trace(directory: &Path, name: &str) {
    let said = succeeds(directory, &["trace", name, "--out", "there.json"]);
    assert!(said.contains("events is there.json. Open it at https://ui.perfetto.dev"), "{said}");
    let read = |path: &Path| -> Value {
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let trace = read(&directory.join("there.json"));
    let result = read(&directory.join(name).join("result.json"));
    let events = trace["traceEvents"].as_array().unwrap();
    let count = |kind: &str| events.iter().filter(|event| event["ph"] == kind).count() as u64;
    assert_eq!(count("B"), count("E"), "each slice ends");
    let messages = result["pages_transferred"].as_u64().unwrap() + 1;
    assert_eq!((count("s"), count("f")), (messages, messages), "an arrow for each message");
    assert_eq!(trace["otherData"]["stall_time_ns"], result["stall_time_ns"]);
    let processes = events.iter().filter(|event| event["name"] == "process_name");
    let names: Vec<&str> = processes.map(|it| it["args"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["source: a (lazy-copy, seed 1)", "destination: b (lazy-copy, seed 1)"]);
}

/// Puts a simulated run into a directory as a run between processes has it, without its hosts.
fn lay_out(directory: &Path, run: &str) {
    let results = fs::read_to_string(directory.join("out/results.jsonl")).unwrap();
    let record = results.lines().find(|line| line.contains(&format!("\"run\":\"{run}\""))).unwrap();
    fs::create_dir_all(directory.join(run)).unwrap();
    fs::write(directory.join(run).join("result.json"), format!("{record}\n")).unwrap();
    let events = directory.join(format!("out/events/{run}.jsonl"));
    fs::copy(events, directory.join(run).join("events.jsonl")).unwrap();
}

#[test]
fn two_runs_have_one_report_and_a_simulated_run_has_a_trace() {
    let directory = TempDir::new().unwrap();
    let words =
        ["simulate", "paper", "--scheme", "post-copy,lazy-copy", "--events", "--out", "out"];
    succeeds(directory.path(), &words);
    for run in ["post-copy-seed1", "lazy-copy-seed1"] {
        lay_out(directory.path(), run);
    }
    let said = succeeds(directory.path(), &["report", "post-copy-seed1", "lazy-copy-seed1"]);
    let page = "post-copy-seed1/compared-with-lazy-copy-seed1.html";
    assert!(said.contains(page), "{said}");
    let page = fs::read_to_string(directory.path().join(page)).unwrap();
    assert!(page.contains("<h1>Post-copy and lazy-copy</h1>"), "{page}");
    let refused = |words: &[&str], because: &str| {
        let refusal = failure(&manager(directory.path(), words));
        assert!(refusal.contains(because), "{refusal}");
    };
    refused(&["report", "post-copy-seed1", "out"], "out is no run: two runs are compared");
    refused(&["trace", "out"], "out holds 2 runs; choose one with --run: post-copy-seed1, ");
    refused(&["trace", "out", "--run", "x"], "out holds no run \"x\"; it holds post-copy-seed1");
    succeeds(directory.path(), &["trace", "out", "--run", "lazy-copy-seed1"]);
    assert!(directory.path().join("out/lazy-copy-seed1.json").exists());
    fs::remove_file(directory.path().join("out/events/lazy-copy-seed1.jsonl")).unwrap();
    let because = "out/events/lazy-copy-seed1.jsonl is not there: simulate with --events";
    refused(&["trace", "out", "--run", "lazy-copy-seed1"], because);
}

#[test]
fn a_run_that_was_cut_off_or_edited_is_refused_by_file_and_line() {
    let directory = TempDir::new().unwrap();
    let run = directory.path().join("post-copy-seed1");
    let words = ["simulate", "paper", "--scheme", "post-copy", "--events", "--out", "out"];
    succeeds(directory.path(), &words);
    lay_out(directory.path(), "post-copy-seed1");
    let refused = |because: &str| {
        for command in ["report", "trace"] {
            let refusal = failure(&manager(directory.path(), &[command, "post-copy-seed1"]));
            assert!(
                refusal.contains(&format!("post-copy-seed1/{because}")),
                "{command}: {refusal}"
            );
        }
        assert!(!run.join("report.html").exists() && !run.join("trace.json").exists());
    };
    let (events, result) = (run.join("events.jsonl"), run.join("result.json"));
    let (log, record) =
        (fs::read_to_string(&events).unwrap(), fs::read_to_string(&result).unwrap());
    let lines: Vec<&str> = log.lines().collect();
    fs::write(&events, &log[..lines[..9].join("\n").len() - 4]).unwrap();
    refused("events.jsonl, line 9: it does not end: the file is cut off");
    fs::write(&events, lines[..9].join("\n") + "\n").unwrap();
    refused("events.jsonl, line 10: the file ends before the migration is complete");
    fs::write(&events, log.replacen("page_sent", "page_spent", 1)).unwrap();
    refused("events.jsonl, line ");
    let mut edited = lines.clone();
    edited.swap(3, 12);
    fs::write(&events, edited.join("\n") + "\n").unwrap();
    refused("events.jsonl, line 5: it is earlier than the line before it");
    // The totals stay what they are.
    for (event, because) in [("page_arrived", "more often than"), ("fault_ended", "ends a fault")] {
        let at = lines.iter().position(|line| line.contains(event)).unwrap();
        let mut edited: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let (before, page) = edited[at].split_once("\"page\":").unwrap();
        let (page, after) = page.split_at(page.find([',', '}']).unwrap());
        let other = if page == "1" { 2 } else { 1 };
        edited[at] = format!("{before}\"page\":{other}{after}");
        fs::write(&events, edited.join("\n") + "\n").unwrap();
        refused("events.jsonl, line ");
        let refusal = failure(&manager(directory.path(), &["trace", "post-copy-seed1"]));
        assert!(
            refusal.contains(&format!("page {other} ")) && refusal.contains(because),
            "{refusal}"
        );
    }
    fs::write(&events, log.replacen("\"stalled_ns\":11400000000", "\"stalled_ns\":9", 1)).unwrap();
    refused("events.jsonl: its events give 9 for stall_time_ns, the result says 11400000000");
    fs::write(&events, &log).unwrap();
    fs::write(&result, record.replacen("_transferred\":20", "_transferred\":21", 1)).unwrap();
    refused("result.json: its parts do not add up: 21 pages transferred, 20 by cause");
    fs::write(&result, &record[..record.len() / 2]).unwrap();
    refused("result.json: it is no result: ");
    fs::write(&result, &record).unwrap();
    fs::remove_file(&events).unwrap();
    refused("events.jsonl: No such file");
    fs::write(&events, &log).unwrap();
    fs::write(run.join("before.txt"), "(a) Source host\n\n(b) Destination host\n").unwrap();
    let refusal = failure(&manager(directory.path(), &["report", "post-copy-seed1"]));
    assert!(refusal.contains("before.txt, line 3: the file ends before the host"), "{refusal}");
    for words in [["trace", "none"], ["report", "none"]] {
        let refusal = failure(&manager(directory.path(), &words));
        assert!(refusal.contains("none: there is no such directory"), "{refusal}");
    }
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
