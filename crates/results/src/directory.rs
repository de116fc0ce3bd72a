//! The directory of a run. It is written aside and renamed: one that is there is whole.

use crate::event_reader::{EventError, EventReader, EventTally};
use crate::record::{RecordError, RunRecord};
use lazycopy_migration::Event;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

pub(crate) const RESULT: &str = "result.json";
pub(crate) const EVENTS: &str = "events.jsonl";
pub(crate) const BEFORE: &str = "before.txt";
pub(crate) const AFTER: &str = "after.txt";

/// The longest name of a run: file systems allow 255 bytes, and a number may be added.
pub const MAX_NAME_BYTES: usize = 200;

/// The most runs of one name: trying more names one by one would take noticeable time.
pub(crate) const MAX_SAME_NAME: u32 = 100_000;

/// The largest `result.json` that is read: a record has a few thousand bytes and its scenario.
const MAX_RESULT_BYTES: u64 = 1 << 28;

/// Why results cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// A file or directory cannot be written or read.
    #[error("{}: {error}", path.display())]
    Io {
        /// It.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The record is broken.
    #[error("{}: {error}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: RecordError,
    },
    /// An event is broken.
    #[error("{}, line {line}: {error}", path.display())]
    Event {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        error: EventError,
    },
    /// A log ends too early.
    #[error(
        "{}, line {line}: the file ends before the migration is complete: it is cut off",
        path.display()
    )]
    Ends {
        /// The file.
        path: PathBuf,
        /// Number of the line that is missing, from 1.
        line: u64,
    },
    /// The log of a run does not agree with its result.
    #[error("{}: {problem}", path.display())]
    Disagree {
        /// The log.
        path: PathBuf,
        /// What does not add up.
        problem: String,
    },
    /// A line of a file of records is none.
    #[error("{}, line {line}: {error}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        error: RecordError,
    },
    /// The name cannot be that of a directory.
    #[error(
        "\"{name}\" is no name for a run: use letters, digits, '-', '_' and '.', not '.' first, at most {MAX_NAME_BYTES}"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Too many runs have this name.
    #[error(
        "{MAX_SAME_NAME} runs are named \"{name}\" already; choose another name or another folder"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
}

pub(crate) fn failed(path: &Path) -> impl FnOnce(io::Error) -> ResultsError {
    let path = path.to_owned();
    |error| ResultsError::Io { path, error }
}

/// Reads the record in a run's directory.
///
/// # Errors
/// When it cannot be read, is no record of this schema version, or its parts do not add up.
pub fn load_run(directory: &Path) -> Result<RunRecord, ResultsError> {
    let path = directory.join(RESULT);
    let size = fs::metadata(&path).map_err(failed(&path))?.len();
    if size > MAX_RESULT_BYTES {
        let error = io::Error::new(ErrorKind::InvalidData, format!("{size} bytes are no result"));
        return Err(ResultsError::Io { path, error });
    }
    let text = fs::read_to_string(&path).map_err(failed(&path))?;
    let record = RunRecord::from_json(&text).and_then(RunRecord::checked);
    record.map_err(|error| ResultsError::Record { path, error })
}

/// Reads the events in a run's directory.
///
/// # Errors
/// When they cannot be read, or the first line that is no event or comes too early.
pub fn load_events(directory: &Path) -> Result<Vec<Event>, ResultsError> {
    EventReader::of_run(directory)?.collect()
}

/// Reads a run's record and its events, and holds them against each other.
///
/// # Errors
/// When one of them cannot be read, or what they do not agree on.
pub fn load_whole_run(directory: &Path) -> Result<(RunRecord, Vec<Event>), ResultsError> {
    let record = load_run(directory)?;
    let events = load_events(directory)?;
    let mut tally = EventTally::default();
    events.iter().for_each(|event| tally.note(event));
    tally.check(&directory.join(EVENTS), &record)?;
    Ok((record, events))
}

/// The runs below a folder.
#[derive(Debug, Default)]
pub struct Runs {
    /// Those that can be read, by name.
    pub whole: Vec<RunRecord>,
    /// Those that cannot, by name.
    pub broken: Vec<BrokenRun>,
}

/// A directory that looks like a run's, but cannot be read.
#[derive(Debug)]
pub struct BrokenRun {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub error: ResultsError,
}

/// The runs directly below `folder`, in the order of their names; none if there is no such
/// folder. What is being written, and directories that hold none of a run's files, are passed
/// over. A run's name is that of its directory, also where the directory was renamed since.
///
/// # Errors
/// When the folder itself cannot be read.
pub fn list_runs(folder: &Path) -> Result<Runs, ResultsError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Runs::default()),
        entries => entries.map_err(failed(folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed(folder))?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    let mut runs = Runs::default();
    for name in names.into_iter().filter(|name| !name.starts_with('.')) {
        let directory = folder.join(&name);
        let holds = |file: &&str| directory.join(file).exists();
        if ![RESULT, EVENTS, BEFORE, AFTER].iter().any(holds) {
            continue;
        }
        match load_run(&directory) {
            Ok(record) => runs.whole.push(RunRecord { run: name, ..record }),
            Err(error) => runs.broken.push(BrokenRun { name, error }),
        }
    }
    Ok(runs)
}
