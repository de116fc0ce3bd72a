//! What many runs say together, in figures and in words.

mod common;

use common::record;
use lazycopy_migration::{Outcome, Scheme};
use lazycopy_results::{Comparison, FindingKind, Measure, PlaneRecord, RunRecord, Standing};
use serde_json::json;

const SECOND: u64 = 1_000_000_000;

/// Runs of a scheme whose total migration time, in seconds, and faults are these, seeds 1 and up.
fn runs(scheme: Scheme, figures: &[(u64, u64)]) -> Vec<RunRecord> {
    let run = |(index, (seconds, faults)): (usize, &(u64, u64))| {
        let mut record = record(scheme, index as u64 + 1);
        record.metrics.total_migration_time_ns = Some(seconds * SECOND);
        record.metrics.faults = *faults;
        record.metrics.faults_disk = *faults;
        record
    };
    figures.iter().enumerate().map(run).collect()
}

fn sentence(comparison: &Comparison, beginning: &str) -> String {
    let words = comparison.words();
    let found = words.iter().find(|sentence| sentence.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no \"{beginning}\" in {words:#?}")).clone()
}

const TIME: &str = "Claim \"less total migration time\": ";
const FAULTS: &str = "Claim \"fewer page faults\": ";

#[test]
fn a_claim_is_confirmed_when_the_whole_interval_says_so() {
    let mut all = runs(Scheme::PostCopy, &[(20, 9), (22, 8), (24, 9)]);
    all.extend(runs(Scheme::LazyCopy, &[(10, 1), (11, 2), (15, 1)]));
    let comparison = Comparison::of("paper", &all);
    let finding = &comparison.findings[0];
    assert_eq!((finding.kind, finding.standing), (FindingKind::Claim, Standing::Less));
    assert_eq!(
        sentence(&comparison, TIME),
        "Claim \"less total migration time\": confirmed. Lazy-copy had 10 s less than post-copy \
         in the mean of 3 seeds (95 % interval: 7.52 s to 12.48 s less; p = 0.003); less at 3, \
         equal at 0, more at 0. Wilcoxon's signed-rank test does not agree (p = 0.25)."
    );
    let faults = sentence(&comparison, FAULTS);
    assert!(faults.contains("confirmed. Lazy-copy had 7.3 fewer than post-copy"), "{faults}");
    assert!(faults.contains("fewer at 3, equal at 0, more at 0."), "{faults}");
}

#[test]
fn where_lazy_copy_loses_it_is_said() {
    let mut all = runs(Scheme::PostCopy, &[(10, 1), (11, 2), (15, 1)]);
    all.extend(runs(Scheme::LazyCopy, &[(20, 9), (22, 8), (24, 9)]));
    for run in all.iter_mut().filter(|run| run.scheme == Scheme::LazyCopy) {
        run.metrics.downtime_ns = Some(2 * SECOND + run.seed);
    }
    let comparison = Comparison::of("paper", &all);
    let expected = "refuted: lazy-copy loses. Lazy-copy had 10 s more";
    assert!(sentence(&comparison, TIME).contains(expected));
    assert!(sentence(&comparison, FAULTS).contains("lazy-copy loses"));
    assert!(
        sentence(&comparison, "Downtime: ").contains("lazy-copy loses. Lazy-copy had 2 s more")
    );
}

#[test]
fn an_interval_that_holds_zero_shows_no_difference() {
    let mut all = runs(Scheme::PostCopy, &[(10, 5), (20, 5), (30, 5)]);
    all.extend(runs(Scheme::LazyCopy, &[(12, 5), (19, 5), (28, 5)]));
    let comparison = Comparison::of("fair", &all);
    assert_eq!(comparison.findings[0].standing, Standing::NoDifference);
    let time = sentence(&comparison, TIME);
    assert!(
        time.contains(
            "not confirmed, no difference seen beyond 5.5 s. Lazy-copy had 333.3 ms less"
        ),
        "{time}"
    );
    assert!(
        time.contains(" less to ") && time.contains("less at 2, equal at 0, more at 1."),
        "{time}"
    );
    assert_eq!(
        sentence(&comparison, FAULTS),
        "Claim \"fewer page faults\": not confirmed, no difference seen. Lazy-copy and post-copy \
         were equal at each of 3 seeds."
    );
}

