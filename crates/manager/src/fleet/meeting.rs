//! Servers that come, go away, and come back.

use super::{Fleet, FleetError, Loss, MAX_GUESTS, MAX_WORD_BYTES, Migration, Server, Vm};
use crate::grammar::Name;
use lazycopy_protocol::control::{
    FromServer, MigrationId, ServerHello, SideHeld, VmPhase, VmSummary,
};

/// What follows from a server's coming.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meeting {
    /// Migrations that an earlier life of the manager had asked for and that have not begun.
    pub never_begun: Vec<MigrationId>,
    /// Migrations of which the server has nothing any more, and that wait for nobody else.
    pub concluded: Vec<MigrationId>,
    /// The same, whose other side has yet to report.
    pub halved: Vec<MigrationId>,
}

impl Server {
    /// A server that an earlier life of the manager knew.
    pub(super) fn awaited(pid: u32, here: bool, draining: bool) -> Server {
        Server {
            connected: false,
            awaited: true,
            silent_since_unix_ms: None,
            here,
            address: String::new(),
            pid,
            version: String::new(),
            frames: 0,
            draining,
        }
    }
}

impl Fleet {
    /// A server introduces itself. Its guests are taken from what it says.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn introduce(&mut self, hello: ServerHello) -> Result<Meeting, FleetError> {
        self.check_hello(&hello)?;
        let ServerHello { version, name, pid, address, frames, vms, sides, pace, .. } = hello;
        // What an earlier manager has said of time holds until this one says otherwise.
        if pace.revision > self.pace.revision && pace.is_valid() {
            self.pace = pace;
        }
        let known = self.servers.get(&name);
        let is_known = known.is_some_and(|known| known.pid == pid);
        // A server that comes back while it is drained is not filled again.
        let draining = known.is_some_and(|known| known.draining);
        if !is_known {
            self.server_started_anew(&name, &vms);
        }
        for summary in &vms {
            self.adopt(&name, summary.clone());
        }
        let (connected, awaited, silent_since_unix_ms, here) = (true, false, None, false);
        let server = Server {
            connected,
            awaited,
            silent_since_unix_ms,
            here,
            address,
            pid,
            version,
            frames,
            draining,
        };
        self.servers.insert(name.clone(), server);
        self.keep_server(&name);
        for side in &sides {
            let is_party = |it: &Migration| it.side_on(&name) == Some(side.side);
            if !self.migrations.get(&side.migration).is_some_and(is_party) {
                continue;
            }
            if let Some(transfer) = side.transfer {
                self.progressed(side.migration, transfer);
            }
            self.link_changed(side.migration, side.side, side.pause.clone());
        }
        sides.iter().for_each(|side| self.number_is_taken(side.migration));
        Ok(self.settle_doubts(&name, &sides, &vms))
    }

    /// Whether a server may introduce itself so.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub(crate) fn check_hello(&self, hello: &ServerHello) -> Result<(), FleetError> {
        let ServerHello { version, name, address, vms, .. } = hello;
        name.parse::<Name>().map_err(|_| FleetError::BadName)?;
        self.name_is_free(name)?;
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
        for vm in vms {
            if let Some(known) = self.vms.get(&vm.vm)
                && known.server != *name
                && !known.phase.is_on_the_move()
                && !vm.phase.is_on_the_move()
                && self.migration_of(&vm.vm).is_none()
            {
                let (vm, on) = (vm.vm.clone(), known.server.clone());
                return Err(FleetError::GuestElsewhere { vm, on });
            }
        }
        Ok(())
    }

    /// A server's process is another one than before: guests that it does not bring are not there.
    fn server_started_anew(&mut self, name: &str, brings: &[VmSummary]) {
        for (vm, id) in &self.moving {
            if let Some(migration) = self.migrations.get_mut(id)
                && !brings.iter().any(|brought| brought.vm == *vm)
            {
                migration.server_started_anew(name);
            }
        }
        self.forget_guests_of(name, brings);
    }

    /// Whether what a server says by itself is about its own guests and migrations: of others'
    /// nobody believes it.
    pub fn is_its_own(&self, server: &str, said: &FromServer) -> bool {
        let side = |id: MigrationId, vm: Option<&str>| match self.migrations.get(&id) {
            Some(migration) if vm.is_none_or(|vm| vm == migration.vm) => {
                Some(migration.side_on(server))
            }
            _ => None,
        };
        let has = |vm: &str| {
            self.vms.get(vm).is_none_or(|it| it.server == server || it.phase.is_on_the_move())
        };
        match said {
            FromServer::Reply { .. } | FromServer::Heartbeat => true,
            FromServer::Event { migration: id, .. }
            | FromServer::Progress { migration: id, .. } => {
                side(*id, None).is_none_or(|side| side.is_some())
            }
            FromServer::LinkState { migration: id, side: told, .. } => {
                side(*id, None).is_none_or(|side| side == Some(*told))
            }
            FromServer::MigrationEnded(ended) => {
                let known = side(ended.migration, Some(&ended.vm));
                let is_party = known.map(|side| side == Some(ended.side));
                // Of an earlier manager's migration the guest has come, or has gone.
                ended.after.host.server == server && is_party.unwrap_or_else(|| has(&ended.vm))
            }
            FromServer::VmFailed { vm, .. } => {
                let moves = |id: &MigrationId| side(*id, None).flatten().is_some();
                has(vm) || self.moving.get(vm).is_some_and(moves)
            }
        }
    }

    /// The guests of a server, but for those that it brings, are no more; those on the move are
    /// their migration's.
    pub(super) fn forget_guests_of(&mut self, name: &str, brings: &[VmSummary]) {
        let stays = |vm: &str| {
            self.moving.contains_key(vm) || brings.iter().any(|brought| brought.vm == vm)
        };
        let here = self.vms.iter().filter(|(vm, it)| it.server == name && !stays(vm));
        let absent = self.absent.iter().filter(|(vm, it)| it.server == name && !stays(vm));
        let gone: Vec<String> =
            here.map(|(vm, _)| vm).chain(absent.map(|(vm, _)| vm)).cloned().collect();
        gone.iter().for_each(|vm| self.forget_vm(vm));
    }

    /// A guest that a server brought along.
    fn adopt(&mut self, server: &str, summary: VmSummary) {
        let is_moving = self.moving.contains_key(&summary.vm);
        match self.vms.get_mut(&summary.vm) {
            // It was away for a moment.
            Some(known) if known.server == server && !is_moving => {
                known.phase = summary.phase;
                return;
            }
            // A guest on the move is its source's as long as that tells of it.
            Some(known) if known.phase != VmPhase::MigratingIn => return,
            _ => {}
        }
        let vm = summary.vm.clone();
        let goes_there =
            || self.migration_of(&vm).is_some_and(|(_, it)| it.side_on(server).is_some());
        let returns = self.absent.get(&vm).filter(|absent| {
            let spec = absent.definition.spec();
            let is_it = (spec.pages, spec.frames) == (summary.pages, summary.frames);
            is_it && (absent.server == server || goes_there())
        });
        let definition = match returns.map(|absent| absent.definition.clone()) {
            Some(definition) => {
                self.absent.remove(&vm);
                Some(definition)
            }
            None => self.vms.get(&vm).and_then(|known| known.definition.clone()),
        };
        self.vms.insert(vm.clone(), Vm::told_of(summary, server.to_owned(), definition));
        self.keep_guest(&vm);
    }

    /// A source tells which migrations it has: those that an earlier life of the manager asked for
    /// have begun, or never will.
    fn settle_doubts(&mut self, name: &str, sides: &[SideHeld], vms: &[VmSummary]) -> Meeting {
        let mut meeting = Meeting::default();
        for (id, migration) in &mut self.migrations {
            let is_its = migration.in_doubt && migration.source == name && !migration.is_over();
            if !is_its || !migration.awaits(super::Side::Source) {
                continue;
            }
            migration.in_doubt = false;
            if sides.iter().any(|side| side.migration == *id) {
                continue;
            }
            let has_it = |it: &VmSummary| it.vm == migration.vm && it.phase != VmPhase::MigratingIn;
            if vms.iter().any(has_it) {
                meeting.never_begun.push(*id);
            } else if migration.silence(name) {
                match migration.is_decided() {
                    true => meeting.concluded.push(*id),
                    false => meeting.halved.push(*id),
                }
            }
        }
        meeting.never_begun.clone().into_iter().for_each(|id| self.migration_refused(id));
        meeting
    }

    /// A server's connection is gone. Whether its process is, is not known: what it has waits for
    /// it.
    pub fn server_away(&mut self, name: &str) {
        if let Some(server) = self.servers.get_mut(name) {
            server.connected = false;
            server.awaited = true;
            server.silent_since_unix_ms = None;
        }
    }

    /// Whether a server is awaited whose process that is.
    pub fn is_awaited(&self, name: &str, pid: u32) -> bool {
        self.servers.get(name).is_some_and(|server| server.awaited && server.pid == pid)
    }

    /// Whether a server is awaited whose process is another one.
    pub(crate) fn awaits_another(&self, name: &str, pid: u32) -> bool {
        self.servers.get(name).is_some_and(|server| server.awaited && server.pid != pid)
    }

    /// A server has not answered since then, or answers again.
    pub fn set_silent(&mut self, name: &str, since_unix_ms: Option<u64>) {
        if let Some(server) = self.servers.get_mut(name) {
            server.silent_since_unix_ms = since_unix_ms;
        }
    }

    /// A server's process runs on this machine.
    pub fn set_here(&mut self, name: &str, here: bool) {
        if let Some(server) = self.servers.get_mut(name) {
            server.here = here;
            self.keep_server(name);
        }
    }

    /// A server is gone, and with it its guests. What they were created from is kept: it may be
    /// that it was only out of reach, and brings them back.
    pub fn server_lost(&mut self, name: &str) -> Loss {
        let mut loss = Loss::default();
        if let Some(server) = self.servers.get_mut(name) {
            server.connected = false;
            server.awaited = false;
            server.silent_since_unix_ms = None;
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
        for vm in &loss.vms {
            if let Some(definition) = self.vms.remove(vm).and_then(|it| it.definition) {
                self.keep_absent(vm, name, definition);
            }
            self.keep_guest(vm);
        }
        loss
    }

    /// A server that an earlier life of the manager knew has not come back: it is forgotten, unless
    /// it is to take no guests when it does.
    pub fn forget_unseen(&mut self, name: &str) {
        let unseen = |server: &Server| server.version.is_empty() && !server.draining;
        if self.servers.get(name).is_some_and(unseen) {
            self.servers.remove(name);
            self.keep_server(name);
        }
    }
}
