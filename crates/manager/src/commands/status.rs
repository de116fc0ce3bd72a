//! `status`, `results`, `events`.

use super::pace::{how_it_goes, pace_json};
use super::server::{server_json, servers_table};
use super::vm::vms_table;
use crate::grammar::EventLevel;
use crate::manager::{Manager, State};
use crate::past::guest;
use crate::render::{pause, progress, table, table_or, time};
use crate::reply::Reply;
use lazycopy_migration::Metrics;
use lazycopy_results::RunRecord;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

impl Manager {
    pub(super) fn status(&self) -> Reply {
        let listening = format!("Listening on {}.", self.address());
        let (text, json) = self.read(|state| {
            let pace = state.fleet.pace();
            let otherwise = if pace.is_usual() { String::new() } else { how_it_goes(&pace) + "\n" };
            let text = format!(
                "{listening}\n{otherwise}\n{}\n\n{}\n\n{}",
                servers_table(state),
                vms_table(state),
                running_table(state)
            );
            (text, status_json(state))
        });
        let mut json = json;
        json["address"] = Value::from(self.address().to_string());
        Reply::new(text, json)
    }

    pub(super) fn results(&self) -> Reply {
        self.read(|state| {
            let ended = || state.fleet.migrations().filter_map(|(id, m)| Some((id, m, m.ended()?)));
            let json: Vec<Value> = ended()
                .map(|(id, migration, ended)| {
                    json!({
                        "migration": id, "vm": migration.vm, "source": migration.source,
                        "destination": migration.destination, "directory": ended.directory,
                        "result": ended.record,
                    })
                })
                .collect();
            let past = self.past_runs();
            let before = past.iter().map(|(name, record)| {
                json!({
                    "migration": null, "vm": guest(name, record.scheme.name()),
                    "source": record.source_server, "destination": record.destination_server,
                    "directory": self.settings().out.join(name), "result": record,
                })
            });
            let json: Vec<Value> = before.chain(json).collect();
            let text = results_table(state, past, &self.settings().out);
            Reply::new(text, json!({ "results": json }))
        })
    }

    pub(super) fn events_command(&self, level: Option<EventLevel>) -> Reply {
        let level = self.change(|state| {
            state.level = level.unwrap_or(state.level);
            state.level
        });
        let text = format!("Events of running migrations: {}.", level.name());
        Reply::new(text, json!({ "events": level.name() }))
    }
}

fn running_table(state: &State) -> String {
    let mut running = table(&["migration", "guest", "source", "destination", "scheme", "progress"]);
    for (id, migration) in state.fleet.running() {
        running.add_row([
            id.0.to_string(),
            migration.vm.clone(),
            migration.source.clone(),
            migration.destination.clone(),
            migration.parameters.scheme.to_string(),
            match migration.pause() {
                Some(_) => format!("paused; {}", progress(&migration.transfer)),
                None => progress(&migration.transfer),
            },
        ]);
    }
    let mut text = table_or(running, "No migration runs.");
    for (id, migration) in state.fleet.running() {
        if let Some(broken) = migration.pause() {
            let told = pause(&migration.vm, broken);
            text.push_str(&format!("\n\nMigration {} is {told}", id.0));
        }
    }
    text
}

fn status_json(state: &State) -> Value {
    let servers: Vec<Value> =
        state.fleet.servers().map(|(name, _)| server_json(state, name)).collect();
    let vms: Vec<Value> = state
        .fleet
        .vms()
        .map(|(name, vm)| {
            json!({
                "name": name, "server": vm.server, "phase": vm.phase,
                "pages": vm.pages, "frames": vm.frames,
            })
        })
        .collect();
    let migrations: Vec<Value> = state
        .fleet
        .running()
        .map(|(id, migration)| {
            json!({
                "migration": id, "vm": migration.vm, "source": migration.source,
                "destination": migration.destination, "parameters": migration.parameters,
                "progress": migration.transfer, "pause": migration.pause(),
            })
        })
        .collect();
    let pace = pace_json(&state.fleet.pace());
    json!({ "pace": pace, "servers": servers, "vms": vms, "migrations": migrations })
}

fn results_table(state: &State, past: &BTreeMap<String, RunRecord>, out: &Path) -> String {
    let mut results = table(&[
        "migration",
        "guest",
        "scheme",
        "outcome",
        "total",
        "downtime",
        "stall",
        "faults",
        "pages",
        "directory",
    ]);
    for (name, record) in past {
        let scheme = record.scheme.name();
        let vm = guest(name, scheme).unwrap_or("-");
        let outcome = record.metrics.outcome.to_string();
        let of = ["-", vm, scheme, &outcome].map(str::to_owned);
        results.add_row(results_row(of, Some(&record.metrics), Some(&out.join(name))));
    }
    for (id, migration) in state.fleet.migrations() {
        let Some(ended) = migration.ended() else { continue };
        let metrics = ended.record.as_ref().map(|record| &record.metrics);
        let (scheme, outcome) = (migration.parameters.scheme, ended.verdict.outcome);
        let of = [id.0.to_string(), migration.vm.clone(), scheme.to_string(), outcome.to_string()];
        results.add_row(results_row(of, metrics, ended.directory.as_deref()));
    }
    table_or(results, "No migration has ended yet.")
}

/// A row of the table: of which migration, its metrics, and where it was written.
fn results_row(
    of: [String; 4],
    metrics: Option<&Metrics>,
    directory: Option<&Path>,
) -> impl Iterator<Item = String> {
    let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    let figures = [
        time(metrics.and_then(|metrics| metrics.total_migration_time_ns)),
        time(metrics.and_then(|metrics| metrics.downtime_ns)),
        time(metrics.map(|metrics| metrics.stall_time_ns)),
        count(metrics.map(|metrics| metrics.faults)),
        count(metrics.map(|metrics| metrics.pages_transferred)),
        directory.map_or("-".to_owned(), |path| path.display().to_string()),
    ];
    of.into_iter().chain(figures)
}
