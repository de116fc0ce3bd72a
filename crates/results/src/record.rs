//! The record of a run: what `result.json` holds.

use crate::plane::PlaneRecord;
use lazycopy_migration::{Metrics, Scheme};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the record. It changes when a name or its meaning does.
pub const SCHEMA_VERSION: u32 = 1;

/// Version of this program.
pub const PROGRAM_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything about one run. The metrics stand at the top level beside these fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// Version of the program that wrote it.
    pub program_version: String,
    /// The run's name: that of its directory.
    pub run: String,
    /// The preset that was asked for, if any.
    pub preset: Option<String>,
    /// How the guest was moved.
    pub scheme: Scheme,
    /// Where the run's random choices came from.
    pub seed: u64,
    /// The guest's number among those that were moved at once; absent for a guest by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<u32>,
    /// Name of the source.
    pub source_server: String,
    /// Name of the destination.
    pub destination_server: String,
    /// The scenario, every default written out.
    pub scenario: Value,
    /// Whether what the guest observed, and each of its pages, equal the reference run's; null
    /// where there was nothing to compare.
    pub digest_matches: Option<bool>,
    /// The lateness (`slip_ns`) up to which a run counts as undisturbed; null in virtual time, and
    /// where the link is unlimited.
    pub slip_bound_ns: Option<u64>,
    /// Whether `slip_ns` is above the bound: the machine was too busy for this `time_scale`.
    pub slip_exceeded: bool,
    /// Messages that came when their instant had been passed already.
    pub out_of_order: u64,
    /// What went over the sockets; absent where the link is modelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plane: Option<PlaneRecord>,
    /// The metrics.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// Why a text is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is no JSON, or a field is missing or of the wrong type.
    #[error("it is no result: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Parts and totals differ.
    #[error("its parts do not add up: {0}")]
    Parts(String),
    /// It was written by another version.
    #[error("its schema_version is {found}; this program reads {SCHEMA_VERSION}")]
    UnknownSchema {
        /// The version that it names.
        found: Value,
    },
}

impl RunRecord {
    /// Reads a record from its JSON.
    ///
    /// # Errors
    /// When it is none, or one of another schema version.
    pub fn from_json(text: &str) -> Result<RunRecord, RecordError> {
        let value: Value = serde_json::from_str(text)?;
        match value.get("schema_version") {
            Some(version) if *version != SCHEMA_VERSION => {
                Err(RecordError::UnknownSchema { found: version.clone() })
            }
            _ => Ok(serde_json::from_value(value)?),
        }
    }

    /// The record, if its parts add up to their totals.
    ///
    /// # Errors
    /// What does not add up.
    pub fn checked(self) -> Result<RunRecord, RecordError> {
        self.metrics.check_parts().map_err(RecordError::Parts)?;
        Ok(self)
    }

    /// The record as one line of JSON, without a line feed.
    pub fn to_json_line(&self) -> String {
        serde_json::to_string(self).expect("a record has string keys alone")
    }

    /// The record as indented JSON with a line feed at its end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a record has string keys alone");
        text.push('\n');
        text
    }
}
