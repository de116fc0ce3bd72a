//! The prompt, under a pseudo-terminal.

use crate::common::{DEADLINE, FAST, MANAGER, await_no_servers};
use rexpect::session::{PtySession, spawn_command};
use std::process::Command;
use tempfile::TempDir;

const PROMPT: &str = "lazycopy> ";

struct Prompt {
    session: PtySession,
    address: String,
    _directory: TempDir,
}

impl Prompt {
    fn open(arguments: &[&str]) -> Prompt {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new(MANAGER);
        command
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(directory.path())
            .env("XDG_STATE_HOME", directory.path())
            .env("TERM", "xterm")
            // The words are looked for; colours would stand between them.
            .env("NO_COLOR", "1");
        let timeout = u64::try_from(DEADLINE.as_millis()).unwrap();
        let mut session = spawn_command(command, Some(timeout)).expect("a terminal");
        session.exp_string("The manager listens on ").unwrap();
        let (_, address) = session.exp_regex("127[.]0[.]0[.]1:[0-9]+").unwrap();
        session.exp_string(PROMPT).unwrap();
        Prompt { session, address, _directory: directory }
    }

    fn say(&mut self, line: &str) {
        self.session.send_line(line).unwrap();
    }

    fn expect(&mut self, part: &str) {
        if let Err(error) = self.session.exp_string(part) {
            panic!("no \"{part}\": {error}");
        }
    }

    fn quit(mut self, line: &str) {
        self.say(line);
        self.session.exp_eof().unwrap();
        await_no_servers(&self.address);
    }
}

#[test]
fn the_prompt_carries_out_commands_and_goes_on_after_errors() {
    let mut prompt = Prompt::open(&["--event-level", "off"]);
    prompt.say("frobnicate");
    prompt.expect("error: unrecognized subcommand");
    prompt.say("server start a");
    prompt.expect("Server \"a\" runs");
    prompt.say("server start b");
    prompt.expect("Server \"b\" runs");
    prompt.say(&format!("vm create v --on a {FAST}"));
    prompt.expect("Guest \"v\" is on server \"a\"");
    prompt.say("migrate v --to b --wait");
    prompt.expect("Migration 1 of \"v\": completed");
    prompt.say("quit");
    prompt.expect("would be lost");
    prompt.quit("quit --force");
}

#[test]
fn names_are_completed_and_an_interrupt_clears_the_line() {
    let mut prompt = Prompt::open(&[]);
    prompt.say("server start alpha");
    prompt.expect("Server \"alpha\" runs");
    prompt.expect(PROMPT);
    prompt.session.send("ser\tsh\tal\t").unwrap();
    prompt.session.flush().unwrap();
    prompt.expect("server show alpha ");
    prompt.session.send_control('c').unwrap();
    prompt.expect(PROMPT);
    prompt.say("server show alpha");
    prompt.expect("0 of 65536 frames taken");
    prompt.expect(PROMPT);
    prompt.session.send_control('d').unwrap();
    prompt.session.exp_eof().unwrap();
    await_no_servers(&prompt.address);
}

#[test]
fn an_interrupt_ends_the_waiting_and_not_the_migration() {
    let mut prompt = Prompt::open(&["--event-level", "milestones"]);
    for server in ["a", "b"] {
        prompt.say(&format!("server start {server}"));
        prompt.expect(&format!("Server \"{server}\" runs"));
    }
    prompt.say("vm create v --on a --set time_scale=1 --set migration.scheme=stop-and-copy");
    prompt.expect("Guest \"v\" is on server \"a\"");
    prompt.say("migrate v --to b --wait");
    prompt.expect("v: Suspended at the source");
    prompt.session.send_control('c').unwrap();
    prompt.expect("Not waiting any more");
    prompt.say("status");
    prompt.expect("migrating to b");
    prompt.say("migrate cancel v");
    prompt.expect("Migration 1 of \"v\": cancelled");
    prompt.quit("quit --force");
}

#[test]
fn an_interrupt_ends_the_waiting_and_not_the_evacuation() {
    let mut prompt = Prompt::open(&["--event-level", "milestones"]);
    for server in ["a", "b"] {
        prompt.say(&format!("server start {server}"));
        prompt.expect(&format!("Server \"{server}\" runs"));
    }
    for vm in ["v1", "v2"] {
        prompt.say(&format!("vm create {vm} --on a --set time_scale=20 --set measured_accesses=1"));
        prompt.expect(&format!("Guest \"{vm}\" is on server \"a\""));
    }
    prompt.say("server evacuate a --parallel 1 --scheme stop-and-copy");
    prompt.expect("v1: Suspended at the source");
    prompt.session.send_control('c').unwrap();
    prompt.expect("Not waiting any more");
    prompt.say("status");
    prompt.expect("migrating to b");
    prompt.expect("2 guests of server \"a\" moved: 2 of 2 migrations");
    prompt.quit("quit --force");
}

#[test]
fn what_is_typed_while_a_command_runs_is_not_lost() {
    let mut prompt = Prompt::open(&[]);
    prompt.say("server start a\nserver start b\nserver list");
    prompt.expect("Server \"a\" runs");
    prompt.expect("Server \"b\" runs");
    prompt.expect("taken  guests");
    prompt.quit("quit");
}

#[test]
fn a_line_survives_what_is_printed_above_it() {
    let mut prompt = Prompt::open(&[]);
    prompt.session.send("server li").unwrap();
    prompt.session.flush().unwrap();
    prompt.expect("server li");
    let started = crate::common::ctl(&prompt.address, &["server start late"]);
    assert!(started.status.success());
    prompt.expect("Server \"late\" is here");
    prompt.expect("lazycopy> server li");
    prompt.say("st");
    prompt.expect("late");
    prompt.expect("connected");
    prompt.quit("quit --force");
}
