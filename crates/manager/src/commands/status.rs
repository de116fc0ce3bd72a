//! `status`, `results`, `events`.

use super::pace::{how_it_goes, pace_json};
use super::server::{server_json, servers_table};
use super::vm::vms_table;
use crate::grammar::EventLevel;
use crate::manager::{Manager, State};
use crate::render::{progress, table, table_or, time};
use crate::reply::Reply;
use serde_json::{Value, json};

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
            Reply::new(results_table(state), json!({ "results": json }))
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
            progress(&migration.transfer),
        ]);
    }
    table_or(running, "No migration runs.")
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
                "progress": migration.transfer,
            })
        })
        .collect();
    let pace = pace_json(&state.fleet.pace());
    json!({ "pace": pace, "servers": servers, "vms": vms, "migrations": migrations })
}

fn results_table(state: &State) -> String {
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
    for (id, migration) in state.fleet.migrations() {
        let Some(ended) = migration.ended() else { continue };
        let metrics = ended.record.as_ref().map(|record| &record.metrics);
        let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        results.add_row([
            id.0.to_string(),
            migration.vm.clone(),
            migration.parameters.scheme.to_string(),
            ended.verdict.outcome.to_string(),
            time(metrics.and_then(|metrics| metrics.total_migration_time_ns)),
            time(metrics.and_then(|metrics| metrics.downtime_ns)),
            time(metrics.map(|metrics| metrics.stall_time_ns)),
            count(metrics.map(|metrics| metrics.faults)),
            count(metrics.map(|metrics| metrics.pages_transferred)),
            ended.directory.as_ref().map_or("-".to_owned(), |path| path.display().to_string()),
        ]);
    }
    table_or(results, "No migration has ended yet.")
}
