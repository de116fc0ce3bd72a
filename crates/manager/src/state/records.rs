//! What is kept, and under which name.

use crate::fleet::Whereabouts;
use lazycopy_guest::{TraceSummary, WorkloadSpec};
use lazycopy_migration::Verdict;
use lazycopy_protocol::control::MigrationId;
use lazycopy_scenario::{Draft, Scenario, ScenarioError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a record is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Key {
    /// Numbers that are given once.
    Numbers,
    /// The policy.
    Policy,
    /// A server.
    Server(String),
    /// A guest.
    Guest(String),
    /// A migration that runs, or whose end is remembered.
    Migration(MigrationId),
    /// A request with a name.
    Request(String),
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    Numbers {
        last_migration: u64,
    },
    Policy(BTreeMap<String, String>),
    Server {
        pid: u32,
        /// Whether its process is one of the manager's machine.
        here: bool,
        draining: bool,
    },
    Guest {
        /// The server that it is on.
        server: String,
        scenario: KeptScenario,
        /// The preset that was asked for.
        preset: Option<String>,
    },
    Migration {
        vm: String,
        source: String,
        destination: String,
        scenario: KeptScenario,
        /// Milliseconds since 1970.
        began_unix_ms: u64,
        told: bool,
        /// How it ended, once its result is written.
        end: Option<End>,
    },
    Request {
        /// Its place among all of them.
        number: u64,
        command: String,
        /// The migration that it has begun.
        migration: Option<MigrationId>,
        /// What was answered, once it was.
        reply: Option<KeptReply>,
    },
}

/// How a migration ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct End {
    pub verdict: Verdict,
    pub whereabouts: Whereabouts,
    /// The name of its run, if it could be written.
    pub run: Option<String>,
    pub wrong: Option<String>,
}

/// What a request was answered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptReply {
    pub ok: bool,
    pub text: String,
    pub json: serde_json::Value,
}

/// A scenario as it is kept: the document that it can be read from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptScenario {
    name: String,
    document: String,
    /// The size of its recorded program, so that it need not be read again for it.
    recording: Option<TraceSummary>,
    seed: u64,
}

impl KeptScenario {
    /// Keeps a scenario; `None` where a file's name is no text.
    pub(crate) fn of(scenario: &Scenario) -> Option<Self> {
        Some(KeptScenario {
            name: scenario.name.clone(),
            document: scenario.document().ok()?,
            recording: scenario.recording,
            seed: scenario.seed,
        })
    }

    /// The scenario, and what it is made of.
    ///
    /// # Errors
    /// When the document is damaged.
    pub(crate) fn read(&self) -> Result<(Draft, Scenario), ScenarioError> {
        let mut draft = Draft::from_toml(&self.document, &self.name);
        if let Some(summary) = self.recording {
            // Its file stands in the document.
            let document: Option<toml::Table> = toml::from_str(&self.document).ok();
            let file = document.and_then(|it| {
                Some(it.get("guest")?.get("workload")?.get("file")?.as_str()?.into())
            });
            if let Some(file) = file {
                draft = draft.knowing(file, summary);
            }
        }
        let mut scenario = draft.clone().finish()?;
        scenario.seed = self.seed;
        debug_assert!(
            self.recording.is_none()
                || matches!(scenario.guest.workload, WorkloadSpec::Trace { .. })
        );
        Ok((draft, scenario))
    }
}

/// Records by their keys.
pub(crate) type Records = BTreeMap<Key, Record>;

/// Records that are new, or gone, since they were last kept: the last state of each.
pub(crate) type Changes = BTreeMap<Key, Option<Record>>;

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub key: Key,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
}
