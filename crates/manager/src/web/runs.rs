//! Finished runs, read from their directories for play-back.

use super::failure::Failure;
use super::serving::{Serving, json};
use crate::accesses::{self, Accesses, AccessesError};
use crate::past::{dated, guest};
use axum::Json;
use axum::extract::{Path as Named, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use lazycopy_results::{EventReader, EventTally, ResultsError, RunRecord, load_run};
use serde_json::{Value, json as value};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// Runs that are listed: the newest.
const MAX_LISTED: usize = 500;

/// The largest file of events that is played back, more than half a million lines: a page holds
/// all of them at once.
const MAX_EVENTS_BYTES: u64 = 64 << 20;

/// Accesses that are made again at most: a page holds all of them at once.
const MOST_ACCESSES: u64 = 1 << 20;

const RESULT: &str = "result.json";
const EVENTS: &str = "events.jsonl";
const BEFORE: &str = "before.txt";

/// The longest name of a file.
const MAX_NAME_BYTES: usize = 255;

pub(super) async fn list(State(serving): State<Serving>) -> Result<Json<Value>, Failure> {
    let results = serving.manager.settings().out.clone();
    let listed = tokio::task::spawn_blocking(move || listed(&results)).await;
    let listed = listed.map_err(Failure::internal)?;
    Ok(Json(Value::Array(listed.map_err(|error| Failure::refused(error.to_string()))?)))
}

pub(super) async fn result(
    State(serving): State<Serving>,
    Named(name): Named<String>,
) -> Result<Response, Failure> {
    let directory = directory(&serving.manager.settings().out, &name)?;
    let read = tokio::task::spawn_blocking(move || {
        // Whatever cannot be shown is told before anything of it is.
        load_run(&directory).map_err(failure)?;
        read(&directory.join(RESULT))
    });
    Ok(json(read.await.map_err(Failure::internal)??))
}

pub(super) async fn events(
    State(serving): State<Serving>,
    Named(name): Named<String>,
) -> Result<Response, Failure> {
    let directory = directory(&serving.manager.settings().out, &name)?;
    let read = tokio::task::spawn_blocking(move || {
        let record = load_run(&directory).map_err(failure)?;
        let path = directory.join(EVENTS);
        let text = read(&path)?;
        check(&path, &text, &record).map_err(failure)?;
        Ok::<_, Failure>(text)
    });
    let text = read.await.map_err(Failure::internal)??;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// Both servers just before the migration, in words: which pages the guest had, in their order.
pub(super) async fn before(
    State(serving): State<Serving>,
    Named(name): Named<String>,
) -> Result<Response, Failure> {
    let path = directory(&serving.manager.settings().out, &name)?.join(BEFORE);
    let text = tokio::task::spawn_blocking(move || read(&path)).await;
    let text = text.map_err(Failure::internal)??;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// The accesses of the run's guest, made again.
pub(super) async fn accesses(
    State(serving): State<Serving>,
    Named(name): Named<String>,
) -> Result<Json<Accesses>, Failure> {
    let directory = directory(&serving.manager.settings().out, &name)?;
    let made = tokio::task::spawn_blocking(move || {
        let record = load_run(&directory).map_err(failure)?;
        let path = directory.join(EVENTS);
        let text = read(&path)?;
        let events = EventReader::new(&path, text.as_bytes()).collect::<Result<Vec<_>, _>>();
        let made = accesses::accesses(&record, &events.map_err(failure)?, MOST_ACCESSES);
        made.map_err(|error| match error {
            AccessesError::Recorded => Failure::unknown(error.to_string()),
            AccessesError::TooMany { .. } => Failure::too_large(error.to_string()),
            _ => Failure::refused(error.to_string()),
        })
    });
    Ok(Json(made.await.map_err(Failure::internal)??))
}

/// The directory of the run of that name: directly below the results, and there.
fn directory(results: &Path, name: &str) -> Result<PathBuf, Failure> {
    let mut parts = Path::new(name).components();
    let is_single = match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) => part == name,
        _ => false,
    };
    let is_name = is_single && name.len() <= MAX_NAME_BYTES && !name.starts_with('.');
    if !is_name {
        return Err(Failure::unknown(format!("{name:?} is no name of a run")));
    }
    let directory = results.join(name);
    match directory.is_dir() {
        true => Ok(directory),
        false => Err(Failure::unknown(format!("there is no run {}", directory.display()))),
    }
}

/// A file of a run as text.
fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => Failure::unknown(format!("{} is not there", path.display())),
        _ => Failure::refused(format!("{}: {error}", path.display())),
    };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > MAX_EVENTS_BYTES {
        return Err(Failure::too_large(format!(
            "{} has {size} bytes, more than the {MAX_EVENTS_BYTES} that a page plays back: make a \
             report of it instead",
            path.display()
        )));
    }
    let bytes = fs::read(path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Failure::refused(format!("{}, line {line}: it is no text", path.display()))
    })
}

