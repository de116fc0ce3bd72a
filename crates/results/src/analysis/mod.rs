//! What a sweep says: in each cell the means of all contenders, their differences in pairs, and
//! who wins.
//!
//! For each measure, the differences of all pairs of contenders in all cells are one family: their
//! p-values are corrected together (Holm), so that the chance that any cell of a map shows a
//! difference that is none is below the level, and a winner may be picked after the fact.

mod cell;
mod claims;
mod order;
mod ranking;
mod runs;
mod table;
mod tally;
mod text;

pub use cell::{CellAnalysis, CellMeasure, ContenderFigures, Pair, RunCounts};
pub use claims::{CellFindings, SweepClaims};
pub use order::AnalysisError;
pub use ranking::Ranking;
pub use tally::{Extreme, Tally};

use crate::measure::Measure;
use crate::record::{PROGRAM_VERSION, SCHEMA_VERSION};
use crate::statistics::Difference;
use crate::sweep::{SweepAxis, SweepContender, SweepManifest};
use crate::sweep_record::{SweepRecord, SweepRecords};
use crate::wording;
use order::InOrder;
use rayon::prelude::*;
use runs::CellRuns;
use serde::Serialize;
use std::path::Path;

/// The analysis of a sweep, in its directory.
pub const SWEEP_ANALYSIS_FILE: &str = "analysis.json";

/// The same as a table, in its directory.
pub const SWEEP_CELLS_FILE: &str = "cells.csv";

/// What a sweep says, cell by cell. It prints as a table: in full for a few cells, for more how
/// many each contender wins.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepAnalysis {
    /// [`SCHEMA_VERSION`] of the program that made it.
    pub schema_version: u32,
    /// Version of the program that made it.
    pub program_version: String,
    /// That of the sweep's manifest.
    pub fingerprint: String,
    /// The question: the first line of the sweep file.
    pub title: String,
    /// The preset that was asked for, if any.
    pub preset: Option<String>,
    /// What is compared; the first is the baseline. Everywhere below, contenders are named by
    /// their index here.
    pub contenders: Vec<SweepContender>,
    /// The axes, the last fastest.
    pub axes: Vec<SweepAxis>,
    /// Runs of each cell and contender.
    pub seeds: u64,
    /// What is compared: every measure that the sweep's metrics tell.
    pub measures: Vec<Measure>,
    /// Every cell, by its number.
    pub cells: Vec<CellAnalysis>,
    /// What makes the figures doubtful, in words.
    pub doubts: Vec<String>,
}

impl SweepAnalysis {
    /// Analyses the sweep in a directory. The runs of a few cells at a time are held in memory.
    ///
    /// # Errors
    /// When its manifest or results cannot be read, or are not one another's.
    pub fn load(directory: &Path) -> Result<SweepAnalysis, AnalysisError> {
        let manifest = SweepManifest::load(directory)?;
        SweepAnalysis::of(&manifest, SweepRecords::open(directory)?)
    }

