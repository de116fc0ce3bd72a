//! Whether the runs are those of the manifest, in its order, without holes.

use crate::directory::ResultsError;
use crate::sweep::{RunPlace, SweepManifest};
use crate::sweep_record::SweepRecord;
use std::collections::BTreeSet;
use std::convert::Infallible;

/// Why a sweep cannot be analysed.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// Its files cannot be read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// A run stands where another should.
    #[error(
        "line {line} of the results is {found}, and {expected} should stand there; merge the \
         sweep's parts again"
    )]
    Misplaced {
        /// Number of the line, from 1.
        line: u64,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// The results end before the last run.
    #[error(
        "the results end after {found} of {runs} runs; let the sweep go on, and merge its parts"
    )]
    Short {
        /// Runs that are there.
        found: u64,
        /// Runs that should be.
        runs: u64,
    },
}

impl From<Infallible> for AnalysisError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Holds the runs against the manifest as they come.
pub(super) struct InOrder<'a> {
    manifest: &'a SweepManifest,
    lines: u64,
    /// Runs that have begun.
    runs: u64,
    /// Guests of the run that has begun last, where it has several.
    guests: BTreeSet<u32>,
}

impl<'a> InOrder<'a> {
    pub(super) fn new(manifest: &'a SweepManifest) -> Self {
        InOrder { manifest, lines: 0, runs: 0, guests: BTreeSet::new() }
    }

    /// Where a record stands: at the next run, or at the last one as another guest of it.
    pub(super) fn admit(&mut self, record: &SweepRecord) -> Result<RunPlace, AnalysisError> {
        self.lines += 1;
        if let Some(guest) = record.guest
            && let Some(last) = self.runs.checked_sub(1)
            && self.is_at(record, self.manifest.place(last))
            && self.guests.insert(guest)
        {
            return Ok(self.manifest.place(last));
        }
        let place = self.manifest.place(self.runs);
        if self.runs < self.manifest.runs && self.is_at(record, place) {
            self.runs += 1;
            self.guests.clear();
            self.guests.extend(record.guest);
            return Ok(place);
        }
        let expected = if self.runs < self.manifest.runs {
            let contender = self.manifest.contenders.get(place.contender);
            let contender = contender.map_or("?", |contender| &contender.name);
            let cell = self.manifest.cells.get(place.cell).map_or(0, |cell| cell.cell);
            format!("cell {cell}, {contender}, seed {}", place.seed)
        } else {
            "nothing more".to_owned()
        };
        Err(AnalysisError::Misplaced {
            line: self.lines,
            found: format!("cell {}, {}, seed {}", record.cell, record.contender, record.seed),
            expected,
        })
    }

    fn is_at(&self, record: &SweepRecord, place: RunPlace) -> bool {
        let cell = self.manifest.cells.get(place.cell);
        let contender = self.manifest.contenders.get(place.contender);
        cell.is_some_and(|cell| cell.cell == record.cell)
            && contender.is_some_and(|contender| contender.name == record.contender)
            && place.seed == record.seed
    }

    /// Whether all runs were there.
    pub(super) fn finish(&self) -> Result<(), AnalysisError> {
        if self.runs < self.manifest.runs {
            return Err(AnalysisError::Short { found: self.runs, runs: self.manifest.runs });
        }
        Ok(())
    }
}
