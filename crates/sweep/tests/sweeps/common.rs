//! A small sweep in a directory of its own, and what becomes of it.

use lazycopy_sweep::{Computed, Observer, Shard, Sweep, SweepError, Work, compute, on_threads};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tempfile::TempDir;

/// 2 x 2 cells x 2 contenders x 80 seeds are 640 runs in 10 blocks, none of which ends with a
/// cell.
pub const SMALL: &str = r#"# Is it small?
scenario = "paper"
seeds = 80
schemes = ["post-copy", "lazy-copy"]
[[axes]]
key = "link.bandwidth"
values = ["1028B/s", "8224B/s"]
[[axes]]
name = "memory"
points = [
    { "guest.pages" = 50, "guest.frames" = 20 },
    { "guest.pages" = 30, "guest.frames" = 10 },
]
"#;

/// How many blocks it has.
pub const SMALL_BLOCKS: u64 = 10;

/// A directory for a sweep file and its results.
pub struct Place {
    directory: TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { directory: TempDir::new().expect("a directory for the test") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Opens a sweep from its text.
    pub fn open(&self, text: &str) -> Result<Sweep, SweepError> {
        self.open_with(text, None)
    }

    pub fn open_with(&self, text: &str, seeds: Option<u64>) -> Result<Sweep, SweepError> {
        let file = self.path("sweep.toml");
        fs::write(&file, text).expect("the test can write");
        Sweep::open(&file, seeds, &self.path("recordings"))
    }
}

/// Counts what it is told, and may cancel after some runs.
#[derive(Default)]
pub struct Counter {
    pub there: AtomicU64,
    pub ran: AtomicU64,
    pub replaced: AtomicU64,
    pub cancelled: AtomicBool,
    cancel_after: Option<u64>,
}

impl Counter {
    pub fn cancelling_after(runs: u64) -> Counter {
        Counter { cancel_after: Some(runs), ..Counter::default() }
    }

    pub fn compute(
        &self,
        sweep: &Sweep,
        directory: &Path,
        shard: &str,
        threads: usize,
    ) -> Result<Computed, SweepError> {
        let shard: Shard = shard.parse().expect("the test names a shard");
        let work = Work { shard, cancelled: &self.cancelled, observer: self };
        on_threads(Some(threads), || compute(sweep, directory, work))?
    }
}

impl Observer for Counter {
    fn begins(&self, there: u64, _runs: u64) {
        self.there.store(there, Ordering::Relaxed);
    }

    fn ran(&self) {
        let ran = self.ran.fetch_add(1, Ordering::Relaxed) + 1;
        if self.cancel_after.is_some_and(|most| ran >= most) {
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }

    fn replaces(&self, _problem: &SweepError) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }
}

/// Computes a shard, which must succeed.
pub fn computed(sweep: &Sweep, directory: &Path, shard: &str, threads: usize) -> Computed {
    Counter::default().compute(sweep, directory, shard, threads).expect("it is computed")
}

/// Every file of the results by name but the blocks.
pub fn results(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("there are results").flatten();
    let files = entries.filter(|entry| entry.path().is_file());
    files
        .map(|entry| {
            let bytes = fs::read(entry.path()).expect("it can be read");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect()
}

/// The file of a block.
pub fn block(directory: &Path, number: u64) -> PathBuf {
    directory.join("parts").join(format!("{number}.jsonl"))
}
