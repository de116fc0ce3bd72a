//! The command line of a server.

use crate::ServerConfig;
use clap::{Args, Parser};
use lazycopy_transport::{Door, DoorArguments, DoorError, Role};
use std::net::SocketAddr;

/// Host guests of a migration laboratory: run them, move them to other servers and take them in,
/// as a manager commands.
///
/// The log goes to standard error; the environment variable RUST_LOG sets its level.
#[derive(Parser, Debug)]
#[command(name = "server", version)]
pub struct ServerProcess {
    /// What it is told.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Host guests and obey a manager.
#[derive(Args, Clone, Debug)]
pub struct ServerArguments {
    /// Where the manager listens. It may start later: the server keeps trying.
    #[arg(long, value_name = "HOST:PORT")]
    pub manager: String,
    /// This server's name, unique among the manager's servers.
    #[arg(long)]
    pub name: String,
    /// Where to listen for other servers; pages come in there. Port 0: the system chooses one.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Where other servers reach this one, if not at the address that it listens on.
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Frames of memory for guests, 4,096 bytes each.
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: u64,
    /// Who may connect.
    #[command(flatten)]
    pub door: DoorArguments,
    /// End when standard input is closed: whoever started this server holds its other end, and a
    /// server is not to outlive it.
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

impl ServerArguments {
    /// What they say, with the token and the certificates that they name.
    ///
    /// # Errors
    /// When the token or the certificates cannot be had.
    pub fn config(self) -> Result<ServerConfig, DoorError> {
        let ServerArguments { manager, name, listen, advertise, frames, door, .. } = self;
        let door = Door::open(&door, Role::Server)?;
        Ok(ServerConfig { manager, name, listen, advertise, frames, door })
    }
}
