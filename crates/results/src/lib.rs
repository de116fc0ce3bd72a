//! What runs leave behind: a record of each ([`RunRecord`]) in a directory of its own
//! ([`RunWriter`]), what many of them say together ([`Comparison`]), what a sweep over many
//! scenarios leaves ([`SweepManifest`], [`SweepRecord`]), and what it says ([`SweepAnalysis`]).

mod analysis;
mod claims;
mod comparison;
mod directory;
mod event_reader;
mod events;
mod measure;
mod metric;
mod plane;
mod record;
mod run_writer;
mod statistics;
mod sweep;
mod sweep_record;
mod wording;

pub use analysis::{
    AnalysisError, CellAnalysis, CellFindings, CellMeasure, ContenderFigures, Extreme, Pair,
    Ranking, RunCounts, SWEEP_ANALYSIS_FILE, SWEEP_CELLS_FILE, SweepAnalysis, SweepClaims, Tally,
};
pub use claims::{Finding, FindingKind};
pub use comparison::{Comparison, Exclusion, SchemeColumn};
pub use directory::{
    BrokenRun, MAX_NAME_BYTES, ResultsError, Runs, list_runs, load_events, load_run, load_whole_run,
};
pub use event_reader::{EventError, EventReader, EventTally, Span};
pub use events::{ForwardLead, merge_events};
pub use measure::{Measure, Unit};
pub use metric::{Metric, MetricValue};
pub use plane::PlaneRecord;
pub use record::{PROGRAM_VERSION, RecordError, RunRecord, SCHEMA_VERSION};
pub use run_writer::RunWriter;
pub use statistics::{Difference, Paired, Quantiles, SIGNIFICANCE, Standing, Summary, holm};
pub use sweep::{
    AxisValues, RunPlace, SWEEP_FILE, SWEEP_PARTS_DIRECTORY, SWEEP_RESULTS_FILE, SWEEP_TABLE_FILE,
    SweepAxis, SweepCell, SweepContender, SweepManifest,
};
pub use sweep_record::{SweepRecord, SweepRecords};
