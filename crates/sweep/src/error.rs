//! Why a sweep is refused, or could not go on.

use crate::aside::AsideError;
use lazycopy_results::ResultsError;
use lazycopy_scenario::ScenarioError;
use lazycopy_simulation::RunError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a sweep is refused, or could not go on. Its text names what is wrong and says what would
/// be right.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Another version of this program has computed what is there.
    #[error(
        "{}: version {found} has computed this sweep, and this is version {}; merge it with that \
         one, or compute it again into another directory",
        directory.display(),
        lazycopy_results::PROGRAM_VERSION
    )]
    OtherVersion {
        /// The directory.
        directory: PathBuf,
        /// The version that its manifest names.
        found: String,
    },
    /// The results cannot be analysed.
    #[error(transparent)]
    Analysis(#[from] lazycopy_results::AnalysisError),
    /// The sweep file cannot be read.
    #[error("{}: {problem}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// The text is no sweep.
    #[error("{}: {}", file.display(), problem.trim_end())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong, with the line and a caret.
        problem: String,
    },
    /// A value breaks a rule.
    #[error("{}: {key}: {problem}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// The key of the sweep file.
        key: String,
        /// The rule, and what would be right.
        problem: String,
    },
    /// The scenario itself cannot be used, whatever the axes.
    #[error("{}: scenario: {error}", file.display())]
    Scenario {
        /// The sweep file.
        file: PathBuf,
        /// Why.
        error: ScenarioError,
    },
    /// The scenario of a cell and contender is refused.
    #[error("{}: {place}: {problem}", file.display())]
    Cell {
        /// The sweep file.
        file: PathBuf,
        /// The cell with its values, and the contender.
        place: String,
        /// Which entry is wrong, and why.
        problem: String,
    },
    /// A run could not be simulated.
    #[error("{place}, seed {seed}: {error}{}", bounds(error))]
    Run {
        /// The cell with its values, and the contender.
        place: String,
        /// The seed.
        seed: u64,
        /// Why.
        error: RunError,
    },
    /// The directory belongs to something else.
    #[error("{}: {problem}; choose another directory for these results", directory.display())]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// What is there.
        problem: String,
    },
    /// There is no sweep in the directory.
    #[error("{}: there is no sweep here (no sweep.json); name the directory that `manager sweep FILE --out DIR` wrote", directory.display())]
    NoSweep {
        /// The directory.
        directory: PathBuf,
    },
    /// The manifest or the results cannot be read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// The system refuses to write or read.
    #[error("{}: {error}{}", path.display(), remedy(error))]
    Io {
        /// What it was to write or read.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Blocks are missing.
    #[error("{}: {} of {blocks} blocks are missing: {}; to compute them: {command}", directory.display(), missing.len(), ranges(missing))]
    Holes {
        /// The directory.
        directory: PathBuf,
        /// How many there should be.
        blocks: u64,
        /// Their numbers, ascending.
        missing: Vec<u64>,
        /// The command that computes them.
        command: String,
    },
    /// A block's file does not hold what it should.
    #[error("{}{}: {problem}; remove this file, and have it computed again: {command}", file.display(), at_line(*line))]
    Block {
        /// Its file.
        file: PathBuf,
        /// The line, from 1; `None` where the file as a whole is wrong.
        line: Option<usize>,
        /// What is wrong with it.
        problem: String,
        /// The command that computes it.
        command: String,
    },
    /// Something lies among the blocks that is none.
    #[error("{}: it is no block of this sweep, whose blocks are 0.jsonl to {}.jsonl; remove it", file.display(), blocks - 1)]
    NoBlock {
        /// The file.
        file: PathBuf,
        /// How many blocks there are, at least 1.
        blocks: u64,
    },
    /// The threads could not be started.
    #[error("{threads} threads cannot be started: {problem}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        problem: String,
    },
}

impl From<AsideError> for SweepError {
    fn from(AsideError { path, error }: AsideError) -> Self {
        SweepError::Io { path, error }
    }
}

/// Numbers that are shown before it is said how many more there are.
const RANGES_SHOWN: usize = 12;

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SweepError {
    let path = path.to_owned();
    |error| SweepError::Io { path, error }
}

/// What to do about a failure of the system.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room and start the same command again: finished blocks are kept"
        }
        _ => "",
    }
}

/// What keeps a run from going on for ever.
fn bounds(error: &RunError) -> &'static str {
    match error {
        RunError::Exceeded(_) => {
            "; bound its rounds by migration.max_rounds or migration.max_time, or leave this value \
             out"
        }
        _ => "",
    }
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}

/// Ascending numbers in short: `0, 3 to 7, 9`.
fn ranges(numbers: &[u64]) -> String {
    let chunks: Vec<&[u64]> = numbers.chunk_by(|one, next| one + 1 == *next).collect();
    let texts = chunks.iter().take(RANGES_SHOWN).map(|chunk| match chunk {
        [.., last] if chunk.len() > 1 => format!("{} to {last}", chunk[0]),
        _ => chunk[0].to_string(),
    });
    let shown = texts.collect::<Vec<_>>().join(", ");
    match chunks.iter().skip(RANGES_SHOWN).map(|chunk| chunk.len()).sum() {
        0usize => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_blocks_are_listed_in_short() {
        assert_eq!(ranges(&[4]), "4");
        assert_eq!(ranges(&[0, 3, 4, 5, 9, 10]), "0, 3 to 5, 9 to 10");
        let odd: Vec<u64> = (0..20).map(|number| 2 * number).collect();
        assert_eq!(ranges(&odd), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22 and 8 more");
    }

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let error = io_error(Path::new("DIR/parts"))(io::ErrorKind::StorageFull.into());
        assert!(error.to_string().contains("make room and start the same command again"));
    }
}
