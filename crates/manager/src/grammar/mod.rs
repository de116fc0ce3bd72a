//! The command language: one grammar for the prompt, script files, piped input and the TCP port.

mod help;
mod pace;
mod refusal;
mod server;
mod words;

pub use pace::{Span, TimeAction};
pub use server::{DEFAULT_PARALLEL, GangOptions, MAX_PARALLEL, ServerAction};
pub use words::{EventLevel, KeyValue, MAX_NAME_BYTES, Name, level_names, scheme_names};

use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use lazycopy_migration::Scheme;
use std::path::PathBuf;

/// The most bytes of a command line, so that an endless line of a script or of a peer cannot fill
/// memory.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

#[derive(Debug, Parser)]
#[command(multicall = true, max_term_width = 100, subcommand_value_name = "COMMAND")]
#[command(subcommand_help_heading = "Commands")]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What a user can tell the manager.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Start, list, show, empty, even out and stop servers
    #[command(subcommand)]
    Server(ServerAction),
    /// Create, run and look at guests
    #[command(subcommand)]
    Vm(VmAction),
    /// How later migrations move their guest
    #[command(subcommand)]
    Policy(PolicyAction),
    /// Move a guest to another server, or take a migration back
    Migrate(Migrate),
    /// How time goes for all that runs: freeze, step, slow it down, and let it go
    #[command(after_help = "Example: time")]
    Time {
        /// Without it, how it goes now
        #[command(subcommand)]
        action: Option<TimeAction>,
    },
    /// Servers, guests, and migrations that run
    #[command(after_help = "Example: status")]
    Status,
    /// The migrations that have ended, with their metrics
    #[command(after_help = "Example: results")]
    Results,
    /// Run the commands of a file
    #[command(after_help = "Example: script evening.script")]
    Script {
        /// The file: one command a line; '#' begins a comment
        file: PathBuf,
    },
    /// A guest's memory and its migration, drawn again and again until q, Esc or Ctrl-C
    ///
    /// The live picture needs the terminal of a prompt. Elsewhere (a pipe, ctl, the page) it is
    /// drawn once.
    #[command(after_help = "Example: watch web")]
    Watch {
        /// The guest
        vm: String,
    },
    /// Which events of running migrations are printed
    ///
    /// Pages and faults are told of migrations that begin while the level is "all", and of no
    /// others.
    #[command(after_help = "Example: events all")]
    Events {
        /// How much of them; without it the level is shown
        #[arg(value_parser = level_names())]
        level: Option<EventLevel>,
    },
    /// Wait for the migrations that nobody has waited for; fails if one did not complete
    #[command(after_help = "Example: wait web")]
    Wait {
        /// Wait for the migrations of this guest alone
        vm: Option<String>,
    },
    /// End the manager and the servers that it started
    #[command(alias = "exit", after_help = "Example: quit --force")]
    Quit {
        /// Even if guests or migrations are lost
        #[arg(long)]
        force: bool,
    },
}

/// What can be done with guests.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum VmAction {
    /// Define a guest on a server; it does not run yet
    #[command(after_help = "Example: vm create web --on a --scenario zipf --set guest.frames=30")]
    Create {
        /// Its name
        name: Name,
        /// The server
        #[arg(long, value_name = "SERVER")]
        on: String,
        /// A scenario file, or the name of a shipped scenario: paper, unlimited, ...
        #[arg(long, value_name = "FILE|NAME", default_value = "paper")]
        scenario: String,
        /// Another value for a key of the scenario
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<KeyValue>,
    },
    /// Run a guest: its warm-up, which takes no time, and then on
    #[command(after_help = "Example: vm start web")]
    Start {
        /// The guest
        name: String,
    },
    /// Halt a guest, its memory kept
    #[command(after_help = "Example: vm suspend web")]
    Suspend {
        /// The guest
        name: String,
    },
    /// Go on with a suspended guest
    #[command(after_help = "Example: vm resume web")]
    Resume {
        /// The guest
        name: String,
    },
    /// End a guest's execution and free its memory
    #[command(after_help = "Example: vm stop web")]
    Stop {
        /// The guest
        name: String,
    },
    /// Forget a guest
    #[command(after_help = "Example: vm delete web --force")]
    Delete {
        /// The guest
        name: String,
        /// Even if it runs
        #[arg(long)]
        force: bool,
    },
    /// List the guests
    #[command(after_help = "Example: vm list")]
    List,
    /// Memory in LRU order, page table, registers, miss ratio
    #[command(after_help = "Example: vm show web")]
    Show {
        /// The guest
        name: String,
    },
}

