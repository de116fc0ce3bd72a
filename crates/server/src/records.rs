//! The events of ended migrations, kept until the manager has fetched and forgotten them.

use lazycopy_migration::EventRun;
use lazycopy_protocol::control::{ENTRIES_PER_FRAME, MigrationId, ServerReply};
use std::collections::VecDeque;
use tracing::warn;

/// The most migrations whose events are kept: a manager forgets what it has fetched, so that only
/// one that died leaves any behind. Beyond it the oldest are given up.
const MAX_KEPT_MIGRATIONS: usize = 1_024;

/// Events of ended migrations, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Records {
    kept: VecDeque<(MigrationId, Vec<EventRun>)>,
}

impl Records {
    /// Keeps the events of a migration that has ended.
    pub(crate) fn keep(&mut self, migration: MigrationId, events: Vec<EventRun>) {
        self.forget(migration);
        if self.kept.len() == MAX_KEPT_MIGRATIONS
            && let Some((oldest, _)) = self.kept.pop_front()
        {
            warn!(migration = oldest.0, "nobody fetched its events: they are given up");
        }
        self.kept.push_back((migration, events));
    }

    /// Whether a migration's events are here.
    #[cfg(test)]
    fn has(&self, migration: MigrationId) -> bool {
        self.kept.iter().any(|(kept, _)| *kept == migration)
    }

    /// Events from entry `from` on, as many as a frame takes.
    ///
    /// # Errors
    /// In words, when there are none of that migration.
    pub(crate) fn fetch(&self, migration: MigrationId, from: u64) -> Result<ServerReply, String> {
        let Some((_, events)) = self.kept.iter().find(|(kept, _)| *kept == migration) else {
            return Err(format!("no events of migration {} are kept here", migration.0));
        };
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(events.len());
        let rest = &events[from..];
        let fetched = &rest[..rest.len().min(ENTRIES_PER_FRAME as usize)];
        Ok(ServerReply::Events { events: fetched.to_vec(), last: fetched.len() == rest.len() })
    }

    /// Gives up the events of a migration.
    pub(crate) fn forget(&mut self, migration: MigrationId) {
        self.kept.retain(|(kept, _)| *kept != migration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_migration::{Event, EventKind, Side};
    use lazycopy_units::Instant;

    fn events(count: u64) -> Vec<EventRun> {
        let event = |at| Event {
            at: Instant::from_nanos(at),
            side: Side::Source,
            kind: EventKind::Requested,
        };
        (0..count).map(|at| event(at).into()).collect()
    }

    #[test]
    fn events_are_fetched_in_pieces_until_the_last() {
        let mut records = Records::default();
        let all = events(ENTRIES_PER_FRAME + 3);
        records.keep(MigrationId(1), all.clone());
        let mut fetched = Vec::new();
        loop {
            let reply = records.fetch(MigrationId(1), fetched.len() as u64).unwrap();
            let ServerReply::Events { events, last } = reply else { panic!("{reply:?}") };
            fetched.extend(events);
            if last {
                break;
            }
        }
        assert_eq!(fetched, all);
        records.forget(MigrationId(1));
        assert!(records.fetch(MigrationId(1), 0).is_err());
    }

    #[test]
    fn only_so_many_migrations_are_kept_and_the_oldest_go_first() {
        let mut records = Records::default();
        for number in 0..=MAX_KEPT_MIGRATIONS as u64 {
            records.keep(MigrationId(number), Vec::new());
        }
        assert!(!records.has(MigrationId(0)));
        assert!(records.has(MigrationId(1)) && records.has(MigrationId(1_024)));
    }
}