#[test]
fn schemes_are_paired_by_seed_and_not_by_their_means() {
    // Seeds differ by far more than the schemes do.
    let mut all = runs(Scheme::PostCopy, &[(100, 1), (1_000, 1), (10_000, 1), (100_000, 1)]);
    all.extend(runs(Scheme::LazyCopy, &[(98, 1), (998, 1), (9_998, 1), (99_997, 1)]));
    all.reverse();
    assert_eq!(Comparison::of("paper", &all).findings[0].standing, Standing::Less);
}

#[test]
fn one_common_seed_decides_nothing_and_none_is_said_too() {
    let mut all = runs(Scheme::PostCopy, &[(10, 1)]);
    all.extend(runs(Scheme::LazyCopy, &[(9, 1)]));
    let comparison = Comparison::of("paper", &all);
    assert_eq!(comparison.findings[0].standing, Standing::Undecided);
    let expected = "cannot be said. Lazy-copy had 1 s less at the one common seed; it takes two";
    assert!(sentence(&comparison, TIME).contains(expected));

    let mut all = runs(Scheme::PostCopy, &[(10, 1), (20, 1)]);
    all.extend(runs(Scheme::LazyCopy, &[(9, 1), (19, 1)]));
    let comparison = Comparison::of("paper", &all);
    let expected = "cannot be said. Lazy-copy had 1 s less at each of 2 seeds: too few to tell it \
                    from chance (p = 0.5).";
    assert!(sentence(&comparison, TIME).contains(expected));

    let alone = runs(Scheme::StopAndCopy, &[(10, 0), (11, 0)]);
    let comparison = Comparison::of("paper", &alone);
    let expected = "cannot be said. No seed was completed under both";
    assert!(sentence(&comparison, TIME).contains(expected));
    assert_eq!(comparison.columns.len(), 1);
    assert!(Comparison::of("nothing", &[]).to_string().contains("cannot be said"));
}

#[test]
fn the_table_shows_each_scheme_that_was_run_with_mean_and_spread() {
    let mut all = runs(Scheme::LazyCopy, &[(10, 1), (12, 2)]);
    all.extend(runs(Scheme::StopAndCopy, &[(30, 0)]));
    let table = Comparison::of("paper", &all).table();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].contains("stop-and-copy") && lines[0].contains("lazy-copy"), "{table}");
    assert!(!lines[0].contains("post-copy"), "{table}");
    let row = |label: &str| {
        let line = lines.iter().find(|line| line.contains(label)).expect(label);
        line.split('|').map(str::trim).skip(2).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("runs"), ["1", "2"]);
    assert_eq!(row("total migration time"), ["30 s", "11 ± 1.41 s"]);
    assert_eq!(row("page faults"), ["0", "1.5 ± 0.7"]);
    assert_eq!(row("reference"), ["-", "-"]);
    assert!(table.is_ascii() || table.contains('±'));
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
}

#[test]
fn runs_that_did_not_complete_are_counted_and_named_but_in_no_figure() {
    let mut all = runs(Scheme::PostCopy, &[(10, 1), (10, 1), (500, 99)]);
    all.extend(runs(Scheme::LazyCopy, &[(9, 1), (9, 1), (9, 1)]));
    all[2].metrics.outcome = Outcome::Lost;
    all[2].metrics.reason = "the source died".to_owned();
    all[2].metrics.total_migration_time_ns = None;
    let comparison = Comparison::of("paper", &all);
    assert_eq!(
        sentence(&comparison, "Not counted"),
        "Not counted: 1 run of post-copy, lost: the source died (paper-post-copy-3)."
    );
    let post_copy = &comparison.columns[0];
    assert_eq!((post_copy.counted, post_copy.runs), (2, 3));
    assert_eq!(post_copy.summaries[&Measure::Faults].mean, 1.0);
    assert_eq!(comparison.findings[0].difference.unwrap().paired.differences.count, 2);
    assert!(comparison.table().contains("2 of 3"));
}

