//! The overview of the language.

use clap::{Arg, Command};

/// Letters in a line.
const WIDTH: usize = 80;

/// Where what a command does begins; a longer command has a line of its own.
const MEANING_AT: usize = 33;

/// The parts of the overview, and the commands of each; other commands are in the last.
const PARTS: [(&str, &[&str]); 4] = [
    ("Servers", &["server"]),
    ("Guests", &["vm", "watch"]),
    ("Migrations", &["migrate", "wait", "results", "policy", "events", "time"]),
    ("The session", &[]),
];

/// Every command with its meaning, in parts, no line longer than 80 letters.
pub(super) fn overview(language: &Command) -> String {
    let mut text =
        "More about a command, with an example: help COMMAND, such as help vm create\n".to_owned();
    for (title, names) in PARTS {
        text.push_str(&format!("\n{title}\n"));
        let has_part = |command: &&Command| {
            let is_it = |names: &&[&str]| names.contains(&command.get_name());
            command.get_name() == "help" || PARTS.iter().any(|(_, names)| is_it(names))
        };
        let named = names.iter().filter_map(|name| language.find_subcommand(name));
        let others = language.get_subcommands().filter(|it| names.is_empty() && !has_part(it));
        for command in named.chain(others) {
            add(&mut text, "", command);
        }
    }
    text.trim_end().to_owned()
}

fn add(text: &mut String, before: &str, command: &Command) {
    let name = format!("{before}{}", command.get_name());
    if !command.is_subcommand_required_set() {
        let usage = format!("  {name}{}", arguments(command));
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&entry(&usage, &about));
    }
    for inner in command.get_subcommands().filter(|it| it.get_name() != "help") {
        add(text, &format!("{name} "), inner);
    }
}

/// What must or may stand behind a command: no options but those that must.
fn arguments(command: &Command) -> String {
    let positional = command.get_positionals();
    let required = command.get_opts().filter(|option| option.is_required_set());
    positional.chain(required).map(|argument| format!(" {}", written(argument))).collect()
}

fn written(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let value = names
        .first()
        .map_or_else(|| argument.get_id().as_str().to_uppercase(), |name| name.to_uppercase());
    match argument.get_long() {
        Some(long) => format!("--{long} {value}"),
        None if argument.is_required_set() => value,
        None => format!("[{value}]"),
    }
}

fn entry(usage: &str, about: &str) -> String {
    let mut text = usage.to_owned();
    let mut column = usage.chars().count();
    if column + 2 > MEANING_AT {
        text.push('\n');
        column = 0;
    }
    text.push_str(&" ".repeat(MEANING_AT - column));
    column = MEANING_AT;
    for word in about.split_whitespace() {
        let length = word.chars().count();
        if column > MEANING_AT && column + 1 + length > WIDTH {
            text.push_str(&format!("\n{}", " ".repeat(MEANING_AT)));
            column = MEANING_AT;
        } else if column > MEANING_AT {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::{Parsed, language, parse_line};
    use super::*;

    /// Every command that can be said, with its words.
    fn leaves(before: &str, command: &Command) -> Vec<(String, Command)> {
        let inner = command.get_subcommands().filter(|it| it.get_name() != "help");
        let mut all: Vec<_> =
            inner.flat_map(|it| leaves(&format!("{before}{} ", it.get_name()), it)).collect();
        if !before.is_empty() && !command.is_subcommand_required_set() {
            all.push((before.trim_end().to_owned(), command.clone()));
        }
        all
    }

    #[test]
    fn each_command_has_an_example_that_is_that_command() {
        let all = leaves("", &language());
        assert!(all.len() > 20, "{all:?}");
        for (name, command) in all {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, example) = help.split_once("Example: ").unwrap_or_else(|| panic!("{name}"));
            assert!(example.starts_with(&name), "{name}: {example}");
            assert!(matches!(parse_line(example), Ok(Parsed::Command(_))), "{example}");
            let Ok(Parsed::Help(text)) = parse_line(&format!("help {name}")) else {
                panic!("no help for {name}")
            };
            assert!(text.contains(&format!("Example: {example}")), "{text}");
            assert!(command.get_about().is_some(), "{name}");
        }
    }

    #[test]
    fn each_argument_has_a_meaning() {
        for (name, command) in leaves("", &language()) {
            for argument in command.get_arguments().filter(|it| it.get_id() != "help") {
                assert!(argument.get_help().is_some(), "{name}: {}", argument.get_id());
            }
        }
    }

    #[test]
    fn the_overview_names_every_command_in_lines_of_80_letters() {
        let Ok(Parsed::Help(text)) = parse_line("help") else { panic!("no overview") };
        for (name, _) in leaves("", &language()) {
            assert!(text.contains(&format!("\n  {name}")), "{name}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.contains(
                &"  migrate VM --to SERVER         Move a guest to another server, or take a"
            ),
            "{text}"
        );
    }
}
