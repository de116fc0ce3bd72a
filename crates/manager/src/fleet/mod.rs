//! What the manager knows and decides, without IO: servers, guests, migrations, policy.
//!
//! Commands ask the fleet first and tell it what the servers answered; connections tell it what
//! servers say by themselves. It refuses what cannot be ([`FleetError`]) and says what follows
//! from what happened.

mod balance;
mod endings;
mod error;
mod gang;
mod kept;
mod meeting;
mod migration;
mod moving;
mod pauses;
mod placement;
mod policy;
mod room;
mod verdict;

pub use balance::{BalancingMove, Pool, Rebalancing, balance};
pub use error::FleetError;
pub use gang::{Evacuation, Stay, fair_share};
pub use meeting::Meeting;
pub use migration::{Account, Ended, Migration, Progress, Request, Side};
pub use placement::{Load, Move, Placement, Room, spread};
pub use policy::{Policy, full_key};
pub use verdict::{Whereabouts, compose};

use crate::definition::Definition;
use crate::state::Changes;
use kept::Absent;
use lazycopy_protocol::control::{MigrationId, VmPhase, VmSummary};
use lazycopy_protocol::pace::Pace;
use lazycopy_scenario::did_you_mean;
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
    /// Whether its connection is gone, its process perhaps not: its guests and migrations wait for
    /// it.
    pub awaited: bool,
    /// Since when it has not answered, in milliseconds since 1970, while its connection stands.
    pub silent_since_unix_ms: Option<u64>,
    /// Whether its process runs on the manager's machine.
    pub here: bool,
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
    pace: Pace,
    last_migration: u64,
    /// Guests of servers that are away.
    absent: BTreeMap<String, Absent>,
    /// The last migration of a guest that was taken back before it began.
    taken_back: BTreeMap<String, MigrationId>,
    /// What is to be kept and is not yet.
    changes: Changes,
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

    /// How time goes on every server.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Has time go otherwise from `now_ns` on, in nanoseconds since 1970, which tells a later change
    /// from an earlier one, be it another manager's.
    ///
    /// # Errors
    /// Those of `change`: then it goes as before.
    pub fn change_pace<E>(
        &mut self,
        now_ns: u64,
        change: impl FnOnce(Pace) -> Result<Pace, E>,
    ) -> Result<Pace, E> {
        let changed = change(self.pace)?;
        let revision = now_ns.max(self.pace.revision.saturating_add(1));
        self.pace = Pace { revision, ..changed };
        Ok(self.pace)
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
            self.keep_migration(id);
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
                known: known(name, "servers", self.servers.keys()),
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
            known: known(name, "guests", self.vms.keys()),
        })
    }

    /// A guest that is at rest on a connected server: not migrating.
    ///
    /// # Errors
    /// When there is none of that name, or it is migrating.
    pub fn settled_vm(&self, name: &str) -> Result<&Vm, FleetError> {
        let vm = self.vm(name)?;
        match self.migration_of(name) {
            Some((id, migration)) => {
                let (vm, to) = (name.to_owned(), migration.destination.clone());
                Err(match migration.pause() {
                    Some(_) => FleetError::IsPaused { vm, to, id },
                    None => FleetError::IsMigrating { vm, to, id },
                })
            }
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

    /// A server ended as it was told to: it is forgotten, its guests with it.
    pub fn server_stopped(&mut self, name: &str) {
        self.servers.remove(name);
        self.keep_server(name);
        self.forget_guests_of(name, &[]);
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
        self.absent.remove(name);
        self.taken_back.remove(name);
        self.keep_guest(name);
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
        self.absent.remove(vm);
        self.taken_back.remove(vm);
        self.keep_guest(vm);
    }
}

/// Says which names there are.
fn known<'a>(wanted: &str, things: &str, names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let meant = did_you_mean(wanted, names.iter().copied());
    match names.is_empty() {
        true => format!("there are no {things} yet"),
        false => format!("{meant}the {things} are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests;
