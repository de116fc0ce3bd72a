//! What runs leave behind: a record of each ([`RunRecord`]) in a directory of its own
//! ([`write_run`]), and what many of them say together ([`Comparison`]).

mod claims;
mod comparison;
mod directory;
mod events;
mod measure;
mod record;
mod statistics;
mod wording;

pub use claims::{Finding, FindingKind, Standing};
pub use comparison::{Comparison, Exclusion, SchemeColumn};
pub use directory::{
    BrokenRun, MAX_NAME_BYTES, ResultsError, RunFiles, Runs, list_runs, load_events, load_run,
    read_events, write_run,
};
pub use events::{forward_lead_mean, merge_events};
pub use measure::{Measure, Unit};
pub use record::{PROGRAM_VERSION, RecordError, RunRecord, SCHEMA_VERSION};
pub use statistics::{Paired, Summary};
