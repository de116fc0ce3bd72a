//! What a sweep says: means, differences and winners by cell.

#[path = "common/sweep.rs"]
mod sweep;

use lazycopy_migration::Scheme::{LazyCopy, PostCopy, PreCopy};
use lazycopy_results::{
    AnalysisError, CellMeasure, Difference, Measure, Paired, Quantiles, ResultsError, SIGNIFICANCE,
    Standing, Summary, SweepAnalysis, SweepManifest, SweepRecord,
};
use proptest::prelude::*;
use std::convert::Infallible;
use sweep::{manifest, records};

const TIME: Measure = Measure::TotalMigrationTime;

fn analysis(manifest: &SweepManifest, records: Vec<SweepRecord>) -> SweepAnalysis {
    SweepAnalysis::of(manifest, records.into_iter().map(Ok::<_, Infallible>)).unwrap()
}

fn problem(manifest: &SweepManifest, records: Vec<SweepRecord>) -> String {
    let analysed = SweepAnalysis::of(manifest, records.into_iter().map(Ok::<_, Infallible>));
    analysed.unwrap_err().to_string()
}

/// Noise that is the same for each contender, and a little that is its own.
fn noise(contender: usize, seed: u64) -> u64 {
    seed * 7_919 % 1_009 * 10 + (seed + contender as u64) * 31 % 7
}

fn of(analysis: &SweepAnalysis, cell: usize, measure: Measure) -> &CellMeasure {
    analysis.cells[cell].measure(measure).unwrap()
}

#[test]
fn each_cell_has_the_figures_of_its_own_runs() {
    let manifest = manifest(&[PostCopy, LazyCopy], 3, 8);
    let time = |cell: u64, contender: usize, seed: u64| {
        1_000 * (cell + 1) + 100 * contender as u64 + noise(contender, seed)
    };
    let records = records(&manifest, |cell, contender, seed| {
        Some([time(cell, contender, seed), 5, contender as u64, seed])
    });
    let analysis = analysis(&manifest, records);
    assert_eq!(analysis.cells.len(), 3);
    for cell in 0..3u64 {
        let found = of(&analysis, cell as usize, TIME);
        let values = |contender| -> Vec<f64> {
            (1..=8).map(|seed| time(cell, contender, seed) as f64).collect()
        };
        for contender in 0..2 {
            let figures = found.figures[contender];
            assert_eq!(figures.summary, Summary::of(&values(contender)));
            assert_eq!(figures.quantiles, Quantiles::of(&values(contender)));
            assert!(figures.whole);
        }
        let pairs = values(1).into_iter().zip(values(0));
        let difference = found.difference(1, 0).unwrap();
        assert_eq!(Some(difference.paired), Paired::of(pairs));
        assert_eq!(found.difference(0, 1), Some(difference.reversed()));
        assert_eq!(found.difference(0, 0), None);
        let pause = of(&analysis, cell as usize, Measure::GuestPause).figures[0].summary.unwrap();
        assert_eq!(pause.mean, 5.0 + 4.5, "downtime and stall time");
    }
}

#[test]
fn the_contender_with_least_wins_where_that_is_no_chance_and_else_it_is_a_tie() {
    let manifest = manifest(&[PostCopy, LazyCopy, PreCopy], 2, 20);
    // In cell 0 lazy-copy has least; in cell 1 it has as much as post-copy but for its own noise.
    let records = records(&manifest, |cell, contender, seed| {
        let base = [20_000, if cell == 0 { 15_000 } else { 20_000 }, 40_000][contender];
        Some([base + noise(contender, seed), 1, 1, 1])
    });
    let analysis = analysis(&manifest, records);
    let (first, second) = (of(&analysis, 0, TIME), of(&analysis, 1, TIME));
    let ranking = first.ranking.as_ref().unwrap();
    assert_eq!((ranking.winner(), &ranking.order[..]), (Some(1), &[1, 0, 2][..]));
    let mean = |contender: usize| first.figures[contender].summary.unwrap().mean;
    assert_eq!(ranking.margin, Some((mean(0) - mean(1)) / mean(0)));
    assert_eq!(first.excess(1), Some((mean(1) - mean(0)) / mean(0)));
    assert_eq!(first.excess(2), Some((mean(2) - mean(1)) / mean(1)));
    let ranking = second.ranking.as_ref().unwrap();
    assert_eq!(ranking.winner(), None);
    assert!(ranking.is_first(0) && ranking.is_first(1) && !ranking.is_first(2));

    let tallies = analysis.tallies(TIME);
    let counts = |contender: usize| {
        let tally = &tallies[contender];
        (tally.wins, tally.ties, tally.losses, tally.unranked)
    };
    assert_eq!((counts(0), counts(1), counts(2)), ((0, 1, 1, 0), (1, 1, 0, 0), (0, 0, 2, 0)));
    assert_eq!((tallies[1].best.unwrap().cell, tallies[0].worst.unwrap().cell), (0, 0));
    let failures = analysis.failures(TIME, 0, &[1, 2], 0.02);
    assert_eq!(failures.iter().map(|failure| failure.cell).collect::<Vec<_>>(), [0]);
    assert_eq!(failures[0].excess, first.excess(0).unwrap());
    assert!(analysis.failures(TIME, 0, &[2], 0.02).is_empty(), "pre-copy has twice as much");
}

