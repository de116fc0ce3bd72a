//! The commands about servers, and the options of those that move many guests.

use super::{KeyValue, Name, scheme_names};
use clap::{Args, Subcommand};
use lazycopy_migration::Scheme;

/// Migrations at once where nothing else is said: as many as hypervisors' managers commonly allow
/// a host, so that each has a share of the link that is worth having.
pub const DEFAULT_PARALLEL: u16 = 4;

/// The most migrations at once: a server takes no more than so many connections of others.
pub const MAX_PARALLEL: u16 = 256;

/// What can be done with servers.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum ServerAction {
    /// Start a server on this machine
    #[command(after_help = "Example: server start a --frames 4096")]
    Start {
        /// Its name
        name: Name,
        /// Frames of memory for guests
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        frames: Option<u64>,
    },
    /// List the servers
    #[command(after_help = "Example: server list")]
    List,
    /// Show a server and its pool of guests
    #[command(after_help = "Example: server show a")]
    Show {
        /// Its name
        name: String,
    },
    /// End a server
    #[command(after_help = "Example: server stop a")]
    Stop {
        /// Its name
        name: String,
        /// Even if guests or migrations are lost
        #[arg(long)]
        force: bool,
    },
    /// Move every guest off a server; fails if one remains or does not arrive whole
    ///
    /// The largest guests go first, each onto the server with most free frames. A migration that
    /// fails is tried once more with another server, where one has room. Each of those that run at
    /// once has an equal share of its link, fixed for the whole migration.
    #[command(after_help = "Example: server evacuate a --to b,c --parallel 8 --scheme post-copy")]
    Evacuate {
        /// Its name
        name: String,
        /// The servers to move them to; without it all others that take guests
        #[arg(long, value_name = "SERVER,...", value_delimiter = ',')]
        to: Vec<String>,
        /// How they are moved.
        #[command(flatten)]
        options: GangOptions,
    },
    /// Have a server take no more guests, and move every guest off it
    ///
    /// Later guests and migrations to it are refused until: server undrain NAME
    #[command(after_help = "Example: server drain a --parallel 8")]
    Drain {
        /// Its name
        name: String,
        /// The servers to move them to; without it all others that take guests
        #[arg(long, value_name = "SERVER,...", value_delimiter = ',')]
        to: Vec<String>,
        /// How they are moved.
        #[command(flatten)]
        options: GangOptions,
    },
    /// Have a server that was drained take guests again
    #[command(visible_alias = "uncordon", after_help = "Example: server undrain a")]
    Undrain {
        /// Its name
        name: String,
    },
    /// Even out the shares of their frames that the servers have taken
    ///
    /// Few guests are moved, the largest that help first; none to or from a server that is draining.
    #[command(after_help = "Example: server rebalance --dry-run")]
    Rebalance {
        /// How they are moved.
        #[command(flatten)]
        options: GangOptions,
    },
}

/// How many guests are moved.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct GangOptions {
    /// At most so many migrations at once
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PARALLEL)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_PARALLEL)))]
    pub parallel: u16,
    /// The scheme of all of them, as for migrate
    #[arg(long, value_parser = scheme_names())]
    pub scheme: Option<Scheme>,
    /// Another value for a key of all of them, as for migrate
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<KeyValue>,
    /// Say what would be moved, and move nothing
    #[arg(long)]
    pub dry_run: bool,
}
