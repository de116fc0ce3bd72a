//! Guests that do not run and have no memory: they are moved as what they are.

use super::journey::{Fate, Journey};
use crate::fleet::Move;
use crate::manager::Manager;
use crate::reply::CommandError;
use lazycopy_protocol::control::ServerCommand;

impl Manager {
    /// Moves a stopped guest: it is defined on the other server and deleted on its own.
    pub(super) async fn relocate(&self, planned: &Move) -> Journey {
        let Move { vm, from, to, .. } = planned;
        let fate = match self.define_elsewhere(vm, from, to).await {
            Ok(()) => Fate::Relocated { on: to.clone() },
            Err(error) => Fate::Remains { why: error.to_string() },
        };
        Journey::without_attempt(vm, from, fate)
    }

    /// The guest's own server decides: should it have been started meanwhile, that server refuses
    /// to delete it, and it stays.
    async fn define_elsewhere(&self, vm: &str, from: &str, to: &str) -> Result<(), CommandError> {
        let definition = self.read(|state| state.fleet.may_relocate(vm, to))?;
        let (source, destination) = (self.connection(from)?, self.connection(to)?);
        destination.tell(ServerCommand::CreateVm(definition.create_vm(vm))).await?;
        let moved = async {
            destination.tell(ServerCommand::StopVm { vm: vm.to_owned() }).await?;
            source.tell(ServerCommand::DeleteVm { vm: vm.to_owned(), force: false }).await
        };
        if let Err(error) = moved.await {
            let undo = ServerCommand::DeleteVm { vm: vm.to_owned(), force: true };
            let _ = destination.tell(undo).await;
            return Err(error.into());
        }
        self.change(|state| state.fleet.relocated(vm, to));
        self.kept().await;
        Ok(())
    }
}
