//! What the manager knows and decides, without IO: servers, guests, migrations, policy.
//!
//! Commands ask the fleet first and tell it what the servers answered; connections tell it what
//! servers say by themselves. It refuses what cannot be ([`FleetError`]) and says what follows
//! from what happened.

mod balance;
mod endings;
mod error;
mod gang;
mod migration;
mod moving;
mod placement;
mod policy;
mod room;
mod verdict;

pub use balance::{BalancingMove, Pool, Rebalancing, balance};
pub use error::FleetError;
pub use gang::{Evacuation, Stay, fair_share};
pub use migration::{Account, Ended, Migration, Progress, Request, Side};
pub use placement::{Load, Move, Placement, Room, spread};
pub use policy::{Policy, full_key};
pub use verdict::{Whereabouts, compose};

use crate::definition::Definition;
use crate::grammar::Name;
use lazycopy_protocol::control::{MigrationId, ServerHello, VmPhase, VmSummary};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most ended migrations that are remembered, as many as a large fleet has guests; beyond them
/// the oldest that ended well, or whose end somebody was told, are forgotten. Their run directories
/// are not touched.
pub const MAX_REMEMBERED: usize = 1_000;

/// The most migrations that are remembered although they failed and nobody was told.
pub const MAX_UNTOLD_FAILURES: usize = 10_000;

/// The most guests of a server, as many as a server's pool takes.
pub const MAX_GUESTS: usize = 4_096;

/// The longest address and version of a server: a host name has at most 253 letters.
pub const MAX_WORD_BYTES: usize = 300;

/// A server.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Whether its connection stands.
    pub connected: bool,
    /// Where other servers reach it.
    pub address: String,
    /// Its process.
    pub pid: u32,
    /// Version of its program.
    pub version: String,
    /// Frames of its memory for guests.
    pub frames: u64,
    /// Whether it takes no further guests.
    pub draining: bool,
}

/// A guest.
#[derive(Clone, Debug)]
pub struct Vm {
    /// The server that it is on; while it migrates, the source.
    pub server: String,
    /// What it is doing, as far as the manager has heard.
    pub phase: VmPhase,
    /// Pages that it can address.
    pub pages: u32,
    /// Frames of its memory.
    pub frames: u32,
    /// Whether its pages have bytes, for unlimited links alone.
    pub real_memory: bool,
    /// What it was created from; absent for a guest that this manager has not created.
    pub definition: Option<Arc<Definition>>,
}

impl Vm {
    /// A guest as its server tells of it.
    fn told_of(summary: VmSummary, server: String, definition: Option<Arc<Definition>>) -> Self {
        let VmSummary { phase, pages, frames, real_memory, .. } = summary;
        Vm { server, phase, pages, frames, real_memory, definition }
    }

    /// Whether its execution is over and its memory freed.
    fn is_idle(&self) -> bool {
        matches!(self.phase, VmPhase::Stopped | VmPhase::Failed)
    }
}

/// What is gone with a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Guests that were on it.
    pub vms: Vec<String>,
    /// Migrations that had nothing else to wait for.
    pub concluded: Vec<MigrationId>,
    /// Migrations whose other side has yet to report.
    pub halved: Vec<MigrationId>,
}

/// What the manager knows.
#[derive(Debug, Default)]
pub struct Fleet {
    servers: BTreeMap<String, Server>,
    vms: BTreeMap<String, Vm>,
    migrations: BTreeMap<MigrationId, Migration>,
    /// The migrations that have not ended, by their guest.
    moving: BTreeMap<String, MigrationId>,
    /// Servers whose guests are moved off.
    evacuating: BTreeSet<String>,
    rebalancing: bool,
    /// Guests that a plan will move, and the servers that keep frames for them.
    promised: BTreeMap<String, String>,
    /// What later migrations are asked for with.
    pub policy: Policy,
    last_migration: u64,
}

impl Fleet {
    /// The servers, those that are gone, too.
    pub fn servers(&self) -> impl Iterator<Item = (&str, &Server)> {
        self.servers.iter().map(|(name, server)| (name.as_str(), server))
    }

