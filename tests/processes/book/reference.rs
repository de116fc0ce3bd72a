//! The chapters that are made from the programs: commands and keys. `UPDATE_BOOK=1 cargo test
//! --test processes book` writes them anew.

use super::root;
use crate::common::{MANAGER, SERVER};
use lazycopy_manager::grammar::{Parsed, continuations, parse_line};
use lazycopy_scenario::{Given, KEYS, Key, SHIPPED};
use std::fmt::Write;
use std::process::Command;

/// The variable that has the chapters written instead of compared.
const UPDATE: &str = "UPDATE_BOOK";

/// What stands at the top of each, so that nobody mends it by hand.
const MADE: &str =
    "<!-- Made from the programs: UPDATE_BOOK=1 cargo test --test processes book -->";

/// The commands below `words`, by what completion knows of them.
pub fn subcommands(words: &[&str]) -> Vec<String> {
    let mut found = continuations(words);
    found.retain(|word| !word.starts_with('-') && word != "help");
    found
}

/// The modes of the manager's program, by its help.
pub fn modes() -> Vec<String> {
    let help = help_of(MANAGER, &[]);
    let (_, list) = help.split_once("Commands:\n").expect("the manager has modes");
    let entries = list.lines().take_while(|line| !line.is_empty());
    // A line that is indented further goes on with the one before.
    let names = entries.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

fn help_of(program: &str, words: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(words).arg("--help").env_remove("COLUMNS").output();
    let output = output.expect("the program runs");
    assert!(output.status.success(), "{words:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn section(page: &mut String, level: &str, title: &str, help: &str) {
    let _ = write!(page, "\n{level} `{title}`\n\n```text\n{}\n```\n", help.trim_end());
}

/// The sections of the commands below `words`.
fn commands_below(page: &mut String, words: &[&str]) {
    for name in subcommands(words) {
        let all: Vec<&str> = words.iter().copied().chain([name.as_str()]).collect();
        let line = all.join(" ");
        let Ok(Parsed::Help(help)) = parse_line(&format!("{line} --help")) else {
            panic!("{line} has no help")
        };
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        section(page, "###", &line, &help.join("\n"));
        commands_below(page, &all);
    }
}

fn commands() -> String {
    let mut page = format!(
        "# Commands\n\n{MADE}\n\nThere is one language for the prompt, for scripts (`manager run`), for \
         piped input, for `manager ctl`\nand for the live page. A line is a command; `#` begins a \
         comment; words with blanks in them stand in\nquotation marks. `help` and `help COMMAND` \
         tell what this page tells.\n\n## At the prompt\n"
    );
    commands_below(&mut page, &[]);
    page.push_str("\n## The manager's program\n");
    section(&mut page, "###", "manager", &help_of(MANAGER, &[]));
    for mode in modes() {
        section(&mut page, "###", &format!("manager {mode}"), &help_of(MANAGER, &[&mode]));
    }
    page.push_str(
        "\n## The server's program\n\n`server start` runs it as `manager server`; on other hosts \
         it is started by itself ([Several hosts](hosts.md)).\n",
    );
    section(&mut page, "###", "server", &help_of(SERVER, &[]));
    page
}

/// The tables of a scenario, and what they are about.
const TABLES: [(&str, &str); 8] = [
    ("", "At the top of the file."),
    ("guest", "The guest: its pages, its memory, what it does."),
    ("guest.workload", "What the guest touches. Each key belongs to the kind in parentheses."),
    ("link", "The link from source to destination."),
    ("disk", "The storage that all servers share."),
    (
        "migration",
        "How the guest is moved. A key without effect under a scheme is allowed, since one scenario serves every scheme.",
    ),
    ("fleet", "Several guests at once, in virtual time alone."),
    (
        "fleet.moves",
        "Entries of `[[fleet.moves]]`. Without any, one guest moves from host 0 to host 1.",
    ),
];

/// The last table, apart for its length of text.
const NEIGHBOURS: (&str, &str) =
    ("fleet.neighbours", "Entries of `[[fleet.neighbours]]`: the traffic of other guests.");

fn given(key: &Key) -> String {
    match key.given {
        Given::Always => "must be given".to_owned(),
        Given::Or(value) => format!("`{value}`"),
        Given::OrAbsent(meaning) => format!("absent: {meaning}"),
    }
}

fn keys() -> String {
    let mut page = format!(
        "# Keys of a scenario\n\n{MADE}\n\nA scenario is a TOML file. `--set KEY=VALUE` \
         overrides a key by its full name, such as\n`--set link.bandwidth=1Gbit/s`; the later \
         wins: file, preset, overrides. An unknown key is refused with\nthe names that there are.\n\n\
         A **duration** is a number with its unit, `\"970ms\"`, `\"11s\"`, `\"1us\"`. A **rate** is a \
         number with its\nunit per second, in bytes (`B/s`, `kB/s`, `MB/s`, `GB/s`, `KiB/s`, \
         `MiB/s`, `GiB/s`) or bits (`bit/s`,\n`kbit/s`, `Mbit/s`, `Gbit/s`); what people read in two \
         ways, such as `1Gb`, is refused. Rates go up to 18 PB/s\nand durations of a run up to a \
         hundred years. A page has 4,096 bytes.\n"
    );
    for (table, about) in TABLES.iter().chain([&NEIGHBOURS]) {
        let title = if table.is_empty() { "The run".to_owned() } else { format!("`[{table}]`") };
        let _ = write!(page, "\n## {title}\n\n{about}\n\n");
        page.push_str("| key | type | default | range | meaning |\n|---|---|---|---|---|\n");
        let of_table =
            |key: &&Key| key.path.rsplit_once('.').map_or("", |(table, _)| table) == *table;
        for key in KEYS.iter().filter(of_table) {
            let Key { path, kind, range, meaning, .. } = key;
            let _ = writeln!(page, "| `{path}` | {kind} | {} | {range} | {meaning} |", given(key));
        }
    }
    page.push_str("\n## Shipped scenarios\n\nThey are part of the program: `--scenario NAME`.\n\n");
    page.push_str("| name | what it asks |\n|---|---|\n");
    for shipped in SHIPPED {
        let question = shipped.text.lines().next().unwrap_or_default().trim_start_matches("# ");
        let _ = writeln!(page, "| `{}` | {question} |", shipped.name);
    }
    page
}

#[test]
fn the_chapters_on_commands_and_keys_are_what_the_programs_say() {
    for (name, made) in [("commands.md", commands()), ("keys.md", keys())] {
        let path = root().join("docs").join(name);
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&path, &made).expect("the chapter can be written");
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        let line = there.lines().zip(made.lines()).find(|(one, other)| one != other);
        assert!(
            there == made,
            "docs/{name} is out of date, at {line:?}: run {UPDATE}=1 cargo test --test processes book"
        );
    }
}
