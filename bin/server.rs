//! A host process with a pool of guests, which a manager commands.

use anyhow::Result;
use clap::Parser;
use lazycopy_server::ServerArguments;
use tracing_subscriber::EnvFilter;

/// Host guests of a migration laboratory: run them, move them to other servers and take them in,
/// as a manager commands.
///
/// The log goes to standard error; the environment variable RUST_LOG sets its level.
#[derive(Parser)]
#[command(name = "server", version)]
struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
    Ok(lazycopy_server::run_process(arguments.server.into())?)
}
