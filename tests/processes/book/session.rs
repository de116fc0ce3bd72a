//! Runs what the book shows: shell commands in a directory of the chapter's own, and sessions with
//! the manager, whose lines are fed to it.

use super::block::Block;
use super::matching::difference;
use super::of_kind;
use crate::common::{MANAGER, Manager, SERVER};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// How the book starts the manager from a clone of the repository.
const BY_CARGO: &str = "cargo run --release";

/// The prompt, as the book shows it.
const PROMPT: &str = "lazycopy> ";

/// How long a command may take, in seconds. It decides nothing but failures.
const DEADLINE: &str = "60";

/// A directory with `manager` and `server` as the book's reader has them, except that the manager
/// listens where it disturbs no other test.
pub struct Programs {
    directory: TempDir,
}

impl Programs {
    pub fn new() -> Programs {
        let directory = TempDir::new().expect("a directory for the programs");
        // A command that says itself where to listen or connect keeps its word.
        let manager = format!(
            "#!/bin/sh\ncase \" $* \" in *\" --listen \"*|*\" --connect \"*) exec {MANAGER} \
             \"$@\" ;; esac\nif [ \"$1\" = ctl ]; then shift; exec {MANAGER} ctl --connect \
             \"$MANAGER_ADDRESS\" \"$@\"; fi\nexec {MANAGER} ${{LISTEN:+--listen $LISTEN}} \
             \"$@\"\n"
        );
        for (name, text) in
            [("manager", manager), ("server", format!("#!/bin/sh\nexec {SERVER} \"$@\"\n"))]
        {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("it can be written");
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(path, mode).expect("it can be made a program");
        }
        Programs { directory }
    }

    /// A shell that has the programs.
    fn shell(&self, line: &str) -> Command {
        let line = line.replace(BY_CARGO, "manager").replace("manager -- ", "manager ");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("timeout");
        command.args([DEADLINE, "sh", "-c", &line]);
        command.env("PATH", format!("{}:{path}", self.directory.path().display()));
        command.env_remove("RUST_LOG").env_remove("COLUMNS");
        command
    }

    /// Why the programs do not take this command line. It is read up to its end, and then helped
    /// with instead of done.
    pub fn refuses(&self, line: &str) -> Option<String> {
        let words = line.split(" &&").next().unwrap_or(line).split(" >").next().unwrap_or(line);
        let words = words.trim_end_matches(" &").split(" </").next().unwrap_or(words);
        // The words behind ctl are a line for the manager.
        let line = match words.split_once("manager ctl ") {
            Some((before, _)) => format!("{before}manager ctl"),
            None => words.to_owned(),
        };
        let output = self.shell(&format!("{line} --help")).output().expect("there is a shell");
        let is_fine = output.status.success();
        (!is_fine).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// A command of a session, what is typed into it, and what the book shows of its output.
#[derive(Default)]
struct Step {
    command: String,
    typed: String,
    shown: String,
}

/// The steps of a session.
fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.text.replace("\\\n", "").lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), ..Step::default() });
            continue;
        }
        let step = steps.last_mut().expect("a session begins with a command");
        let (text, line) = match line.strip_prefix(PROMPT) {
            Some(typed) => (&mut step.typed, typed),
            None => (&mut step.shown, line),
        };
        text.push_str(line);
        text.push('\n');
    }
    steps
}

/// Runs the sessions of a chapter one after another, with the files that it shows; what does not
/// hold.
pub fn run_chapter(programs: &Programs, chapter: &str, blocks: &[Block]) -> Vec<String> {
    let directory = TempDir::new().expect("a directory for the chapter");
    for block in blocks {
        if let Some(file) = block.value("file") {
            std::fs::write(directory.path().join(file), &block.text).expect("it can be written");
        }
    }
    let sessions: Vec<&Block> = of_kind(blocks, "console").collect();
    // For ctl, where the chapter shows it: a manager with two servers.
    let with_ctl = sessions.iter().any(|block| block.has("ctl"));
    let manager = with_ctl.then(|| Manager::with_servers(&[]));
    let address = manager.as_ref().map_or("", |manager| manager.address.as_str());
    let mut problems = Vec::new();
    for block in sessions {
        for step in steps(block) {
            if let Some(problem) = run_step(programs, directory.path(), address, block, &step) {
                let Step { command, .. } = step;
                problems.push(format!("{chapter}, line {}: $ {command}\n{problem}", block.line));
            }
        }
    }
    problems
}

fn run_step(
    programs: &Programs,
    directory: &Path,
    address: &str,
    block: &Block,
    step: &Step,
) -> Option<String> {
    let mut process = programs
        .shell(&format!("{{ {}; }} 2>&1", step.command))
        .current_dir(directory)
        .env("MANAGER_ADDRESS", address)
        .env("LISTEN", "127.0.0.1:0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    let mut input = process.stdin.take().expect("it is piped");
    // A command that reads nothing may be gone already.
    let _ = input.write_all(step.typed.as_bytes());
    drop(input);
    let output = process.wait_with_output().expect("it ran");
    let printed = String::from_utf8_lossy(&output.stdout);
    if output.status.success() == block.has("fails") {
        return Some(format!("it ended with {}; printed was:\n{printed}", output.status));
    }
    let printed = printed.lines().filter(|line| !line.starts_with("The manager listens on"));
    let printed: String = printed.map(|line| format!("{line}\n")).collect();
    let shown = step.shown.lines().filter(|line| !is_greeting(line));
    let shown: String = shown.map(|line| format!("{line}\n")).collect();
    difference(&shown, &printed, block.has("loosely"))
}

/// What a manager says before its prompt, and does not say to a pipe.
fn is_greeting(line: &str) -> bool {
    line.starts_with("The manager listens on") || line.starts_with("Type help for the commands")
}
