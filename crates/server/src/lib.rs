//! A server: a host process with a pool of guests. It runs them in scaled real time, moves them
//! to other servers and takes them in, and obeys a manager.
//!
//! Every guest has a task of its own, which alone holds its state: it awaits in a `select` and
//! decides in synchronous calls. What all share is small and behind short locks: the pool's
//! accounts, the sides of migrations and their reports for the manager, the events of those that have
//! ended, and what came of the last commands.
//!
//! While a migration lasts, the machines of `lazycopy-migration` are given scheduled instants and
//! never the clock's reading: their driver handles everything that is due by the
//! clock in the order of its instants, and measures how late it is.

mod answered;
mod arguments;
mod clock;
mod connection;
mod expected;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod host;
mod manager;
mod migration;
mod peers;
mod plane;
mod pool;
mod records;
mod room;
mod sides;
mod timer;
mod vm;

pub use arguments::{ServerArguments, ServerProcess};

use host::Host;
use lazycopy_transport::{Door, DoorError, raise_descriptor_limit};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// What a server needs to know.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where the manager listens: `host:port`.
    pub manager: String,
    /// The server's name, unique among the manager's servers.
    pub name: String,
    /// Where it listens for other servers. Port 0: the system chooses one.
    pub listen: SocketAddr,
    /// Where other servers reach it: `host:port`. Absent: the address that it listens on, or,
    /// where that is every address, the one by which it reaches the manager.
    pub advertise: Option<String>,
    /// Frames of memory that it has for guests.
    pub frames: u64,
    /// What it asks of whoever comes in, and how it goes out.
    pub door: Door,
}

/// Why a server ended that was not told to.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It could not listen.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Its own token, certificates or addresses do not do.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The runtime could not be set up.
    #[error("cannot set up the runtime: {0}")]
    Runtime(io::Error),
    /// It or the manager does not let the other in.
    #[error("this server and the manager do not go together: {error}")]
    AtDoor {
        /// Why.
        error: DoorError,
    },
    /// The manager does not take it.
    #[error("the manager refused this server: {reason}")]
    Refused {
        /// The manager's reason.
        reason: String,
    },
}

/// Runs a server until `shutdown` is ready or the manager ends it. Guests that it hosts then are
/// lost. A manager that cannot be reached, or dies, is tried again for ever.
///
/// # Errors
/// When it cannot listen, or the manager refuses it.
pub async fn run(
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    config.door.check(config.listen)?;
    let failed = |error| ServerError::Listen { address: config.listen, error };
    let listener = config.door.listen(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    info!(name = config.name, %address, frames = config.frames, "listening for other servers");
    let (host, events) = Host::new(&config, address).map_err(ServerError::Runtime)?;
    let _tasks_end_with_this = host::EndTasks(Arc::clone(&host));
    tokio::select! {
        biased;
        ended = manager::obey(&host, &config, events) => ended,
        () = peers::accept(&host, listener) => Ok(()),
        () = shutdown => {
            info!("told to end");
            Ok(())
        }
    }
}

/// How often tokio looks at its sockets and timers while tasks are ready to run: after so many of
/// them. A burst of a guest's accesses is long for a task, so more often than usual.
const EVENT_INTERVAL: u32 = 5;

/// How long reading a recording may go on after the end before the process ends without it.
const LAST_READS: Duration = Duration::from_millis(100);

/// Runs a server as a process of its own, until the manager ends it, or Ctrl-C or a termination
/// signal does, or, where the arguments say so, the end of its standard input.
///
/// # Errors
/// As [`run`], and when the runtime cannot be set up.
pub fn run_process(arguments: ServerArguments) -> Result<(), ServerError> {
    let until_stdin_closes = arguments.until_stdin_closes;
    let config = arguments.config()?;
    raise_descriptor_limit();
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build()
        .map_err(ServerError::Runtime)?;
    let ended = runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate()).map_err(ServerError::Runtime)?;
        run(config, async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
                () = stdin_closed(), if until_stdin_closes => info!("standard input was closed"),
            }
        })
        .await
    });
    runtime.shutdown_timeout(LAST_READS);
    ended
}

/// Waits for the end of standard input, on a thread of its own, since reading blocks.
async fn stdin_closed() {
    let (closed, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = closed.send(());
    });
    let _ = end.await;
}
