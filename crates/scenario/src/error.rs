//! Why a scenario is refused.

use lazycopy_guest::WorkloadError;
use std::path::PathBuf;

/// Why a scenario is refused. Its text names what is wrong and says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{}: {problem}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// The text is no scenario: a syntax error, an unknown or missing key, a value of the wrong
    /// type.
    #[error("{name}: {}", problem.trim_end())]
    Malformed {
        /// The scenario's file or name.
        name: String,
        /// What is wrong, with the line, a caret, and the names that are allowed.
        problem: String,
    },
    /// A value breaks a rule.
    #[error("{name}: {key}: {problem}")]
    Invalid {
        /// The scenario's file or name.
        name: String,
        /// The key.
        key: String,
        /// The rule that its value breaks, and what would be right.
        problem: String,
    },
    /// The recorded program of the scenario cannot be used.
    #[error("{name}: guest.workload: {error}")]
    Recording {
        /// The scenario's file or name.
        name: String,
        /// Why.
        error: WorkloadError,
    },
    /// Without this override or preset the scenario would be right.
    #[error("{origin}: {problem}")]
    Override {
        /// As it was written, such as `--set link.latency=1s`.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such preset or shipped scenario.
    #[error("\"{name}\" is no {what}; {meant}there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// What it should be one of.
        what: &'static str,
        /// The question whether one of the closest was meant, or nothing.
        meant: String,
        /// Those that there are.
        known: String,
    },
}

impl ScenarioError {
    /// What is wrong, without the scenario's name.
    pub(crate) fn problem(&self) -> String {
        match self {
            ScenarioError::Malformed { problem, .. } => problem.trim_end().to_owned(),
            ScenarioError::Invalid { key, problem, .. } => format!("{key}: {problem}"),
            ScenarioError::Recording { error, .. } => error.to_string(),
            other => other.to_string(),
        }
    }
}