    /// The guests.
    pub fn vms(&self) -> impl Iterator<Item = (&str, &Vm)> {
        self.vms.iter().map(|(name, vm)| (name.as_str(), vm))
    }

    /// The migrations, in the order of their beginning.
    pub fn migrations(&self) -> impl DoubleEndedIterator<Item = (MigrationId, &Migration)> {
        self.migrations.iter().map(|(id, migration)| (*id, migration))
    }

    /// Those that have not ended, in the order of their beginning.
    pub fn running(&self) -> impl Iterator<Item = (MigrationId, &Migration)> {
        let ids: BTreeSet<MigrationId> = self.moving.values().copied().collect();
        ids.into_iter().filter_map(|id| Some((id, self.migrations.get(&id)?)))
    }

    /// Those whose end nobody who waited for it has been told.
    pub fn untold(&self) -> impl Iterator<Item = (MigrationId, &Migration)> {
        self.migrations().filter(|(_, migration)| !migration.told)
    }

    /// Somebody has waited for a migration and is told how it ended.
    pub fn tell(&mut self, id: MigrationId) {
        if let Some(migration) = self.migrations.get_mut(&id) {
            migration.told = true;
        }
    }

    /// A migration.
    pub fn migration(&self, id: MigrationId) -> Option<&Migration> {
        self.migrations.get(&id)
    }

    /// A connected server.
    ///
    /// # Errors
    /// When there is none of that name, or it is gone.
    pub fn server(&self, name: &str) -> Result<&Server, FleetError> {
        match self.servers.get(name) {
            Some(server) if server.connected => Ok(server),
            Some(_) => Err(FleetError::ServerGone { name: name.to_owned() }),
            None => Err(FleetError::UnknownServer {
                name: name.to_owned(),
                known: known("servers", self.servers.keys()),
            }),
        }
    }

