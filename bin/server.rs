//! A host process with a pool of guests, which a manager commands.

use clap::Parser;
use lazycopy_server::ServerProcess;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = ServerProcess::parse();
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
    match lazycopy_server::run_process(arguments.server) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
