//! Migrations in virtual time: the same scenarios as between processes, without them.

mod files;
mod network;
mod records;
mod silence;

use crate::arguments::Options;
use crate::console::Console;
use crate::definition::draft;
use crate::grammar::EventLevel;
use crate::session::fail;
use files::{EVENTS_DIRECTORY, JsonLines, NETWORK_FILE, RESULTS_FILE};
use lazycopy_migration::Scheme;
use lazycopy_results::{Comparison, RunRecord};
use lazycopy_scenario::{Preset, Scenario, ScenarioError};
use lazycopy_simulation::{FleetRun, Limits, RunError, simulate_scenario};
use lazycopy_units::{Duration, Instant};
use silence::Silence;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use network::{NeighbourRecord, NetworkRecord};

/// Which migrations to simulate.
#[derive(clap::Args, Clone, Debug)]
pub struct SimulateArguments {
    /// The scenario: a file, or the name of a shipped one
    #[arg(value_name = "FILE|NAME")]
    pub scenario: String,
    /// The schemes, separated by commas; without it the scenario's own
    #[arg(long, value_name = "SCHEME,...", value_delimiter = ',')]
    pub scheme: Vec<Scheme>,
    /// Seeds of each scheme, from the scenario's on
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub seeds: u64,
    /// Where results.jsonl goes
    #[arg(long, value_name = "DIRECTORY", default_value = "results")]
    pub out: PathBuf,
    /// Disk and head start as in the paper, or the same at both ends: paper, fair
    #[arg(long)]
    pub preset: Option<Preset>,
    /// Another value for a key of the scenario
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write the events of each run, too, and what hosts' cards carried over time
    #[arg(long)]
    pub events: bool,
    /// The most model time that a run may take, such as 1h; one that takes more has no result
    #[arg(long, value_name = "DURATION")]
    pub time_limit: Option<humantime::Duration>,
    /// An option of other modes without a meaning here: not shown.
    #[arg(long, hide = true)]
    listen: Option<String>,
    /// An option of other modes without a meaning here: not shown.
    #[arg(long = "event-level", id = "event_level", hide = true)]
    event_level: Option<EventLevel>,
}

/// Why nothing could be simulated.
#[derive(Debug, thiserror::Error)]
enum SimulateError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error("{run}: {problem}")]
    Run { run: String, problem: RunError },
    #[error("{}: {problem}", path.display())]
    Write { path: PathBuf, problem: io::Error },
}

impl SimulateError {
    fn write(path: &Path) -> impl FnOnce(io::Error) -> SimulateError {
        let path = path.to_owned();
        move |problem| SimulateError::Write { path, problem }
    }
}

/// What all simulated runs gave.
#[derive(Default)]
struct Simulated {
    records: Vec<RunRecord>,
    /// One for each scheme and seed of a fleet.
    networks: Vec<NetworkRecord>,
    /// Runs that were not over at their limit, and which limit it was.
    endless: Vec<(String, RunError)>,
}

/// Simulates what was asked for, writes the results and prints a table.
pub(crate) fn run(options: &Options, arguments: &SimulateArguments) -> ExitCode {
    let console = Console::stdout();
    let simulated = scenario(arguments).map_err(SimulateError::from).and_then(|scenario| {
        let simulated = simulate_all(&scenario, &options.out, arguments)?;
        let title = format!("{} in virtual time", scenario.name);
        console.print(&Comparison::of(&title, &simulated.records).to_string());
        if !simulated.networks.is_empty() {
            console.print(&Silence::of(&simulated.networks).to_string());
        }
        Ok(simulated)
    });
    let simulated = match simulated {
        Ok(simulated) => simulated,
        Err(error) => return fail(error),
    };
    console.print(&format!("The results are in {}.", options.out.join(RESULTS_FILE).display()));
    match simulated.endless.as_slice() {
        [] => ExitCode::SUCCESS,
        [(run, problem)] => fail(format!("{run} has no result: {problem}")),
        [(run, problem), ..] => fail(format!(
            "{} runs have no result; the first of them is {run}: {problem}",
            simulated.endless.len()
        )),
    }
}

fn scenario(arguments: &SimulateArguments) -> Result<Scenario, ScenarioError> {
    let draft = draft(&arguments.scenario)?;
    let draft = match arguments.preset {
        Some(preset) => draft.preset(preset),
        None => draft,
    };
    arguments.set.iter().try_fold(draft, |draft, set| draft.set(set))?.finish()
}

/// Simulates every scheme and seed. A run that is not over at its limit has no result; the others
/// are kept.
fn simulate_all(
    scenario: &Scenario,
    out: &Path,
    arguments: &SimulateArguments,
) -> Result<Simulated, SimulateError> {
    let schemes = match arguments.scheme.as_slice() {
        [] => vec![scenario.migration.scheme],
        schemes => Scheme::ALL.into_iter().filter(|scheme| schemes.contains(scheme)).collect(),
    };
    fs::create_dir_all(out).map_err(SimulateError::write(out))?;
    let mut results = JsonLines::create(out, RESULTS_FILE)?;
    let mut networks = JsonLines::create(out, NETWORK_FILE)?;
    let mut simulated = Simulated::default();
    for scheme in schemes {
        let mut scenario = scenario.clone();
        scenario.migration.scheme = scheme;
        scenario.validate()?;
        let first = scenario.seed;
        for seed in (0..arguments.seeds).map(|number| first.saturating_add(number)) {
            scenario.seed = seed;
            let name = format!("{scheme}-seed{seed}");
            let run = match simulate_scenario(&scenario, seed, &engine_options(arguments)) {
                Ok(run) => run,
                Err(problem @ RunError::Exceeded(_)) => {
                    simulated.endless.push((name, problem));
                    continue;
                }
                Err(problem) => return Err(SimulateError::Run { run: name, problem }),
            };
            if scenario.fleet.is_some() {
                let network = NetworkRecord::of(&scenario, name.clone(), arguments.preset, &run);
                networks.write(&network)?;
                simulated.networks.push(network);
            }
            for record in write_runs(out, &scenario, &name, run, arguments)? {
                results.write(&record)?;
                simulated.records.push(record);
            }
        }
    }
    results.finish()?;
    // That of an earlier simulation would tell of other runs.
    if scenario.fleet.is_some() {
        networks.finish()?
    } else {
        networks.remove()?
    }
    Ok(simulated)
}

/// The records of all guests of a run; their events are written where they are asked for.
fn write_runs(
    out: &Path,
    scenario: &Scenario,
    name: &str,
    run: FleetRun,
    arguments: &SimulateArguments,
) -> Result<Vec<RunRecord>, SimulateError> {
    let mut records = Vec::with_capacity(run.runs.len());
    for (record, events) in records::of(scenario, name, arguments.preset, run) {
        if arguments.events {
            let directory = out.join(EVENTS_DIRECTORY);
            fs::create_dir_all(&directory).map_err(SimulateError::write(&directory))?;
            let mut lines = JsonLines::create(&directory, &format!("{}.jsonl", record.run))?;
            events.iter().try_for_each(|event| lines.write(event))?;
            lines.finish()?;
        }
        records.push(record);
    }
    Ok(records)
}

fn engine_options(arguments: &SimulateArguments) -> lazycopy_simulation::Options {
    let mut limits = Limits::default();
    if let Some(limit) = arguments.time_limit {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        limits.time = Instant::ZERO.saturating_add(Duration::from_nanos(nanos)).min(limits.time);
    }
    lazycopy_simulation::Options {
        events: arguments.events,
        limits,
        ..lazycopy_simulation::Options::default()
    }
}
