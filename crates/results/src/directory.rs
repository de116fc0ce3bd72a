//! The directory of a run. It is written aside and renamed: one that is there is whole.

use crate::record::{RecordError, RunRecord};
use lazycopy_migration::Event;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind};
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
        error: serde_json::Error,
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
/// When it cannot be read, or is no record of this schema version.
pub fn load_run(directory: &Path) -> Result<RunRecord, ResultsError> {
    let path = directory.join(RESULT);
    let size = fs::metadata(&path).map_err(failed(&path))?.len();
    if size > MAX_RESULT_BYTES {
        let error = io::Error::new(ErrorKind::InvalidData, format!("{size} bytes are no result"));
        return Err(ResultsError::Io { path, error });
    }
    let text = fs::read_to_string(&path).map_err(failed(&path))?;
    RunRecord::from_json(&text).map_err(|error| ResultsError::Record { path, error })
}

/// Reads the events in a run's directory.
///
/// # Errors
/// When they cannot be read, or the first line that is no event.
pub fn load_events(directory: &Path) -> Result<Vec<Event>, ResultsError> {
    read_events(&directory.join(EVENTS))
}

/// Reads a file of events.
///
/// # Errors
/// When it cannot be read, or the first line that is no event.
pub fn read_events(path: &Path) -> Result<Vec<Event>, ResultsError> {
    let file = File::open(path).map_err(failed(path))?;
    let mut events = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(failed(path))?;
        let event = serde_json::from_str(&line).map_err(|error| ResultsError::Event {
            path: path.to_owned(),
            line: index + 1,
            error,
        })?;
        events.push(event);
    }
    Ok(events)
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
