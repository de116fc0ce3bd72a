//! The checkers bite: machines that break a rule on purpose are caught.

use lazycopy_migration::{BrokenRule, Destination, MigrationParameters, Scheme, Source};
use lazycopy_simulation::faults::{Fault, FaultCase, FaultOptions, FaultRun, Phase, PlannedFault};
use lazycopy_units::Duration;

/// A broken rule that is not seen within so many seeds is not looked for well enough.
const SEEDS: u64 = 5_000;

/// What was broken, and the checker that is there for it.
const RULES: [(BrokenRule, &str); 11] = [
    (BrokenRule::SendOwnWrites, "pre-images"),
    (BrokenRule::InstallHeld, "held-once"),
    (BrokenRule::DropDirty, "nothing-missing"),
    (BrokenRule::FreeEarly, "freed-when-complete"),
    (BrokenRule::ResumeBoth, "single-owner"),
    (BrokenRule::ForgetLost, "ends-in-time"),
    (BrokenRule::StaleBitmap, "ends-in-time"),
    (BrokenRule::TrustOldCopies, "same-as-reference"),
    (BrokenRule::ResumeOnSuspicion, "single-owner"),
    (BrokenRule::ReclaimAlways, "not-taken-back"),
    (BrokenRule::TakeStaleFromDisk, "nothing-missing"),
];

fn run_broken(seed: u64, rule: BrokenRule) -> FaultRun {
    let break_it = |source: &mut Source, destination: &mut Destination| {
        source.break_rule(rule);
        destination.break_rule(rule);
    };
    FaultCase::draw(seed).run_with(&FaultOptions::default(), break_it)
}

#[test]
fn each_rule_that_is_broken_is_caught_by_the_checker_that_is_there_for_it() {
    assert_eq!(RULES.map(|(rule, _)| rule), BrokenRule::ALL);
    for (rule, meant) in RULES {
        let mut first = None;
        let by_meant = (0..SEEDS).find(|seed| {
            let caught = run_broken(*seed, rule).violations;
            first = first.or(caught.first().map(|violation| (*seed, violation.checker)));
            caught.iter().any(|violation| violation.checker == meant)
        });
        let (seed, checker) = first.unwrap_or_else(|| panic!("{rule:?} is not seen"));
        let by_meant = by_meant.unwrap_or_else(|| {
            panic!("{rule:?} is caught by {checker} at seed {seed}, and never by {meant}")
        });
        println!("{rule:?}: first caught by {checker} at seed {seed}, by {meant} at {by_meant}");
    }
}

#[test]
fn control_messages_that_come_twice_harm_nobody_even_where_no_connection_filters_them() {
    let options = FaultOptions { filters_duplicates: false, ..FaultOptions::default() };
    for seed in 0..2_000 {
        let violations = FaultCase::draw(seed).run(&options).violations;
        assert_eq!(violations, [], "seed {seed}");
    }
}

/// A guest that waits at the destination for its head start when the link is gone for long, and an
/// operator who takes it back.
fn reclaimed_case(seed: u64) -> FaultCase {
    let case = FaultCase::draw(seed);
    let lasts = Duration::from_millis(600);
    let fault =
        PlannedFault { phase: Phase::Pushing, after_steps: 8, fault: Fault::Partition(lasts) };
    FaultCase {
        parameters: MigrationParameters {
            scheme: Scheme::LazyCopy,
            head_start: 30,
            max_lead: None,
            ..case.parameters
        },
        faults: vec![fault],
        reclaim: Some(Duration::from_millis(1)),
        room: Some(4),
        ..case
    }
}

#[test]
fn memory_that_is_given_up_before_the_guest_runs_elsewhere_is_missed() {
    let broken = FaultOptions { acknowledges_early: true, ..FaultOptions::default() };
    let (mut reclaimed, mut caught) = (0, 0);
    for seed in 0..300 {
        let case = reclaimed_case(seed);
        let run = case.run(&FaultOptions::default());
        assert_eq!(run.violations, [], "{case}");
        reclaimed += run.tally.reclaimed;
        let violations = case.run(&broken).violations;
        caught += u64::from(violations.iter().any(|seen| seen.checker == "same-as-reference"));
    }
    println!("{reclaimed} were taken back, {caught} of them with memory that was given up");
    assert!(caught > 10, "{caught} of {reclaimed}");
}
