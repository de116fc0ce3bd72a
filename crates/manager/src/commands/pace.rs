//! `time`: freezing, slowing down and stepping what runs.

use crate::connection::{AskError, Connection};
use crate::grammar::TimeAction;
use crate::manager::{Manager, State};
use crate::reply::{CommandError, Reply};
use futures_util::future::join_all;
use lazycopy_protocol::control::{MigrationId, ServerCommand, ServerReply};
use lazycopy_protocol::pace::{Pace, Paced};
use lazycopy_units::Duration;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

impl Manager {
    /// Carries out `time`.
    ///
    /// # Errors
    /// When time goes and is to be stepped, or a server did not hear of it.
    pub(super) async fn time_command(
        &self,
        action: Option<TimeAction>,
    ) -> Result<Reply, CommandError> {
        let Some(action) = action else {
            let pace = self.read(|state| state.fleet.pace());
            return Ok(Reply::new(how_it_goes(&pace), json!({ "pace": pace_json(&pace) })));
        };
        // One after the other, so that every server hears of them in the same order.
        let _turn = self.turn_to_pace().await;
        let (before, pace, connections) = self.change(|state| {
            let before = state.fleet.pace();
            let pace = state.fleet.change_pace(now_ns(), |pace| changed(pace, &action))?;
            let connections: Vec<Connection> = state.connections.values().cloned().collect();
            Ok::<_, CommandError>((before, pace, connections))
        })?;
        let asked = connections.iter().map(|connection| set_pace(connection, pace));
        let mut paced = BTreeMap::new();
        let mut unheard = None;
        for answer in join_all(asked).await {
            match answer {
                Ok(migrations) => paced.extend(migrations.into_iter().map(|it| (it.migration, it))),
                // What is on a server that is gone goes by no pace.
                Err(AskError::Gone { .. }) => {}
                Err(error) => unheard = Some(error),
            }
        }
        match unheard {
            Some(error) => Err(error.into()),
            None => Ok(self.read(|state| tell(state, &before, &pace, &action, &paced))),
        }
    }
}

impl Manager {
    /// Whoever waits for migrations is told that they wait for somebody, too.
    pub(crate) fn tell_of_standstill(&self) {
        let waits = |state: &State| state.fleet.pace().frozen && state.fleet.running().count() > 0;
        if self.read(waits) {
            self.notice("Time stands still, and migrations with it, until somebody says: time go");
        }
    }
}

async fn set_pace(connection: &Connection, pace: Pace) -> Result<Vec<Paced>, AskError> {
    match connection.ask(ServerCommand::SetPace { pace }).await? {
        ServerReply::Paced { migrations } => Ok(migrations),
        _ => Err(connection.beside()),
    }
}

/// The pace that an action asks for.
fn changed(mut pace: Pace, action: &TimeAction) -> Result<Pace, CommandError> {
    match action {
        TimeAction::Freeze => pace.frozen = true,
        TimeAction::Go => pace.frozen = false,
        TimeAction::Slow { factor } => pace.slower = *factor,
        TimeAction::Step { .. } if !pace.frozen => return Err(CommandError::TimeGoes),
        TimeAction::Step { span } => {
            let stepped = pace.stepped.as_nanos().saturating_add(span.0.as_nanos());
            pace.stepped = Duration::from_nanos(stepped);
        }
    }
    Ok(pace)
}

/// How time goes, in a sentence.
pub(super) fn how_it_goes(pace: &Pace) -> String {
    let Pace { slower, frozen, .. } = pace;
    match (frozen, slower) {
        (false, 1) => "Time goes as each guest's time_scale says.".to_owned(),
        (false, _) => format!("Time goes {slower} times slower than each guest's time_scale says."),
        (true, 1) => "Time stands still.".to_owned(),
        (true, _) => format!("Time stands still; it will go {slower} times slower."),
    }
}

/// How time goes, for machines.
pub(super) fn pace_json(pace: &Pace) -> Value {
    json!({ "frozen": pace.frozen, "slower": pace.slower })
}

fn tell(
    state: &State,
    before: &Pace,
    pace: &Pace,
    action: &TimeAction,
    paced: &BTreeMap<MigrationId, Paced>,
) -> Reply {
    let (as_before, sentence) = (pace.frozen == before.frozen, how_it_goes(pace));
    let mut lines = vec![match action {
        TimeAction::Freeze if as_before => "Time stands still already.".to_owned(),
        TimeAction::Go if as_before => format!("It does already: {}", uncapitalised(&sentence)),
        TimeAction::Step { span } => format!("Time goes on by {} and stands still again.", span.0),
        _ => sentence,
    }];
    let mut migrations = Vec::new();
    for (id, Paced { from, until, .. }) in paced {
        let vm = state.fleet.migration(*id).map_or("", |migration| &migration.vm);
        let does = match (from, until) {
            (None, _) => {
                "goes on as before: its link is unlimited, its instants are the clock's".to_owned()
            }
            (Some(from), Some(until)) if until <= from => format!("stands still at {from}"),
            (Some(from), Some(until)) => format!("goes on from {from} to {until}"),
            (Some(from), None) => format!("goes so from {from} on"),
        };
        lines.push(format!("Migration {} of \"{vm}\" {does}.", id.0));
        migrations.push(json!({ "migration": id, "vm": vm, "from_ns": from, "until_ns": until }));
    }
    Reply::new(lines.join("\n"), json!({ "pace": pace_json(pace), "migrations": migrations }))
}

fn uncapitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
}

/// Nanoseconds since 1970.
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
