//! The end of a migration: its events are fetched, its guest is compared with the reference run,
//! its result is written, its servers forget it.

use crate::definition::Definition;
use crate::fleet::{Ended, Migration, Side};
use crate::manager::Manager;
use crate::render::time;
use crate::run_files::{self, Written};
use crate::verification::verify;
use lazycopy_migration::{Event, Outcome};
use lazycopy_protocol::control::{MigrationId, ServerCommand, ServerReply};
use std::sync::Arc;

/// How long the second side of a migration may take to report after the first, where nothing is
/// left for it to do.
pub const OTHER_SIDE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// The most events of one side that are fetched; what lies beyond stays out of the run's files.
/// They are a hundred bytes or so each, all in memory until they are written.
pub const MAX_EVENTS: usize = 4_000_000;

/// All that is known of a migration when both its sides have ended.
#[derive(Debug)]
pub(crate) struct Case {
    pub id: MigrationId,
    pub migration: Migration,
    /// What the guest was created from, if this manager has created it.
    pub definition: Option<Arc<Definition>>,
}

impl Manager {
    /// A side has reported or died and the other has not: waits for it, but not for ever where
    /// nothing keeps it.
    pub(crate) async fn await_other_side(&self, id: MigrationId) {
        let takes_its_time = self.read(|state| {
            state.fleet.migration(id).is_none_or(|migration| {
                let completed = |side| {
                    let report = migration.reported(side);
                    report.is_some_and(|report| report.verdict.outcome == Outcome::Completed)
                };
                let source_is_silent =
                    !migration.awaits(Side::Source) && migration.reported(Side::Source).is_none();
                migration.awaits(Side::Destination) && (source_is_silent || completed(Side::Source))
            })
        });
        if takes_its_time {
            return;
        }
        tokio::time::sleep(OTHER_SIDE_DEADLINE).await;
        if self.change(|state| state.fleet.give_up_waiting(id)) {
            self.notice(&format!(
                "migration {}: a side did not report within {} s and is given up",
                id.0,
                OTHER_SIDE_DEADLINE.as_secs()
            ));
            self.conclude(id).await;
        }
    }

    /// Both sides of a migration have ended: writes its result.
    pub(crate) async fn conclude(&self, id: MigrationId) {
        let case = self.read(|state| {
            let migration = state.fleet.migration(id)?.clone();
            let vm = state.fleet.vm(&migration.vm).ok();
            let definition = vm.and_then(|vm| vm.definition.clone());
            Some(Case { id, migration, definition })
        });
        let Some(case) = case else { return };
        let source = self.fetch_events(&case, Side::Source).await;
        let destination = self.fetch_events(&case, Side::Destination).await;
        let out = self.settings().out.clone();
        let (vm, servers) = (
            case.migration.vm.clone(),
            [case.migration.source.clone(), case.migration.destination.clone()],
        );
        let (verdict, whereabouts) = case.migration.verdict();
        let turn = self.turn_to_verify().await;
        let written = tokio::task::spawn_blocking(move || {
            let verification = verify(&case);
            run_files::write(&out, &case, &verification, [source, destination])
        })
        .await;
        drop(turn);
        let mut ended = Ended { verdict, whereabouts, record: None, directory: None, wrong: None };
        match written {
            Ok(Written { record, directory, wrong }) => {
                match directory {
                    Ok(directory) => ended.directory = Some(directory),
                    Err(error) => ended.wrong = Some(format!("its result is not written: {error}")),
                }
                ended.wrong = wrong.or(ended.wrong);
                ended.record = Some(Box::new(record));
            }
            Err(panicked) => ended.wrong = Some(format!("its result is not written: {panicked}")),
        }
        for server in servers {
            if let Ok(connection) = self.connection(&server) {
                let _ = connection.tell(ServerCommand::ForgetMigration { migration: id }).await;
            }
        }
        let line = summary_line(id, &vm, &ended);
        self.change(|state| {
            state.fleet.conclude(id, ended);
            // Printed before anybody who waits for it goes on.
            self.notice(&line);
        });
    }

    /// The events of one side, as far as they can still be had.
    async fn fetch_events(&self, case: &Case, side: Side) -> Vec<Event> {
        let server = match side {
            Side::Source => &case.migration.source,
            Side::Destination => &case.migration.destination,
        };
        let mut fetched = Vec::new();
        let expected = case.migration.reported(side).map_or(0, |report| report.events);
        let Ok(connection) = self.connection(server) else { return fetched };
        while (fetched.len() as u64) < expected && fetched.len() < MAX_EVENTS {
            let from = fetched.len() as u64;
            let fetch = ServerCommand::FetchEvents { migration: case.id, from };
            match connection.ask(fetch).await {
                Ok(ServerReply::Events { events, last }) => {
                    let nothing_more = last || events.is_empty();
                    fetched.extend(events);
                    if nothing_more {
                        break;
                    }
                }
                Ok(_) => break,
                Err(error) => {
                    self.notice(&format!("migration {}: events are missing: {error}", case.id.0));
                    break;
                }
            }
        }
        fetched
    }
}

/// A migration that is over in one line.
pub(crate) fn summary_line(id: MigrationId, vm: &str, ended: &Ended) -> String {
    let mut line = format!("Migration {} of \"{vm}\": {}", id.0, ended.verdict.outcome);
    match &ended.record {
        Some(record) if ended.verdict.outcome == Outcome::Completed => {
            let metrics = &record.metrics;
            line.push_str(&format!(
                " in {} (downtime {}, stall {}), page faults: {}, pages: {}",
                time(metrics.total_migration_time_ns),
                time(metrics.downtime_ns),
                time(Some(metrics.stall_time_ns)),
                metrics.faults,
                metrics.pages_transferred
            ));
        }
        _ => line.push_str(&format!(": {}", ended.verdict.reason)),
    }
    if let Some(directory) = &ended.directory {
        line.push_str(&format!("; {}", directory.display()));
    }
    if ended.record.as_ref().is_some_and(|record| record.slip_exceeded) {
        let late = "marked: the processes were too late for their model time, so that its figures \
                    may differ from those of an undisturbed run; take a smaller time_scale";
        line.push_str(&format!("\nMigration {}: {late}", id.0));
    }
    if let Some(wrong) = &ended.wrong {
        line.push_str(&format!("\nMigration {}: {wrong}", id.0));
    }
    line
}