#[test]
fn many_cells_take_stronger_evidence_than_one() {
    let weak = |cell: u64, contender: usize, seed: u64| {
        let less = if cell == 0 && contender == 1 { 2 + seed % 5 } else { 0 };
        Some([1_000 + seed * 13 % 17 - less + (cell + seed + contender as u64) % 3, 1, 1, 1])
    };
    let alone = manifest(&[PostCopy, LazyCopy], 1, 8);
    let many = manifest(&[PostCopy, LazyCopy], 3_000, 8);
    let (alone, many) =
        (analysis(&alone, records(&alone, weak)), analysis(&many, records(&many, weak)));
    let difference = |analysis: &SweepAnalysis| of(analysis, 0, TIME).difference(1, 0).unwrap();
    assert_eq!(difference(&alone).paired, difference(&many).paired);
    assert_eq!(difference(&alone).standing, Standing::Less);
    assert_eq!(difference(&many).standing, Standing::NoDifference);
    assert_eq!(of(&many, 0, TIME).ranking.as_ref().unwrap().winner(), None);
    // The family is all cells of the measure.
    let mut family: Vec<Difference> =
        (0..3_000).map(|cell| of(&many, cell, TIME).pairs[0].difference).collect();
    let corrected: Vec<Option<f64>> = family.iter().map(|it| it.corrected_p).collect();
    Difference::correct(&mut family);
    assert_eq!(corrected, family.iter().map(|it| it.corrected_p).collect::<Vec<_>>());
}

#[test]
fn who_does_not_always_complete_is_in_no_figure_and_cannot_win() {
    let manifest = manifest(&[PostCopy, PreCopy], 2, 10);
    // Pre-copy is fast where it converges; in cell 1 it does not at every third seed.
    let records = records(&manifest, |cell, contender, seed| match (cell, contender) {
        (1, 1) if seed % 3 == 0 => None,
        (_, 1) => Some([100 + seed % 4, 1, 0, 0]),
        _ => Some([900 + noise(0, seed), 1, 4, 9]),
    });
    let analysis = analysis(&manifest, records);
    assert_eq!(of(&analysis, 0, TIME).ranking.as_ref().unwrap().winner(), Some(1));
    let cell = &analysis.cells[1];
    assert_eq!((cell.runs[1].runs, cell.runs[1].counted, cell.runs[1].incomplete), (10, 7, 3));
    for measure in [TIME, Measure::Faults] {
        let found = of(&analysis, 1, measure);
        assert_eq!(found.figures[1].summary.unwrap().count, 7, "{measure:?}");
        assert_eq!(found.difference(1, 0).unwrap().paired.differences.count, 7);
        let ranking = found.ranking.as_ref().unwrap();
        assert_eq!((ranking.winner(), ranking.margin), (Some(0), None));
        assert_eq!((found.excess(1), found.excess(0)), (Some(f64::INFINITY), None));
    }
    assert_eq!(analysis.tallies(TIME)[1].unranked, 1);
    assert_eq!(
        analysis.doubts,
        ["Not counted: 3 runs of pre-copy in 1 cell, not completed; it can win in none of them."]
    );
    assert!(analysis.to_string().contains("post-copy, alone"), "{analysis}");
}

