//! The fault simulation, within the budget of an ordinary run of the tests.

use lazycopy_migration::{Outcome, SourceReport};
use lazycopy_simulation::faults::{FaultCase, FaultOptions, FaultSummary};
use lazycopy_simulation::{Migration, Options, simulate_with};
use std::sync::Arc;

/// Some seconds of work, and enough that every cell is hit.
const SEEDS: u64 = 8_000;

#[test]
fn the_invariants_hold_whatever_fails_whenever() {
    let mut summary = FaultSummary::default();
    for seed in 0..SEEDS {
        let case = FaultCase::draw(seed);
        let run = case.run(&FaultOptions::default());
        assert_eq!(run.violations, [], "{case}repeat it: manager faults --seed {seed}");
        summary.add(&case, &run);
    }
    println!("{summary}");
    assert_eq!(summary.missing(), [], "cells that no fault has hit");
    let tally = summary.tally();
    assert!(tally.runs_lost > 100 && tally.pages_given_up > 1_000, "{tally:?}");
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_last_event() {
    let options = FaultOptions { events: true, ..FaultOptions::default() };
    for seed in 0..100 {
        let (one, other) = (FaultCase::draw(seed), FaultCase::draw(seed));
        assert_eq!(one, other);
        assert_eq!(one.run(&options), other.run(&options), "seed {seed}");
    }
}

/// Where nothing fails the world of the faults is the engine's: what it proves holds there.
#[test]
fn without_faults_the_machines_do_what_they_do_in_the_engine() {
    let options = FaultOptions { events: true, ..FaultOptions::default() };
    let mut completed = 0;
    for seed in 0..400 {
        let case =
            FaultCase { faults: Vec::new(), reclaim: None, room: None, ..FaultCase::draw(seed) };
        let run = case.run(&options);
        assert_eq!(run.violations, [], "{case}");
        let migration = Migration {
            guest: Arc::new(case.guest.clone()),
            warmup_accesses: case.warmup_accesses,
            parameters: case.parameters.clone(),
            link: case.link,
        };
        let engine = simulate_with(&migration, &Options::default()).unwrap();
        assert_eq!(run.verdict.outcome, engine.metrics.outcome, "{case}");
        if run.verdict.outcome != Outcome::Completed {
            continue;
        }
        completed += 1;
        let source = SourceReport { bandwidth_peak: None, link_used_until: None, ..engine.source };
        assert_eq!(run.source, source, "{case}");
        assert_eq!(run.destination, engine.destination, "{case}");
    }
    assert!(completed > 300, "{completed}");
}
