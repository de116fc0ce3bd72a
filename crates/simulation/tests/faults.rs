//! The fault simulation, within the budget of an ordinary run of the tests.

use lazycopy_simulation::faults::{FaultCase, FaultOptions, FaultSummary};

/// Some seconds of work, and enough that every cell is hit.
const SEEDS: u64 = 6_000;

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
}