#[test]
fn a_guest_that_differs_from_its_reference_run_is_in_no_figure() {
    let manifest = manifest(&[PostCopy, LazyCopy], 1, 4);
    let mut records = records(&manifest, |_, _, seed| Some([seed, 0, 0, 0]));
    records[6].digest_matches = Some(false);
    records[7].digest_matches = None;
    let analysis = analysis(&manifest, records);
    assert_eq!((analysis.cells[0].runs[1].counted, analysis.cells[0].runs[1].differing), (3, 1));
    assert_eq!(of(&analysis, 0, TIME).difference(1, 0).unwrap().paired.differences.count, 3);
    assert!(analysis.doubts[0].contains("1 run of lazy-copy, whose guest differs"), "{analysis}");
}

#[test]
fn guests_that_move_together_are_one_run() {
    let manifest = manifest(&[PostCopy, LazyCopy], 1, 2);
    let plain =
        records(&manifest, |_, contender, seed| Some([10 * seed + contender as u64, 0, 0, 0]));
    let mut several = Vec::new();
    for record in plain {
        let total = record.number("total_migration_time_ns").unwrap() as u64;
        for (guest, more) in [(0, 0), (1, 4)] {
            let mut record = record.clone();
            record.guest = Some(guest);
            record.metrics[0].1 = lazycopy_results::MetricValue::Integer(total + more);
            several.push(record);
        }
    }
    let twice = several[0].clone();
    let found = analysis(&manifest, several.clone());
    assert_eq!(found.cells[0].runs[0].runs, 2);
    assert_eq!(of(&found, 0, TIME).figures[0].summary.unwrap().mean, 15.0 + 2.0);
    several.insert(2, twice);
    assert!(problem(&manifest, several).starts_with("line 3 of the results is"));
}

#[test]
fn results_with_holes_repetitions_or_another_order_are_refused_by_their_line() {
    let manifest = manifest(&[PostCopy, LazyCopy], 2, 3);
    let whole = records(&manifest, |_, _, seed| Some([seed, 0, 0, 0]));
    let changed = |change: fn(&mut Vec<SweepRecord>)| {
        let mut records = whole.clone();
        change(&mut records);
        problem(&manifest, records)
    };
    let hole = changed(|records| drop(records.remove(4)));
    assert_eq!(
        hole,
        "line 5 of the results is cell 0, lazy-copy, seed 3, and cell 0, lazy-copy, seed 2 should \
         stand there; merge the sweep's parts again"
    );
    assert!(changed(|records| records.insert(1, records[0].clone())).starts_with("line 2 "));
    assert!(changed(|records| records.swap(0, 11)).starts_with("line 1 "));
    assert!(changed(|records| records.push(records[11].clone())).contains("nothing more"));
    assert!(changed(|records| records.truncate(7)).contains("after 7 of 12 runs"));
    assert!(changed(Vec::clear).contains("after 0 of 12 runs"));
}

#[test]
fn an_error_of_the_reader_is_handed_on() {
    let manifest = manifest(&[PostCopy], 1, 1);
    let broken = ResultsError::Name { name: "a/b".to_owned() };
    let error = SweepAnalysis::of(&manifest, [Err(broken)]).unwrap_err();
    assert!(matches!(error, AnalysisError::Results(ResultsError::Name { .. })));
}

#[test]
fn a_directory_is_read_and_what_is_told_follows_the_metrics_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut manifest = manifest(&[PostCopy, LazyCopy], 1, 2);
    let mut records = records(&manifest, |_, contender, _| Some([contender as u64, 0, 0, 0]));
    manifest.metrics.retain(|metric| metric == "faults");
    records
        .iter_mut()
        .for_each(|record| record.metrics.retain(|(metric, _)| metric.name == "faults"));
    let lines: Vec<String> = records.iter().map(|record| record.to_json_line() + "\n").collect();
    std::fs::write(directory.path().join("sweep.json"), manifest.to_json()).unwrap();
    std::fs::write(directory.path().join("results.jsonl"), lines.concat()).unwrap();
    let analysis = SweepAnalysis::load(directory.path()).unwrap();
    assert_eq!(analysis.measures, [Measure::Faults]);
    assert!(analysis.tallies(TIME).is_empty() && analysis.cells[0].measure(TIME).is_none());
    assert!(analysis.to_string().contains("page faults"));
    std::fs::remove_file(directory.path().join("results.jsonl")).unwrap();
    assert!(
        SweepAnalysis::load(directory.path()).unwrap_err().to_string().contains("results.jsonl")
    );
}

