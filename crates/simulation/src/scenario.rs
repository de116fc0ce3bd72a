//! What a scenario asks for, as a fleet.

use crate::fleet::{Fleet, FleetMigration, FleetRun, simulate_fleet};
use crate::neighbours::Neighbour;
use crate::options::Options;
use crate::run::{Migration, RunError};
use lazycopy_link::{Card, HostId, LinkParameters, Route};
use lazycopy_scenario::{FleetNeighbour, FleetScenario, GuestMove, Scenario, ScenarioError};
use lazycopy_units::Instant;
use std::sync::Arc;

/// Simulates the run of a scenario with that seed: one guest over a link of its own, or the
/// guests of its fleet in the order of their numbers.
///
/// # Errors
/// When it models no link, the guest's workload cannot be read, or a limit is exceeded.
pub fn simulate_scenario(
    scenario: &Scenario,
    seed: u64,
    options: &Options,
) -> Result<FleetRun, RunError> {
    simulate_fleet(&scenario_fleet(scenario, seed)?, options)
}

/// What [`simulate_scenario`] simulates, as [`check_fleet`](crate::check_fleet) wants it.
///
/// # Errors
/// When the scenario models no link.
pub fn scenario_fleet(scenario: &Scenario, seed: u64) -> Result<Fleet, ScenarioError> {
    let link = scenario.modelled_link()?;
    Ok(match &scenario.fleet {
        Some(fleet) => several(scenario, link, fleet, seed),
        None => Fleet::from(&Migration {
            guest: Arc::new(scenario.guest_spec(seed)),
            warmup_accesses: scenario.warmup(seed),
            parameters: scenario.migration_parameters(),
            link,
        }),
    })
}

fn several(scenario: &Scenario, link: LinkParameters, fleet: &FleetScenario, seed: u64) -> Fleet {
    let card = |host| {
        let rate = fleet.card_of(host).unwrap_or(link.bandwidth);
        Card { out: rate, into: rate }
    };
    let migration = |one: GuestMove| {
        let seed = Scenario::guest_seed(seed, one.guest);
        FleetMigration {
            guest: Arc::new(scenario.guest_spec(seed)),
            warmup_accesses: scenario.warmup(seed),
            parameters: scenario.migration_parameters(),
            source: HostId(one.source),
            destination: HostId(one.destination),
            rate: Some(link.bandwidth),
            latency: link.latency,
            starts: Instant::ZERO.saturating_add(one.starts),
        }
    };
    let neighbour = |one: &FleetNeighbour| Neighbour {
        route: Route { source: one.source.map(HostId), destination: one.destination.map(HostId) },
        rate: one.rate,
        on: one.on,
        off: one.off,
        begins: Instant::ZERO.saturating_add(one.begins),
    };
    Fleet {
        cards: (0..fleet.hosts).map(card).collect(),
        migrations: fleet.guest_moves().map(migration).collect(),
        neighbours: fleet.neighbours.iter().map(neighbour).collect(),
    }
}
