//! The entry point and only user interface: the manager, and, by a hidden subcommand, a server.

use clap::{CommandFactory, Parser};
use lazycopy_manager::ManagerProcess;
use lazycopy_server::{ServerArguments, ServerProcess};
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// A host process with a pool of guests, which a manager commands.
#[derive(Parser)]
#[command(name = "manager server")]
struct OwnServer {
    #[command(flatten)]
    server: ServerArguments,
}

/// How long what still blocks (a read of standard input) may keep the program from ending.
const LAST_READS: Duration = Duration::from_millis(100);

fn main() -> anyhow::Result<ExitCode> {
    // Parsed apart, since both have options of their own by the same names.
    if std::env::args_os().nth(1).is_some_and(|word| word == "server") {
        let arguments = OwnServer::parse_from(std::env::args_os().skip(1)).server;
        log_from("info");
        return Ok(match lazycopy_server::run_process(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                eprintln!("error: {problem}");
                ExitCode::FAILURE
            }
        });
    }
    let process = ManagerProcess::parse();
    log_from("warn");
    let runtime = tokio::runtime::Runtime::new()?;
    let code = runtime.block_on(lazycopy_manager::run(process, ServerProcess::command()));
    runtime.shutdown_timeout(LAST_READS);
    Ok(code)
}

fn log_from(level: &str) {
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
}
