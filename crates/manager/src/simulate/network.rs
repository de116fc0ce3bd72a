//! What a fleet's network went through in one run.

use lazycopy_migration::{Outcome, Scheme};
use lazycopy_results::{PROGRAM_VERSION, SCHEMA_VERSION};
use lazycopy_scenario::{Preset, Scenario};
use lazycopy_simulation::{CardReport, FleetRun, NeighbourReport, Run};
use serde::{Deserialize, Serialize};

/// A line of `network.jsonl`: one for each scheme and seed of a fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// The records' schema version.
    pub schema_version: u32,
    /// Version of the program that wrote it.
    pub program_version: String,
    /// The run's name; those of its guests begin with it.
    pub run: String,
    /// The preset that was asked for, if any.
    pub preset: Option<String>,
    /// How the guests were moved.
    pub scheme: Scheme,
    /// Where the run's random choices came from.
    pub seed: u64,
    /// Guests that were moved.
    pub guests: u32,
    /// Of these, migrations that were completed.
    pub guests_completed: u32,
    /// When the last migration was complete, from the beginning of time on; null where one was not
    /// completed.
    pub all_completed_ns: Option<u64>,
    /// When a migration used the network for the last time: what follows ends here.
    pub network_until_ns: u64,
    /// What each neighbour felt, in the scenario's order.
    pub neighbours: Vec<NeighbourRecord>,
    /// What each card carried, host by host, out and in.
    pub cards: Vec<CardReport>,
}

/// A neighbour and what it felt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeighbourRecord {
    /// Out of which host it sends; null: from beyond the fleet's.
    pub source: Option<u32>,
    /// Into which host; null: to beyond the fleet's.
    pub destination: Option<u32>,
    /// What it felt.
    #[serde(flatten)]
    pub report: NeighbourReport,
}

impl NetworkRecord {
    /// The record of a fleet's run; the scenario's seed is the run's.
    pub(super) fn of(
        scenario: &Scenario,
        run: String,
        preset: Option<Preset>,
        fleet_run: &FleetRun,
    ) -> NetworkRecord {
        let completed = |run: &&Run| run.metrics.outcome == Outcome::Completed;
        let completed_at = |run: &Run| Some(run.destination.completed_at?.as_nanos());
        let guests_completed = fleet_run.runs.iter().filter(completed).count();
        let all_completed = guests_completed == fleet_run.runs.len();
        let last = fleet_run.runs.iter().filter_map(completed_at).max();
        let entries = scenario.fleet.iter().flat_map(|fleet| &fleet.neighbours);
        let neighbours = entries.zip(&fleet_run.neighbours).map(|(entry, report)| {
            let (source, destination) = (entry.source, entry.destination);
            NeighbourRecord { source, destination, report: report.clone() }
        });
        NetworkRecord {
            schema_version: SCHEMA_VERSION,
            program_version: PROGRAM_VERSION.to_owned(),
            run,
            preset: preset.map(|preset| preset.name().to_owned()),
            scheme: scenario.migration.scheme,
            seed: scenario.seed,
            guests: fleet_run.runs.len() as u32,
            guests_completed: guests_completed as u32,
            all_completed_ns: last.filter(|_| all_completed),
            network_until_ns: fleet_run.network_until.as_nanos(),
            neighbours: neighbours.collect(),
            cards: fleet_run.cards.clone(),
        }
    }

    /// Keeps the totals alone of what the cards carried.
    pub(super) fn forget_over_time(&mut self) {
        self.cards.iter_mut().for_each(|card| card.over_time = None);
    }

    /// Mean of the neighbours' slowdowns; `None` where none of them moved anything.
    pub fn slowdown_mean(&self) -> Option<f64> {
        let slowdowns: Vec<f64> =
            self.neighbours.iter().filter_map(|neighbour| neighbour.report.slowdown).collect();
        (!slowdowns.is_empty()).then(|| slowdowns.iter().sum::<f64>() / slowdowns.len() as f64)
    }

    /// The slowdown of the neighbour that was slowed down most.
    pub fn slowdown_worst(&self) -> Option<f64> {
        self.neighbours.iter().filter_map(|one| one.report.slowdown).reduce(f64::max)
    }

    /// By how much all neighbours together were busy longer than they would have been alone, in
    /// nanoseconds; `None` without neighbours.
    pub fn time_lost(&self) -> Option<f64> {
        let lost = |one: &NeighbourRecord| {
            one.report.busy_time_ns as f64 - one.report.busy_time_alone_ns as f64
        };
        (!self.neighbours.is_empty()).then(|| self.neighbours.iter().map(lost).sum())
    }
}
