//! Reports of single migrations and of many of one scenario.

mod common;

use common::{check, marks, run};
use lazycopy_migration::{Event, Outcome, Scheme};
use lazycopy_report::{Player, RunExtras, Simulation, run_report};
use roxmltree::{Document, ParsingOptions};
use serde_json::Value;

#[test]
fn the_marks_of_a_timeline_are_the_counts_of_the_result() {
    for scheme in Scheme::ALL {
        for (scenario, seed) in [("paper", 1), ("paper", 5), ("slow-link", 2), ("writes", 1)] {
            let (record, events) = run(scenario, scheme, seed, &["migration.max_rounds=20"]);
            let report = run_report(&record, &events, &RunExtras::default(), None);
            check(&report);
            let metrics = &record.metrics;
            let count = |class| marks(&report, "timeline", class) as u64;
            assert_eq!(count("stall"), metrics.faults, "{scenario}, {scheme}, {seed}");
            assert_eq!(count("page"), metrics.pages_transferred, "{scenario}, {scheme}, {seed}");
            let handed_over = metrics.outcome == Outcome::Completed;
            assert_eq!(count("context"), u64::from(handed_over), "{scenario}, {scheme}, {seed}");
        }
    }
}

#[test]
fn a_page_tells_what_happened_in_words() {
    let (record, events) = run("paper", Scheme::PostCopy, 1, &[]);
    let html = run_report(&record, &events, &RunExtras::default(), None).html;
    for words in [
        "<h1>Post-copy: completed in 10.719 s</h1>",
        "from &quot;alpha&quot; to &quot;beta&quot; by post-copy, preset paper, seed 1",
        "by 1 page fault (0 ended by a page from the source, 1 by the disk)",
        "20 pages and the context crossed the link",
        "11.4 s more than without a migration",
        "equal its reference run&#",
    ] {
        // An apostrophe needs no reference, but may have one.
        let words = words.trim_end_matches("&#");
        assert!(html.contains(words), "{words}");
    }
    for metric in
        ["total_<wbr/>migration_<wbr/>time_<wbr/>ns", "forward_<wbr/>accuracy", "slip_<wbr/>ns"]
    {
        assert!(html.contains(metric), "{metric}");
    }
}

#[test]
fn a_run_that_never_converges_and_one_without_events_have_reports() {
    let set = ["guest.write_fraction=1", "guest.think_time=\"100ms\"", "migration.max_rounds=12"];
    let (record, events) = run("paper", Scheme::PreCopy, 1, &set);
    assert_eq!(record.metrics.outcome, Outcome::NeverConverges);
    let report = run_report(&record, &events, &RunExtras::default(), None);
    check(&report);
    assert!(report.html.contains("<h1>Pre-copy: never converges</h1>"));
    let report = run_report(&record, &[], &RunExtras::default(), None);
    check(&report);
    assert!(report.figures.is_empty() && report.html.contains("No events were recorded"));
}

#[test]
fn what_a_record_holds_never_becomes_markup() {
    let (mut record, events) = run("paper", Scheme::LazyCopy, 1, &[]);
    record.run = "<script>alert(1)</script>".to_owned();
    record.source_server = "a\" onclick=\"b".to_owned();
    record.metrics.reason = "</body> & more".to_owned();
    check(&run_report(&record, &events, &RunExtras::default(), None));
}

fn simulation(schemes: &[Scheme], seeds: u64) -> Simulation {
    let mut simulation = Simulation::default();
    for scheme in schemes {
        for seed in 1..=seeds {
            let (record, events) = run("paper", *scheme, seed, &[]);
            simulation.add(&record);
            if seed == 1 {
                simulation.add_events(*scheme, &events);
            }
        }
    }
    simulation
}

