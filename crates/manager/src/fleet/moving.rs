//! Migrations, from their beginning to where the guest is in the end.

use super::{
    Ended, Fleet, FleetError, MAX_GUESTS, MAX_REMEMBERED, MAX_UNTOLD_FAILURES, Migration, Request,
    Side, Vm, Whereabouts,
};
use crate::definition::Definition;
use crate::grammar::Name;
use lazycopy_protocol::control::{MigrationId, SideEnded, StartMigration, Transfer, VmPhase};
use std::sync::Arc;

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
        };
        self.moving.insert(request.vm.clone(), id);
        self.migrations.insert(id, Migration::new(request, source));
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
    pub fn relocated(&mut self, vm: &str, to: &str) {
        if let Some(vm) = self.vms.get_mut(vm) {
            vm.server = to.to_owned();
            vm.phase = VmPhase::Stopped;
        }
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
            }
        }
    }

    /// The source refused, or is gone: there was no migration. A guest that was on its way is no
    /// more if its server died meanwhile.
    pub fn migration_refused(&mut self, id: MigrationId) {
        let Some(migration) = self.migrations.remove(&id) else { return };
        self.moving.remove(&migration.vm);
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
            self.settle_unknown(ended);
            return false;
        };
        !migration.is_over() && migration.report(ended) && migration.is_decided()
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
        self.moving.remove(&vm);
        match whereabouts {
            Whereabouts::Source => self.set_phase(&vm, VmPhase::Running),
            Whereabouts::Destination => {
                if let Some(vm) = self.vms.get_mut(&vm) {
                    vm.server = destination;
                    vm.phase = VmPhase::Running;
                }
            }
            Whereabouts::Gone => self.forget_vm(&vm),
        }
        self.forget_if_gone(&vm);
    }
}
