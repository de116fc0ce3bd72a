//! Writing a run's directory, aside and piece by piece, until it is whole and gets its name.

use crate::directory::{
    AFTER, BEFORE, EVENTS, MAX_NAME_BYTES, MAX_SAME_NAME, RESULT, ResultsError, failed,
};
use crate::record::RunRecord;
use lazycopy_migration::Event;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers the directories that this process writes aside.
static ASIDE: AtomicU64 = AtomicU64::new(0);

/// A run's directory that is being written. One that is dropped before it is finished leaves
/// nothing behind.
#[derive(Debug)]
pub struct RunWriter {
    folder: PathBuf,
    name: String,
    aside: PathBuf,
    events: BufWriter<File>,
}

impl RunWriter {
    /// Begins the directory of the run `name` below `folder`, which is created if need be.
    ///
    /// # Errors
    /// When the name is no file name, or the system refuses.
    pub fn begin(folder: &Path, name: &str) -> Result<RunWriter, ResultsError> {
        if !is_name(name) {
            return Err(ResultsError::Name { name: name.to_owned() });
        }
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let number = ASIDE.fetch_add(1, Ordering::Relaxed);
        let aside = folder.join(format!(".{name}.{}.{number}.partial", std::process::id()));
        fs::create_dir(&aside).map_err(failed(&aside))?;
        let path = aside.join(EVENTS);
        let events = File::create_new(&path).map_err(failed(&path))?;
        let (folder, name) = (folder.to_owned(), name.to_owned());
        Ok(RunWriter { folder, name, aside, events: BufWriter::new(events) })
    }

    /// Writes the next event of both sides, as [`merge_events`](crate::merge_events) gives them,
    /// to `events.jsonl`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn event(&mut self, event: &Event) -> Result<(), ResultsError> {
        let written = serde_json::to_writer(&mut self.events, event).map_err(io::Error::from);
        let written = written.and_then(|()| self.events.write_all(b"\n"));
        written.map_err(failed(&self.aside.join(EVENTS)))
    }

    /// Writes the rest: `result.json`, and both hosts before and after the migration. The
    /// directory is then whole and gets the run's name or, where that is taken, `NAME-2`, `NAME-3`
    /// and so on, which is also the record's `run`; nothing that is there is ever overwritten,
    /// however many write at once. Returns the directory.
    ///
    /// # Errors
    /// When the name is taken too often, or the system refuses.
    pub fn finish(
        mut self,
        record: &RunRecord,
        before: &str,
        after: &str,
    ) -> Result<PathBuf, ResultsError> {
        self.events.flush().map_err(failed(&self.aside.join(EVENTS)))?;
        for (file, text) in [(BEFORE, before), (AFTER, after)] {
            let path = self.aside.join(file);
            fs::write(&path, text).map_err(failed(&path))?;
        }
        self.claim(record.clone())
    }

    /// Gives the directory the first name that is free.
    fn claim(&self, mut record: RunRecord) -> Result<PathBuf, ResultsError> {
        for number in 1..=MAX_SAME_NAME {
            record.run = match number {
                1 => self.name.clone(),
                _ => format!("{}-{number}", self.name),
            };
            let path = self.folder.join(&record.run);
            if path.symlink_metadata().is_ok() {
                continue;
            }
            let result = self.aside.join(RESULT);
            fs::write(&result, record.to_json()).map_err(failed(&result))?;
            // A rename replaces no directory that has something in it, and every run's has.
            match fs::rename(&self.aside, &path) {
                Ok(()) => return Ok(path),
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(ResultsError::Io { path, error }),
            }
        }
        Err(ResultsError::NameTaken { name: self.name.clone() })
    }
}

/// After the last step there is nothing aside any more.
impl Drop for RunWriter {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.aside);
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name.starts_with('.')
        && name.chars().all(allowed)
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty | ErrorKind::NotADirectory
    )
}
