//! Pages with figures about what is there already: a run, a simulation, a sweep.

mod player;
pub(crate) mod reading;
mod writing;

use crate::session::{fail, print};
use lazycopy_report::{Report, SweepReport, pair_report, run_report};
use reading::{Kind, ReadError, WholeRun};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to report on.
#[derive(clap::Args, Clone, Debug)]
pub struct ReportArguments {
    /// The directory of a run, of a simulation or of a sweep; the report is written there
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,
    /// The directory of another run: both on one axis of time, written into the first
    #[arg(value_name = "OTHER")]
    pub other: Option<PathBuf>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] writing::WriteError),
    #[error("{} is no run: two runs are compared, each by its directory", .0.display())]
    NoRun(PathBuf),
}

/// What was written, in words and for machines.
struct Said {
    text: String,
    found: Value,
}

/// Writes the report of a directory into it, and says where it is.
pub(crate) fn run(arguments: &ReportArguments, json: bool) -> ExitCode {
    let said = match &arguments.other {
        Some(other) => write_pair(&arguments.directory, other),
        None => write(&arguments.directory),
    };
    match said {
        Ok(Said { text, found }) => print(&text, json.then_some(found)),
        Err(error) => fail(error),
    }
}

/// Writes the report of two runs into the first one's directory, and says where it is.
fn write_pair(directory: &Path, other: &Path) -> Result<Said, ReportError> {
    for directory in [directory, other] {
        if reading::kind(directory)? != Kind::Run {
            return Err(ReportError::NoRun(directory.to_owned()));
        }
    }
    let (first, second) = (reading::run(directory)?, reading::run(other)?);
    let runs = [&first, &second].map(|run| (&run.record, &*run.events, &run.extras));
    let report = pair_report(runs, &player::player());
    // The directory may have been renamed since; `..` has no name of its own.
    let name = other.file_name().map_or("another".into(), |name| name.to_string_lossy());
    let page = format!("compared-with-{name}.html");
    writing::replace(directory, &page, &report.html)?;
    let page = directory.join(page);
    let text = format!("The report of both is {}.", page.display());
    Ok(Said { text, found: json!({ "report": page }) })
}

/// Writes the report of a directory into it, and says where it is.
fn write(directory: &Path) -> Result<Said, ReportError> {
    let report = match reading::kind(directory)? {
        Kind::Run => {
            let WholeRun { record, events, extras } = reading::run(directory)?;
            run_report(&record, &events, &extras, Some(&player::player()))
        }
        Kind::Simulation => reading::simulation(directory)?.report(),
        Kind::Sweep => sweep(directory)?,
    };
    writing::write(directory, &report)?;
    let (page, figures) = (directory.join(writing::PAGE), directory.join(writing::FIGURES));
    let count = report.figures.len();
    let told = match count {
        0 => "It has no figures.".to_owned(),
        count => format!("Its {count} figures are also in {}.", figures.display()),
    };
    let text = format!("The report is {}. {told}", page.display());
    let found = json!({ "report": page, "figures": count, "figures_directory": figures });
    Ok(Said { text, found })
}

/// The report of a sweep.
fn sweep(directory: &Path) -> Result<Report, ReportError> {
    let analysis = reading::sweep(directory)?;
    let mut report = SweepReport::of(&analysis);
    if report.wants_runs() {
        for record in reading::sweep_records(directory)? {
            report.add(&record.map_err(ReadError::from)?);
        }
    }
    Ok(report.finish())
}