    /// Analyses the runs of a sweep, which come in the manifest's order.
    ///
    /// # Errors
    /// The first that is none, at a record that is not the next of the manifest's runs, and when
    /// runs are missing at the end.
    pub fn of<E>(
        manifest: &SweepManifest,
        records: impl IntoIterator<Item = Result<SweepRecord, E>>,
    ) -> Result<SweepAnalysis, AnalysisError>
    where
        AnalysisError: From<E>,
    {
        let told = |measure: &Measure| measure.is_told_by(&manifest.metrics);
        let measures: Vec<Measure> = Measure::ALL.into_iter().filter(told).collect();
        let mut order = InOrder::new(manifest);
        let new_cell = || CellRuns::new(manifest.contenders.len(), &measures);
        let mut cells = Vec::with_capacity(manifest.cells.len());
        // Cells whose runs are there, the last one perhaps not all of them.
        let mut gathered = vec![new_cell()];
        for record in records {
            let record = record?;
            let place = order.admit(&record)?;
            if place.cell >= cells.len() + gathered.len() {
                if gathered.len() == CELLS_AT_ONCE {
                    finish(&mut gathered, manifest, &mut cells);
                }
                gathered.push(new_cell());
            }
            let runs = gathered.last_mut().expect("one is gathered");
            runs.add(place, &record);
        }
        order.finish()?;
        finish(&mut gathered, manifest, &mut cells);
        correct(&mut cells, measures.len());
        Ok(SweepAnalysis {
            schema_version: SCHEMA_VERSION,
            program_version: PROGRAM_VERSION.to_owned(),
            fingerprint: manifest.fingerprint.clone(),
            title: manifest.title.clone(),
            preset: manifest.preset.clone(),
            contenders: manifest.contenders.clone(),
            axes: manifest.axes.clone(),
            seeds: manifest.seeds,
            doubts: doubts(manifest, &cells),
            measures,
            cells,
        })
    }

    /// Everything as JSON on one line, with a line feed at its end: `analysis.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string(self).expect("an analysis has string keys alone");
        text.push('\n');
        text
    }

    /// The index of the contender of that name.
    pub fn contender(&self, name: &str) -> Option<usize> {
        self.contenders.iter().position(|contender| contender.name == name)
    }
}

/// Cells that are analysed at once, on all cores; their runs are in memory.
const CELLS_AT_ONCE: usize = 32;

/// Analyses the gathered cells, which follow those that are analysed already.
fn finish(
    gathered: &mut Vec<CellRuns<'_>>,
    manifest: &SweepManifest,
    cells: &mut Vec<CellAnalysis>,
) {
    let places = &manifest.cells[cells.len()..];
    let finished = gathered.par_iter().zip(places).map(|(runs, place)| runs.finish(place));
    let finished: Vec<CellAnalysis> = finished.collect();
    cells.extend(finished);
    gathered.clear();
}

/// Corrects the p-values of each measure over all cells and pairs, and ranks the contenders.
fn correct(cells: &mut [CellAnalysis], measures: usize) {
    for index in 0..measures {
        let family = cells.iter_mut().flat_map(|cell| &mut cell.measures[index].pairs);
        Difference::correct(family.map(|pair| &mut pair.difference));
    }
    cells.par_iter_mut().flat_map(|cell| &mut cell.measures).for_each(|measure| {
        measure.ranking = Ranking::of(measure);
    });
}

fn doubts(manifest: &SweepManifest, cells: &[CellAnalysis]) -> Vec<String> {
    let mut doubts = Vec::new();
    let tells = |metric: &str| manifest.metrics.iter().any(|name| name == metric);
    if !tells("outcome") && !tells("total_migration_time_ns") {
        doubts.push(
            "Runs that did not complete are counted, too: neither outcome nor \
             total_migration_time_ns is among the metrics, one of which tells them."
                .to_owned(),
        );
    }
    for (index, contender) in manifest.contenders.iter().enumerate() {
        let name = &contender.name;
        let sum = |count: fn(&RunCounts) -> u64| -> u64 {
            cells.iter().map(|cell| count(&cell.runs[index])).sum()
        };
        let differing = sum(|runs| runs.differing);
        if differing > 0 {
            let runs = wording::counted(differing, "run");
            doubts.push(format!(
                "Not counted: {runs} of {name}, whose guest differs from its reference run: this \
                 is a bug."
            ));
        }
        let incomplete = sum(|runs| runs.incomplete);
        if incomplete > 0 {
            let runs = wording::counted(incomplete, "run");
            let cells = cells.iter().filter(|cell| cell.runs[index].incomplete > 0).count() as u64;
            let cells = wording::counted(cells, "cell");
            doubts.push(format!(
                "Not counted: {runs} of {name} in {cells}, not completed; it can win in none of \
                 them."
            ));
        }
    }
    doubts
}
