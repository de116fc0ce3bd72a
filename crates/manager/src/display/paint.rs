//! Colours for texts that are made without: words that mean the same everywhere.

use super::palette::{BAD, FAINT, GOOD, TITLE, UNDER_WAY, WARNING, cause};
use crate::picture::snapshot::CellCause;
use anstream::{AutoStream, ColorChoice, stream::RawStream};
use anstyle::Style;

/// Whether a stream is to have colours: by `--color`, `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR`, and
/// where none of these says so, on a terminal.
pub(crate) fn has_colours(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// Takes what `--color` says, for everything that is printed from now on.
pub(crate) fn choose(choice: clap::ColorChoice) {
    let choice = match choice {
        clap::ColorChoice::Auto => ColorChoice::Auto,
        clap::ColorChoice::Always => ColorChoice::Always,
        clap::ColorChoice::Never => ColorChoice::Never,
    };
    choice.write_global();
}

/// The same text with colours: of headings, outcomes, phases, warnings, errors and the causes of
/// events. Nothing but colours is added.
pub(crate) fn paint(text: &str) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let is_rule = |line: &str| line.len() > 2 && line.chars().all(|letter| letter == '-');
    let mut painted = Vec::with_capacity(lines.len());
    let mut in_table = false;
    for (number, line) in lines.iter().enumerate() {
        let heads = lines.get(number + 1).is_some_and(|next| is_rule(next));
        in_table = (in_table || is_rule(line)) && !line.is_empty();
        painted.push(match () {
            () if heads => wrap(TITLE, line),
            () if is_rule(line) => wrap(FAINT, line),
            () if in_table => row(line),
            () => sentence(line),
        });
    }
    painted.join("\n")
}

fn wrap(style: Style, text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!("{style}{text}{style:#}"),
    }
}

/// What a word of state or outcome means.
fn meaning(word: &str) -> Option<Style> {
    let first = word.split([':', ' ', ',']).next().unwrap_or_default();
    match first {
        "completed" | "running" | "connected" => Some(GOOD),
        "migrating" | "draining" | "drained" => Some(UNDER_WAY),
        "suspended" | "stopped" | "cancelled" => Some(WARNING),
        "failed" | "lost" | "gone" | "never_converges" => Some(BAD),
        _ => None,
    }
}

/// A row of a table: cells are at least two blanks apart, and one that is a state has its colour.
fn row(line: &str) -> String {
    let mut painted = String::new();
    let mut rest = line;
    let mut is_first = true;
    while !rest.is_empty() {
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        painted.push_str(&rest[..blanks]);
        rest = &rest[blanks..];
        let end = rest.find("  ").unwrap_or(rest.len());
        let (cell, after) = rest.split_at(end);
        // The first cell is a name.
        match meaning(cell).filter(|_| !is_first) {
            Some(style) => painted.push_str(&wrap(style, cell)),
            None => painted.push_str(cell),
        }
        is_first = false;
        rest = after;
    }
    painted
}

fn sentence(line: &str) -> String {
    if let Some((time, said)) = event(line) {
        return format!("{}{}", wrap(FAINT, time), happening(said));
    }
    for (start, style) in
        [("error:", BAD), ("Warning:", WARNING), ("Usage:", TITLE), ("Example:", TITLE)]
    {
        if let Some(rest) = line.strip_prefix(start) {
            return format!("{}{rest}", wrap(style, start));
        }
    }
    // "Migration 1 of "v": completed in ...", "Guest "v" on server "a": running".
    if (line.starts_with("Migration ") || line.starts_with("Guest \""))
        && let Some((before, rest)) = line.split_once("\": ")
        && let Some(style) = meaning(rest)
    {
        let end = rest.find([' ', ':', ',']).unwrap_or(rest.len());
        return format!("{before}\": {}{}", wrap(style, &rest[..end]), &rest[end..]);
    }
    line.to_owned()
}

/// The time in front of an event, and the rest.
fn event(line: &str) -> Option<(&str, &str)> {
    let end = line.strip_prefix('[')?.find(" s] ")? + " s] ".len() + 1;
    let time = line.get(1..end)?;
    let is_time = time.chars().take_while(|letter| *letter != ']');
    let mut is_time = is_time.filter(|letter| !"0123456789. s".contains(*letter));
    is_time.next().is_none().then(|| line.split_at(end))
}

/// What an event says, in the colour of what caused it.
fn happening(said: &str) -> String {
    match event_style(said) {
        Some(style) => wrap(style, said),
        None => said.to_owned(),
    }
}

pub(super) fn event_style(said: &str) -> Option<Style> {
    let has = |part: &str| said.contains(part);
    let by = |it| Some(cause(it).1);
    match () {
        () if has(": Lost: ") || has(": Back at the source: ") => Some(BAD),
        () if has("Migration complete.") => Some(GOOD),
        () if has("(on demand)") || has("Page fault: ") => by(CellCause::Demand),
        () if has("has come from the source!") || has("in source memory!") => by(CellCause::Demand),
        () if has("(background)") => by(CellCause::Background),
        () if has("(before the hand-over)") => by(CellCause::Round),
        () if has("orward context") => by(CellCause::Forward),
        () if has("is loaded from disk!") => by(CellCause::Disk),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anstream::adapter::strip_str;
    use proptest::prelude::*;

    const TEXT: &str = "Migration 1 of \"v\": completed in 21s (downtime 2s)\n\
        [    1.234 s] v: Page17 is transferred (on demand).\n\
        Warning: a word\nerror: no such guest\n\n\
        guest  phase\n------------\nv      running\nlost   migrating to b\n\nplain lost words";

    #[test]
    fn nothing_but_colours_is_added() {
        assert_ne!(paint(TEXT), TEXT);
        assert_eq!(strip_str(&paint(TEXT)).to_string(), TEXT);
    }

    #[test]
    fn states_have_colours_and_names_have_none() {
        let painted = paint(TEXT);
        assert!(painted.contains(&wrap(GOOD, "running")), "{painted:?}");
        assert!(painted.contains(&wrap(UNDER_WAY, "migrating to b")), "{painted:?}");
        assert!(painted.contains(&format!("\": {} in 21s", wrap(GOOD, "completed"))));
        assert!(painted.contains("\nlost   "), "a guest of that name");
        assert!(painted.ends_with("plain lost words"));
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_letters(text in "[ -~\nåλ…\\[\\]]{0,200}") {
            prop_assert_eq!(strip_str(&paint(&text)).to_string(), text);
        }
    }
}