#[test]
fn the_table_of_text_has_a_line_for_each_cell_measure_and_contender() {
    let mut manifest = manifest(&[PostCopy, LazyCopy], 2, 7);
    manifest.contenders[1].name = "lazy-copy, ahead".to_owned();
    let records = records(&manifest, |cell, contender, seed| {
        Some([1_000 + cell - 500 * contender as u64 + noise(contender, seed), 0, 0, 3])
    });
    let analysis = analysis(&manifest, records);
    let text = analysis.to_csv();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 2 * analysis.measures.len() * 2);
    let field = |line: &csv::StringRecord, name: &str| {
        let index = header.iter().position(|column| column == name).expect(name);
        line[index].to_owned()
    };
    let last = &lines[2 * analysis.measures.len() + 1];
    assert_eq!(field(last, "cell"), "1");
    assert_eq!(field(last, "disk.latency"), "1s");
    assert_eq!(field(last, "metric"), "total_migration_time_ns");
    assert_eq!(
        (field(last, "contender"), field(last, "scheme")),
        ("lazy-copy, ahead".into(), "lazy-copy".into())
    );
    assert_eq!((field(last, "rank"), field(last, "standing")), ("1".into(), "wins".into()));
    let found = of(&analysis, 1, TIME);
    let difference = found.difference(1, 0).unwrap();
    for (name, expected) in [
        ("mean", found.figures[1].summary.unwrap().mean),
        ("median", found.figures[1].quantiles.unwrap().median),
        ("difference", difference.paired.differences.mean),
        ("relative_difference", difference.paired.relative.unwrap()),
        ("corrected_p", difference.corrected_p.unwrap()),
        ("effect", difference.paired.effect.unwrap()),
        ("excess_over_best_other", found.excess(1).unwrap()),
    ] {
        assert_eq!(field(last, name).parse::<f64>().unwrap(), expected, "{name}");
    }
    assert_eq!(
        (field(last, "baseline"), field(last, "against_baseline")),
        ("post-copy".into(), "less".into())
    );
    let baseline = &lines[0];
    assert_eq!((field(baseline, "baseline"), field(baseline, "p")), (String::new(), String::new()));
}

#[test]
fn few_cells_are_printed_in_full_and_many_as_counts() {
    let figures = |cell: u64, contender: usize, seed: u64| {
        Some([20_000 + cell - 10_000 * contender as u64 + noise(contender, seed), 5, 1, 1])
    };
    let few = manifest(&[PostCopy, LazyCopy], 2, 12);
    let text = analysis(&few, records(&few, figures)).to_string();
    assert!(text.starts_with("Which disk? (2 cells, 12 seeds each, preset fair)\n|"), "{text}");
    assert!(text.contains("disk.latency 1s") && text.contains("| lazy-copy, "), "{text}");
    assert!(text.contains("| tie: post-copy, lazy-copy"), "downtime is equal: {text}");
    let many = manifest(&[PostCopy, LazyCopy], 30, 12);
    let text = analysis(&many, records(&many, figures)).to_string();
    assert!(!text.contains("winner") && text.contains("| wins"), "{text}");
    let line = text
        .lines()
        .find(|line| line.contains("total migration time") && line.contains("| lazy-copy "));
    let columns: Vec<&str> = line.unwrap().split('|').map(str::trim).collect();
    assert_eq!(columns[3..7], ["30", "0", "0", "0"]);
}

#[test]
fn the_analysis_is_json_under_the_names_of_the_metrics() {
    let manifest = manifest(&[PostCopy, LazyCopy], 1, 7);
    let records = records(&manifest, |_, contender, seed| {
        Some([1_000 - 500 * contender as u64 + noise(contender, seed), 0, 0, 3])
    });
    let json: serde_json::Value =
        serde_json::from_str(&analysis(&manifest, records).to_json()).unwrap();
    assert_eq!(json["fingerprint"], "00ff");
    let cell = &json["cells"][0];
    assert_eq!((&cell["cell"], &cell["axes"]["disk.latency"]), (&0.into(), &"0s".into()));
    let time = &cell["measures"][0];
    assert_eq!(time["measure"], "total_migration_time_ns");
    assert_eq!(time["ranking"]["order"], serde_json::json!([1, 0]));
    assert_eq!(time["pairs"][0]["difference"]["standing"], "less");
    assert_eq!(time["pairs"][0]["difference"]["less"], 7);
}

