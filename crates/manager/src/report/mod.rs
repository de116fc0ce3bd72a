//! Pages with figures about what is there already: a run, a simulation, a sweep.

mod player;
pub(crate) mod reading;
mod writing;

use crate::console::Console;
use crate::session::{fail, printed};
use lazycopy_report::{Report, SweepReport, run_report};
use reading::{Kind, ReadError, WholeRun};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to report on.
#[derive(clap::Args, Clone, Debug)]
pub struct ReportArguments {
    /// The directory of a run, of a simulation or of a sweep; the report is written there
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] writing::WriteError),
}

/// Writes the report of a directory into it, and says where it is.
pub(crate) fn run(arguments: &ReportArguments) -> ExitCode {
    let directory = &arguments.directory;
    match write(directory) {
        Ok(figures) => {
            let page = directory.join(writing::PAGE);
            let figures = match figures {
                0 => "It has no figures.".to_owned(),
                count => format!(
                    "Its {count} figures are also in {}.",
                    directory.join(writing::FIGURES).display()
                ),
            };
            let console = Console::stdout();
            console.print(&format!("The report is {}. {figures}", page.display()));
            printed(&console, ExitCode::SUCCESS)
        }
        Err(error) => fail(error),
    }
}

/// Writes it, and returns how many figures it has.
fn write(directory: &Path) -> Result<usize, ReportError> {
    let report = match reading::kind(directory)? {
        Kind::Run => {
            let WholeRun { record, events, extras } = reading::run(directory)?;
            run_report(&record, &events, &extras, Some(&player::player()))
        }
        Kind::Simulation => reading::simulation(directory)?.report(),
        Kind::Sweep => sweep(directory)?,
    };
    writing::write(directory, &report)?;
    Ok(report.figures.len())
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
