//! Writes a report beside what it is about.

use lazycopy_report::Report;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The page.
pub(super) const PAGE: &str = "report.html";

/// The directory of its figures.
pub(super) const FIGURES: &str = "figures";

/// A report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}; nothing half-written is left", path.display())]
pub(super) struct WriteError {
    path: PathBuf,
    problem: io::Error,
}

/// Writes the figures, then the page: each aside and renamed, so that a file that is there is
/// whole, and a page that is there has its figures.
pub(super) fn write(directory: &Path, report: &Report) -> Result<(), WriteError> {
    if !report.figures.is_empty() {
        let figures = directory.join(FIGURES);
        fs::create_dir_all(&figures)
            .map_err(|problem| WriteError { path: figures.clone(), problem })?;
        for (name, drawing) in &report.figures {
            replace(&figures, &format!("{name}.svg"), drawing)?;
        }
    }
    replace(directory, PAGE, &report.html)
}

/// Writes a file of that directory aside and renames it.
pub(super) fn replace(directory: &Path, name: &str, text: &str) -> Result<(), WriteError> {
    let path = directory.join(name);
    let aside = directory.join(format!(".{name}.{}.partial", std::process::id()));
    fs::write(&aside, text).and_then(|()| fs::rename(&aside, &path)).map_err(|problem| {
        // What went wrong first is what matters.
        let _ = fs::remove_file(&aside);
        WriteError { path, problem }
    })
}
