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
/// whole, and a page that is there has its figures. Figures of an earlier report that this one
/// does not have are removed.
pub(super) fn write(directory: &Path, report: &Report) -> Result<(), WriteError> {
    let figures = directory.join(FIGURES);
    remove_others(&figures, report);
    if !report.figures.is_empty() {
        fs::create_dir_all(&figures)
            .map_err(|problem| WriteError { path: figures.clone(), problem })?;
        for (name, drawing) in &report.figures {
            replace(&figures, &format!("{name}.svg"), drawing)?;
        }
    }
    replace(directory, PAGE, &report.html)
}

/// Removes drawings that are none of this report's. One that cannot be removed stays.
fn remove_others(figures: &Path, report: &Report) {
    let Ok(entries) = fs::read_dir(figures) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let drawing = path.extension().is_some_and(|extension| extension == "svg");
        let ours = |name: &str| report.figures.iter().any(|(figure, _)| figure == name);
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if drawing && !stem.is_some_and(ours) {
            let _ = fs::remove_file(&path);
        }
    }
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
