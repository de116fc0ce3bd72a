//! What a scenario asks for, as a fleet.

use crate::fleet::{Fleet, FleetRun, simulate_fleet};
use crate::options::Options;
use crate::run::{Migration, RunError};
use lazycopy_scenario::Scenario;
use std::sync::Arc;

/// Simulates the run of a scenario with that seed: one guest over a link of its own.
///
/// # Errors
/// When the guest's workload cannot be read, or a limit is exceeded.
pub fn simulate_scenario(
    scenario: &Scenario,
    seed: u64,
    options: &Options,
) -> Result<FleetRun, RunError> {
    simulate_fleet(&scenario_fleet(scenario, seed), options)
}

/// What [`simulate_scenario`] simulates, such as [`check_fleet`](crate::check_fleet) wants it.
pub fn scenario_fleet(scenario: &Scenario, seed: u64) -> Fleet {
    Fleet::from(&Migration {
        guest: Arc::new(scenario.guest_spec(seed)),
        warmup_accesses: scenario.warmup(seed),
        parameters: scenario.migration_parameters(),
        link: scenario.link(),
    })
}
