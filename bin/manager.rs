//! The entry point and only user interface: the manager, and, by a hidden subcommand, a server.

use clap::{Parser, Subcommand};
use lazycopy_manager::{Mode, Options};
use lazycopy_server::ServerArguments;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// The laboratory for live VM migration.
///
/// Without a subcommand it reads commands: from a prompt on a terminal, else from standard input.
/// The log goes to standard error; the environment variable RUST_LOG sets its level.
#[derive(Parser)]
#[command(name = "manager", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    process: Option<Process>,
}

#[derive(Subcommand)]
enum Process {
    #[command(flatten)]
    Manager(Mode),
    #[command(hide = true)]
    Server(ServerArguments),
}

/// How long what still blocks (a read of standard input) may keep the program from ending.
const LAST_READS: Duration = Duration::from_millis(100);

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { options, process } = Arguments::parse();
    let (mode, level) = match &process {
        Some(Process::Server(_)) => (None, "info"),
        Some(Process::Manager(mode)) => (Some(mode.clone()), "warn"),
        None => (None, "warn"),
    };
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
    if let Some(Process::Server(arguments)) = process {
        lazycopy_server::run_process(arguments)?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let code = runtime.block_on(lazycopy_manager::run(options, mode));
    runtime.shutdown_timeout(LAST_READS);
    Ok(code)
}
