//! Migrations in virtual time: the same scenarios as between processes, without them.

use crate::arguments::Options;
use crate::console::Console;
use crate::definition::draft;
use crate::session::fail;
use lazycopy_migration::{Event, Scheme};
use lazycopy_results::{Comparison, PROGRAM_VERSION, RunRecord, SCHEMA_VERSION};
use lazycopy_scenario::{Preset, Scenario, ScenarioError};
use lazycopy_simulation::{Limits, RunError, simulate_scenario};
use lazycopy_units::{Duration, Instant};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The results of all runs, below the directory that `--out` names.
const RESULTS_FILE: &str = "results.jsonl";

/// The directory with the events of each run, beside it.
const EVENTS_DIRECTORY: &str = "events";

/// Name of both ends of a simulated migration in its result.
const SIMULATED: &str = "simulated";

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
    /// Disk and head start as in the paper, or the same at both ends: paper, fair
    #[arg(long)]
    pub preset: Option<Preset>,
    /// Another value for a key of the scenario
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write the events of each run, too
    #[arg(long)]
    pub events: bool,
    /// The most model time that a run may take before it is refused, such as 1h
    #[arg(long, value_name = "DURATION")]
    pub time_limit: Option<humantime::Duration>,
}

/// Why migrations could not be simulated.
#[derive(Debug, thiserror::Error)]
enum SimulateError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error("{run}: {problem}")]
    Run { run: String, problem: RunError },
    #[error("{}: {problem}", path.display())]
    Write { path: PathBuf, problem: io::Error },
}

/// Simulates what was asked for, writes the results and prints a table.
pub(crate) fn run(options: &Options, arguments: &SimulateArguments) -> ExitCode {
    match simulate_all(&options.out, arguments) {
        Ok(comparison) => {
            let console = Console::stdout();
            console.print(&comparison.to_string());
            let path = options.out.join(RESULTS_FILE);
            console.print(&format!("The results are in {}.", path.display()));
            ExitCode::SUCCESS
        }
        Err(error) => fail(error),
    }
}

fn simulate_all(out: &Path, arguments: &SimulateArguments) -> Result<Comparison, SimulateError> {
    let scenario = scenario(arguments)?;
    let schemes = match arguments.scheme.as_slice() {
        [] => vec![scenario.migration.scheme],
        schemes => Scheme::ALL.into_iter().filter(|scheme| schemes.contains(scheme)).collect(),
    };
    let written = |path: &Path| {
        let path = path.to_owned();
        move |problem| SimulateError::Write { path, problem }
    };
    fs::create_dir_all(out).map_err(written(out))?;
    let results = out.join(RESULTS_FILE);
    // Written aside and renamed: a file of results that is there is whole.
    let aside = out.join(format!(".{RESULTS_FILE}.{}", std::process::id()));
    let mut writer = BufWriter::new(File::create(&aside).map_err(written(&aside))?);
    let mut records = Vec::new();
    for scheme in schemes {
        let mut scenario = scenario.clone();
        scenario.migration.scheme = scheme;
        scenario.validate()?;
        for seed in (0..arguments.seeds).map(|number| scenario.seed.saturating_add(number)) {
            let (record, events) = simulate_one(&scenario, scheme, seed, arguments)?;
            writeln!(writer, "{}", record.to_json_line()).map_err(written(&aside))?;
            if arguments.events {
                write_events(out, &record.run, &events)?;
            }
            records.push(record);
        }
    }
    writer.into_inner().map_err(|error| written(&aside)(error.into_error()))?;
    fs::rename(&aside, &results).map_err(written(&results))?;
    let title = format!("{} in virtual time", scenario.name);
    Ok(Comparison::of(&title, &records))
}

fn scenario(arguments: &SimulateArguments) -> Result<Scenario, ScenarioError> {
    let draft = draft(&arguments.scenario)?;
    let draft = match arguments.preset {
        Some(preset) => draft.preset(preset),
        None => draft,
    };
    arguments.set.iter().try_fold(draft, |draft, set| draft.set(set))?.finish()
}

fn simulate_one(
    scenario: &Scenario,
    scheme: Scheme,
    seed: u64,
    arguments: &SimulateArguments,
) -> Result<(RunRecord, Vec<Event>), SimulateError> {
    let mut limits = Limits::default();
    if let Some(limit) = arguments.time_limit {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        limits.time = Instant::ZERO.saturating_add(Duration::from_nanos(nanos)).min(limits.time);
    }
    let options = lazycopy_simulation::Options {
        events: arguments.events,
        limits,
        ..lazycopy_simulation::Options::default()
    };
    let run = format!("{scheme}-seed{seed}");
    let mut simulated = simulate_scenario(scenario, seed, &options)
        .map_err(|problem| SimulateError::Run { run: run.clone(), problem })?;
    let simulated = simulated.runs.pop().expect("a fleet has a run for each migration");
    let mut scenario = scenario.clone();
    scenario.seed = seed;
    let record = RunRecord {
        schema_version: SCHEMA_VERSION,
        program_version: PROGRAM_VERSION.to_owned(),
        run,
        preset: arguments.preset.map(|preset| preset.name().to_owned()),
        scheme,
        seed,
        source_server: SIMULATED.to_owned(),
        destination_server: SIMULATED.to_owned(),
        scenario: serde_json::to_value(&scenario).expect("a valid scenario is JSON, too"),
        digest_matches: simulated.digest_matches(),
        slip_bound_ns: None,
        slip_exceeded: false,
        out_of_order: 0,
        metrics: simulated.metrics,
    };
    Ok((record, simulated.events))
}

fn write_events(out: &Path, run: &str, events: &[Event]) -> Result<(), SimulateError> {
    let directory = out.join(EVENTS_DIRECTORY);
    let path = directory.join(format!("{run}.jsonl"));
    let write = || {
        fs::create_dir_all(&directory)?;
        let mut writer = BufWriter::new(File::create(&path)?);
        for event in events {
            serde_json::to_writer(&mut writer, event)?;
            writer.write_all(b"\n")?;
        }
        writer.flush()
    };
    write().map_err(|problem| SimulateError::Write { path: path.clone(), problem })
}
