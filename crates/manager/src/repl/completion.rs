//! Completion of commands, and of the names of servers and guests.

use crate::grammar::continuations;
use crate::manager::Manager;
use lazycopy_migration::Scheme;
use lazycopy_scenario::SHIPPED;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

/// What the words of a command can be.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Names of the servers.
    pub servers: Vec<String>,
    /// Names of the guests.
    pub vms: Vec<String>,
}

/// What can follow at the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// One of these.
    Words(Vec<String>),
    /// A file, or one of these.
    FileOr(Vec<String>),
}

/// The words that the last, unfinished word of `line` can become.
pub fn candidates(line: &str, names: &Names) -> Candidates {
    let words: Vec<&str> = line.split_whitespace().collect();
    let finished = match line.ends_with(char::is_whitespace) || words.is_empty() {
        true => &words[..],
        false => &words[..words.len() - 1],
    };
    let typed = words.get(finished.len()).copied().unwrap_or_default();
    let matching = |all: Vec<String>| -> Vec<String> {
        all.into_iter().filter(|word| word.starts_with(typed)).collect()
    };
    let owned = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let with_options = |mut all: Vec<String>| {
        all.extend(continuations(finished).into_iter().filter(|word| word.starts_with("--")));
        Candidates::Words(matching(all))
    };
    match finished {
        ["server", "evacuate" | "drain", .., "--to"] => {
            let (listed, last) =
                typed.rsplit_once(',').map_or(("", typed), |(listed, last)| (listed, last));
            let before = if listed.is_empty() { String::new() } else { format!("{listed},") };
            let is_new = |name: &&String| {
                name.starts_with(last) && !listed.split(',').any(|it| it == **name)
            };
            let servers = names.servers.iter().filter(is_new);
            Candidates::Words(servers.map(|name| format!("{before}{name}")).collect())
        }
        [.., "--on" | "--to"] => Candidates::Words(matching(names.servers.clone())),
        [.., "--scheme"] => {
            Candidates::Words(matching(Scheme::ALL.map(|scheme| scheme.name().to_owned()).to_vec()))
        }
        [.., "--scenario"] => Candidates::FileOr(matching(
            SHIPPED.iter().map(|shipped| shipped.name.to_owned()).collect(),
        )),
        ["help", of @ ..] => {
            let words = continuations(of).into_iter().filter(|word| !word.starts_with("--"));
            Candidates::Words(matching(words.filter(|word| word != "help").collect()))
        }
        ["script"] => Candidates::FileOr(Vec::new()),
        ["events"] => Candidates::Words(matching(owned(&["all", "milestones", "off"]))),
        ["server", "show" | "stop" | "evacuate" | "drain" | "undrain"] => {
            with_options(names.servers.clone())
        }
        ["vm", verb] if !["create", "list"].contains(verb) => with_options(names.vms.clone()),
        ["wait" | "watch"] | ["migrate", "cancel"] => with_options(names.vms.clone()),
        ["migrate"] => {
            let mut all = names.vms.clone();
            all.push("cancel".to_owned());
            with_options(all)
        }
        finished => Candidates::Words(matching(continuations(finished))),
    }
}

/// The line editor's helper.
pub(super) struct CommandHelper {
    manager: Manager,
    files: FilenameCompleter,
}

impl CommandHelper {
    pub(super) fn new(manager: Manager) -> Self {
        CommandHelper { manager, files: FilenameCompleter::new() }
    }
}

impl Completer for CommandHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let line = &line[..position];
        let names = self.manager.read(|state| Names {
            servers: state.fleet.servers().map(|(name, _)| name.to_owned()).collect(),
            vms: state.fleet.vms().map(|(name, _)| name.to_owned()).collect(),
        });
        let start = line.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
        let pair = |word: String| Pair { display: word.clone(), replacement: format!("{word} ") };
        match candidates(line, &names) {
            Candidates::Words(words) => Ok((start, words.into_iter().map(pair).collect())),
            Candidates::FileOr(words) if !words.is_empty() => {
                Ok((start, words.into_iter().map(pair).collect()))
            }
            Candidates::FileOr(_) => self.files.complete_path(line, position),
        }
    }
}

impl Hinter for CommandHelper {
    type Hint = String;
}

impl Highlighter for CommandHelper {}

impl Validator for CommandHelper {}

impl Helper for CommandHelper {}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let names = Names {
            servers: vec!["alpha".to_owned(), "beta".to_owned()],
            vms: vec!["v1".to_owned(), "v2".to_owned(), "web".to_owned()],
        };
        match candidates(line, &names) {
            Candidates::Words(words) => words,
            Candidates::FileOr(words) => words,
        }
    }

    #[test]
    fn commands_are_completed() {
        assert_eq!(words("mig"), ["migrate"]);
        assert_eq!(words("server st"), ["start", "stop"]);
        assert!(words("").contains(&"status".to_owned()));
    }

    #[test]
    fn names_are_completed_where_they_belong() {
        assert_eq!(words("migrate v"), ["v1", "v2"]);
        assert_eq!(words("migrate v1 --to "), ["alpha", "beta"]);
        assert_eq!(words("vm show we"), ["web"]);
        assert_eq!(words("watch we"), ["web"]);
        assert_eq!(words("help mig"), ["migrate"]);
        assert_eq!(words("help vm cr"), ["create"]);
        assert_eq!(words("server stop al"), ["alpha"]);
        assert_eq!(words("vm create x --on b"), ["beta"]);
        assert_eq!(words("migrate cancel w"), ["web"]);
        assert_eq!(words("server drain be"), ["beta"]);
        assert_eq!(words("server evacuate beta --to alpha,"), ["alpha,beta"]);
        assert_eq!(words("server evacuate beta --to a"), ["alpha"]);
        assert_eq!(words("server rebalance --dr"), ["--dry-run"]);
    }

    #[test]
    fn options_and_their_values_are_completed() {
        assert_eq!(words("migrate v1 --sc"), ["--scheme"]);
        assert_eq!(words("migrate v1 --scheme l"), ["lazy-copy"]);
        assert_eq!(words("vm create v --scenario fa"), ["fair", "fast-link", "fault-penalty"]);
    }
}
