//! The means of the tutorial: it says something, runs a command, and waits until that was read.

use crate::console::Console;
use crate::display::bars::{self, Awaited, Drawn};
use crate::grammar::{Parsed, parse_line};
use crate::manager::Manager;
use crate::reply::CommandError;
use indicatif::MultiProgress;
use serde_json::{Value, json};
use std::io::{BufRead, Write, stdin, stdout};

/// Letters in a line of prose.
const WIDTH: usize = 76;

/// Why the tutorial is over before its end.
#[derive(Debug)]
pub(super) enum Leave {
    /// The user has said so.
    Wanted,
    /// A command has failed.
    Failed(CommandError),
}

/// A tutorial that is under way.
pub(super) struct Lesson {
    pub manager: Manager,
    console: Console,
    /// Whether a person reads: Enter is waited for, and what moves is shown.
    pub waits: bool,
    bars: MultiProgress,
    /// What has been done, for machines.
    done: Vec<Value>,
}

impl Lesson {
    pub fn new(manager: Manager, console: Console, waits: bool) -> Self {
        Lesson { manager, console, waits, bars: bars::on_stdout(), done: Vec::new() }
    }

    /// The heading of a step.
    pub fn step(&self, number: usize, title: &str) {
        let heading = format!("Step {number}: {title}");
        self.console.print(&format!("\n{heading}\n{}", "-".repeat(heading.chars().count())));
    }

    /// A paragraph.
    pub fn say(&self, prose: &str) {
        self.console.print(&format!("\n{}", wrapped(prose)));
    }

    /// Shows a command as it is typed, carries it out, and shows its reply.
    pub async fn run(&mut self, line: &str) -> Result<Value, Leave> {
        self.console.print(&format!("\nlazycopy> {line}"));
        let awaited = match parse_line(line) {
            Ok(Parsed::Command(command)) => Awaited::by(&command).filter(|_| self.waits),
            _ => None,
        };
        let command = self.manager.run_line(line);
        let reply = match awaited {
            None => command.await,
            Some(awaited) => tokio::select! {
                reply = command => reply,
                () = bars::show(&self.manager, awaited, Drawn::on(self.bars.clone())) => {
                    Err(CommandError::Ending)
                }
            },
        };
        let reply = reply.map_err(Leave::Failed)?;
        self.console.print(&reply.text);
        self.done.push(json!({ "command": line, "reply": reply.json }));
        Ok(reply.json)
    }

    /// Waits for Enter where a person reads; `q` leaves.
    pub async fn pause(&self) -> Result<(), Leave> {
        if !self.waits {
            return Ok(());
        }
        let read = tokio::task::spawn_blocking(|| {
            let mut terminal = stdout().lock();
            let _ = write!(terminal, "\n[Enter: go on; q and Enter: leave] ");
            let _ = terminal.flush();
            drop(terminal);
            let mut answer = String::new();
            let read = stdin().lock().read_line(&mut answer);
            read.is_ok_and(|bytes| bytes > 0) && !answer.trim().eq_ignore_ascii_case("q")
        });
        match read.await {
            Ok(true) => Ok(()),
            _ => Err(Leave::Wanted),
        }
    }

    /// All commands and their replies.
    pub fn document(&self) -> Value {
        json!({ "commands": self.done })
    }
}

/// Prose in lines of at most [`WIDTH`] letters.
fn wrapped(prose: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in prose.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            text.push('\n');
            column = 0;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_between_words() {
        let text = wrapped(&"word ".repeat(40));
        assert!(text.lines().all(|line| line.len() <= WIDTH && !line.ends_with(' ')), "{text}");
        assert_eq!(text.split_whitespace().count(), 40);
    }
}
