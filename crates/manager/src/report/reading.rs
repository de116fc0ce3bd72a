//! Reads what a report is about, and says what is wrong with it.

use crate::accesses::{accesses, upcoming};
use lazycopy_migration::Event;
use lazycopy_report::{Hosts, HostsError, RunExtras, Simulation};
use lazycopy_results::{
    AnalysisError, EventReader, RecordError, ResultsError, RunRecord, SWEEP_FILE,
    SWEEP_RESULTS_FILE, SweepAnalysis, SweepRecords, list_runs, load_whole_run,
};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

const RESULT: &str = "result.json";
/// The results of a simulation.
pub(crate) const RESULTS: &str = "results.jsonl";

/// The directory of its events.
pub(crate) const EVENTS: &str = "events";

/// The longest line of a results file: a record has a few thousand bytes and its scenario. A
/// broken file without line feeds is not to fill memory.
const MAX_LINE_BYTES: u64 = 1 << 24;

/// Both hosts before and after a run.
const BEFORE: &str = "before.txt";
const AFTER: &str = "after.txt";

/// The most of such a file that is read: what is not listed in it is counted, so that it has some
/// kilobytes whatever the guest.
const MAX_HOSTS_BYTES: u64 = 1 << 22;

/// Accesses that a page holds at most, about a megabyte.
const MOST_ACCESSES: u64 = 200_000;

/// Page numbers of the guest's queue that are shown.
const NEXT_PAGES: u64 = 20;

/// What a directory is the directory of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A migration between processes: `result.json` and `events.jsonl`.
    Run,
    /// What `simulate` wrote: `results.jsonl`, and perhaps `events/`.
    Simulation,
    /// What `sweep` wrote: `sweep.json` and `results.jsonl`.
    Sweep,
}

/// Why there is nothing to report on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{}: there is no such directory; name that of a run, of a simulation (simulate --out) or of a sweep (sweep --out)", .0.display())]
    NoDirectory(PathBuf),
    #[error("{} holds no result.json (a run), no results.jsonl (a simulation) and no sweep.json (a sweep){}", path.display(), hint(path, runs))]
    NoResults { path: PathBuf, runs: Vec<String> },
    #[error(transparent)]
    Results(#[from] ResultsError),
    #[error("{}, {problem}", path.display())]
    Hosts { path: PathBuf, problem: HostsError },
    #[error("{}: {problem}", path.display())]
    Io { path: PathBuf, problem: io::Error },
    #[error("{}, line {line}: {problem}", path.display())]
    Line { path: PathBuf, line: usize, problem: RecordError },
    #[error("{}, line {line}: it is longer than {MAX_LINE_BYTES} bytes, and so no result", path.display())]
    LongLine { path: PathBuf, line: usize },
    #[error("{}: {problem}", path.join(SWEEP_RESULTS_FILE).display())]
    Sweep { path: PathBuf, problem: AnalysisError },
    #[error("{} is a sweep's, but not whole: it has no {SWEEP_RESULTS_FILE}; let the sweep go on, or, when all shards are there, manager merge {}", .0.display(), .0.display())]
    Unmerged(PathBuf),
    #[error("{}, line {line}: it is no text, and so no result", path.display())]
    NoText { path: PathBuf, line: usize },
    #[error("{} holds no results: it is empty; run the simulation again", .0.display())]
    Empty(PathBuf),
}

/// What to name instead, where the runs lie one directory deeper.
fn hint(path: &Path, runs: &[String]) -> String {
    match runs.first() {
        None => String::new(),
        Some(first) => {
            let (count, first) = (runs.len(), path.join(first));
            format!(
                "; each of the runs in it ({count}) has a report of its own, such as {}",
                first.display()
            )
        }
    }
}

/// What lies there, by its files.
pub(crate) fn kind(directory: &Path) -> Result<Kind, ReadError> {
    if !directory.is_dir() {
        return Err(ReadError::NoDirectory(directory.to_owned()));
    }
    let holds = |file: &str| directory.join(file).exists();
    if holds(RESULT) {
        Ok(Kind::Run)
    } else if holds(SWEEP_FILE) {
        Ok(Kind::Sweep)
    } else if holds(RESULTS) {
        Ok(Kind::Simulation)
    } else {
        let runs = list_runs(directory)?.whole.into_iter().map(|record| record.run).collect();
        Err(ReadError::NoResults { path: directory.to_owned(), runs })
    }
}

/// A run with all that its directory tells.
pub(super) struct WholeRun {
    pub record: RunRecord,
    pub events: Vec<Event>,
    pub extras: RunExtras,
}

