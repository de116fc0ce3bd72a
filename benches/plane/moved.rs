//! Guests of the product, moved between two server processes.

use crate::laboratory::{Laboratory, SERVERS};
use crate::{Options, mapping};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Pages of a MiB.
const PAGES_PER_MIB: u64 = 256;

/// A guest that is created, moved once and forgotten.
#[derive(Clone, Debug)]
pub struct Move<'a> {
    /// How it is moved.
    pub scheme: &'a str,
    /// What differs from the scenario `unlimited`: `KEY=VALUE` of the guest and of the migration.
    pub guest: Vec<String>,
    /// See [`Move::guest`].
    pub migration: Vec<String>,
    /// The guest's memory.
    pub bytes: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Moved {
    /// The run's `result.json`.
    pub result: Value,
    /// Its events as they are in `events.jsonl`, those alone that were asked for.
    pub events: Vec<Value>,
}

/// A guest of the size that was asked for, whose pages all have a frame and are distinct and not
/// zero. It touches them at random, by a workload that keeps nothing for each page.
pub fn guest(options: &Options, think_time: &str, measured_accesses: u64) -> Vec<String> {
    let pages = u64::from(options.size) * PAGES_PER_MIB;
    vec![
        format!("guest.pages={pages}"),
        format!("guest.frames={pages}"),
        format!("guest.think_time={think_time}"),
        format!("measured_accesses={measured_accesses}"),
        "guest.workload.kind=zipf".to_owned(),
        "guest.workload.exponent=0".to_owned(),
    ]
}

/// How the sockets are set, and nothing modelled.
pub fn link(options: &Options, page_check: bool) -> Vec<String> {
    let mut settings = vec![format!("link.page_check={page_check}")];
    settings.extend(options.sockets().congestion.map(|name| format!("link.congestion={name}")));
    settings
}

impl Laboratory {
    /// Servers with room for one such guest at each end.
    pub fn for_one(options: &Options) -> Result<Laboratory> {
        Laboratory::start(u64::from(options.size) * PAGES_PER_MIB)
    }

    /// Creates a guest at the first server, moves it to the second into memory that is as warm as a
    /// stream's, and forgets it. Of its events
    /// those are kept whose line has one of these words.
    pub fn make(&self, what: &Move<'_>, words: &[&str]) -> Result<Moved> {
        let [_, to] = SERVERS;
        self.create(what)?;
        mapping::warm(what.bytes)?;
        let (result, directory) = self.migrate_into("g", to, what.scheme, &[])?;
        self.ctl("vm delete g --force")?;
        let events = events(&directory, words)?;
        std::fs::remove_dir_all(&directory)?;
        Ok(Moved { result, events })
    }

    /// Creates a guest at the first server.
    pub fn create(&self, what: &Move<'_>) -> Result<()> {
        let [from, _] = SERVERS;
        let create = what.guest.iter().chain(&what.migration);
        let created = create.map(|one| format!(" --set {one}")).collect::<String>();
        self.ctl(&format!("vm create g --on {from} --scenario unlimited{created}"))?;
        Ok(())
    }
}

fn events(directory: &Path, words: &[&str]) -> Result<Vec<Value>> {
    let mut events = Vec::new();
    if words.is_empty() {
        return Ok(events);
    }
    for line in BufReader::new(File::open(directory.join("events.jsonl"))?).lines() {
        let line = line?;
        if words.iter().any(|word| line.contains(word)) {
            events.push(serde_json::from_str(&line)?);
        }
    }
    Ok(events)
}

impl Moved {
    /// A figure of the result, in nanoseconds or bytes.
    pub fn figure(&self, name: &str) -> Result<f64> {
        self.result[name].as_f64().with_context(|| format!("the result has no {name}"))
    }

    /// When the first event of that name was, in nanoseconds.
    pub fn at(&self, event: &str) -> Result<f64> {
        let event = self.events.iter().find(|one| one["event"] == event);
        event.and_then(|one| one["at_ns"].as_f64()).context("an event is missing")
    }
}