#[test]
fn each_run_of_a_simulation_has_its_point() {
    let schemes = [Scheme::PostCopy, Scheme::LazyCopy, Scheme::PreCopy];
    let simulation = simulation(&schemes, 12);
    let report = simulation.report();
    check(&report);
    assert_eq!(marks(&report, "distribution-total-migration-time", "run"), 3 * 12);
    assert_eq!(marks(&report, "distribution-faults", "boxed"), 3);
    assert_eq!(marks(&report, "differences-stall-time", "run"), 2 * 12, "to post-copy");
    assert_eq!(marks(&report, "differences-stall-time", "interval"), 2);
    for scheme in schemes {
        assert_eq!(marks(&report, &format!("timeline-{scheme}"), "context"), 1);
    }
    let first = (Scheme::LazyCopy, "lazy-copy-seed1".to_owned());
    assert!(simulation.first_runs().contains(&first));
}

#[test]
fn the_same_runs_give_the_same_bytes() {
    let report = || simulation(&[Scheme::PostCopy, Scheme::LazyCopy], 5).report();
    assert_eq!(report(), report());
    let (record, events) = run("paper", Scheme::LazyCopy, 3, &[]);
    assert_eq!(
        run_report(&record, &events, &RunExtras::default(), None),
        run_report(&record, &events, &RunExtras::default(), None)
    );
}

#[test]
fn runs_that_did_not_complete_are_in_no_figure_and_told() {
    let mut simulation = Simulation::default();
    for seed in 1..=4 {
        let (mut record, _) = run("paper", Scheme::LazyCopy, seed, &[]);
        if seed > 2 {
            record.metrics.outcome = Outcome::Lost;
        }
        simulation.add(&record);
    }
    let report = simulation.report();
    check(&report);
    assert_eq!(marks(&report, "distribution-downtime", "run"), 2);
    assert!(report.html.contains("Not counted: 2 of 4 migrations of lazy-copy, lost."));
    assert!(report.html.contains("2 of 4</td>"));
}

fn player() -> Player {
    Player {
        script: "let fine = 1 < 2 && 3 > 2;".to_owned(),
        colours: ":root { --own: #6e7781 }\n".to_owned(),
        style: ".cell { color: var(--own) }\n".to_owned(),
    }
}

#[test]
fn a_report_with_a_player_holds_its_run_and_is_whole() {
    let (mut record, events) = run("paper", Scheme::LazyCopy, 1, &[]);
    record.metrics.reason = "</script> & ]]>".to_owned();
    let html = run_report(&record, &events, &RunExtras::default(), Some(&player())).html;
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let page = Document::parse_with_options(&html, options).expect("the page is whole");
    let data = page.descendants().find(|node| node.attribute("id") == Some("replay-data"));
    let data: Value = serde_json::from_str(data.unwrap().text().unwrap()).unwrap();
    assert_eq!(data[0]["result"], serde_json::to_value(&record).unwrap());
    // As the page's own module takes them apart.
    let (shapes, numbers) = (&data[0]["events"]["shapes"], &data[0]["events"]["numbers"]);
    let (mut next, mut at, mut unpacked) = (0, 0, Vec::new());
    while let Some(shape) = numbers.get(next) {
        let shape = &shapes[shape.as_u64().unwrap() as usize];
        let mut event = shape[0].clone();
        for (place, name) in shape[1].as_array().unwrap().iter().enumerate() {
            event[name.as_str().unwrap()] = numbers[next + 1 + place].clone();
        }
        at += event["at_ns"].as_u64().unwrap();
        event["at_ns"] = at.into();
        next += 1 + shape[1].as_array().unwrap().len();
        unpacked.push(serde_json::from_value::<Event>(event).unwrap());
    }
    assert_eq!(unpacked, events);
    assert!(html.contains(".replay {\n.cell"), "the player's style stays in the replay");
}

#[test]
fn the_replay_of_more_events_than_a_page_holds_is_left_out_by_name() {
    let (record, events) = run("paper", Scheme::PostCopy, 1, &[]);
    let many: Vec<Event> = events.iter().cycle().take(200_001).cloned().collect();
    let html = run_report(&record, &many, &RunExtras::default(), Some(&player())).html;
    assert!(html.contains("the 200001 events of post-copy-seed1 are more than the 200000"));
    assert!(!html.contains("replay-data") && !html.contains("<script"));
}
