//! The command line of the manager.

use crate::grammar::EventLevel;
use crate::web::WebAddress;
use clap::{Args, Subcommand};
use lazycopy_transport::DoorArguments;
use std::path::PathBuf;

/// Where a manager listens unless it is told otherwise.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7070";

/// Where results go unless it is told otherwise; a sweep's into a directory of its own below it.
pub const DEFAULT_OUT: &str = "results";

/// What holds in every mode.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where servers and ctl reach this manager; with port 0 the system chooses a free port
    #[arg(long, global = true, value_name = "HOST:PORT", default_value = DEFAULT_ADDRESS)]
    pub listen: String,
    /// Where each run's directory goes, or a sweep's results
    #[arg(long, global = true, value_name = "DIRECTORY", default_value = DEFAULT_OUT)]
    pub out: PathBuf,
    /// Which events of running migrations are printed: all, milestones, off
    #[arg(long = "event-level", id = "event_level", global = true, value_name = "LEVEL")]
    #[arg(default_value = "milestones")]
    pub events: EventLevel,
    /// Serve the live page, on this machine where no address is given; beyond it a token and TLS
    /// are needed. The system chooses a port where none is given
    #[arg(long, global = true, value_name = "ADDR", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = crate::web::DEFAULT_ADDRESS)]
    pub web: Option<WebAddress>,
    /// Serve the page beyond this machine without TLS: whoever listens there reads the token
    #[arg(long, global = true)]
    pub insecure_web: bool,
    /// Who may connect.
    #[command(flatten)]
    pub door: DoorArguments,
}

/// What the manager is to do. Without a mode it reads commands: from a prompt on a terminal, else
/// from standard input.
#[derive(Subcommand, Clone, Debug)]
pub enum Mode {
    /// Run the commands of a file
    Run {
        /// The file: one command a line; '#' begins a comment
        script: PathBuf,
    },
    /// Two servers, the paper's scenario under every scheme, and what came of it
    Demo(crate::demo::DemoArguments),
    /// Simulate migrations in virtual time: deterministic, thousands a second
    Simulate(crate::simulate::SimulateArguments),
    /// A scenario over axes, contenders and seeds, on all cores; started again it goes on
    Sweep(crate::sweep::SweepArguments),
    /// Put the shards of a sweep together, as the serial sweep writes it
    Merge(crate::sweep::MergeArguments),
    /// Write a page with figures about a run, a simulation or a sweep
    Report(crate::report::ReportArguments),
    /// Make a cluster token, which processes need that connect from one machine to another
    Token {
        /// The file; nobody but its owner can read it
        #[arg(long, value_name = "FILE", required = true)]
        out: PathBuf,
    },
    /// Make a private authority, and certificates of manager, servers and ctl, for --tls
    Certs {
        /// The directory
        #[arg(long, value_name = "DIR", required = true)]
        out: PathBuf,
        /// A host that the certificates stand for, besides this machine; may be repeated
        #[arg(long = "name", value_name = "HOST")]
        names: Vec<String>,
    },
    /// Send one command to a running manager and print the reply
    Ctl(CtlArguments),
}

/// A command for a running manager.
#[derive(Args, Clone, Debug)]
pub struct CtlArguments {
    /// Where the manager listens
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_ADDRESS)]
    pub connect: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The command, as typed at the prompt; several words make one
    #[arg(required = true, trailing_var_arg = true)]
    pub command: Vec<String>,
}
