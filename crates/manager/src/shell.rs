//! What shells and readers are given, made from the grammars: completions and manual pages.

use crate::grammar::language;
use crate::session::{complain, fail};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where manual pages go.
#[derive(clap::Args, Clone, Debug)]
pub struct ManArguments {
    /// The directory that the pages are written to
    #[arg(long, value_name = "DIRECTORY", default_value = "man")]
    pub out: PathBuf,
}

/// The manager's command line; `ctl` with the commands of the prompt, so that they are completed,
/// too.
fn manager() -> Command {
    let commands: Vec<Command> = language().get_subcommands().cloned().collect();
    crate::ManagerProcess::command().mut_subcommand("ctl", |ctl| {
        let ctl = ctl.mut_arg("command", |words| words.required(false));
        ctl.subcommands(commands).disable_help_subcommand(true)
    })
}

/// The commands of the prompt, as a program of their own.
fn prompt() -> Command {
    language()
        .name("manager-commands")
        .bin_name("manager ctl")
        .multicall(false)
        .about("The commands of the manager's prompt, of its scripts and of manager ctl")
}

/// Completions of the manager's command lines and of the server's, which is `server`.
pub(crate) fn completions(shell: Shell, mut server: Command) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut manager(), "manager", &mut text);
    clap_complete::generate(shell, &mut server, "server", &mut text);
    match io::stdout().write_all(&text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(format!("standard output: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Writes the manual pages of the manager and of the server, and prints where they are.
pub(crate) fn man(arguments: &ManArguments, json: bool, server: Command) -> ExitCode {
    let out = &arguments.out;
    let written = std::fs::create_dir_all(out)
        .and_then(|()| clap_mangen::generate_to(crate::ManagerProcess::command(), out))
        .and_then(|()| clap_mangen::generate_to(prompt(), out))
        .and_then(|()| clap_mangen::generate_to(server, out))
        .and_then(|()| pages(out));
    match written {
        Ok(pages) => {
            let text = format!(
                "{} manual pages are in {}; to read one: man -l {}",
                pages.len(),
                out.display(),
                out.join("manager.1").display()
            );
            let json = json.then(|| serde_json::json!({ "directory": out, "pages": pages }));
            crate::session::print(&text, json)
        }
        Err(error) => fail(format!("--out {}: {error}", out.display())),
    }
}

fn pages(out: &Path) -> io::Result<Vec<String>> {
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(out)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".1") {
            pages.push(name);
        }
    }
    pages.sort();
    Ok(pages)
}