fn failure(error: ResultsError) -> Failure {
    match &error {
        ResultsError::Io { path, error: problem } if problem.kind() == ErrorKind::NotFound => {
            Failure::unknown(format!("{} is not there", path.display()))
        }
        _ => Failure::refused(error.to_string()),
    }
}

/// Whether that is the log of that run, from its beginning to its end.
fn check(path: &Path, text: &str, record: &RunRecord) -> Result<(), ResultsError> {
    let mut tally = EventTally::default();
    for event in EventReader::new(path, text.as_bytes()) {
        tally.note(&event?);
    }
    tally.check(path, record)
}

/// The newest runs below a folder, newest first; none if there is no such folder.
fn listed(results: &Path) -> io::Result<Vec<Value>> {
    let entries = match fs::read_dir(results) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut runs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let is_run = [RESULT, EVENTS].iter().any(|file| path.join(file).exists());
        if is_run && !name.starts_with('.') {
            runs.push((started(name, &path), name.to_owned()));
        }
    }
    runs.sort_by(|first, second| second.cmp(first));
    runs.truncate(MAX_LISTED);
    Ok(runs.into_iter().map(|(started, name)| listing(results, &name, started)).collect())
}

/// When a run was written: by its name, or else by its directory.
fn started(name: &str, path: &Path) -> SystemTime {
    dated(name).map(|(date, _)| date).unwrap_or_else(|| {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        modified.unwrap_or(SystemTime::UNIX_EPOCH)
    })
}

/// A run in the list, or what is wrong with it.
fn listing(results: &Path, name: &str, started: SystemTime) -> Value {
    let started = humantime::format_rfc3339_seconds(started).to_string();
    let record = match load_run(&results.join(name)) {
        Ok(record) => record,
        Err(error) => {
            return value!({ "name": name, "started": started, "error": error.to_string() });
        }
    };
    let (metrics, of_guest) = (&record.metrics, &record.scenario["guest"]);
    value!({
        "name": name,
        "vm": guest(name, record.scheme.name()),
        "scheme": record.scheme,
        "source": record.source_server,
        "destination": record.destination_server,
        "outcome": metrics.outcome,
        "started": started,
        "seed": record.seed,
        "total_migration_time_ns": metrics.total_migration_time_ns,
        "faults": metrics.faults,
        "stall_time_ns": metrics.stall_time_ns,
        "downtime_ns": metrics.downtime_ns,
        "pages": of_guest["pages"],
        "frames": of_guest["frames"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_are_single_names() {
        let folder = tempfile::TempDir::new().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        fs::create_dir(folder.path().join("a copy, renamed")).unwrap();
        for name in ["run", "a copy, renamed"] {
            assert!(directory(folder.path(), name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "../run", "run/..", "run/", "/etc", "run\0", ".run", "file"] {
            let refused = directory(folder.path(), name).unwrap_err();
            assert_eq!(refused.status().as_u16(), 404, "{name}");
        }
    }
}