/// Reads a run's directory.
pub(super) fn run(directory: &Path) -> Result<WholeRun, ReadError> {
    let (record, events) = load_whole_run(directory)?;
    let mut extras = RunExtras::default();
    match accesses(&record, &events, MOST_ACCESSES).map(serde_json::to_value) {
        Ok(made) => extras.accesses = made.ok(),
        Err(error) => extras.missing.push(format!("The guest's accesses are not shown: {error}.")),
    }
    extras.before = host_text(directory, BEFORE, &mut extras.missing)?;
    extras.hosts_before = hosts(&record, directory, BEFORE, extras.before.as_deref())?;
    let after = host_text(directory, AFTER, &mut extras.missing)?;
    extras.hosts_after = hosts(&record, directory, AFTER, after.as_deref())?;
    Ok(WholeRun { record, events, extras })
}

/// The text of a picture of both hosts; without the file it is told that it is missing.
fn host_text(
    directory: &Path,
    file: &str,
    missing: &mut Vec<String>,
) -> Result<Option<String>, ReadError> {
    let path = directory.join(file);
    let read = File::open(&path).and_then(|file| {
        let mut text = String::new();
        file.take(MAX_HOSTS_BYTES).read_to_string(&mut text)?;
        Ok(text)
    });
    match read {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            missing.push(format!("{file} is not there: what it shows is left out."));
            Ok(None)
        }
        Err(problem) => Err(ReadError::Io { path, problem }),
    }
}

/// Both hosts, and what the guest touches next.
fn hosts(
    record: &RunRecord,
    directory: &Path,
    file: &str,
    text: Option<&str>,
) -> Result<Option<(Hosts, Vec<u32>)>, ReadError> {
    let Some(text) = text else { return Ok(None) };
    let broken = |problem| ReadError::Hosts { path: directory.join(file), problem };
    let hosts = Hosts::parse(text).map_err(broken)?;
    let next = hosts.accesses().and_then(|after| upcoming(record, after, NEXT_PAGES).ok());
    Ok(Some((hosts, next.unwrap_or_default())))
}

/// All runs of a simulation, with the events of each scheme's first seed that has any.
pub(super) fn simulation(directory: &Path) -> Result<Simulation, ReadError> {
    let path = directory.join(RESULTS);
    let mut simulation = Simulation::default();
    for_each_record(&path, |record| {
        simulation.add(&record);
        Ok(())
    })?;
    if simulation.is_empty() {
        return Err(ReadError::Empty(path));
    }
    for (scheme, run) in simulation.first_runs() {
        let events = directory.join(EVENTS).join(format!("{run}.jsonl"));
        if events.exists() {
            let events: Vec<Event> = EventReader::open(&events)?.collect::<Result<_, _>>()?;
            simulation.add_events(scheme, &events);
        }
    }
    Ok(simulation)
}

/// What a sweep says.
pub(super) fn sweep(directory: &Path) -> Result<SweepAnalysis, ReadError> {
    if !directory.join(SWEEP_RESULTS_FILE).exists() {
        return Err(ReadError::Unmerged(directory.to_owned()));
    }
    let failed = |problem| ReadError::Sweep { path: directory.to_owned(), problem };
    SweepAnalysis::load(directory).map_err(|error| match error {
        AnalysisError::Results(error) => ReadError::Results(error),
        problem => failed(problem),
    })
}

/// The runs of a sweep, one after another.
pub(super) fn sweep_records(directory: &Path) -> Result<SweepRecords, ReadError> {
    Ok(SweepRecords::open(directory)?)
}

/// The records of a simulation, one after another.
pub(crate) fn for_each_record(
    path: &Path,
    mut take: impl FnMut(RunRecord) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    for_each_line(path, |number, line| {
        let problem = |problem| ReadError::Line { path: path.to_owned(), line: number, problem };
        take(RunRecord::from_json(line).and_then(RunRecord::checked).map_err(problem)?)
    })
}

/// Reads a file line by line, whatever its size.
fn for_each_line(
    path: &Path,
    mut take: impl FnMut(usize, &str) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let failed = |problem| ReadError::Io { path: path.to_owned(), problem };
    let mut input = BufReader::new(File::open(path).map_err(failed)?);
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let limited = &mut input.by_ref().take(MAX_LINE_BYTES);
        let read = limited.read_until(b'\n', &mut bytes).map_err(failed)?;
        if read as u64 == MAX_LINE_BYTES && !bytes.ends_with(b"\n") {
            return Err(ReadError::LongLine { path: path.to_owned(), line });
        }
        if read == 0 {
            break;
        }
        let Ok(text) = str::from_utf8(&bytes) else {
            return Err(ReadError::NoText { path: path.to_owned(), line });
        };
        take(line, text.trim_end_matches('\n'))?;
    }
    Ok(())
}