#[test]
fn a_guest_that_differs_from_its_reference_run_is_a_bug_and_no_result() {
    let mut all = runs(Scheme::PostCopy, &[(10, 1), (10, 1)]);
    all[1].digest_matches = Some(false);
    let comparison = Comparison::of("paper", &all);
    let said = sentence(&comparison, "Not counted");
    assert!(
        said.contains("differs from its reference run") && said.contains("post-copy-2"),
        "{said}"
    );
    assert_eq!(comparison.columns[0].counted, 1);
}

#[test]
fn what_makes_the_figures_doubtful_is_said() {
    let mut all = runs(Scheme::PostCopy, &[(10, 1), (10, 1)]);
    assert_eq!(Comparison::of("paper", &all).doubts, [] as [String; 0]);
    all[1].slip_exceeded = true;
    let late = sentence(&Comparison::of("paper", &all), "Marked");
    assert!(late.contains("in 1 of 2 runs (paper-post-copy-2)"), "{late}");
    all[1].slip_exceeded = false;
    all[1].scenario = json!({ "seed": 2, "guest": { "pages": 51 } });
    sentence(&Comparison::of("paper", &all), "Mixed");
    all[1] = all[0].clone();
    sentence(&Comparison::of("paper", &all), "Repeated: 1 pairs");
}

#[test]
fn a_comparison_prints_title_table_and_words() {
    let mut all = runs(Scheme::PostCopy, &[(20, 9), (22, 8)]);
    all.extend(runs(Scheme::LazyCopy, &[(10, 1), (11, 2)]));
    let text = Comparison::of("Preset paper", &all).to_string();
    assert!(text.starts_with("Preset paper (mean ± standard deviation)\n|"), "{text}");
    for part in [TIME, FAULTS, "Stall time: ", "Measured time: ", "Downtime: ", "bound by the link"]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_comparison_can_be_written_as_json() {
    let all = runs(Scheme::PostCopy, &[(20, 9), (22, 8)]);
    let json = serde_json::to_value(Comparison::of("paper", &all)).unwrap();
    assert_eq!(json["columns"][0]["scheme"], "post-copy");
    assert_eq!(json["columns"][0]["summaries"]["faults"]["mean"], 8.5);
    assert_eq!(json["findings"][0]["standing"], "undecided");
}

#[test]
fn guests_that_were_moved_at_once_are_one_draw_and_no_repetition() {
    let guest = |scheme, seed, guest: u32, nanos| {
        let mut record = record(scheme, seed);
        record.guest = Some(guest);
        record.metrics.total_migration_time_ns = Some(nanos);
        record
    };
    let mut all = Vec::new();
    for seed in 1..=3 {
        // The guests' differences cancel out: the fleets took as long.
        for (number, nanos) in [(0, 10), (1, 30)] {
            all.push(guest(Scheme::PostCopy, seed, number, nanos));
            all.push(guest(Scheme::LazyCopy, seed, number, 40 - nanos));
        }
    }
    let comparison = Comparison::of("a fleet", &all);
    assert_eq!(comparison.doubts, Vec::<String>::new());
    let paired = comparison.findings[0].difference.unwrap().paired;
    assert_eq!((paired.differences.count, paired.differences.mean), (3, 0.0));
    assert_eq!(comparison.columns[0].counted, 6);
}

#[test]
fn times_of_the_clock_are_told_to_be_such() {
    let mut all = runs(Scheme::PostCopy, &[(20, 9), (22, 8)]);
    let by_clock = |all: &[RunRecord]| {
        let words = Comparison::of("unlimited", all).words();
        words.into_iter().find(|sentence| sentence.starts_with("By the clock: "))
    };
    assert_eq!(by_clock(&all), None);
    for run in &mut all {
        run.plane = Some(PlaneRecord {
            bytes_sent: 1,
            pages_zero: 0,
            pages_same: 0,
            pages_compressed: 0,
            compression_ratio: None,
            connections: 1,
            congestion: "cubic".to_owned(),
            checksums: true,
        });
    }
    let told = by_clock(&all).unwrap();
    assert!(told.starts_with("By the clock: 2 of 2 runs had no modelled link"), "{told}");
}
