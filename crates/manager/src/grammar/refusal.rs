//! Why words are no command, in words.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// What is wrong, what was probably meant, and how it is written.
pub(super) fn words(error: &Error) -> String {
    let text = error.render().to_string();
    let text = text.trim_end();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let mut parts = text.split("\n\n").filter(|part| !part.trim_start().starts_with("tip: "));
    let said = parts.next().unwrap_or_default();
    let mut words = match meant(error) {
        Some(meant) => {
            let (first, rest) = said
                .split_once('\n')
                .map_or((said, String::new()), |(first, rest)| (first, format!("\n{rest}")));
            format!("{first}; did you mean \"{meant}\"?{rest}")
        }
        None => said.to_owned(),
    };
    let is_unknown = error.kind() == ErrorKind::InvalidSubcommand;
    for part in parts {
        // The root's usage says nothing that the list of the commands does not say better.
        if part.starts_with("For more information") || (is_unknown && !part.contains(' ')) {
            continue;
        }
        words.push_str(&format!("\n\n{part}"));
    }
    if is_unknown {
        words = words.replace("\n\nUsage: <COMMAND>", "");
        words.push_str("\nhelp lists the commands.");
    }
    words
}

/// The word that comes closest to the one that there is not.
fn meant(error: &Error) -> Option<String> {
    let kinds =
        [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    kinds.iter().find_map(|kind| match error.get(*kind)? {
        ContextValue::String(word) => Some(word.clone()),
        ContextValue::Strings(words) => words.first().cloned(),
        _ => None,
    })
}
