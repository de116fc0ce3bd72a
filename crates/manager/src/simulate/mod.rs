//! Migrations in virtual time: the same scenarios as between processes, without them.

mod files;
mod network;
mod records;
mod silence;

use crate::arguments::Options;
use crate::definition::draft;
use crate::grammar::EventLevel;
use crate::session::{INTERRUPTED, complain, fail, print};
use files::{Files, RESULTS_FILE};
use lazycopy_migration::Scheme;
use lazycopy_results::{Comparison, RunRecord};
use lazycopy_scenario::{Draft, Preset, Scenario, ScenarioError};
use lazycopy_simulation::{Limits, RunError, simulate_scenario};
use lazycopy_sweep::AsideError;
use lazycopy_units::{Duration, Instant};
use serde_json::{Value, json};
use silence::Silence;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

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
    #[error(transparent)]
    Write(#[from] AsideError),
    #[error("Interrupted: nothing was written, and what {} held is kept.", out.display())]
    Interrupted { out: PathBuf },
}

/// What all simulated runs gave.
#[derive(Default)]
struct Simulated {
    /// Without their scenarios, which take by far the most memory and are all written down.
    records: Vec<RunRecord>,
    /// One for each scheme and seed of a fleet, without what its cards carried over time.
    networks: Vec<NetworkRecord>,
    /// Runs that were not over at their limit, and which limit it was.
    endless: Vec<(String, RunError)>,
}

/// What is to be simulated: valid under each of the schemes.
struct Plan {
    name: String,
    schemes: Vec<Scenario>,
    seeds: Range<u64>,
}

/// Simulates what was asked for, writes the results and prints a table.
pub(crate) fn run(
    options: &Options,
    arguments: &SimulateArguments,
    cancelled: &AtomicBool,
) -> ExitCode {
    let simulated = Plan::of(arguments).map_err(SimulateError::from).and_then(|plan| {
        let simulated = plan.simulate(&options.out, arguments, cancelled)?;
        Ok((plan.name, simulated))
    });
    let (name, simulated) = match simulated {
        Ok(simulated) => simulated,
        Err(interrupted @ SimulateError::Interrupted { .. }) => {
            let _ = writeln!(std::io::stderr(), "{interrupted}");
            return ExitCode::from(INTERRUPTED);
        }
        Err(error) => return fail(error),
    };
    let results = options.out.join(RESULTS_FILE);
    let comparison = Comparison::of(&format!("{name} in virtual time"), &simulated.records);
    let mut texts = vec![comparison.to_string()];
    if !simulated.networks.is_empty() {
        texts.push(Silence::of(&simulated.networks).to_string());
    }
    texts.push(format!("The results are in {}.", results.display()));
    let json = options.json.then(|| {
        let endless = simulated.endless.iter();
        let endless =
            endless.map(|(run, problem)| json!({ "run": run, "error": problem.to_string() }));
        json!({
            "results": results, "comparison": comparison, "runs": simulated.records,
            "networks": simulated.networks, "endless": endless.collect::<Vec<_>>(),
        })
    });
    let code = print(&texts.join("\n"), json);
    match simulated.endless.as_slice() {
        [] => code,
        [(run, problem)] => complain(format!("{run} has no result: {problem}")),
        [(run, problem), ..] => complain(format!(
            "{} runs have no result; the first of them is {run}: {problem}",
            simulated.endless.len()
        )),
    }
}

impl Plan {
    fn of(arguments: &SimulateArguments) -> Result<Plan, ScenarioError> {
        let draft = draft(&arguments.scenario)?;
        let draft = match arguments.preset {
            Some(preset) => draft.preset(preset),
            None => draft,
        };
        let set = |draft: Draft, set: &String| draft.set(set);
        let scenario = arguments.set.iter().try_fold(draft, set)?.finish()?;
        scenario.modelled_link()?;
        let schemes = match arguments.scheme.as_slice() {
            [] => vec![scenario.migration.scheme],
            schemes => Scheme::ALL.into_iter().filter(|scheme| schemes.contains(scheme)).collect(),
        };
        let under = |scheme: Scheme| {
            let mut scenario = scenario.clone();
            scenario.migration.scheme = scheme;
            scenario.validate().map(|()| scenario)
        };
        Ok(Plan {
            name: scenario.name.clone(),
            schemes: schemes.into_iter().map(under).collect::<Result<_, _>>()?,
            seeds: scenario.seeds(arguments.seeds, "--seeds")?,
        })
    }

    /// Simulates every scheme and seed. A run that is not over at its limit has no result; the
    /// others are kept.
    fn simulate(
        &self,
        out: &Path,
        arguments: &SimulateArguments,
        cancelled: &AtomicBool,
    ) -> Result<Simulated, SimulateError> {
        let mut files = Files::begin(out)?;
        let mut simulated = Simulated::default();
        for scenario in &self.schemes {
            let mut scenario = scenario.clone();
            for seed in self.seeds.clone() {
                if cancelled.load(Ordering::Relaxed) {
                    return Err(SimulateError::Interrupted { out: out.to_owned() });
                }
                scenario.seed = seed;
                simulated.run(&scenario, arguments, &mut files)?;
            }
        }
        files.finish(self.schemes.iter().any(|scenario| scenario.fleet.is_some()))?;
        Ok(simulated)
    }
}

impl Simulated {
    /// Simulates a run, the scenario's seed being its own, and writes down what came of it.
    fn run(
        &mut self,
        scenario: &Scenario,
        arguments: &SimulateArguments,
        files: &mut Files,
    ) -> Result<(), SimulateError> {
        let name = format!("{}-seed{}", scenario.migration.scheme, scenario.seed);
        let run = match simulate_scenario(scenario, scenario.seed, &engine_options(arguments)) {
            Ok(run) => run,
            Err(problem @ RunError::Exceeded(_)) => {
                self.endless.push((name, problem));
                return Ok(());
            }
            Err(problem) => return Err(SimulateError::Run { run: name, problem }),
        };
        if scenario.fleet.is_some() {
            let mut network = NetworkRecord::of(scenario, name.clone(), arguments.preset, &run);
            files.network(&network)?;
            network.forget_over_time();
            self.networks.push(network);
        }
        for (mut record, events) in records::of(scenario, &name, arguments.preset, run) {
            if arguments.events {
                files.events(&record.run, &events)?;
            }
            files.result(&record)?;
            record.scenario = Value::Null;
            self.records.push(record);
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Simulate {
        #[command(flatten)]
        arguments: SimulateArguments,
    }

    #[test]
    fn scenarios_and_courses_are_written_down_and_not_kept_in_memory() {
        let out = tempfile::tempdir().unwrap();
        let words = ["simulate", "evacuation", "--seeds", "2", "--events"];
        let arguments = Simulate::parse_from(words).arguments;
        let plan = Plan::of(&arguments).unwrap();
        let simulated = plan.simulate(out.path(), &arguments, &AtomicBool::new(false)).unwrap();
        assert!(simulated.records.iter().all(|record| record.scenario.is_null()));
        let cards = simulated.networks.iter().flat_map(|network| &network.cards);
        assert!(cards.clone().count() > 0 && cards.clone().all(|card| card.over_time.is_none()));
        let written = |file: &str| std::fs::read_to_string(out.path().join(file)).unwrap();
        assert_eq!(written(RESULTS_FILE).matches("\"scenario\":{").count(), 2 * 8);
        assert!(written("network.jsonl").contains("\"over_time\":{"));
    }
}
