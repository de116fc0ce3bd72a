//! The end of a migration: its events are fetched, its guest is compared with the reference run,
//! its result is written, its servers forget it.

use crate::connection::{AskError, Connection};
use crate::definition::Definition;
use crate::fleet::{Ended, Migration, Side};
use crate::manager::{Manager, State};
use crate::render::time;
use crate::run_files::{self, Begun, Written};
use crate::verification::verify;
use lazycopy_migration::{EventRun, Outcome};
use lazycopy_protocol::control::{MigrationId, ServerCommand, ServerReply};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::{Instant, timeout};

/// How long the second side of a migration may take to report after the first, where nothing is
/// left for it to do.
pub const OTHER_SIDE_DEADLINE: Duration = Duration::from_secs(30);

/// The most entries of one side's events that are fetched: as many as a server keeps.
pub const MAX_ENTRIES: u64 = 1 << 22;

/// Pieces of one side's events that wait to be written; none is fetched before.
const MAX_WAITING_PIECES: usize = 1;

/// All that is known of a migration when both its sides have ended.
#[derive(Debug)]
pub(crate) struct Case {
    pub id: MigrationId,
    pub migration: Migration,
    /// What the guest was created from, if this manager or an earlier life of it has created it.
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
        // A side whose link is broken waits for the other as long as it was told to, and reports.
        let is_paused = |state: &State| {
            state.fleet.migration(id).is_some_and(|migration| migration.pause().is_some())
        };
        loop {
            self.until(|state| (!is_paused(state)).then_some(())).await;
            tokio::select! {
                () = self.until(|state| is_paused(state).then_some(())) => {}
                () = self.outlast(OTHER_SIDE_DEADLINE) => break,
            }
        }
        if self.change(|state| state.fleet.give_up_waiting(id)) {
            self.notice(&format!(
                "migration {}: a side did not report within {} s and is given up",
                id.0,
                OTHER_SIDE_DEADLINE.as_secs()
            ));
            self.conclude(id).await;
        }
    }

    /// Waits as long as the servers have so much of wall time at their usual pace: not while time
    /// stands still, and longer where it goes slower.
    async fn outlast(&self, deadline: Duration) {
        let mut left = deadline;
        while !left.is_zero() {
            let going = |state: &State| Some(state.fleet.pace()).filter(|pace| !pace.frozen);
            let pace = self.until(going).await;
            let since = Instant::now();
            let changed = self.until(|state| (state.fleet.pace() != pace).then_some(()));
            let _ = timeout(left * pace.slower, changed).await;
            left = left.saturating_sub(since.elapsed() / pace.slower);
        }
    }

    /// Both sides of a migration have ended: writes its result.
    pub(crate) async fn conclude(&self, id: MigrationId) {
        let case = self.read(|state| {
            let migration = state.fleet.migration(id)?.clone();
            let definition = state.fleet.definition_of(&migration.vm);
            Some(Case { id, migration, definition })
        });
        let Some(case) = case.map(Arc::new) else { return };
        let written = self.write(&case).await;
        let Migration { vm, source, destination, .. } = &case.migration;
        let (verdict, whereabouts) = case.migration.verdict();
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
        let line = summary_line(id, vm, &ended);
        self.change(|state| {
            if let Some(hub) = self.hub() {
                hub.ended(id, &case.migration, &ended);
            }
            state.fleet.conclude(id, ended);
            // Printed before anybody who waits for it goes on.
            self.notice(&line);
        });
        // From here on the servers need not remember it.
        self.kept().await;
        let acknowledge = [source, destination].map(|server| self.acknowledge(server, id));
        futures_util::future::join_all(acknowledge).await;
    }

    /// Tells a server that the end of a migration is known and its result written. One that does
    /// not hear it tells of the end again when it connects anew.
    async fn acknowledge(&self, server: &str, id: MigrationId) {
        if let Ok(connection) = self.connection(server) {
            let _ = connection.tell(ServerCommand::ForgetMigration { migration: id }).await;
        }
    }

    /// A server tells of an end once more that is known.
    pub(crate) fn acknowledge_again(&self, server: &str, id: MigrationId) {
        let (manager, server) = (self.clone(), server.to_owned());
        tokio::spawn(async move { manager.acknowledge(&server, id).await });
    }

    /// Compares the guest with its reference run and writes the result.
    async fn write(&self, case: &Arc<Case>) -> Result<Written, JoinError> {
        let begun = self.write_events(case).await?;
        let _turn = self.turn_to_verify().await;
        let case = Arc::clone(case);
        let finish = move || run_files::finish(begun, &case, &verify(&case));
        tokio::task::spawn_blocking(finish).await
    }

    /// Begins the run's directory with the events of both sides, piece by piece.
    async fn write_events(&self, case: &Arc<Case>) -> Result<Begun, JoinError> {
        // A server that hangs keeps nobody else waiting; one that has not reported is not asked.
        let Migration { source, destination, .. } = &case.migration;
        let sides = [(Side::Source, source), (Side::Destination, destination)];
        let asked = sides.into_iter().filter(|(side, _)| case.migration.reported(*side).is_some());
        let answering = asked.map(|(_, server)| self.answering_in_time(server));
        futures_util::future::join_all(answering).await;
        let _turn = self.turn_to_fetch().await;
        let (out, of_writer) = (self.settings().out.clone(), Arc::clone(case));
        let (source, from_source) = mpsc::channel(MAX_WAITING_PIECES);
        let (destination, from_destination) = mpsc::channel(MAX_WAITING_PIECES);
        let write = move || run_files::begin(&out, &of_writer, from_source, from_destination);
        let (begun, (), ()) = tokio::join!(
            tokio::task::spawn_blocking(write),
            self.fetch_events(case, Side::Source, source),
            self.fetch_events(case, Side::Destination, destination),
        );
        begun
    }

    /// The connection to a server, once it answers; not for ever where it hangs.
    async fn answering_in_time(&self, server: &str) -> Option<Connection> {
        timeout(OTHER_SIDE_DEADLINE, self.answering(server)).await.ok().flatten()
    }

    /// Fetches the events of one side, as far as they can still be had and are taken.
    async fn fetch_events(&self, case: &Case, side: Side, to: mpsc::Sender<Vec<EventRun>>) {
        let server = match side {
            Side::Source => &case.migration.source,
            Side::Destination => &case.migration.destination,
        };
        let expected = case.migration.reported(side).map_or(0, |report| report.events);
        let (mut entries, mut events) = (0, 0);
        while events < expected && entries < MAX_ENTRIES {
            let fetch = ServerCommand::FetchEvents { migration: case.id, from: entries };
            let Some(connection) = self.answering_in_time(server).await else {
                self.notice(&format!(
                    "migration {}: events are missing: server \"{server}\" is gone, or hangs",
                    case.id.0
                ));
                break;
            };
            match connection.ask(fetch).await {
                // It is asked again when it is back.
                Err(AskError::Gone { .. } | AskError::Silent { .. }) => {}
                Ok(ServerReply::Events { events: piece, last }) => {
                    let nothing_more = last || piece.is_empty();
                    entries += piece.len() as u64;
                    events += piece.iter().map(|run| u64::from(run.count)).sum::<u64>();
                    if to.send(piece).await.is_err() || nothing_more {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::Launcher;
    use crate::console::Console;
    use crate::grammar::EventLevel;
    use crate::manager::Settings;
    use lazycopy_protocol::pace::Pace;
    use lazycopy_transport::Door;
    use std::convert::Infallible;
    use std::path::PathBuf;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_stands_still_with_time_and_is_longer_where_time_goes_slower() {
        let settings = Settings {
            listen: "127.0.0.1:0".to_owned(),
            out: PathBuf::from("none"),
            state: None,
            patience: Duration::ZERO,
            launcher: Launcher { program: PathBuf::from("none"), arguments: Vec::new() },
            level: EventLevel::Off,
            door: Door::default(),
        };
        let manager = Manager::start(settings, Console::new(|_| ())).await.unwrap();
        let set = |frozen, slower| {
            manager.change(|state| {
                let changed = |pace| Ok::<_, Infallible>(Pace { frozen, slower, ..pace });
                state.fleet.change_pace(1, changed).unwrap()
            })
        };
        let begun = Instant::now();
        let waiting = tokio::spawn({
            let manager = manager.clone();
            async move { manager.outlast(Duration::from_secs(30)).await }
        });
        sleep(Duration::from_secs(10)).await;
        set(true, 1);
        sleep(Duration::from_secs(86_400)).await;
        set(false, 10);
        sleep(Duration::from_secs(50)).await;
        set(false, 1);
        sleep(Duration::from_secs(14)).await;
        assert!(!waiting.is_finished());
        waiting.await.unwrap();
        let outlasted = begun.elapsed() - Duration::from_secs(10 + 86_400 + 50 + 15);
        assert!(outlasted < Duration::from_millis(10), "{outlasted:?}");
    }
}
