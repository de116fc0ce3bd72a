//! The directory and its files.

use super::records::{Changes, Key, Line, Record, Records};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Version of the file's lines.
const VERSION: u32 = 1;

const STATE: &str = "state.jsonl";
const ASIDE: &str = "state.jsonl.partial";
const LOCK: &str = "lock";

/// The file is written anew when it has so many lines for each that counts, and [`SLACK`] more: then
/// writing it anew costs less than was written since the last time.
const GROWTH: usize = 4;

/// Lines that do not matter.
const SLACK: usize = 1_024;

/// Damaged lines that are told one by one.
const TOLD: usize = 5;

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another manager uses it.
    #[error(
        "the state in {} is in use by another manager{by}; choose another directory with --state",
        directory.display()
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// Its process, as far as it is known, in words.
        by: String,
    },
    /// The system refuses.
    #[error("the state in {} cannot be used: {problem}; choose another directory with --state", path.display())]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        problem: io::Error,
    },
    /// Another version of this program has written it.
    #[error(
        "{} has version {found} of the state, this program reads version {VERSION}; choose another \
         directory with --state",
        path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// Lines of the state that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Numbers of the lines, from 1, and what is wrong.
    pub lines: Vec<(usize, String)>,
    /// Where the file was put as it was.
    pub aside: PathBuf,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, problem) in self.lines.iter().take(TOLD) {
            writeln!(f, "{}, line {number}: {problem}", self.file.display())?;
        }
        if let Some(more @ 1..) = self.lines.len().checked_sub(TOLD) {
            writeln!(f, "and {more} more lines of it")?;
        }
        write!(
            f,
            "What these lines said is not known any more, all others count. The file is kept as it \
             was: {}",
            self.aside.display()
        )
    }
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    lazycopy_state: u32,
}

/// The directory, which this process alone uses as long as it has this.
#[derive(Debug)]
pub(super) struct StateDirectory {
    directory: PathBuf,
    _lock: File,
    file: File,
    /// Lines of the file but its first.
    lines: usize,
    /// The lines that count.
    live: BTreeMap<Key, String>,
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    |problem| StateError::Unusable { path, problem }
}

