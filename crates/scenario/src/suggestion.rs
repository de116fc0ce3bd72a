//! What was meant by a word that there is not.

use crate::shipped::SHIPPED;
use std::collections::BTreeSet;
use toml::{Table, Value};

/// Letters of a word for each that may be wrong, missing, too many or changed round.
const LETTERS_PER_SLIP: usize = 3;

/// Words that are proposed, at most.
const PROPOSED: usize = 3;

/// The words of `known` that come closest to `word`, the closest first; none that is far from it.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / LETTERS_PER_SLIP).max(1);
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(&word, &other.to_lowercase()), other))
        .filter(|(slips, other)| *slips <= allowed && *slips < other.chars().count())
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(PROPOSED).map(|(_, other)| other).collect()
}

/// The question whether one of the closest words was meant, with a blank after it; empty where
/// none comes close.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    question(&closest(word, known))
}

fn question(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        words => format!("did you mean {}? ", words.join(" or ")),
    }
}

/// What the reader of a document says of a key or a value that there is not, with the question
/// whether another was meant; other messages as they are.
pub(crate) fn with_question(problem: String) -> String {
    let Some((said, expected)) = problem.split_once(", expected ") else { return problem };
    let Some(word) = said.strip_suffix('`').and_then(|said| said.rsplit_once('`')) else {
        return problem;
    };
    let is_key = word.0.ends_with("unknown field ");
    if !is_key && !word.0.ends_with("unknown variant ") {
        return problem;
    }
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let near = closest(word.1, known);
    let keys = shipped_keys();
    let whole = || keys.iter().filter(|key| is_key && key.rsplit('.').next() == Some(word.1));
    let question = match near.is_empty() {
        false => question(&near),
        true => question(&whole().map(String::as_str).take(PROPOSED).collect::<Vec<_>>()),
    };
    match question.is_empty() {
        true => problem,
        false => format!("{said}; {question}expected {expected}"),
    }
}

/// Every key of the shipped scenarios, such as `guest.frames`.
fn shipped_keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for shipped in SHIPPED {
        if let Ok(document) = toml::from_str::<Table>(shipped.text) {
            add_keys(&document, "", &mut keys);
        }
    }
    keys
}

fn add_keys(table: &Table, before: &str, keys: &mut BTreeSet<String>) {
    for (key, value) in table {
        let whole = format!("{before}{key}");
        match value {
            Value::Table(table) => add_keys(table, &format!("{whole}."), keys),
            _ => drop(keys.insert(whole)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let known = ["migrate", "server", "script", "status"];
        assert_eq!(closest("migrat", known), ["migrate"]);
        assert_eq!(closest("sevrer", known), ["server"]);
        assert_eq!(closest("Status", known), ["status"]);
        assert!(closest("frobnicate", known).is_empty());
        assert!(closest("b", ["a"]).is_empty(), "a letter is no slip of another");
        assert_eq!(did_you_mean("migrat", known), "did you mean \"migrate\"? ");
        assert_eq!(did_you_mean("x", known), "");
    }

    #[test]
    fn a_key_of_the_wrong_table_is_found_in_the_right_one() {
        let said = |word: &str| {
            with_question(format!(
                "unknown field `{word}`, expected one of `seed`, `guest`, `link`"
            ))
        };
        assert!(said("gest").contains("`gest`; did you mean \"guest\"? expected one of"));
        assert!(said("frames").contains("did you mean \"guest.frames\"?"), "{}", said("frames"));
        assert!(!said("nothing_like_it").contains("did you mean"));
        assert_eq!(with_question("a key is missing".to_owned()), "a key is missing");
    }
}
