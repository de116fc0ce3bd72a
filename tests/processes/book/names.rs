//! What the book calls by name exists.

use super::reference::{modes, subcommands};
use super::{chapters, name_of};
use lazycopy_scenario::{KEYS, SHIPPED};

/// The words between backticks, those of fenced blocks left out.
fn code_spans(text: &str) -> Vec<String> {
    let mut is_fenced = false;
    let prose = text.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        is_fenced ^= is_fence;
        !is_fenced && !is_fence
    });
    let prose: Vec<&str> = prose.collect();
    prose.join(" ").split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A word that is a name, and no placeholder or option.
fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

/// Why a span that looks like a key of a scenario is none.
fn unknown_key(span: &str) -> Option<String> {
    let path = span.trim_start_matches("--set ").split([' ', '=']).next().unwrap_or(span);
    let (table, _) = path.split_once('.')?;
    let is_key_like = ["guest", "link", "disk", "migration", "fleet"].contains(&table)
        && path.chars().all(|c| c.is_ascii_lowercase() || "._".contains(c));
    let known = |key: &str| key == path || key.starts_with(&format!("{path}."));
    (is_key_like && !KEYS.iter().any(|key| known(key.path))).then(|| format!("no key {path}"))
}

/// Why a span that looks like a command is none.
fn unknown_command(span: &str) -> Option<String> {
    let words: Vec<&str> = span.split_whitespace().collect();
    let (first, second) = (*words.first()?, words.get(1).copied().filter(|word| is_name(word))?);
    match first {
        "manager" => {
            let is_mode = second == "server" || modes().iter().any(|mode| mode == second);
            (!is_mode).then(|| format!("no mode {second} of the manager"))
        }
        "vm" | "server" | "policy" | "time" => {
            let known = subcommands(&[first]);
            let is_known = second == "uncordon" || known.iter().any(|name| name == second);
            (!is_known).then(|| format!("no command {first} {second}"))
        }
        _ => None,
    }
}

/// Why the scenario that a span names is not shipped.
fn unknown_scenario(span: &str) -> Option<String> {
    let (_, rest) = span.split_once("--scenario ")?;
    let name = rest.split(' ').next().filter(|name| is_name(name))?;
    let is_shipped = SHIPPED.iter().any(|shipped| shipped.name == name);
    (!is_shipped).then(|| format!("no shipped scenario {name}"))
}

#[test]
fn each_key_command_and_scenario_that_the_book_names_exists() {
    let mut problems = Vec::new();
    for (path, text) in chapters() {
        for span in code_spans(&text) {
            let found = [unknown_key(&span), unknown_command(&span), unknown_scenario(&span)];
            let found = found.into_iter().flatten();
            problems.extend(found.map(|problem| format!("{}: {problem}", name_of(&path))));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn names_that_do_not_exist_are_found() {
    assert!(unknown_key("guest.frams").is_some() && unknown_key("guest.frames=3").is_none());
    assert!(unknown_key("link.bandwidth").is_none() && unknown_key("guest.workload").is_none());
    assert!(unknown_command("vm creat web").is_some() && unknown_command("vm create").is_none());
    assert!(unknown_command("manager simulat X").is_some());
    assert!(unknown_command("server --manager X").is_none());
    assert!(unknown_scenario("--scenario papre").is_some());
}
