//! Room for guests: frames, promises, and servers that take none for now.

use super::{Fleet, FleetError, Room, Server};

impl Fleet {
    /// From now on a server takes no further guests. Returns whether it did so far.
    ///
    /// # Errors
    /// When there is none of that name, or it is gone.
    pub fn drain(&mut self, name: &str) -> Result<bool, FleetError> {
        self.server(name)?;
        let server = self.servers.get_mut(name);
        let anew = server.is_some_and(|server| !std::mem::replace(&mut server.draining, true));
        self.keep_server(name);
        Ok(anew)
    }

    /// From now on a server takes guests again, also one that is gone and comes back.
    ///
    /// # Errors
    /// When there is none of that name, or it takes them as it is.
    pub fn undrain(&mut self, name: &str) -> Result<(), FleetError> {
        match self.servers.get_mut(name) {
            Some(server) if server.draining => {
                server.draining = false;
                self.keep_server(name);
                Ok(())
            }
            Some(_) => Err(FleetError::NotDraining { server: name.to_owned() }),
            None => self.server(name).map(|_| ()),
        }
    }

    /// A connected server that takes guests.
    ///
    /// # Errors
    /// When there is none of that name, or it is gone, or it is draining.
    pub fn open_server(&self, name: &str) -> Result<&Server, FleetError> {
        let server = self.server(name)?;
        match server.draining {
            true => Err(FleetError::Draining { server: name.to_owned() }),
            false => Ok(server),
        }
    }

    /// Whether a server takes the guest: it is not draining, and the guest fits its frames that
    /// are left.
    pub(super) fn fits(&self, vm: &str, needed: u32, server: &str) -> Result<(), FleetError> {
        let frames = self.open_server(server)?.frames;
        let promised_to_it = self.promised.get(vm).is_some_and(|promised| promised == server);
        let own = if promised_to_it { u64::from(needed) } else { 0 };
        let free = frames.saturating_sub(self.frames_taken(server) - own);
        if u64::from(needed) <= free {
            return Ok(());
        }
        let (vm, server) = (vm.to_owned(), server.to_owned());
        Err(FleetError::DoesNotFit { vm, server, needed: needed.into(), free, frames })
    }

    /// Frames that guests on a server, guests on their way to it, and guests that a plan will move
    /// there take. A stopped guest takes none.
    pub fn frames_taken(&self, server: &str) -> u64 {
        let on_it = self.vms.iter().filter(|(_, vm)| vm.server == server && !vm.is_idle());
        let on_it: u64 = on_it.map(|(_, vm)| u64::from(vm.frames)).sum();
        on_it + self.frames_expected(server)
    }

    /// Of the frames taken, those of guests that are not there yet.
    fn frames_expected(&self, server: &str) -> u64 {
        let coming = |migration_to: &str| migration_to == server;
        let arriving = self.moving.iter().filter(|(_, id)| {
            self.migrations
                .get(id)
                .is_some_and(|migration| coming(&migration.destination) && !migration.has_arrived())
        });
        let promised = self.promised.iter().filter(|(_, to)| coming(to));
        let vms = arriving.map(|(vm, _)| vm).chain(promised.map(|(vm, _)| vm));
        vms.filter_map(|vm| self.vms.get(vm)).map(|vm| u64::from(vm.frames)).sum()
    }

    /// Frames of guests that are leaving a server.
    fn frames_leaving(&self, server: &str) -> u64 {
        let leaving = self.moving.iter().filter(|(_, id)| {
            self.migrations.get(id).is_some_and(|migration| migration.source == server)
        });
        let leaving = leaving.filter_map(|(vm, _)| self.vms.get(vm));
        leaving.filter(|vm| vm.server == server).map(|vm| u64::from(vm.frames)).sum()
    }

    /// A server's room.
    pub fn room(&self, name: &str, server: &Server) -> Room {
        let held = self.frames_taken(name);
        let taken = held.saturating_sub(self.frames_leaving(name));
        Room { server: name.to_owned(), frames: server.frames, taken, held }
    }

    /// The room of the servers that guests may be moved to: connected, neither draining nor being
    /// evacuated.
    pub fn rooms(&self) -> Vec<Room> {
        let open = |(name, server): &(&str, &Server)| {
            server.connected && !server.draining && !self.evacuating.contains(*name)
        };
        self.servers().filter(open).map(|(name, server)| self.room(name, server)).collect()
    }
}
