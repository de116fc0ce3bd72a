//! Finished runs, whole and broken.

use super::Page;
use crate::common::{FAST, runs};
use serde_json::json;
use std::fs;

#[test]
fn finished_runs_are_listed_and_read_and_broken_ones_are_told_by_name_and_line() {
    let page = Page::with_servers();
    assert_eq!(page.read("/api/runs").json(), json!([]));
    page.commands(&format!("vm create v --on a {}", FAST));
    page.commands("migrate v --to b --scheme post-copy --wait");
    let directory = page.manager.directory.path();
    let run = runs(directory).remove(0);
    let name = run.file_name().unwrap().to_str().unwrap().to_owned();
    let broken = run.with_file_name("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("result.json"), "{").unwrap();

    let listed = page.read("/api/runs").json();
    let whole = listed.as_array().unwrap().iter().find(|run| run["name"] == *name).unwrap();
    assert_eq!((&whole["vm"], &whole["scheme"]), (&json!("v"), &json!("post-copy")));
    assert_eq!((&whole["frames"], &whole["outcome"]), (&json!(20), &json!("completed")));
    let told = listed.as_array().unwrap().iter().find(|run| run["name"] == "broken").unwrap();
    assert!(told["error"].as_str().unwrap().contains("results/broken/result.json"), "{told}");

    let result = page.read(&format!("/api/runs/{name}"));
    assert_eq!(result.json()["total_migration_time_ns"], whole["total_migration_time_ns"]);
    let path = format!("/api/runs/{name}/events");
    let events = page.read(&path);
    assert_eq!(events.body, fs::read_to_string(run.join("events.jsonl")).unwrap());
    assert!(events.head.contains("content-type: text/plain"), "{}", events.head);

    let before = page.read(&format!("/api/runs/{name}/before"));
    assert_eq!(before.body, fs::read_to_string(run.join("before.txt")).unwrap());
    let made = page.read(&format!("/api/runs/{name}/accesses")).json();
    let pages = made["pages"].as_array().unwrap();
    assert_eq!((&made["first"], pages.len()), (&json!(200), 100));
    assert_eq!(made["writes"].as_array().unwrap().len(), 100);
    // The guest misses the pages that it touches, in that order.
    let mut touched = pages.iter();
    for line in events.body.lines().filter(|line| line.contains("\"fault_began\"")) {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(touched.any(|page| *page == event["page"]), "{line} among {pages:?}");
    }

    for unknown in ["none", "..", "%2e%2e", "..%2f..%2fetc", "%2e%2e%2f", ".hidden", "a%00b"] {
        for path in [format!("/api/runs/{unknown}"), format!("/api/runs/{unknown}/events")] {
            let answer = page.read(&path);
            assert_eq!(answer.status, 404, "{path}: {}", answer.body);
            assert!(!answer.error().is_empty());
        }
    }
    let lines: Vec<&str> = events.body.lines().collect();
    let count = lines.len();
    let written = |text: &str| {
        fs::write(run.join("events.jsonl"), text).unwrap();
        let answer = page.read(&path);
        assert_eq!(answer.status, 422, "{}", answer.body);
        answer.error()
    };
    let told = |line: usize| format!("results/{name}/events.jsonl, line {line}: ");
    let cut = written(&events.body[..events.body.len() - 5]);
    assert!(cut.starts_with(&told(count)), "{cut}");
    let cut_between_lines = written(&format!("{}\n", lines[..10].join("\n")));
    assert!(cut_between_lines.starts_with(&told(11)), "{cut_between_lines}");
    let edited = written(&events.body.replacen(lines[16], "{\"at_ns\": \"soon\"}", 1));
    assert!(edited.starts_with(&told(17)), "{edited}");
    let came = lines.iter().position(|line| line.contains("\"page_arrived\"")).unwrap();
    let edited = |text: &str| {
        let mut lines = lines.clone();
        lines[came] = text;
        written(&format!("{}\n", lines.join("\n")))
    };
    let beyond = edited(&lines[came].replace("\"page\":", "\"page\":9"));
    assert!(beyond.starts_with(&told(came + 1)) && beyond.contains("has 50 pages"), "{beyond}");
    let twice = edited(&format!("{0}\n{0}", lines[came]));
    assert!(twice.contains("events.jsonl, line ") && twice.contains(" comes "), "{twice}");
    let mut swapped = lines.clone();
    swapped.swap(0, count - 1);
    let swapped = written(&format!("{}\n", swapped.join("\n")));
    assert!(swapped.starts_with(&told(2)) && swapped.contains("earlier"), "{swapped}");
    assert!(written("").contains("line 1: "));
    page.end();
}
