//! The record of each simulated migration.

use lazycopy_migration::Event;
use lazycopy_results::{PROGRAM_VERSION, RunRecord, SCHEMA_VERSION};
use lazycopy_scenario::{GuestMove, Preset, Scenario};
use lazycopy_simulation::{FleetRun, Run};

/// Name of both ends of a migration that is simulated by itself.
const SIMULATED: &str = "simulated";

/// The records and events of all guests of a run; the scenario's seed is the run's.
pub(super) fn of(
    scenario: &Scenario,
    name: &str,
    preset: Option<Preset>,
    run: FleetRun,
) -> impl Iterator<Item = (RunRecord, Vec<Event>)> {
    let moves: Vec<Option<GuestMove>> = match &scenario.fleet {
        Some(fleet) => fleet.guest_moves().map(Some).collect(),
        None => vec![None],
    };
    let json = serde_json::to_value(scenario).expect("a valid scenario is JSON, too");
    let (scheme, seed) = (scenario.migration.scheme, scenario.seed);
    run.runs.into_iter().zip(moves).map(move |(run, guest)| {
        let host = |host: fn(GuestMove) -> u32| match guest {
            Some(guest) => format!("host{}", host(guest)),
            None => SIMULATED.to_owned(),
        };
        let record = RunRecord {
            schema_version: SCHEMA_VERSION,
            program_version: PROGRAM_VERSION.to_owned(),
            run: match guest {
                Some(GuestMove { guest, .. }) => format!("{name}-guest{guest}"),
                None => name.to_owned(),
            },
            preset: preset.map(|preset| preset.name().to_owned()),
            scheme,
            seed,
            guest: guest.map(|guest| guest.guest),
            source_server: host(|guest| guest.source),
            destination_server: host(|guest| guest.destination),
            scenario: json.clone(),
            digest_matches: run.digest_matches(),
            slip_bound_ns: None,
            slip_exceeded: false,
            out_of_order: 0,
            plane: None,
            metrics: run.metrics.clone(),
        };
        let Run { events, .. } = run;
        (record, events)
    })
}