    /// A guest.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn vm(&self, name: &str) -> Result<&Vm, FleetError> {
        self.vms.get(name).ok_or_else(|| FleetError::UnknownVm {
            name: name.to_owned(),
            known: known("guests", self.vms.keys()),
        })
    }

    /// A guest that is at rest on a connected server: not migrating.
    ///
    /// # Errors
    /// When there is none of that name, or it is migrating.
    pub fn settled_vm(&self, name: &str) -> Result<&Vm, FleetError> {
        let vm = self.vm(name)?;
        match self.migration_of(name) {
            Some((id, migration)) => Err(FleetError::IsMigrating {
                vm: name.to_owned(),
                to: migration.destination.clone(),
                id,
            }),
            None => self.server(&vm.server).map(|_| vm),
        }
    }

    /// The migration of a guest that runs.
    pub fn migration_of(&self, vm: &str) -> Option<(MigrationId, &Migration)> {
        let id = *self.moving.get(vm)?;
        Some((id, self.migrations.get(&id)?))
    }

    /// Whether a server may be started under that name.
    ///
    /// # Errors
    /// When a connected one has it.
    pub fn name_is_free(&self, name: &str) -> Result<(), FleetError> {
        match self.servers.get(name) {
            Some(server) if server.connected => {
                Err(FleetError::DuplicateServer { name: name.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// A server introduces itself. Its guests are taken from what it says.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn introduce(&mut self, hello: ServerHello) -> Result<(), FleetError> {
        let ServerHello { version, name, pid, address, frames, vms } = hello;
        name.parse::<Name>().map_err(|_| FleetError::BadName)?;
        self.name_is_free(&name)?;
        if vms.len() > MAX_GUESTS {
            return Err(FleetError::TooManyGuests { guests: vms.len() });
        }
        if version.len() > MAX_WORD_BYTES || address.len() > MAX_WORD_BYTES {
            return Err(FleetError::BadAddress);
        }
        if address.is_empty() || !address.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(FleetError::BadAddress);
        }
        if vms.iter().any(|vm| vm.vm.parse::<Name>().is_err()) {
            return Err(FleetError::BadGuestName);
        }
        for vm in &vms {
            if let Some(known) = self.vms.get(&vm.vm)
                && known.server != name
                && known.phase != VmPhase::MigratingIn
                && vm.phase != VmPhase::MigratingIn
                && self.migration_of(&vm.vm).is_none()
            {
                let (vm, on) = (vm.vm.clone(), known.server.clone());
                return Err(FleetError::GuestElsewhere { vm, on });
            }
        }
        let is_known = self.servers.get(&name).is_some_and(|known| known.pid == pid);
        if !is_known {
            self.server_started_anew(&name, &vms);
        }
        for summary in vms {
            self.adopt(&name, summary);
        }
        // A server that comes back while it is drained is not filled again.
        let draining = self.servers.get(&name).is_some_and(|known| known.draining);
        let server = Server { connected: true, address, pid, version, frames, draining };
        self.servers.insert(name, server);
        Ok(())
    }

    /// A server's process is another one than before: guests on the move that it does not bring
    /// are not there.
    fn server_started_anew(&mut self, name: &str, brings: &[VmSummary]) {
        for (vm, id) in &self.moving {
            if let Some(migration) = self.migrations.get_mut(id)
                && !brings.iter().any(|brought| brought.vm == *vm)
            {
                migration.server_started_anew(name);
            }
        }
    }

    /// A guest that a server brought along.
    fn adopt(&mut self, server: &str, summary: VmSummary) {
        // A guest on the move is its source's as long as that tells of it.
        let known = self.vms.get(&summary.vm);
        if known.is_some_and(|known| known.phase != VmPhase::MigratingIn) {
            return;
        }
        self.vms.insert(summary.vm.clone(), Vm::told_of(summary, server.to_owned(), None));
    }

    /// A server's connection is gone, and with it its guests.
    pub fn server_lost(&mut self, name: &str) -> Loss {
        let mut loss = Loss::default();
        if let Some(server) = self.servers.get_mut(name) {
            server.connected = false;
        }
        for (id, migration) in &mut self.migrations {
            if migration.silence(name) {
                let list =
                    if migration.is_decided() { &mut loss.concluded } else { &mut loss.halved };
                list.push(*id);
            }
        }
        let migrating = |vm: &str| self.moving.contains_key(vm);
        loss.vms = self
            .vms
            .iter()
            .filter(|(vm, state)| state.server == name && !migrating(vm))
            .map(|(vm, _)| vm.clone())
            .collect();
        self.vms.retain(|vm, _| !loss.vms.contains(vm));
        loss
    }

    /// A server ended as it was told to: it is forgotten, its guests with it.
    pub fn server_stopped(&mut self, name: &str) {
        self.servers.remove(name);
        self.vms.retain(|_, vm| vm.server != name);
    }

    /// Reserves name and frames for a guest to be created.
    ///
    /// # Errors
    /// When the name is taken, or the guest does not fit the server.
    pub fn create_vm(
        &mut self,
        name: &str,
        server: &str,
        definition: Arc<Definition>,
    ) -> Result<(), FleetError> {
        if let Some(vm) = self.vms.get(name) {
            let (name, on) = (name.to_owned(), vm.server.clone());
            return Err(FleetError::DuplicateVm { name, on });
        }
        let spec = definition.spec();
        let (pages, frames) = (spec.pages, spec.frames);
        self.fits(name, frames, server)?;
        let (server, phase) = (server.to_owned(), VmPhase::Created);
        let real_memory = definition.scenario().link.is_unlimited();
        let definition = Some(definition);
        let vm = Vm { server, phase, pages, frames, real_memory, definition };
        self.vms.insert(name.to_owned(), vm);
        Ok(())
    }

    /// A guest is doing something else now.
    pub fn set_phase(&mut self, vm: &str, phase: VmPhase) {
        if let Some(vm) = self.vms.get_mut(vm) {
            vm.phase = phase;
        }
    }

    /// A guest is no more, or was not created after all.
    pub fn forget_vm(&mut self, vm: &str) {
        self.vms.remove(vm);
    }
}

/// Says which names there are.
fn known<'a>(things: &str, names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    match names.is_empty() {
        true => format!("there are no {things} yet"),
        false => format!("the {things} are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests;