#[test]
fn the_papers_claims_have_a_verdict_in_each_cell() {
    let manifest = manifest(&[PostCopy, LazyCopy], 3, 10);
    // Total time: less, more, and the same but for noise. Faults: fewer everywhere.
    let records = records(&manifest, |cell, contender, seed| {
        let more = [-5_000, 5_000, 0][cell as usize] * contender as i64;
        let time = (20_000 + more) as u64 + noise(contender, seed);
        Some([time, 7, 9 - 4 * contender as u64 - seed % 2 * contender as u64, 50])
    });
    let analysis = analysis(&manifest, records);
    let claims = analysis.claims();
    assert_eq!(claims.len(), 1);
    assert_eq!((&*claims[0].lazy_copy, &*claims[0].post_copy), ("lazy-copy", "post-copy"));
    let words = claims[0].words();
    assert_eq!(
        words[0],
        "Claim \"less total migration time\": confirmed in 1, not confirmed in 1, refuted in 1, \
         of 3 cells."
    );
    assert!(words[1].starts_with("Claim \"fewer page faults\": confirmed in 3, of 3"), "{words:?}");
    assert!(
        words.iter().any(|word| word.contains("Stall time: no difference seen in 3, of 3 cells"))
    );
    assert!(words.last().unwrap().contains("bound by the link"));
    let verdicts: Vec<String> =
        claims[0].cells.iter().map(|cell| cell.findings[0].verdict()).collect();
    assert_eq!(verdicts[0], "confirmed");
    assert!(verdicts[1].starts_with("refuted"), "{verdicts:?}");
    assert!(verdicts[2].starts_with("not confirmed, no difference seen beyond "), "{verdicts:?}");
    let text = claims[0].to_string();
    assert!(text.contains("disk.latency 2s") && text.contains("p < 0.0001"), "{text}");

    let alone = sweep::manifest(&[PostCopy, PreCopy], 1, 2);
    let records = sweep::records(&alone, |_, _, seed| Some([seed, 0, 0, 0]));
    assert!(
        SweepAnalysis::of(&alone, records.into_iter().map(Ok::<_, Infallible>))
            .unwrap()
            .claims()
            .is_empty()
    );
}

proptest! {
    #[test]
    fn a_winner_has_less_than_each_other_beyond_chance_and_the_others_lose(
        figures in prop::collection::vec(0u64..40, 3 * 3 * 8), shift in 0u64..30,
    ) {
        let manifest = manifest(&[PostCopy, LazyCopy, PreCopy], 3, 8);
        let records = records(&manifest, |cell, contender, seed| {
            let index = (cell * 24 + contender as u64 * 8 + seed - 1) as usize;
            Some([figures[index] + shift * contender as u64, 0, 0, 0])
        });
        let analysis = analysis(&manifest, records);
        for cell in 0..3 {
            let found = of(&analysis, cell, TIME);
            let ranking = found.ranking.as_ref().unwrap();
            let means: Vec<f64> =
                ranking.order.iter().map(|it| found.figures[*it].summary.unwrap().mean).collect();
            prop_assert!(means.is_sorted() && means.len() == 3);
            for other in ranking.order.iter().skip(1) {
                let difference = found.difference(*other, ranking.order[0]).unwrap();
                let beyond_chance = difference.corrected_p.unwrap() < SIGNIFICANCE;
                prop_assert_eq!(beyond_chance, !ranking.is_first(*other));
            }
            prop_assert_eq!(ranking.winner().is_some(), ranking.tied.is_empty());
            prop_assert!(ranking.margin.unwrap() >= 0.0);
        }
        let tallies = analysis.tallies(TIME);
        for tally in &tallies {
            prop_assert_eq!(tally.wins + tally.ties + tally.losses + tally.unranked, 3);
        }
        prop_assert!(tallies.iter().map(|tally| tally.wins).sum::<usize>() <= 3);
    }
}
