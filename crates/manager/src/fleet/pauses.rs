//! Links that broke after the hand-over, and what the side that is left is to know of the other.

use super::{Account, Fleet, FleetError, Loss, Migration, Progress, Side};
use lazycopy_migration::Outcome;
use lazycopy_protocol::control::{MigrationId, Pause, PeerEnd};

impl Migration {
    /// Why the migration is paused: what its source says of its link, or else its destination.
    pub fn pause(&self) -> Option<&Pause> {
        let of = |side| self.pauses.get(&side).filter(|_| self.awaits(side));
        of(Side::Source).or_else(|| of(Side::Destination))
    }

    /// Whether nothing more happens but by an operator's word: the source may take the guest back,
    /// and waits for being told to.
    pub fn awaits_a_word(&self) -> bool {
        let pause = self.pauses.get(&Side::Source).filter(|_| self.awaits(Side::Source));
        pause.is_some_and(|pause| pause.until_unix_ms.is_none())
    }

    /// Which side is to know what became of the other, and what: of one that is dead, and of one
    /// that has ended and could not say so over a link that is broken. What has all of the guest,
    /// or has given it away for good, says so itself to a source or destination that asks.
    pub(super) fn word(&self) -> Option<(Side, PeerEnd)> {
        let Progress::Running { source, destination } = &self.progress else { return None };
        let (left, gone, account) = match (source, destination) {
            (Account::Awaited, Account::Awaited) => return None,
            (Account::Awaited, other) => (Side::Source, Side::Destination, other),
            (other, Account::Awaited) => (Side::Destination, Side::Source, other),
            _ => return None,
        };
        let report = match account {
            Account::Reported(report) => report,
            _ => return self.dead.contains(&gone).then_some((left, PeerEnd::Dead)),
        };
        let reason = report.verdict.reason.clone();
        let how = match (report.verdict.outcome, gone) {
            (Outcome::Completed, _) => return None,
            (Outcome::Lost, _) => PeerEnd::Lost { reason },
            (_, Side::Source) => PeerEnd::Withdrawn { reason },
            (_, Side::Destination) => PeerEnd::ThrownAway { reason },
        };
        self.pauses.contains_key(&left).then_some((left, how))
    }
}

impl Fleet {
    /// A side's link broke after the hand-over, or is whole again.
    pub fn link_changed(&mut self, id: MigrationId, side: Side, pause: Option<Pause>) {
        if let Some(migration) = self.migrations.get_mut(&id).filter(|it| !it.is_over()) {
            match pause {
                Some(pause) => drop(migration.pauses.insert(side, pause)),
                None => drop(migration.pauses.remove(&side)),
            }
        }
    }

    /// As [`Fleet::server_lost`], of a server whose process is certainly dead.
    pub fn server_died(&mut self, name: &str) -> Loss {
        for migration in self.migrations.values_mut().filter(|it| !it.is_over()) {
            migration.dead.extend(migration.side_on(name));
        }
        self.server_lost(name)
    }

    /// The server that is to know what became of the other side of a migration, and what.
    pub fn word_to_who_is_left(&self, id: MigrationId) -> Option<(String, PeerEnd)> {
        let migration = self.migrations.get(&id)?;
        let (left, how) = migration.word()?;
        let server = match left {
            Side::Source => &migration.source,
            Side::Destination => &migration.destination,
        };
        Some((server.clone(), how))
    }

    /// The migration of a guest whose link is broken, and its source.
    ///
    /// # Errors
    /// When there is no such guest, it does not migrate, or its link is whole.
    pub fn paused_migration(&self, vm: &str) -> Result<(MigrationId, &Migration), FleetError> {
        let Some((id, migration)) = self.migration_of(vm) else {
            self.vm(vm)?;
            return Err(self.not_migrating(vm));
        };
        match migration.pause() {
            Some(_) => Ok((id, migration)),
            None => Err(FleetError::NotPaused { vm: vm.to_owned(), id }),
        }
    }
}
