//! What may be ended without losing anything.

use super::{Fleet, FleetError};

impl Fleet {
    /// Whether a server may be ended without losing anything.
    ///
    /// # Errors
    /// What would be lost.
    pub fn may_stop_server(&self, name: &str) -> Result<(), FleetError> {
        self.server(name)?;
        let on_it = |server: &str| server == name;
        self.nothing_lost(on_it, format!("server stop {name}"))
    }

    /// Whether the servers among `started` may be ended without losing anything, and no migration
    /// runs.
    ///
    /// # Errors
    /// What would be lost.
    pub fn may_quit(&self, started: &[String]) -> Result<(), FleetError> {
        let migrating = self.running().next().is_some();
        let on_them = |server: &str| migrating || started.iter().any(|name| name == server);
        self.nothing_lost(on_them, "quit".to_owned())
    }

    fn nothing_lost(&self, on: impl Fn(&str) -> bool, command: String) -> Result<(), FleetError> {
        let migrations: Vec<String> = self
            .running()
            .filter(|(_, migration)| on(&migration.source) || on(&migration.destination))
            .map(|(id, migration)| format!("migration {} of \"{}\"", id.0, migration.vm))
            .collect();
        let vms: Vec<String> = self
            .vms
            .iter()
            .filter(|(_, vm)| on(&vm.server) && !vm.is_idle())
            .filter(|(_, vm)| self.server(&vm.server).is_ok())
            .map(|(name, vm)| format!("guest \"{name}\" on \"{}\"", vm.server))
            .collect();
        if migrations.is_empty() && vms.is_empty() {
            return Ok(());
        }
        let what = migrations.into_iter().chain(vms).collect::<Vec<_>>().join(", ");
        Err(FleetError::WouldBeLost { what, command })
    }
}
