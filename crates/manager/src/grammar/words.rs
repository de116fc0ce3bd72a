//! The words of the command language that have a form of their own.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use lazycopy_migration::Scheme;
use lazycopy_protocol::control::Watch;
use std::fmt;
use std::str::FromStr;

/// The longest name of a server or a guest.
pub const MAX_NAME_BYTES: usize = 64;

/// A name that a server or a guest may be given: letters, digits, '-', '_' and '.', beginning with
/// a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Name, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.is_empty() || text.len() > MAX_NAME_BYTES {
            return Err(format!("a name has 1 to {MAX_NAME_BYTES} characters"));
        }
        if !text.chars().all(allowed) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err("a name is made of letters, digits, '-', '_' and '.', and begins with a \
                        letter or a digit"
                .to_owned());
        }
        if ["cancel", "help"].contains(&text) {
            return Err(format!("\"{text}\" is a word of the command language"));
        }
        Ok(Name(text.to_owned()))
    }
}

/// A key of a scenario and another value for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key, such as `link.bandwidth`.
    pub key: String,
    /// The value as it was written.
    pub value: String,
}

impl KeyValue {
    /// As it was written: `KEY=VALUE`.
    pub fn assignment(&self) -> String {
        format!("{}={}", self.key, self.value)
    }
}

impl FromStr for KeyValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(KeyValue { key: key.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err("it is not of the form KEY=VALUE".to_owned()),
        }
    }
}

/// Which events of running migrations are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventLevel {
    /// None.
    Off,
    /// Suspended, hand-over, resumed, complete and the like.
    #[default]
    Milestones,
    /// Page faults and each page transferred, too, as the paper's program prints them.
    All,
}

impl EventLevel {
    /// Its name in commands.
    pub fn name(self) -> &'static str {
        match self {
            EventLevel::Off => "off",
            EventLevel::Milestones => "milestones",
            EventLevel::All => "all",
        }
    }

    /// What the servers are to send for it.
    pub fn watch(self) -> Watch {
        match self {
            EventLevel::Off => Watch::Off,
            EventLevel::Milestones => Watch::Milestones,
            EventLevel::All => Watch::All,
        }
    }
}

/// Reads the name of a scheme, and knows all of them for help and completion.
pub fn scheme_names() -> impl TypedValueParser<Value = Scheme> {
    PossibleValuesParser::new(Scheme::ALL.map(Scheme::name)).try_map(|name| name.parse::<Scheme>())
}

/// Reads the name of a level, and knows all of them for help and completion.
pub fn level_names() -> impl TypedValueParser<Value = EventLevel> {
    let levels = [EventLevel::All, EventLevel::Milestones, EventLevel::Off];
    let names = levels.map(|level| match level {
        EventLevel::All => PossibleValue::new(level.name()).alias("on"),
        _ => PossibleValue::new(level.name()),
    });
    PossibleValuesParser::new(names).try_map(|name| name.parse::<EventLevel>())
}

impl FromStr for EventLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<EventLevel, String> {
        match text {
            "off" => Ok(EventLevel::Off),
            "milestones" => Ok(EventLevel::Milestones),
            "all" | "on" => Ok(EventLevel::All),
            _ => Err("the levels are all (or on), milestones and off".to_owned()),
        }
    }
}
