//! Migrations, from their beginning to where the guest is in the end.

use super::{
    Ended, Fleet, FleetError, MAX_GUESTS, MAX_REMEMBERED, MAX_UNTOLD_FAILURES, Migration, Request,
    Side, Vm, Whereabouts,
};
use crate::definition::Definition;
use crate::grammar::Name;
use lazycopy_migration::Outcome;
use lazycopy_protocol::control::{MigrationId, SideEnded, StartMigration, Transfer, VmPhase};
use std::sync::Arc;

/// Migrations have numbers below this, which programs in any language can read from JSON.
const MAX_NUMBER: u64 = 1 << 53;

impl Fleet {
    /// Begins a migration: the message for the source, or why there will be none.
    ///
    /// # Errors
    /// When the guest cannot be moved there now.
    pub fn begin_migration(&mut self, request: Request) -> Result<StartMigration, FleetError> {
        let vm = self.settled_vm(&request.vm)?;
        let destination_address = self.server(&request.destination)?.address.clone();
        if vm.server == request.destination {
            return Err(FleetError::ToItself { vm: request.vm, server: request.destination });
        }
        self.fits(&request.vm, vm.frames, &request.destination)?;
        let source = vm.server.clone();
        self.promised.remove(&request.vm);
        self.last_migration += 1;
        let id = MigrationId(self.last_migration);
        let message = StartMigration {
            migration: id,
            vm: request.vm.clone(),
            destination: request.destination.clone(),
            destination_address,
            parameters: request.parameters.clone(),
            link: request.link.clone(),
            watch: request.watch,
            key: request.key.clone(),
            recover_within: request.scenario.migration.recover_within,
        };
        self.moving.insert(request.vm.clone(), id);
        self.taken_back.remove(&request.vm);
        self.migrations.insert(id, Migration::new(request, source));
        self.keep_migration(id);
        self.keep_numbers();
        self.forget_oldest();
        Ok(message)
    }

    /// Whether a guest that has no memory, being stopped, may be defined on another server instead
    /// of its own: what it is.
    ///
    /// # Errors
    /// When it is migrating, its definition is not known, or the server does not take it.
    pub fn may_relocate(&self, vm: &str, to: &str) -> Result<Arc<Definition>, FleetError> {
        let guest = self.settled_vm(vm)?;
        self.fits(vm, guest.frames, to)?;
        guest.definition.clone().ok_or_else(|| FleetError::NoDefinition { vm: vm.to_owned() })
    }

    /// A guest without memory is defined on another server now, stopped.
    pub fn relocated(&mut self, moved: &str, to: &str) {
        if let Some(vm) = self.vms.get_mut(moved) {
            vm.server = to.to_owned();
            vm.phase = VmPhase::Stopped;
        }
        self.keep_guest(moved);
    }

