//! Writes a migration as a trace for Perfetto.

use crate::accesses;
use crate::arguments::DEFAULT_OUT;
use crate::report::reading::{EVENTS, Kind, RESULTS, ReadError, for_each_record, kind};
use crate::session::{fail, print};
use lazycopy_report::{Trace, TraceTimes};
use lazycopy_results::{EventReader, EventTally, ResultsError, RunRecord, load_run};
use lazycopy_sweep::{Aside, AsideError};
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The log in a run's directory.
const LOG: &str = "events.jsonl";

/// The most runs of a simulation that are named where one has to be chosen.
const MOST_NAMED: usize = 8;

/// Which migration to write, and where.
#[derive(clap::Args, Clone, Debug)]
pub struct TraceArguments {
    /// The directory of a run, or of a simulation with its events (simulate --events --out)
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,
    /// Which run of a simulation, such as lazy-copy-seed1
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
    /// The file; without it trace.json, or NAME.json of a simulation's run, in the directory
    #[arg(long, value_name = "FILE", default_value = DEFAULT_OUT, hide_default_value = true)]
    pub out: PathBuf,
}

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
enum TraceError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Results(#[from] ResultsError),
    #[error(transparent)]
    Aside(#[from] AsideError),
    #[error("{} is a sweep's, which keeps no events: simulate one of its cells with --events", .0.display())]
    Sweep(PathBuf),
    #[error("{} holds one run, \"{name}\": leave out --run, or name that", directory.display())]
    OtherRun { directory: PathBuf, name: String },
    #[error("{} holds {count} runs; choose one with --run: {names}", directory.display())]
    Choose { directory: PathBuf, count: usize, names: String },
    #[error("{} holds no run \"{name}\"; it holds {names}", directory.display())]
    NoRun { directory: PathBuf, name: String, names: String },
    #[error("{} is not there: simulate with --events, so that there are events to show", .0.display())]
    NoEvents(PathBuf),
    #[error("{} is no name for a file", .0.display())]
    NoFile(PathBuf),
    #[error("{}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
}

/// A run whose log is there.
struct Run {
    record: RunRecord,
    log: PathBuf,
    /// Where the trace goes unless it is told otherwise.
    out: PathBuf,
}

/// Writes the trace, and says where it is and how to see it.
pub(crate) fn run(arguments: &TraceArguments, json: bool) -> ExitCode {
    match write(arguments) {
        Ok((path, events)) => {
            let text = format!(
                "The trace of {events} events is {}. Open it at https://ui.perfetto.dev",
                path.display()
            );
            print(&text, json.then(|| json!({ "trace": path, "events": events })))
        }
        Err(error) => fail(error),
    }
}

fn write(arguments: &TraceArguments) -> Result<(PathBuf, u64), TraceError> {
    let Run { record, log, out } = find(arguments)?;
    // The option is every mode's, and has the default of the others.
    let wanted = Some(&arguments.out).filter(|path| *path != Path::new(DEFAULT_OUT));
    let path = wanted.cloned().unwrap_or(out);
    // Once to see whether it is whole and what a trace has to know before, once to write it: of a
    // log of millions of events no more than one is held.
    let (times, events) = read(&record, &log)?;
    let (Some(name), Some(directory)) = (path.file_name(), path.parent()) else {
        return Err(TraceError::NoFile(path));
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let aside = Aside::create(directory, &name.to_string_lossy())?;
    let failed = |error| TraceError::Write { path: path.clone(), error };
    let mut trace = Trace::begin(Output(aside), &record, times).map_err(failed)?;
    for event in EventReader::open(&log)? {
        trace.event(&event?).map_err(failed)?;
    }
    trace.finish().map_err(failed)?.0.keep()?;
    Ok((path, events))
}

/// The run that is meant.
fn find(arguments: &TraceArguments) -> Result<Run, TraceError> {
    let directory = &arguments.directory;
    match kind(directory)? {
        Kind::Run => {
            let record = load_run(directory)?;
            match &arguments.run {
                Some(name) if *name != record.run => {
                    Err(TraceError::OtherRun { directory: directory.clone(), name: record.run })
                }
                _ => {
                    Ok(Run { record, log: directory.join(LOG), out: directory.join("trace.json") })
                }
            }
        }
        Kind::Simulation => simulated(directory, arguments.run.as_deref()),
        Kind::Sweep => Err(TraceError::Sweep(directory.clone())),
    }
}

/// A run of a simulation: that of the name, or the only one.
fn simulated(directory: &Path, wanted: Option<&str>) -> Result<Run, TraceError> {
    let (mut found, mut count, mut names) = (None, 0, Vec::new());
    for_each_record(&directory.join(RESULTS), |record| {
        count += 1;
        if names.len() < MOST_NAMED {
            names.push(record.run.clone());
        }
        if wanted.is_none_or(|wanted| wanted == record.run) {
            found = Some(record);
        }
        Ok(())
    })?;
    let mut names = names.join(", ");
    if count > MOST_NAMED {
        names.push_str(", ...");
    }
    let directory = directory.to_owned();
    let record = match (found, wanted) {
        (None, None) => return Err(ReadError::Empty(directory.join(RESULTS)).into()),
        (None, Some(name)) => {
            return Err(TraceError::NoRun { directory, name: name.to_owned(), names });
        }
        (Some(_), None) if count > 1 => {
            return Err(TraceError::Choose { directory, count, names });
        }
        (Some(record), _) => record,
    };
    let log = directory.join(EVENTS).join(format!("{}.jsonl", record.run));
    if !log.exists() {
        return Err(TraceError::NoEvents(log));
    }
    let out = directory.join(format!("{}.json", record.run));
    Ok(Run { record, log, out })
}

/// Reads a log to its end, and holds it against the result.
fn read(record: &RunRecord, log: &Path) -> Result<(TraceTimes, u64), TraceError> {
    // Without a scenario that can be used it is a trace all the same, of less.
    let scenario = accesses::scenario(record).ok();
    let think = scenario.as_ref().and_then(|scenario| scenario.guest.think_time);
    let load = scenario.as_ref().map(|scenario| scenario.disk.latency_source);
    let (mut times, mut tally) = (TraceTimes::of(think, load), EventTally::default());
    for event in EventReader::open(log)? {
        let event = event?;
        times.note(&event);
        tally.note(&event);
    }
    tally.check(log, record)?;
    Ok((times, tally.events))
}

/// A file that is written aside, as an output.
struct Output(Aside);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|failed| failed.error)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What is kept is flushed before.
        Ok(())
    }
}
