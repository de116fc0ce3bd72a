//! What outlives the manager: a file of JSON lines in a directory of its own.
//!
//! ```text
//! fleet, requests ──changes──> Store ──> its thread: one write and one fsync for all that waits
//!                                            │
//!                state.jsonl  <── lines ─────┘   {"key":...,"record":...}: the last line of a key
//!                                                counts, one without a record takes it back
//!                lock                            held by the one manager that uses the directory
//!                state.jsonl.damaged-N           what could not be read, as it was
//! ```
//!
//! Lines and not an embedded store: there are a few thousand records at most, all of which the
//! manager holds in memory anyway; they can be read by eye, and damage is a line with a number; one
//! write per change, many changes to a write. Whoever must not go on before a change is kept waits
//! for [`Store::kept`], and nobody else does: no lock is held while the disk is written.
//!
//! When the file has grown to several times what is in it, it is written anew beside, made durable,
//! and put in its place.

mod file;
mod records;
mod writer;

pub use file::{Damage, StateError};
pub(crate) use records::{Changes, End, KeptReply, KeptScenario, Key, Record, Records};

use crate::console::Console;
use file::StateDirectory;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use writer::{Progress, Waiting};

/// Where the state is kept below the results, unless another place is named.
pub const BESIDE_RESULTS: &str = ".state";

/// The state of a manager that is kept, and what an earlier life of it has left.
#[derive(Debug)]
pub(crate) struct Opened {
    pub store: Store,
    pub records: Records,
    pub damage: Option<Damage>,
}

/// Keeps changes of the state. Clones are handles to the same.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    waiting: Arc<Waiting>,
    progress: watch::Receiver<Progress>,
}

impl Store {
    /// Opens the state in a directory, which is made if need be, and begins to keep what changes.
    /// The console is told when the disk takes nothing.
    ///
    /// # Errors
    /// When another manager uses it, or it cannot be used.
    pub(crate) fn open(directory: &Path, console: Console) -> Result<Opened, StateError> {
        let (directory, records, damage) = StateDirectory::open(directory)?;
        let waiting = Arc::new(Waiting::default());
        let progress = writer::start(directory, Arc::clone(&waiting), console)?;
        Ok(Opened { store: Store { waiting, progress }, records, damage })
    }

    /// Keeps these changes, soon.
    pub(crate) fn keep(&self, changes: Changes) {
        if !changes.is_empty() {
            self.waiting.add(changes);
        }
    }

    /// Waits until everything that has been given so far is kept, or cannot be for now, which the
    /// console was told.
    pub(crate) async fn kept(&self) {
        let wanted = self.waiting.given();
        let mut progress = self.progress.clone();
        // It ends with the process.
        let _ = progress.wait_for(|now| now.kept >= wanted || now.fails).await;
    }
}

/// Reads a file, and what was read once more from what is written of it: that is whole, and the same.
pub(crate) fn read_again(bytes: &[u8]) {
    let path = Path::new("state.jsonl");
    let Ok((records, _)) = file::read(path, bytes) else { return };
    let live = file::lines(&records);
    let text = file::text(&live).expect("records can be written");
    let (again, broken) = file::read(path, text.as_bytes()).expect("it has this version");
    assert!(broken.is_empty(), "{broken:?}");
    assert_eq!(again, records);
    for record in again.values() {
        if let Record::Guest { scenario, .. } | Record::Migration { scenario, .. } = record {
            let _ = scenario.read();
        }
    }
}

#[cfg(test)]
mod tests;
