//! `migrate recover`, `migrate reclaim`, and what the side that is left is told of the other.

use crate::connection::AskError;
use crate::fleet::{Fleet, FleetError, Side};
use crate::manager::Manager;
use crate::render::pause as pause_text;
use crate::reply::{CommandError, Reply};
use lazycopy_protocol::control::{MigrationId, Pause, ServerCommand};
use serde_json::json;
use std::time::Duration;

/// How long a try to mend a link is waited for: the two servers' handshake has 10 s.
const TRY_DEADLINE: Duration = Duration::from_secs(15);

/// How long a source may take to give a guest back to itself.
const RECLAIM_DEADLINE: Duration = Duration::from_secs(5);

/// How long a server that is told of the other side may take to answer.
const WORD_DEADLINE: Duration = Duration::from_secs(30);

/// A migration whose link is broken.
struct Paused {
    id: MigrationId,
    source: String,
    destination: String,
}

impl Manager {
    fn paused(&self, vm: &str) -> Result<Paused, FleetError> {
        self.read(|state| {
            let (id, migration) = state.fleet.paused_migration(vm)?;
            let (source, destination) = (migration.source.clone(), migration.destination.clone());
            Ok(Paused { id, source, destination })
        })
    }

    /// Has the source of a guest's migration try at once to mend its link.
    pub(super) async fn recover(&self, vm: &str) -> Result<Reply, CommandError> {
        let Paused { id, source, destination } = self.paused(vm)?;
        let recover = ServerCommand::RecoverMigration { migration: id };
        self.have_done(&source, recover, TRY_DEADLINE, |_, told| told).await.flatten()?;
        let text = format!(
            "The link of migration {} from \"{source}\" to \"{destination}\" is whole again: it goes \
             on.",
            id.0
        );
        Ok(Reply::new(text, json!({ "migration": id, "vm": vm, "recovered": true })))
    }

    /// Has the source of a guest's migration take the guest back, if it may.
    pub(super) async fn reclaim(&self, vm: &str) -> Result<Reply, CommandError> {
        let Paused { id, source, destination } = self.paused(vm)?;
        let reclaim = ServerCommand::ReclaimMigration { migration: id };
        self.have_done(&source, reclaim, RECLAIM_DEADLINE, |_, told| told).await.flatten()?;
        let text = format!(
            "Guest \"{vm}\" runs on server \"{source}\" again, from where it was suspended. What \
             server \"{destination}\" has of it never ran and is void."
        );
        Ok(Reply::new(text, json!({ "migration": id, "vm": vm, "server": source })))
    }

    /// A side of a migration tells that its link is broken, or whole again.
    pub(crate) fn link_changed(&self, id: MigrationId, side: Side, pause: Option<Pause>) {
        self.change(|state| {
            let known = |fleet: &Fleet| {
                let migration = fleet.migration(id)?;
                let rests = migration.awaits_a_word();
                Some((migration.vm.clone(), migration.pause().cloned(), rests))
            };
            let before = known(&state.fleet);
            state.fleet.link_changed(id, side, pause);
            let (Some((_, before, rested)), Some((vm, now, rests))) = (before, known(&state.fleet))
            else {
                return;
            };
            let is_news = before.is_none() || rests && !rested;
            let now = match (before, now) {
                (_, Some(now)) if is_news => pause_text(&vm, &now),
                (Some(_), None) => "no longer paused: it goes on, or is over.".to_owned(),
                _ => return,
            };
            self.notice(&format!("Migration {} of \"{vm}\" is {now}", id.0));
        });
        self.tell_who_is_left(id);
    }

    /// Tells the side of a migration that is left what became of the other, where it may not learn
    /// it otherwise. It is told again until it has heard, however often it goes away and comes back.
    pub(crate) fn tell_who_is_left(&self, id: MigrationId) {
        let Some((server, how)) = self.read(|state| state.fleet.word_to_who_is_left(id)) else {
            return;
        };
        let manager = self.clone();
        tokio::spawn(async move {
            while manager.answering(&server).await.is_some() {
                let word = ServerCommand::PeerEnded { migration: id, how: how.clone() };
                let told = manager.have_done(&server, word, WORD_DEADLINE, |_, told| told).await;
                match told.flatten() {
                    Err(AskError::Silent { .. } | AskError::Late { .. }) => {}
                    Err(error) => {
                        return tracing::warn!("migration {}: {error}", id.0);
                    }
                    Ok(()) => return,
                }
            }
        });
    }
}
