//! The files that simulations leave behind.

use super::network::NetworkRecord;
use lazycopy_migration::{Event, Scheme};
use lazycopy_results::RunRecord;
use lazycopy_sweep::{Aside, AsideError, Whole, remove_leftovers};
use serde::Serialize;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The results of all runs, below the directory that `--out` names.
pub(super) const RESULTS_FILE: &str = "results.jsonl";

/// What fleets' neighbours felt and cards carried, beside it.
const NETWORK_FILE: &str = "network.jsonl";

/// The directory with the events of each run, beside it.
const EVENTS_DIRECTORY: &str = "events";

/// A file of one JSON value a line.
struct JsonLines {
    file: Aside,
    line: Vec<u8>,
}

impl JsonLines {
    fn create(directory: &Path, name: &str) -> Result<JsonLines, AsideError> {
        Ok(JsonLines { file: Aside::create(directory, name)?, line: Vec::new() })
    }

    fn write(&mut self, value: &impl Serialize) -> Result<(), AsideError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value).expect("records and events are JSON");
        self.line.push(b'\n');
        self.file.write(&self.line)
    }
}

/// All files of a simulation. They are written aside and get their names when all are whole:
/// dropped before, nothing is left of them, and what was there before is still there.
pub(super) struct Files {
    directory: PathBuf,
    results: JsonLines,
    networks: JsonLines,
    events: Vec<Whole>,
    /// Held as long as files are written: whoever cleans up sees that somebody is at work.
    _at_work: Option<File>,
}

impl Files {
    /// Begins to write into a directory, which is created if need be. What killed simulations
    /// left behind there is removed, unless another is at work.
    pub(super) fn begin(directory: &Path) -> Result<Files, AsideError> {
        fs::create_dir_all(directory).map_err(failed(directory))?;
        let lock = File::open(directory).map_err(failed(directory))?;
        if lock.try_lock().is_ok() {
            remove_leftovers(directory, |name| [RESULTS_FILE, NETWORK_FILE].contains(&name))?;
            let events = directory.join(EVENTS_DIRECTORY);
            if events.is_dir() {
                remove_leftovers(&events, is_of_events)?;
            }
        }
        Ok(Files {
            directory: directory.to_owned(),
            results: JsonLines::create(directory, RESULTS_FILE)?,
            networks: JsonLines::create(directory, NETWORK_FILE)?,
            events: Vec::new(),
            _at_work: lock.lock_shared().is_ok().then_some(lock),
        })
    }

    pub(super) fn result(&mut self, record: &RunRecord) -> Result<(), AsideError> {
        self.results.write(record)
    }

    pub(super) fn network(&mut self, record: &NetworkRecord) -> Result<(), AsideError> {
        self.networks.write(record)
    }

    /// Writes the events of a run.
    pub(super) fn events(&mut self, run: &str, events: &[Event]) -> Result<(), AsideError> {
        let directory = self.directory.join(EVENTS_DIRECTORY);
        fs::create_dir_all(&directory).map_err(failed(&directory))?;
        let mut lines = JsonLines::create(&directory, &format!("{run}.jsonl"))?;
        events.iter().try_for_each(|event| lines.write(event))?;
        self.events.push(lines.file.whole()?);
        Ok(())
    }

    /// All is written: the files take their names. Those of an earlier simulation would tell of
    /// other runs, and go; where this one has no network, its file goes, too.
    pub(super) fn finish(self, has_network: bool) -> Result<(), AsideError> {
        remove_events(&self.directory.join(EVENTS_DIRECTORY), &self.events)?;
        self.events.into_iter().try_for_each(Whole::keep)?;
        if has_network {
            self.networks.file.keep()?;
        } else {
            remove(&self.directory.join(NETWORK_FILE))?;
        }
        self.results.file.keep()
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> AsideError {
    let path = path.to_owned();
    |error| AsideError { path, error }
}

fn remove(path: &Path) -> Result<(), AsideError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

/// Removes the events of other runs, and the directory where nothing is left in it.
fn remove_events(directory: &Path, but: &[Whole]) -> Result<(), AsideError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed(directory))?,
    };
    let kept: HashSet<&Path> = but.iter().map(Whole::path).collect();
    for entry in entries {
        let path = entry.map_err(failed(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_of_events(&name) && !kept.contains(&*path) {
            remove(&path)?;
        }
    }
    if kept.is_empty() {
        // It stays where something else is in it.
        let _ = fs::remove_dir(directory);
    }
    Ok(())
}

/// Whether a file is named as the events of a run are: `lazy-copy-seed1.jsonl`, or with a guest
/// `lazy-copy-seed1-guest2.jsonl`. Nobody else's files are removed.
fn is_of_events(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_of = |scheme: Scheme| {
        let rest = name.strip_suffix(".jsonl")?.strip_prefix(scheme.name())?;
        let rest = rest.strip_prefix("-seed")?;
        let (seed, guest) = rest.split_once("-guest").unwrap_or((rest, "0"));
        Some(is_number(seed) && is_number(guest))
    };
    Scheme::ALL.into_iter().any(|scheme| is_of(scheme) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_known_by_their_names() {
        for name in ["lazy-copy-seed1.jsonl", "hybrid-post-copy-seed12-guest3.jsonl"] {
            assert!(is_of_events(name), "{name}");
        }
        for name in [
            "notes.jsonl",
            "lazy-copy-seed1.txt",
            "lazy-copy-seed.jsonl",
            "lazy-copy-seed1-guest.jsonl",
        ] {
            assert!(!is_of_events(name), "{name}");
        }
    }
}
