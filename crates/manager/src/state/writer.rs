//! The thread that writes: everything that waits at once, however much came while it wrote.

use super::file::{StateDirectory, StateError};
use super::records::Changes;
use crate::console::Console;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The pause before the disk is tried again that took nothing.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How far the writing is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// So many of the changes that were given are kept.
    pub kept: u64,
    /// The disk takes nothing for now.
    pub fails: bool,
}

/// Changes that wait to be written; of each key the last, so that they are never more than there
/// are records.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    changes: Mutex<(Changes, u64)>,
    given: Condvar,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, (Changes, u64)> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, more: Changes) {
        let mut waiting = self.lock();
        waiting.0.extend(more);
        waiting.1 += 1;
        self.given.notify_one();
    }

    /// How many times something was given.
    pub(super) fn given(&self) -> u64 {
        self.lock().1
    }

    fn take(&self) -> (Changes, u64) {
        let mut waiting = self.lock();
        while waiting.0.is_empty() {
            waiting = self.given.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        (std::mem::take(&mut waiting.0), waiting.1)
    }
}

/// Starts the thread. It ends with the process.
pub(super) fn start(
    directory: StateDirectory,
    waiting: Arc<Waiting>,
    console: Console,
) -> Result<watch::Receiver<Progress>, StateError> {
    let (progress, receiver) = watch::channel(Progress::default());
    let path = directory.path().to_owned();
    let write = move || write_all(directory, &waiting, &progress, &console);
    let started = std::thread::Builder::new().name("state".to_owned()).spawn(write);
    started.map_err(|problem| StateError::Unusable { path, problem })?;
    Ok(receiver)
}

fn write_all(
    mut directory: StateDirectory,
    waiting: &Waiting,
    progress: &watch::Sender<Progress>,
    console: &Console,
) {
    while !progress.is_closed() {
        let (changes, given) = waiting.take();
        let text = directory.take_in(changes);
        let mut written = match directory.has_outgrown() {
            true => directory.write_anew(),
            false => directory.append(&text),
        };
        // A line may have been written in part: from here on the file is written anew.
        while let Err(problem) = written {
            tell(progress, console, &directory, &problem);
            std::thread::sleep(RETRY_PAUSE);
            written = directory.write_anew();
        }
        if progress.borrow().fails {
            console.print("The state is kept again.");
        }
        progress.send_replace(Progress { kept: given, fails: false });
    }
}

/// Tells once that nothing can be kept.
fn tell(
    progress: &watch::Sender<Progress>,
    console: &Console,
    directory: &StateDirectory,
    problem: &io::Error,
) {
    if progress.borrow().fails {
        return;
    }
    progress.send_modify(|progress| progress.fails = true);
    console.print(&format!(
        "The state in {} cannot be kept: {problem}. A manager that ends now forgets what has changed \
         since; it is tried again every second.",
        directory.path().display()
    ));
}