    fn forget_oldest(&mut self) {
        let over = self.migrations.len() - self.moving.len();
        if over > MAX_REMEMBERED {
            let no_matter = |migration: &Migration| {
                migration.ended().is_some_and(|ended| migration.told || ended.is_well())
            };
            let may_go = |migration: &Migration| {
                no_matter(migration) || migration.is_over() && over > MAX_UNTOLD_FAILURES
            };
            let oldest = self.migrations.iter().find(|(_, migration)| may_go(migration));
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.migrations.remove(&id);
                self.keep_migration(id);
            }
        }
    }

    /// The source refused, or is gone: there was no migration. A guest that was on its way is no
    /// more if its server died meanwhile.
    pub fn migration_refused(&mut self, id: MigrationId) {
        let Some(migration) = self.migrations.remove(&id) else { return };
        self.moving.remove(&migration.vm);
        self.keep_migration(id);
        if migration.cancelling {
            self.taken_back.insert(migration.vm.clone(), id);
        }
        if migration.started_anew.contains(&Side::Source) {
            self.forget_vm(&migration.vm);
        }
        self.forget_if_gone(&migration.vm);
    }

    /// A guest is no more whose server is gone.
    fn forget_if_gone(&mut self, vm: &str) {
        if self.vms.get(vm).is_some_and(|vm| self.server(&vm.server).is_err()) {
            self.forget_vm(vm);
        }
    }

    /// A server names a migration of an earlier manager: later ones have other numbers. One that
    /// leaves none is not believed.
    pub(super) fn number_is_taken(&mut self, id: MigrationId) {
        if id.0 < MAX_NUMBER {
            self.last_migration = self.last_migration.max(id.0);
        }
    }

    /// A running migration has come so far.
    pub fn progressed(&mut self, id: MigrationId, transfer: Transfer) {
        if let Some(migration) = self.migrations.get_mut(&id).filter(|it| !it.is_over()) {
            migration.transfer = transfer;
        }
    }

    /// A side's part is over. Returns whether nothing is left to wait for.
    pub fn side_ended(&mut self, ended: SideEnded) -> bool {
        let known = self.migrations.get_mut(&ended.migration);
        let Some(migration) = known.filter(|migration| migration.vm == ended.vm) else {
            self.number_is_taken(ended.migration);
            self.settle_unknown(ended);
            return false;
        };
        let decided = !migration.is_over() && migration.report(ended) && migration.is_decided();
        if migration.has_arrived() {
            let (vm, destination) = (migration.vm.clone(), migration.destination.clone());
            self.settle_on(&vm, &destination);
        }
        decided
    }

    /// A guest is that server's, and runs there.
    fn settle_on(&mut self, vm: &str, server: &str) {
        if let Some(known) = self.vms.get_mut(vm) {
            known.phase = VmPhase::Running;
            if known.server != server {
                known.server = server.to_owned();
                self.keep_guest(vm);
            }
        }
    }

    /// The migration of a guest that was taken back last, if no other has begun since: by its
    /// number, and whether it had begun.
    pub fn taken_back(&self, vm: &str) -> Option<MigrationId> {
        let before_it_began = self.taken_back.get(vm).copied();
        let last = self.migrations.iter().rfind(|(_, migration)| migration.vm == vm);
        let cancelled = last.filter(|(_, migration)| {
            migration.ended().is_some_and(|ended| ended.verdict.outcome == Outcome::Cancelled)
        });
        before_it_began.or(cancelled.map(|(id, _)| *id))
    }

    /// That a guest is not migrating, and how its last migration ended.
    pub fn not_migrating(&self, vm: &str) -> FleetError {
        let last = self.migrations.iter().rfind(|(_, migration)| migration.vm == vm);
        let ended = last.and_then(|(id, migration)| Some((*id, migration.ended()?)));
        let vm = vm.to_owned();
        match ended {
            Some((id, ended)) => FleetError::HasEnded { vm, id, outcome: ended.verdict.outcome },
            None => FleetError::NotMigrating { vm },
        }
    }

    /// A user wants a migration taken back.
    pub fn cancelling(&mut self, id: MigrationId) {
        if let Some(migration) = self.migrations.get_mut(&id) {
            migration.cancelling = true;
        }
    }

    /// A side of a migration that an earlier manager began is over: its guest is where the side
    /// says, or no longer there.
    fn settle_unknown(&mut self, ended: SideEnded) {
        let SideEnded { vm, after, .. } = ended;
        let server = after.host.server;
        match after.host.vms.into_iter().find(|summary| summary.vm == vm) {
            // Nobody has as many guests as somebody who talks nonsense may name.
            Some(summary) if self.takes_another(&server, &summary.vm) => {
                let definition = self.vms.remove(&vm).and_then(|vm| vm.definition);
                self.vms.insert(vm, Vm::told_of(summary, server, definition));
            }
            None if self.vms.get(&vm).is_some_and(|known| known.server == server) => {
                self.vms.remove(&vm);
            }
            _ => {}
        }
    }

    /// Whether a guest that a known server names can be one of its guests.
    fn takes_another(&self, server: &str, vm: &str) -> bool {
        let guests = self.vms.values().filter(|vm| vm.server == server).count();
        vm.parse::<Name>().is_ok() && self.servers.contains_key(server) && guests < MAX_GUESTS
    }

    /// Nothing more is waited for from sides that have not reported: their silence is final.
    /// Returns whether the migration had waited at all.
    pub fn give_up_waiting(&mut self, id: MigrationId) -> bool {
        self.migrations.get_mut(&id).is_some_and(|migration| {
            !migration.is_over() && !migration.is_decided() && migration.silence_all()
        })
    }

    /// A migration is over, its result written: the guest is where the verdict says.
    pub fn conclude(&mut self, id: MigrationId, ended: Ended) {
        let Some(migration) = self.migrations.get_mut(&id) else { return };
        let vm = migration.vm.clone();
        let is_there = |side| !migration.started_anew.contains(&side);
        let whereabouts = match ended.whereabouts {
            Whereabouts::Source if is_there(Side::Source) => Whereabouts::Source,
            Whereabouts::Destination if is_there(Side::Destination) => Whereabouts::Destination,
            _ => Whereabouts::Gone,
        };
        let destination = migration.destination.clone();
        migration.end(ended);
        self.keep_migration(id);
        self.moving.remove(&vm);
        match whereabouts {
            Whereabouts::Source => self.set_phase(&vm, VmPhase::Running),
            Whereabouts::Destination => self.settle_on(&vm, &destination),
            Whereabouts::Gone => self.forget_vm(&vm),
        }
        self.forget_if_gone(&vm);
    }
}
