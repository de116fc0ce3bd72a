//! Drawn guests, links, disks and schemes: the pair of machines holds every invariant.

mod common;

use common::migrations;
use lazycopy_simulation::{Options, check_run, simulate, simulate_with};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_invariant_holds_in_any_migration(migration in migrations()) {
        let run = simulate(&migration).unwrap();
        check_run(&migration, &run).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn what_is_kept_of_a_run_changes_none_of_its_metrics(migration in migrations()) {
        let kept = simulate(&migration).unwrap();
        let lean = simulate_with(&migration, &Options::metrics_only()).unwrap();
        let mut metrics = kept.metrics;
        metrics.reference_measured_time_ns = None;
        prop_assert_eq!(lean.metrics, metrics);
        prop_assert!(lean.events.is_empty() && lean.reference.is_none());
    }

    #[test]
    fn how_far_bursts_go_changes_nothing(migration in migrations()) {
        let far = simulate(&migration).unwrap();
        let near = simulate_with(&migration, &Options { burst: 1, ..Options::default() }).unwrap();
        prop_assert_eq!(far.events, near.events);
        prop_assert_eq!(far.metrics, near.metrics);
    }

    #[test]
    fn the_same_scenario_gives_the_same_run(migration in migrations()) {
        let (once, twice) = (simulate(&migration).unwrap(), simulate(&migration).unwrap());
        prop_assert_eq!(once.events, twice.events);
        prop_assert_eq!(once.metrics, twice.metrics);
    }
}