impl StateDirectory {
    /// Opens a directory, and reads what is in it.
    pub(super) fn open(directory: &Path) -> Result<(Self, Records, Option<Damage>), StateError> {
        fs::create_dir_all(directory).map_err(unusable(directory))?;
        let lock = lock(directory)?;
        let path = directory.join(STATE);
        let (records, broken) = match File::open(&path) {
            Ok(file) => read(&path, BufReader::new(file))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Default::default(),
            Err(problem) => return Err(StateError::Unusable { path, problem }),
        };
        let damage = match broken.is_empty() {
            true => None,
            false => Some(put_aside(&path, broken).map_err(unusable(&path))?),
        };
        let live = lines(&records);
        let file = write_anew(directory, &live).map_err(unusable(directory))?;
        let lines = live.len();
        let this =
            StateDirectory { directory: directory.to_owned(), _lock: lock, file, lines, live };
        Ok((this, records, damage))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// Takes changes in, to be written by [`StateDirectory::append`] or
    /// [`StateDirectory::write_anew`]. Gives their lines.
    pub(super) fn take_in(&mut self, changes: Changes) -> Vec<u8> {
        let mut text = Vec::new();
        for (key, record) in changes {
            // What cannot be written as a line, a name that is no text, was refused before.
            let Ok(written) = line(key.clone(), record.clone()) else { continue };
            text.extend_from_slice(written.as_bytes());
            self.lines += 1;
            match record {
                Some(_) => self.live.insert(key, written),
                None => self.live.remove(&key),
            };
        }
        text
    }

    /// Writes lines and waits until the disk has them.
    pub(super) fn append(&mut self, text: &[u8]) -> io::Result<()> {
        self.file.write_all(text)?;
        self.file.sync_data()
    }

    /// Whether most of the file counts no more.
    pub(super) fn has_outgrown(&self) -> bool {
        self.lines > GROWTH * self.live.len() + SLACK
    }

    /// Writes everything anew.
    pub(super) fn write_anew(&mut self) -> io::Result<()> {
        self.file = write_anew(&self.directory, &self.live)?;
        self.lines = self.live.len();
        Ok(())
    }
}

/// Takes the lock of a directory; the system gives it back when this process ends, however it does.
fn lock(directory: &Path) -> Result<File, StateError> {
    let path = directory.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut lock = options.open(&path).map_err(unusable(&path))?;
    match lock.try_lock() {
        Ok(()) => {
            let pid = std::process::id().to_string();
            let written = lock.set_len(0).and_then(|()| lock.write_all(pid.as_bytes()));
            written.map_err(unusable(&path))?;
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => {
            let (mut by, _) = (String::new(), lock.rewind());
            let _ = lock.take(20).read_to_string(&mut by);
            let by = by.trim().parse::<u32>();
            let by = by.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            Err(StateError::InUse { directory: directory.to_owned(), by })
        }
        Err(TryLockError::Error(problem)) => Err(StateError::Unusable { path, problem }),
    }
}

/// The records of a file, and its lines that are none.
pub(super) fn read(
    path: &Path,
    mut file: impl BufRead,
) -> Result<(Records, Vec<(usize, String)>), StateError> {
    let (mut records, mut broken) = (Records::new(), Vec::new());
    for number in 1.. {
        let mut text = Vec::new();
        if file.read_until(b'\n', &mut text).map_err(unusable(path))? == 0 {
            break;
        }
        let is_cut = text.pop_if(|last| *last == b'\n').is_none();
        let problem = match (number, is_cut) {
            (_, true) => Some("it is cut off".to_owned()),
            (1, _) => match serde_json::from_slice::<Header>(&text) {
                Ok(header) if header.lazycopy_state == VERSION => None,
                Ok(Header { lazycopy_state: found }) => {
                    return Err(StateError::OtherVersion { path: path.to_owned(), found });
                }
                Err(error) => Some(format!("it should tell the version: {error}")),
            },
            _ => match serde_json::from_slice::<Line>(&text) {
                Ok(Line { key, record: Some(record) }) => {
                    records.insert(key, record);
                    None
                }
                Ok(Line { key, record: None }) => {
                    records.remove(&key);
                    None
                }
                Err(error) => Some(error.to_string()),
            },
        };
        broken.extend(problem.map(|problem| (number, problem)));
    }
    Ok((records, broken))
}

/// Copies a damaged file to a name of its own.
fn put_aside(path: &Path, lines: Vec<(usize, String)>) -> io::Result<Damage> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let aside = path.with_file_name(format!("{STATE}.damaged-{}", since.as_secs()));
    fs::copy(path, &aside)?;
    File::open(&aside)?.sync_all()?;
    Ok(Damage { file: path.to_owned(), lines, aside })
}

fn line(key: Key, record: Option<Record>) -> serde_json::Result<String> {
    Ok(serde_json::to_string(&Line { key, record })? + "\n")
}

/// The lines of records.
pub(super) fn lines(records: &Records) -> BTreeMap<Key, String> {
    let line = |(key, record): (&Key, &Record)| {
        (key.clone(), line(key.clone(), Some(record.clone())).unwrap_or_default())
    };
    records.iter().map(line).collect()
}

/// The whole file.
pub(super) fn text(live: &BTreeMap<Key, String>) -> serde_json::Result<String> {
    let mut text = serde_json::to_string(&Header { lazycopy_state: VERSION })? + "\n";
    live.values().for_each(|line| text.push_str(line));
    Ok(text)
}

/// Writes the file aside, waits until the disk has it, and gives it its name. What it was before
/// stays until then.
fn write_anew(directory: &Path, live: &BTreeMap<Key, String>) -> io::Result<File> {
    let aside = directory.join(ASIDE);
    let mut file = File::create(&aside)?;
    file.write_all(text(live)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, directory.join(STATE))?;
    // The name is the directory's.
    File::open(directory)?.sync_all()?;
    Ok(file)
}
