//! What a command gives: a reply in words and as JSON, or an error.

use crate::children::LaunchError;
use crate::connection::AskError;
use crate::fleet::FleetError;
use crate::grammar::GrammarError;
use lazycopy_migration::Verdict;
use lazycopy_protocol::control::MigrationId;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What a command that succeeded says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// For people.
    pub text: String,
    /// For machines.
    pub json: Value,
}

impl Reply {
    /// A reply that differs in form alone.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Reply { text: text.into(), json }
    }

    /// An answer to a question about the language.
    pub fn help(text: String) -> Self {
        Reply { json: json!({ "help": text }), text }
    }

    /// A reply of one sentence: `{"message": ...}` for machines.
    pub fn message(text: impl Into<String>) -> Self {
        let text = text.into();
        Reply { json: json!({ "message": text }), text }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The line is no command.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// It cannot be, as things stand.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// A server refused, or did not answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// A server could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A scenario, or a value for one of its keys, is wrong.
    #[error("{0}")]
    Scenario(String),
    /// A setting of a migration that belongs to the guest, and cannot be changed any more.
    #[error(
        "\"{key}\" belongs to the guest and is fixed when it is created; a migration's own are \
         the keys of [migration] and [link], disk.latency_destination and measured_accesses"
    )]
    NotOfMigration {
        /// The key.
        key: String,
    },
    /// A migration that was waited for did not complete.
    #[error("migration {} of \"{vm}\" did not complete: {}: {}", id.0, verdict.outcome, verdict.reason)]
    NotCompleted {
        /// Which.
        id: MigrationId,
        /// Its guest.
        vm: String,
        /// What came of it.
        verdict: Verdict,
    },
    /// A migration that was waited for is paused, and nothing more happens by itself.
    #[error(
        "migration {} of \"{vm}\" is paused, and server \"{server}\" waits for an operator's word: \
         the destination is not found, and the guest may be taken back with: migrate reclaim {vm}",
        id.0
    )]
    AwaitsAWord {
        /// Which.
        id: MigrationId,
        /// Its guest.
        vm: String,
        /// Where the guest is.
        server: String,
    },
    /// A migration has completed and its result is wrong, or not written.
    #[error("migration {} of \"{vm}\": {what}", id.0)]
    WrongResult {
        /// Which.
        id: MigrationId,
        /// Its guest.
        vm: String,
        /// What is wrong.
        what: String,
    },
    /// The source of a migration that is to be taken back does not answer.
    #[error(
        "whether migration {} of \"{vm}\" is taken back is not known: {why}; it is then, unless the \
         guest has been handed over before: status and wait tell", id.0
    )]
    CancelUnanswered {
        /// Which.
        id: MigrationId,
        /// Its guest.
        vm: String,
        /// Why nothing is known.
        why: AskError,
    },
    /// The manager ended while it carried a request out.
    #[error(
        "request \"{request}\" ({command}) was begun before the manager ended, and what came of it \
         is not known; it is not carried out twice: see what is so with status and vm list"
    )]
    Interrupted {
        /// The request's name.
        request: String,
        /// Its command.
        command: String,
    },
    /// Of the guests that were to be moved, not all have been.
    #[error("{text}")]
    NotAllMoved {
        /// Which have not and why, and a table of all.
        text: String,
        /// The same for machines.
        json: Value,
    },
    /// A script cannot be read.
    #[error("script {}: {problem}", file.display())]
    Unreadable {
        /// The script.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A line of a script failed.
    #[error("{}line {number}: {error}", file.as_ref().map(|file| format!("{}, ", file.display())).unwrap_or_default())]
    Line {
        /// The script; absent for standard input.
        file: Option<PathBuf>,
        /// Number of the line, from 1.
        number: u64,
        /// Why.
        error: Box<CommandError>,
    },
    /// Scripts that run scripts, too deep.
    #[error("scripts run scripts {limit} deep: does one run itself?")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Time is to be stepped, and goes.
    #[error("time goes by itself and cannot be stepped: 'time freeze' first")]
    TimeGoes,
    /// The manager is ending.
    #[error("the manager is ending")]
    Ending,
}

impl CommandError {
    /// The same with a further line about guests that were not moved, for people.
    pub(crate) fn with_note(self, note: &str) -> Self {
        match self {
            CommandError::NotAllMoved { text, json } => {
                CommandError::NotAllMoved { text: format!("{text}\n{note}"), json }
            }
            other => other,
        }
    }

    /// For machines.
    pub fn json(&self) -> Value {
        match self {
            CommandError::NotAllMoved { text, json } => {
                let mut json = json.clone();
                json["error"] = text.lines().next().unwrap_or_default().into();
                json
            }
            error => json!({ "error": error.to_string() }),
        }
    }
}
