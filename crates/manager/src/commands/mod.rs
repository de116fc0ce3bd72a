//! What each command does. A command asks the fleet, then the servers, then tells the fleet what
//! they answered.

mod evacuate;
mod gang_report;
mod journey;
mod mend;
mod migrate;
mod pace;
mod policy;
mod rebalance;
mod relocate;
mod script;
mod server;
mod status;
mod vm;
mod watch;

pub(crate) use script::ScriptSource;

use crate::grammar::{Command, Parsed, parse_line};
use crate::manager::Manager;
use crate::reply::{CommandError, Reply};

impl Manager {
    /// Carries out one line of the command language.
    ///
    /// # Errors
    /// When it is no command, or the command fails.
    pub async fn run_line(&self, line: &str) -> Result<Reply, CommandError> {
        match parse_line(line)? {
            Parsed::Nothing => Ok(Reply::default()),
            Parsed::Help(text) => Ok(Reply::help(text)),
            Parsed::Command(command) => self.execute(command, 0).await,
        }
    }

    /// Carries out a command, `depth` scripts deep.
    pub(crate) async fn execute(
        &self,
        command: Command,
        depth: usize,
    ) -> Result<Reply, CommandError> {
        if self.is_quitting() {
            return Err(CommandError::Ending);
        }
        match command {
            Command::Server(action) => self.server_command(action).await,
            Command::Vm(action) => self.vm_command(action).await,
            Command::Policy(action) => self.policy_command(action).await,
            Command::Migrate(migrate) => self.migrate_command(migrate).await,
            Command::Time { action } => self.time_command(action).await,
            Command::Status => Ok(self.status()),
            Command::Results => Ok(self.results()),
            Command::Watch { vm } => self.watch_command(&vm).await,
            Command::Script { file } => Box::pin(self.script_command(file, depth)).await,
            Command::Events { level } => Ok(self.events_command(level)),
            Command::Wait { vm } => self.wait_command(vm).await,
            Command::Quit { force } => self.quit_command(force),
        }
    }
}
