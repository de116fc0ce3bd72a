//! Runs to report on, what every report must be, and how its marks are counted.

#![allow(dead_code, reason = "each test program uses its own part")]

use lazycopy_migration::{Event, Scheme};
use lazycopy_report::Report;
use lazycopy_results::{PROGRAM_VERSION, RunRecord, SCHEMA_VERSION};
use lazycopy_scenario::{Draft, Scenario};
use lazycopy_simulation::{Options, simulate_scenario};
use roxmltree::{Document, ParsingOptions};
use std::path::Path;

/// Parses the page as XML, which HTML written with care is, too, and checks that it needs nothing
/// from elsewhere; then each figure.
pub fn check(report: &Report) {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let page = Document::parse_with_options(&report.html, options).expect("the page is whole");
    for node in page.descendants() {
        assert!(!["script", "link", "img", "iframe"].contains(&node.tag_name().name()));
        for attribute in ["src", "href", "id", "onclick"] {
            assert_eq!(node.attribute(attribute), None, "{node:?}");
        }
    }
    assert!(!report.html.contains("url(") && !report.html.contains("@import"));
    assert!(!report.html.contains("NaN") && !report.html.contains("inf\""));
    let drawn =
        page.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "svg")));
    assert_eq!(drawn.count(), report.figures.len());
    for (name, text) in &report.figures {
        let figure = Document::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        check_reach(name, &figure);
    }
    let mut names: Vec<&String> = report.figures.iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), report.figures.len(), "each figure has a file of its own");
}

/// No mark and no text begins outside of the paper.
fn check_reach(name: &str, figure: &Document<'_>) {
    let size = |name| figure.root_element().attribute(name).unwrap().parse::<f64>().unwrap();
    let (width, height) = (size("width"), size("height"));
    for node in figure.descendants() {
        for (attribute, most) in [
            ("x", width),
            ("y", height),
            ("cx", width),
            ("cy", height),
            ("x2", width),
            ("y2", height),
        ] {
            if let Some(value) = node.attribute(attribute) {
                let value: f64 = value.parse().unwrap();
                assert!((-0.01..=most + 0.01).contains(&value), "{name}: {attribute} of {node:?}");
            }
        }
    }
}

/// Marks of that class in a figure.
pub fn marks(report: &Report, figure: &str, class: &str) -> usize {
    let found = report.figures.iter().find(|(name, _)| name == figure);
    let (_, text) = found.unwrap_or_else(|| panic!("there is no figure {figure}"));
    let document = Document::parse(text).unwrap();
    let has_class = |node: &roxmltree::Node<'_, '_>| {
        node.attribute("class").is_some_and(|all| all.split(' ').any(|it| it == class))
    };
    document.descendants().filter(has_class).count()
}

/// A shipped scenario with other values.
pub fn scenario_of(name: &str, scheme: Scheme, set: &[&str]) -> Scenario {
    let draft = Draft::shipped(name, Path::new(".")).unwrap();
    let draft = set.iter().fold(draft, |draft, set| draft.set(set).unwrap());
    let mut scenario = draft.finish().unwrap();
    scenario.migration.scheme = scheme;
    scenario
}

/// A run of a shipped scenario, as `simulate --events` would write it.
pub fn run(scenario: &str, scheme: Scheme, seed: u64, set: &[&str]) -> (RunRecord, Vec<Event>) {
    let scenario = scenario_of(scenario, scheme, set);
    let options = Options { events: true, ..Options::default() };
    let run = simulate_scenario(&scenario, seed, &options).unwrap().runs.remove(0);
    let record = RunRecord {
        schema_version: SCHEMA_VERSION,
        program_version: PROGRAM_VERSION.to_owned(),
        run: format!("{scheme}-seed{seed}"),
        preset: Some("paper".to_owned()),
        scheme,
        seed,
        guest: None,
        source_server: "alpha".to_owned(),
        destination_server: "beta".to_owned(),
        scenario: serde_json::to_value(&scenario).unwrap(),
        digest_matches: run.digest_matches(),
        slip_bound_ns: None,
        slip_exceeded: false,
        out_of_order: 0,
        plane: None,
        metrics: run.metrics,
    };
    (record, run.events)
}
