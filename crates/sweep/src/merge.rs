//! From blocks to results: every line is looked at on the way.

use crate::aside::Aside;
use crate::block::blank;
use crate::directory::SweepDirectory;
use crate::error::SweepError;
use crate::table::Columns;
use lazycopy_results::{
    PROGRAM_VERSION, RunPlace, SWEEP_ANALYSIS_FILE, SWEEP_CELLS_FILE, SWEEP_FILE,
    SWEEP_RESULTS_FILE, SWEEP_TABLE_FILE, SweepAnalysis, SweepManifest, SweepRecord,
};
use rayon::prelude::*;
use std::convert::Infallible;
use std::path::Path;

/// Blocks per thread that are in memory at once.
const AHEAD: usize = 2;

/// Checks every block of the sweep in a directory, writes `results.jsonl` and `results.csv`, and
/// what they say as `analysis.json` and `cells.csv`: the same bytes, however the blocks came about.
///
/// # Errors
/// When blocks are missing, or hold anything but their runs, one after another; what was there
/// before stays as it was.
pub fn merge(directory: &Path) -> Result<SweepAnalysis, SweepError> {
    if !directory.join(SWEEP_FILE).exists() {
        return Err(SweepError::NoSweep { directory: directory.to_owned() });
    }
    let manifest = SweepManifest::load(directory)?;
    if manifest.program_version != PROGRAM_VERSION {
        let found = manifest.program_version;
        return Err(SweepError::OtherVersion { directory: directory.to_owned(), found });
    }
    let directory = SweepDirectory::at(directory);
    let there = directory.blocks(manifest.blocks)?;
    let missing: Vec<u64> = (0..manifest.blocks).filter(|it| !there[*it as usize]).collect();
    if !missing.is_empty() {
        return Err(SweepError::Holes {
            directory: directory.path().to_owned(),
            blocks: manifest.blocks,
            missing,
            command: command(&directory, &manifest),
        });
    }
    let columns = Columns::of(&manifest);
    let mut results = Aside::create(directory.path(), SWEEP_RESULTS_FILE)?;
    let mut table = Aside::create(directory.path(), SWEEP_TABLE_FILE)?;
    table.write(&columns.header())?;
    let numbers: Vec<u64> = (0..manifest.blocks).collect();
    let mut failed = None;
    let mut take = |numbers: &[u64]| -> Result<Vec<SweepRecord>, SweepError> {
        let read = |block: &u64| {
            let (mut rows, mut records) = (columns.rows(), Vec::new());
            let text = check_block(&directory, &manifest, *block, |record| {
                rows.add(&record);
                records.push(record);
            })?;
            Ok((text, rows.into_bytes(), records))
        };
        let blocks = numbers.par_iter().map(read).collect::<Vec<Result<_, SweepError>>>();
        let mut all = Vec::new();
        for block in blocks {
            let (text, rows, records) = block?;
            results.write(&text)?;
            table.write(&rows)?;
            all.extend(records);
        }
        Ok(all)
    };
    // Read once: what is written is analysed on its way.
    let records = numbers
        .chunks(AHEAD * rayon::current_num_threads())
        .map_while(|numbers| take(numbers).map_err(|error| failed = Some(error)).ok())
        .flatten()
        .map(Ok::<SweepRecord, Infallible>);
    let analysis = SweepAnalysis::of(&manifest, records);
    if let Some(error) = failed {
        return Err(error);
    }
    let analysis = analysis?;
    results.keep_for_good()?;
    table.keep_for_good()?;
    let (json, csv) = rayon::join(|| analysis.to_json(), || analysis.to_csv());
    for (name, text) in [(SWEEP_ANALYSIS_FILE, json), (SWEEP_CELLS_FILE, csv)] {
        let mut file = Aside::create(directory.path(), name)?;
        file.write(text.as_bytes())?;
        file.keep()?;
    }
    Ok(analysis)
}

/// The command that computes what is missing.
fn command(directory: &SweepDirectory, manifest: &SweepManifest) -> String {
    let SweepManifest { file, seeds, .. } = manifest;
    format!("manager sweep {file} --seeds {seeds} --out {}", directory.path().display())
}

/// Reads a block and checks that it holds its runs and nothing else, byte for byte as they are
/// written. `each` is told of them.
pub(crate) fn check_block(
    directory: &SweepDirectory,
    manifest: &SweepManifest,
    block: u64,
    mut each: impl FnMut(SweepRecord),
) -> Result<Vec<u8>, SweepError> {
    let wrong = |line, problem: String| SweepError::Block {
        file: directory.block(block),
        line,
        problem,
        command: command(directory, manifest),
    };
    let Some(bytes) = directory.read_block(block)? else {
        return Err(wrong(None, "it is gone".to_owned()));
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| wrong(None, error.to_string()))?;
    if !text.ends_with('\n') {
        return Err(wrong(None, "its last line is cut off".to_owned()));
    }
    let records = manifest.block(block).flat_map(|run| {
        let place = manifest.place(run);
        manifest.cells[place.cell].guest_numbers().map(move |guest| (place, guest))
    });
    let (lines, count) = (text.lines().count(), records.clone().count());
    if lines != count {
        return Err(wrong(None, format!("it has {lines} lines, and {count} belong here")));
    }
    let mut expected: Option<(RunPlace, SweepRecord)> = None;
    for (((place, guest), line), number) in records.zip(text.lines()).zip(1..) {
        let same =
            |other: &RunPlace| (other.cell, other.contender) == (place.cell, place.contender);
        let (_, expected) = match &mut expected {
            Some(known) if same(&known.0) => known,
            known => known.insert((place, blank(manifest, place))),
        };
        (expected.seed, expected.guest) = (place.seed, guest);
        let record = SweepRecord::from_json_line(line)
            .map_err(|error| wrong(Some(number), error.to_string()))?;
        check_record(&record, expected, manifest)
            .map_err(|problem| wrong(Some(number), problem))?;
        if record.to_json_line() != line {
            return Err(wrong(Some(number), "it is not written as this program does".to_owned()));
        }
        each(record);
    }
    Ok(bytes)
}

fn check_record(
    record: &SweepRecord,
    expected: &SweepRecord,
    manifest: &SweepManifest,
) -> Result<(), String> {
    fn key(record: &SweepRecord) -> (u64, &str, u64, Option<u32>) {
        (record.cell, &record.contender, record.seed, record.guest)
    }
    if key(record) != key(expected) {
        return Err(format!("it is {}, and {} belongs here", name(record), name(expected)));
    }
    if record.axes != expected.axes || record.scheme != expected.scheme {
        return Err("its axes or scheme are another sweep's".to_owned());
    }
    let names = record.metrics.iter().map(|(metric, _)| metric.name);
    if !names.eq(manifest.metrics.iter().map(String::as_str)) {
        return Err("its metrics are another sweep's".to_owned());
    }
    Ok(())
}

fn name(record: &SweepRecord) -> String {
    let SweepRecord { cell, contender, seed, .. } = record;
    let guest = record.guest.map_or_else(String::new, |guest| format!(", guest {guest}"));
    format!("cell {cell}, contender \"{contender}\", seed {seed}{guest}")
}
