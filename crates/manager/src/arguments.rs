//! The command line of the manager.

use crate::grammar::{EventLevel, Name, level_names};
use crate::state::BESIDE_RESULTS;
use crate::web::WebAddress;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
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
    /// Where policies, guests' definitions and the ends of migrations are kept, so that they outlive
    /// the manager; by default .state below the results, and for run and demo nowhere
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub state: Option<PathBuf>,
    /// Which events of running migrations are printed: all, milestones, off
    #[arg(long = "event-level", id = "event_level", global = true, value_name = "LEVEL")]
    #[arg(default_value = "milestones", value_parser = level_names(), hide_possible_values = true)]
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
    /// Colours: auto, on a terminal unless NO_COLOR is set, or where CLICOLOR_FORCE is; always;
    /// never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub color: clap::ColorChoice,
    /// Print JSON: what a mode found as one document, what commands reply as one a line
    #[arg(long, global = true)]
    pub json: bool,
}

impl Options {
    /// Where the state is kept.
    pub(crate) fn state_directory(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| self.out.join(BESIDE_RESULTS))
    }
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
    /// Take commands from ctl and the live page alone, whatever becomes of standard input, until one
    /// of them is quit: for a service
    Serve,
    /// Two servers, the paper's scenario under every scheme, and what came of it
    Demo(crate::demo::DemoArguments),
    /// Simulate migrations in virtual time: deterministic, thousands a second
    Simulate(crate::simulate::SimulateArguments),
    /// Break everything that can break, in virtual time, and see that no guarantee is broken
    Faults(crate::faults::FaultsArguments),
    /// A scenario over axes, contenders and seeds, on all cores; started again it goes on
    Sweep(crate::sweep::SweepArguments),
    /// Put the shards of a sweep together, as the serial sweep writes it
    Merge(crate::sweep::MergeArguments),
    /// Write a page with figures about a run, a simulation or a sweep
    Report(crate::report::ReportArguments),
    /// Write a migration as a trace, which ui.perfetto.dev shows
    Trace(crate::trace::TraceArguments),
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
    /// A first session of five minutes: real servers, a guest, its migrations, and what they show
    Tutorial(crate::tutorial::TutorialArguments),
    /// Print what completes this program's command lines in a shell, and the server's
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Write the manual pages of this program, of the server and of the prompt's commands
    Man(crate::shell::ManArguments),
}

/// The whole command line.
#[derive(Parser, Debug)]
#[command(name = "manager", version, max_term_width = 100)]
#[command(about = "The laboratory for live VM migration")]
#[command(long_about = "The laboratory for live VM migration.\n\nWithout a subcommand it reads \
    commands: from a prompt on a terminal, else from standard input. The log goes to standard \
    error; the environment variable RUST_LOG sets its level.")]
pub struct ManagerProcess {
    /// What holds in every mode.
    #[command(flatten)]
    pub options: Options,
    /// What it is to do.
    #[command(subcommand)]
    pub mode: Option<Mode>,
}

/// A command for a running manager.
#[derive(Args, Clone, Debug)]
pub struct CtlArguments {
    /// Where the manager listens
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_ADDRESS)]
    pub connect: String,
    /// A name for this request: sent again under it, the command is not carried out twice, but
    /// answered with what came of it the first time; and it is sent again until it is answered
    #[arg(long, value_name = "NAME")]
    pub request_id: Option<Name>,
    /// The command, as typed at the prompt; several words make one
    #[arg(required = true, trailing_var_arg = true)]
    pub command: Vec<String>,
}