/// What can be done with the policy.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum PolicyAction {
    /// Set parameters of later migrations
    #[command(after_help = "Example: policy set scheme=lazy-copy head_start=2 max_lead=10")]
    Set {
        /// Keys such as scheme, head_start, link.latency; KEY=none leaves it to the guest's scenario
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<KeyValue>,
    },
    /// Show what was set
    #[command(after_help = "Example: policy show")]
    Show,
}

/// A migration to begin, or to take back.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Example: migrate web --to b --scheme post-copy --wait")]
#[command(override_usage = "migrate VM --to SERVER [OPTIONS]\n       migrate cancel VM")]
pub struct Migrate {
    /// Taking a migration back instead of beginning one.
    #[command(subcommand)]
    pub action: Option<MigrateAction>,
    /// The guest
    #[arg(required = true)]
    pub vm: Option<String>,
    /// The destination
    #[arg(long, required = true, value_name = "SERVER")]
    pub to: Option<String>,
    /// How its memory gets there
    #[arg(long, value_parser = scheme_names())]
    pub scheme: Option<Scheme>,
    /// Another value for a key of the migration: head_start, link.latency, measured_accesses
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<KeyValue>,
    /// Wait for the end; fails if the migration does not complete
    #[arg(long)]
    pub wait: bool,
}

/// What can be done with a migration that runs.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum MigrateAction {
    /// Take a migration back, before the hand-over
    #[command(after_help = "Example: migrate cancel web")]
    Cancel {
        /// The guest that is migrating
        vm: String,
    },
    /// Try at once to mend the broken link of a migration that was handed over
    #[command(after_help = "Example: migrate recover web")]
    Recover {
        /// The guest whose migration is paused
        vm: String,
    },
    /// Take back a guest that was handed over and never ran at the destination
    ///
    /// Where the link of a migration is broken, its source alone decides whether the guest may be
    /// taken back: only if it cannot have run at the destination and never will.
    #[command(after_help = "Example: migrate reclaim web")]
    Reclaim {
        /// The guest whose migration is paused
        vm: String,
    },
}

/// What a line holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// Nothing but blanks and comment.
    Nothing,
    /// A command.
    Command(Command),
    /// A question about the language itself, and its answer.
    Help(String),
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// A quotation mark or a backslash has no partner.
    #[error("a quotation mark or a backslash at the end has no partner")]
    Unbalanced,
    /// The line is too long.
    #[error("a line of {bytes} bytes is longer than {MAX_LINE_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The words make no command.
    #[error("{0}")]
    Words(String),
}

/// Reads one line.
///
/// # Errors
/// When it is no command; the message says what would be one.
pub fn parse_line(line: &str) -> Result<Parsed, GrammarError> {
    if line.len() > MAX_LINE_BYTES {
        return Err(GrammarError::TooLong { bytes: line.len() });
    }
    let words = shlex::split(line).ok_or(GrammarError::Unbalanced)?;
    if words.is_empty() {
        return Ok(Parsed::Nothing);
    }
    if matches!(&*words, [word] if ["help", "--help", "-h"].contains(&word.as_str())) {
        return Ok(Parsed::Help(help::overview(&language())));
    }
    match Line::try_parse_from(words) {
        Ok(line) => Ok(Parsed::Command(line.command)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Parsed::Help(error.render().to_string().trim_end().to_owned()))
            }
            _ => Err(GrammarError::Words(refusal::words(&error))),
        },
    }
}

/// The whole language: what its help, its completions and its manual pages are made from.
pub fn language() -> clap::Command {
    Line::command()
}

/// The words that may follow `words` at the prompt: subcommands and options, for completion.
pub fn continuations(words: &[&str]) -> Vec<String> {
    let root = language();
    let mut command = &root;
    for word in words {
        match command.find_subcommand(word) {
            Some(subcommand) => command = subcommand,
            None => break,
        }
    }
    let subcommands = command.get_subcommands().map(|command| command.get_name().to_owned());
    let options =
        command.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?)));
    let help = words.is_empty().then(|| "help".to_owned());
    subcommands.chain(options).chain(help).collect()
}

#[cfg(test)]
mod tests;
