//! Workloads: what a guest touches, and when.

mod random;
mod synthetic;
mod trace;
mod zipf;

pub use trace::{TraceSummary, summarize_trace};

use crate::spec::{GuestSpec, SpecError};
use lazycopy_units::{Duration, PageNumber};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One access to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Time from the completion of the access before to the beginning of this one, at least 1 ns.
    pub think: Duration,
    /// The page.
    pub page: PageNumber,
    /// Whether and what it writes.
    pub write: Write,
}

/// What an access writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing: it reads.
    None,
    /// A part of the page.
    Part,
    /// The whole page, without reading any of it.
    WholePage,
}

/// Accesses per batch, for workloads that have so many at hand: enough that the call does not
/// count, few enough to stay in the first-level cache.
pub(crate) const BATCH: usize = 256;

/// What yields a guest's accesses. Its position is the index of the next access alone, so that a
/// guest is moved by moving its registers.
pub trait Workload: Send {
    /// Appends the next accesses to `batch`, at least one.
    ///
    /// # Errors
    /// When the workload cannot go on, for instance because its trace is broken.
    fn fill(&mut self, batch: &mut Vec<Access>) -> Result<(), WorkloadError>;
}

/// A line of a trace that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("trace {}, line {line}: {problem}{shown}", file.display())]
pub struct MalformedLine {
    /// The trace.
    pub file: PathBuf,
    /// Number of the line, from 1.
    pub line: u64,
    /// What is wrong with it, without a word of it.
    pub problem: String,
    /// The beginning of the line, to be put behind the problem; empty where it says nothing.
    pub shown: String,
}

/// Why a workload cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// The trace cannot be opened or read.
    #[error("trace {}: {problem}", file.display())]
    Unreadable {
        /// The trace.
        file: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// A line of the trace is not what valgrind's lackey prints.
    #[error(transparent)]
    Malformed(Box<MalformedLine>),
    /// The trace touches more pages than the guest has.
    #[error("trace {} touches {touched} pages, guest.pages is {pages}", file.display())]
    TooManyPages {
        /// The trace.
        file: PathBuf,
        /// Pages that it touches (at least).
        touched: u64,
        /// Pages that the guest has.
        pages: u32,
    },
    /// The trace has no reference at all.
    #[error("trace {} has no reference in it", file.display())]
    Empty {
        /// The trace.
        file: PathBuf,
    },
}

impl WorkloadError {
    /// The error in words for who named the file but may not read it: nothing of a trace is quoted.
    pub fn unquoted(&self) -> String {
        let mut error = self.clone();
        if let WorkloadError::Malformed(malformed) = &mut error {
            malformed.shown.clear();
        }
        error.to_string()
    }
}

/// Which workload a guest runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum WorkloadSpec {
    /// The paper's: a queue of `length` page numbers drawn uniformly, read in order, wrapping.
    Queue {
        /// Entries of the queue, at least 1.
        length: u32,
    },
    /// A written-out queue, read in order, wrapping.
    List {
        /// The page numbers.
        pages: Vec<PageNumber>,
    },
    /// Pages drawn independently with probability proportional to 1 / (number + 1)^exponent.
    Zipf {
        /// The exponent, 0 (uniform) to 10.
        exponent: f64,
    },
    /// Page after page in the order of their numbers, wrapping.
    Sequential,
    /// What a real program touched, as recorded by `valgrind --tool=lackey --trace-mem=yes`,
    /// plain or compressed with gzip; it wraps at its end.
    Trace {
        /// The recording.
        file: PathBuf,
        /// Model time per instruction, at least 1 ns.
        instruction_time: Duration,
    },
}

/// The longest queue or list.
pub const MAX_QUEUE_LENGTH: u32 = 1 << 24;

impl WorkloadSpec {
    pub(crate) fn validate(&self, pages: u32) -> Result<(), SpecError> {
        let fail = |key, problem: String| Err(SpecError::new(key, problem));
        match self {
            WorkloadSpec::Queue { length } if !(1..=MAX_QUEUE_LENGTH).contains(length) => fail(
                "guest.workload.length",
                format!("{length} is outside 1 to {MAX_QUEUE_LENGTH}"),
            ),
            WorkloadSpec::List { pages: list } if list.is_empty() => {
                fail("guest.workload.pages", "the list is empty".to_owned())
            }
            WorkloadSpec::List { pages: list } => match list.iter().find(|page| page.0 >= pages) {
                Some(page) => fail(
                    "guest.workload.pages",
                    format!("page {page} is not below guest.pages, which is {pages}"),
                ),
                None => Ok(()),
            },
            WorkloadSpec::Zipf { exponent } if !(0.0..=10.0).contains(exponent) => {
                fail("guest.workload.exponent", format!("{exponent} is outside 0 to 10"))
            }
            WorkloadSpec::Trace { instruction_time: Duration::ZERO, .. } => {
                fail("guest.workload.instruction_time", "it must be at least 1ns".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Opens the guest's workload at access number `position`.
///
/// # Errors
/// When its trace cannot be read.
pub fn open_workload(spec: &GuestSpec, position: u64) -> Result<Box<dyn Workload>, WorkloadError> {
    Ok(match &spec.workload {
        WorkloadSpec::Queue { length } => {
            let queue = random::page_queue(spec.seed, *length, spec.pages);
            Box::new(synthetic::Cycle::new(spec, queue, position))
        }
        WorkloadSpec::List { pages } => {
            Box::new(synthetic::Cycle::new(spec, pages.clone(), position))
        }
        WorkloadSpec::Sequential => Box::new(synthetic::Sequential::new(spec, position)),
        WorkloadSpec::Zipf { exponent } => Box::new(zipf::Zipf::new(spec, *exponent, position)),
        WorkloadSpec::Trace { file, instruction_time } => {
            Box::new(trace::Trace::open(file, *instruction_time, spec.pages, position)?)
        }
    })
}
