//! Scenarios and a recorded program that are part of the program itself, so that a demonstration
//! works wherever it is started.

use crate::error::ScenarioError;
use crate::suggestion::did_you_mean;
use std::path::{Path, PathBuf};
use toml::Value;

/// A scenario of `configs/`.
#[derive(Clone, Copy, Debug)]
pub struct ShippedScenario {
    /// The file's name without `.toml`.
    pub name: &'static str,
    /// The document.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(ShippedScenario {
            name: $name,
            text: include_str!(concat!("../../../configs/", $name, ".toml")),
        }),*]
    };
}

/// Every scenario of `configs/`, the presets' own first.
pub const SHIPPED: &[ShippedScenario] = shipped![
    "paper",
    "fair",
    "recorded",
    "slow-link",
    "fast-link",
    "writes",
    "zipf",
    "sequential",
    "max-lead",
    "push-order",
    "fault-penalty",
    "whole-memory",
    "pre-copy",
    "hybrid",
    "pre-paging",
    "neighbours",
    "evacuation",
    "large-guest",
    "unlimited",
];

/// A recorded program of `traces/`.
struct Recording {
    file: &'static str,
    bytes: &'static [u8],
}

const RECORDINGS: &[Recording] = &[Recording {
    file: "sort-500-numbers.lackey.gz",
    bytes: include_bytes!("../../../traces/sort-500-numbers.lackey.gz"),
}];

/// The document of that name, its recordings unpacked into `directory`.
pub(crate) fn document(name: &str, directory: &Path) -> Result<String, ScenarioError> {
    let shipped = SHIPPED.iter().find(|shipped| shipped.name == name).ok_or_else(|| {
        let names: Vec<&str> = SHIPPED.iter().map(|shipped| shipped.name).collect();
        ScenarioError::Unknown {
            name: name.to_owned(),
            what: "shipped scenario",
            meant: did_you_mean(name, names.iter().copied()),
            known: names.join(", "),
        }
    })?;
    let mut text = shipped.text.to_owned();
    for recording in RECORDINGS {
        let written = format!("\"../traces/{}\"", recording.file);
        if text.contains(&written) {
            let path = unpack(recording, directory)?.display().to_string();
            text = text.replace(&written, &Value::String(path).to_string());
        }
    }
    Ok(text)
}

/// Puts the recording into `directory`, unless it is there already. It appears whole.
fn unpack(recording: &Recording, directory: &Path) -> Result<PathBuf, ScenarioError> {
    let file = directory.join(recording.file);
    let unreadable = |error: std::io::Error| ScenarioError::Unreadable {
        file: file.clone(),
        problem: error.to_string(),
    };
    if std::fs::read(&file).is_ok_and(|bytes| bytes == recording.bytes) {
        return std::path::absolute(&file).map_err(unreadable);
    }
    std::fs::create_dir_all(directory).map_err(unreadable)?;
    let aside = directory.join(format!(".{}.{}", recording.file, std::process::id()));
    std::fs::write(&aside, recording.bytes)
        .and_then(|()| std::fs::rename(&aside, &file))
        .and_then(|()| std::path::absolute(&file))
        .map_err(unreadable)
}
