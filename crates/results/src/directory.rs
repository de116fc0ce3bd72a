//! The directory of a run. It is written aside and renamed: one that is there is whole.

use crate::record::{RecordError, RunRecord};
use lazycopy_migration::Event;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const RESULT: &str = "result.json";
const EVENTS: &str = "events.jsonl";
const BEFORE: &str = "before.txt";
const AFTER: &str = "after.txt";

/// The longest name of a run: file systems allow 255 bytes, and a number may be added.
pub const MAX_NAME_BYTES: usize = 200;

/// The most runs of one name: trying more names one by one would take noticeable time.
const MAX_SAME_NAME: u32 = 100_000;

/// The largest `result.json` that is read: a record has a few thousand bytes and its scenario.
const MAX_RESULT_BYTES: u64 = 1 << 28;

/// Numbers the directories that this process writes aside.
static ASIDE: AtomicU64 = AtomicU64::new(0);

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

/// What the directory of a run holds.
#[derive(Clone, Copy, Debug)]
pub struct RunFiles<'a> {
    /// `result.json`. Its `run` is replaced by the name that is found to be free.
    pub record: &'a RunRecord,
    /// `events.jsonl`: the events of both sides, merged.
    pub events: &'a [Event],
    /// `before.txt`: both hosts before the migration.
    pub before: &'a str,
    /// `after.txt`: both hosts after it.
    pub after: &'a str,
}

/// Writes a run's directory below `folder`, which is created if need be, under the record's name
/// or, where that is taken, `NAME-2`, `NAME-3` and so on; nothing that is there is ever
/// overwritten, however many write at once. Returns the directory. On failure nothing is left.
///
/// # Errors
/// When the name is no file name or taken too often, or the system refuses.
pub fn write_run(folder: &Path, files: RunFiles<'_>) -> Result<PathBuf, ResultsError> {
    let name = &files.record.run;
    if !is_name(name) {
        return Err(ResultsError::Name { name: name.clone() });
    }
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let number = ASIDE.fetch_add(1, Ordering::Relaxed);
    let aside = folder.join(format!(".{name}.{}.{number}.partial", std::process::id()));
    fs::create_dir(&aside).map_err(failed(&aside))?;
    let written = fill(&aside, &files).and_then(|()| claim(folder, &aside, files.record));
    if written.is_err() {
        // What went wrong first is what matters.
        let _ = fs::remove_dir_all(&aside);
    }
    written
}

pub(crate) fn failed(path: &Path) -> impl FnOnce(io::Error) -> ResultsError {
    let path = path.to_owned();
    |error| ResultsError::Io { path, error }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name.starts_with('.')
        && name.chars().all(allowed)
}

/// Writes all but the record, which waits for its name.
fn fill(aside: &Path, files: &RunFiles<'_>) -> Result<(), ResultsError> {
    for (file, text) in [(BEFORE, files.before), (AFTER, files.after)] {
        let path = aside.join(file);
        fs::write(&path, text).map_err(failed(&path))?;
    }
    let path = aside.join(EVENTS);
    write_events(&path, files.events).map_err(failed(&path))
}

fn write_events(path: &Path, events: &[Event]) -> io::Result<()> {
    let mut output = BufWriter::new(File::create_new(path)?);
    for event in events {
        serde_json::to_writer(&mut output, event)?;
        output.write_all(b"\n")?;
    }
    output.flush()
}

/// Gives the directory the first name that is free.
fn claim(folder: &Path, aside: &Path, record: &RunRecord) -> Result<PathBuf, ResultsError> {
    let mut record = record.clone();
    let name = record.run.clone();
    for number in 1..=MAX_SAME_NAME {
        if number > 1 {
            record.run = format!("{name}-{number}");
        }
        let path = folder.join(&record.run);
        if path.symlink_metadata().is_ok() {
            continue;
        }
        let result = aside.join(RESULT);
        fs::write(&result, record.to_json()).map_err(failed(&result))?;
        // A rename replaces no directory that has something in it, and every run's has.
        match fs::rename(aside, &path) {
            Ok(()) => return Ok(path),
            Err(error) if is_taken(&error) => {}
            Err(error) => return Err(ResultsError::Io { path, error }),
        }
    }
    Err(ResultsError::NameTaken { name })
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty | ErrorKind::NotADirectory
    )
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
