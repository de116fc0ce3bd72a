//! What users type.

use lazycopy_manager::WebAddress;
use lazycopy_manager::grammar::{
    KeyValue, MAX_LINE_BYTES, Name, Parsed, Span, continuations, parse_line,
};
use lazycopy_migration::Scheme;
use lazycopy_scenario::{Draft, Preset};
use lazycopy_sweep::Shard;
use lazycopy_units::Rate;

/// Lines that are looked at: each has the whole language built anew.
const MOST_LINES: usize = 4;

/// Lines of commands.
pub fn grammar(data: &[u8]) {
    for line in String::from_utf8_lossy(data).split('\n').take(MOST_LINES) {
        if let Ok(Parsed::Command(_) | Parsed::Nothing) = parse_line(line) {
            assert!(line.len() <= MAX_LINE_BYTES);
        }
        let words: Vec<&str> = line.split_whitespace().take(4).collect();
        continuations(&words);
    }
}

/// Single values; the first byte says of what.
pub fn values(data: &[u8]) {
    let Some((which, text)) = data.split_first() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    match which % 8 {
        0 => {
            if let Ok(rate) = text.parse::<Rate>() {
                assert_eq!(rate.to_string().parse(), Ok(rate));
                rate.time_for(u64::MAX);
            }
        }
        1 => {
            if let Ok(name) = text.parse::<Name>() {
                assert_eq!(name.as_str(), text);
            }
        }
        2 => {
            if let Ok(pair) = text.parse::<KeyValue>() {
                assert_eq!(pair.assignment().parse(), Ok(pair));
            }
        }
        3 => drop(text.parse::<Span>()),
        4 => drop(text.parse::<WebAddress>()),
        5 => drop((text.parse::<Shard>(), text.parse::<Preset>())),
        6 => {
            if let Ok(scheme) = text.parse::<Scheme>() {
                assert_eq!(scheme.name(), text);
            }
        }
        _ => overrides(text),
    }
}

/// `--set` of each line, one after another.
fn overrides(text: &str) {
    let draft = Draft::from_toml("", "fuzzed");
    let set = text.lines().try_fold(draft, |draft, line| draft.set(line));
    if let Ok(scenario) = set.and_then(Draft::finish) {
        scenario.guest_spec(0).validate().expect("it was checked");
    }
}
