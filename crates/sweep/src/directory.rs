//! The directory of a sweep: what may be in it.

use crate::aside::{Aside, is_leftover, remove_leftovers};
use crate::error::{SweepError, io_error};
use lazycopy_results::{
    PROGRAM_VERSION, SWEEP_FILE, SWEEP_PARTS_DIRECTORY, SWEEP_RESULTS_FILE, SWEEP_TABLE_FILE,
    SweepManifest,
};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The directory of a sweep whose manifest is there.
#[derive(Debug)]
pub(crate) struct SweepDirectory {
    path: PathBuf,
    parts: PathBuf,
    /// Held as long as blocks may be written: whoever cleans up sees that somebody is at work.
    at_work: Option<File>,
}

impl SweepDirectory {
    /// Makes a directory this sweep's, or finds that it is so already, and removes what
    /// killed runs left behind, unless another process is at work here.
    pub(crate) fn begin(path: &Path, manifest: &SweepManifest) -> Result<Self, SweepError> {
        fs::create_dir_all(path).map_err(io_error(path))?;
        if !path.join(SWEEP_FILE).exists() {
            refuse_strangers(path)?;
            let mut aside = Aside::create(path, SWEEP_FILE)?;
            aside.write(manifest.to_json().as_bytes())?;
            // Another sweep may have begun here at the same moment.
            aside.keep_if_new()?;
        }
        let there = SweepManifest::load(path)?;
        if there.fingerprint != manifest.fingerprint {
            let problem = differences(&there, manifest);
            return Err(SweepError::Foreign { directory: path.to_owned(), problem });
        }
        if there != *manifest {
            // The same runs under another title.
            let mut aside = Aside::create(path, SWEEP_FILE)?;
            aside.write(manifest.to_json().as_bytes())?;
            aside.keep()?;
        }
        let mut directory = SweepDirectory::at(path);
        fs::create_dir_all(&directory.parts).map_err(io_error(&directory.parts))?;
        directory.take_over()?;
        Ok(directory)
    }

    /// The directory of a sweep, to read from.
    pub(crate) fn at(path: &Path) -> Self {
        let parts = path.join(SWEEP_PARTS_DIRECTORY);
        SweepDirectory { path: path.to_owned(), parts, at_work: None }
    }

    /// Removes what killed runs left behind, if nobody else is at work here, and says that
    /// somebody is from now on. Where the file system knows no locks, nothing is removed.
    fn take_over(&mut self) -> Result<(), SweepError> {
        let lock = File::open(&self.parts).map_err(io_error(&self.parts))?;
        if lock.try_lock().is_ok() {
            for directory in [&self.path, &self.parts] {
                remove_leftovers(directory, |_| true)?;
            }
        }
        self.at_work = lock.lock_shared().is_ok().then_some(lock);
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of a block.
    pub(crate) fn block(&self, block: u64) -> PathBuf {
        self.parts.join(block_name(block))
    }

    pub(crate) fn write_block(&self, block: u64, text: &[u8]) -> Result<(), SweepError> {
        // Not forced to the disk: a block that a failing machine lost or cut off is found when it
        // is read, and computed again.
        let mut aside = Aside::create(&self.parts, &block_name(block))?;
        aside.write(text)?;
        Ok(aside.keep()?)
    }

    /// The text of a block; `None` if it is not there.
    pub(crate) fn read_block(&self, block: u64) -> Result<Option<Vec<u8>>, SweepError> {
        let path = self.block(block);
        match fs::read(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error(&path)(error)),
        }
    }

    /// Which blocks are there, by their numbers; an error on anything that is no block.
    pub(crate) fn blocks(&self, blocks: u64) -> Result<Vec<bool>, SweepError> {
        let mut there = vec![false; blocks as usize];
        let entries = match fs::read_dir(&self.parts) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(there),
            entries => entries.map_err(io_error(&self.parts))?,
        };
        let mut strangers = Vec::new();
        for entry in entries {
            let name = entry.map_err(io_error(&self.parts))?.file_name();
            let name = name.to_string_lossy().into_owned();
            let number = name.strip_suffix(".jsonl").and_then(|number| number.parse::<u64>().ok());
            match number.filter(|number| *number < blocks && block_name(*number) == name) {
                Some(number) => there[number as usize] = true,
                None if is_leftover(&name) => {}
                None => strangers.push(name),
            }
        }
        match strangers.into_iter().min() {
            Some(name) => Err(SweepError::NoBlock { file: self.parts.join(name), blocks }),
            None => Ok(there),
        }
    }
}

fn block_name(block: u64) -> String {
    format!("{block}.jsonl")
}

/// Results without a manifest belong to somebody else.
fn refuse_strangers(path: &Path) -> Result<(), SweepError> {
    let taken = [SWEEP_RESULTS_FILE, SWEEP_TABLE_FILE, SWEEP_PARTS_DIRECTORY];
    match taken.into_iter().find(|name| path.join(name).exists()) {
        Some(name) => Err(SweepError::Foreign {
            directory: path.to_owned(),
            problem: format!(
                "{name} is here already, and no {SWEEP_FILE} says that it is a sweep's"
            ),
        }),
        None => Ok(()),
    }
}

/// How the sweep in a directory differs from the one that is to be computed there.
fn differences(there: &SweepManifest, wanted: &SweepManifest) -> String {
    if there.program_version != PROGRAM_VERSION {
        return format!(
            "the results here are of version {}, this is {PROGRAM_VERSION}",
            there.program_version
        );
    }
    let differs = if there.seeds != wanted.seeds || there.first_seed != wanted.first_seed {
        format!("it has {} seeds, this one has {}", there.seeds, wanted.seeds)
    } else if there.axes != wanted.axes {
        "it has other axes or values".to_owned()
    } else if there.contenders != wanted.contenders {
        "it has other contenders".to_owned()
    } else if there.metrics != wanted.metrics {
        "it has other metrics".to_owned()
    } else {
        "its scenarios are others".to_owned()
    };
    format!("here is another sweep, \"{}\": {differs}", there.title)
}
