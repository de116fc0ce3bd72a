//! The files that simulations leave behind.

use super::SimulateError;
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The results of all runs, below the directory that `--out` names.
pub(super) const RESULTS_FILE: &str = "results.jsonl";

/// What fleets' neighbours felt and cards carried, beside it.
pub(super) const NETWORK_FILE: &str = "network.jsonl";

/// The directory with the events of each run, beside it.
pub(super) const EVENTS_DIRECTORY: &str = "events";

/// A file of one JSON value a line, written aside and renamed: one that is there is whole.
pub(super) struct JsonLines {
    path: PathBuf,
    aside: PathBuf,
    writer: BufWriter<File>,
}

impl JsonLines {
    pub(super) fn create(directory: &Path, name: &str) -> Result<JsonLines, SimulateError> {
        let aside = directory.join(format!(".{name}.{}", std::process::id()));
        let file = File::create(&aside).map_err(SimulateError::write(&aside))?;
        Ok(JsonLines { path: directory.join(name), aside, writer: BufWriter::new(file) })
    }

    pub(super) fn write(&mut self, value: &impl Serialize) -> Result<(), SimulateError> {
        let written = serde_json::to_writer(&mut self.writer, value)
            .map_err(io::Error::from)
            .and_then(|()| self.writer.write_all(b"\n"));
        written.map_err(SimulateError::write(&self.aside))
    }

    /// The file is whole: it takes its name.
    pub(super) fn finish(mut self) -> Result<(), SimulateError> {
        self.writer.flush().map_err(SimulateError::write(&self.aside))?;
        fs::rename(&self.aside, &self.path).map_err(SimulateError::write(&self.path))
    }

    /// There is nothing to write: a file of that name goes, too.
    pub(super) fn remove(self) -> Result<(), SimulateError> {
        match fs::remove_file(&self.path) {
            Err(problem) if problem.kind() != io::ErrorKind::NotFound => {
                Err(SimulateError::write(&self.path)(problem))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for JsonLines {
    /// What was not finished is not left behind.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.aside);
    }
}
