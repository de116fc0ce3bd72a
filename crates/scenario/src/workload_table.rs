//! The table `guest.workload`: `{ kind = "queue", length = 100 }`, or the kind alone.

use crate::duration_text;
use lazycopy_guest::WorkloadSpec;
use lazycopy_units::{Duration, PageNumber};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::path::PathBuf;

/// The length of the paper's queue, where a scenario does not say it.
const DEFAULT_QUEUE_LENGTH: u32 = 100;

/// Zipf's own exponent, where a scenario does not say it.
const DEFAULT_EXPONENT: f64 = 1.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Queue,
    List,
    Zipf,
    Sequential,
    Trace,
}

/// Every key that some kind takes. One flat table, so that an error points at its key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkloadTable {
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    length: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pages: Option<Vec<PageNumber>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exponent: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    instruction_time: Option<Duration>,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Queue => "queue",
            Kind::List => "list",
            Kind::Zipf => "zipf",
            Kind::Sequential => "sequential",
            Kind::Trace => "trace",
        }
    }

    /// The keys that it takes besides `kind`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Kind::Queue => &["length"],
            Kind::List => &["pages"],
            Kind::Zipf => &["exponent"],
            Kind::Sequential => &[],
            Kind::Trace => &["file", "instruction_time"],
        }
    }
}

impl WorkloadTable {
    fn of_kind(kind: Kind) -> Self {
        WorkloadTable {
            kind,
            length: None,
            pages: None,
            exponent: None,
            file: None,
            instruction_time: None,
        }
    }

    /// The keys that are given, besides `kind`.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        [
            ("length", self.length.is_some()),
            ("pages", self.pages.is_some()),
            ("exponent", self.exponent.is_some()),
            ("file", self.file.is_some()),
            ("instruction_time", self.instruction_time.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, given)| given.then_some(key))
    }

    fn into_spec(self) -> Result<WorkloadSpec, String> {
        let kind = self.kind;
        if let Some(key) = self.given().find(|key| !kind.keys().contains(key)) {
            return Err(format!(
                "`{key}` does not belong to a workload of kind \"{}\", which takes {}",
                kind.name(),
                listed(kind.keys()),
            ));
        }
        let missing = |key| format!("a workload of kind \"{}\" needs `{key}`", kind.name());
        Ok(match kind {
            Kind::Queue => {
                WorkloadSpec::Queue { length: self.length.unwrap_or(DEFAULT_QUEUE_LENGTH) }
            }
            Kind::List => WorkloadSpec::List { pages: self.pages.ok_or_else(|| missing("pages"))? },
            Kind::Zipf => {
                WorkloadSpec::Zipf { exponent: self.exponent.unwrap_or(DEFAULT_EXPONENT) }
            }
            Kind::Sequential => WorkloadSpec::Sequential,
            Kind::Trace => WorkloadSpec::Trace {
                file: self.file.ok_or_else(|| missing("file"))?,
                instruction_time: self
                    .instruction_time
                    .ok_or_else(|| missing("instruction_time"))?,
            },
        })
    }
}

fn listed(keys: &[&str]) -> String {
    match keys {
        [] => "no other key".to_owned(),
        keys => keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and "),
    }
}

pub(crate) fn serialize<S: Serializer>(
    workload: &WorkloadSpec,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let of_kind = WorkloadTable::of_kind;
    match workload.clone() {
        WorkloadSpec::Queue { length } => {
            WorkloadTable { length: Some(length), ..of_kind(Kind::Queue) }
        }
        WorkloadSpec::List { pages } => WorkloadTable { pages: Some(pages), ..of_kind(Kind::List) },
        WorkloadSpec::Zipf { exponent } => {
            WorkloadTable { exponent: Some(exponent), ..of_kind(Kind::Zipf) }
        }
        WorkloadSpec::Sequential => of_kind(Kind::Sequential),
        WorkloadSpec::Trace { file, instruction_time } => WorkloadTable {
            file: Some(file),
            instruction_time: Some(instruction_time),
            ..of_kind(Kind::Trace)
        },
    }
    .serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<WorkloadSpec, D::Error> {
    input.deserialize_any(WorkloadVisitor)
}

struct WorkloadVisitor;

impl<'de> de::Visitor<'de> for WorkloadVisitor {
    type Value = WorkloadSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a workload such as { kind = \"queue\", length = 100 }")
    }

    fn visit_str<E: de::Error>(self, kind: &str) -> Result<WorkloadSpec, E> {
        let kind = Kind::deserialize(de::value::StrDeserializer::<E>::new(kind))?;
        WorkloadTable::of_kind(kind).into_spec().map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<WorkloadSpec, A::Error> {
        let table = WorkloadTable::deserialize(de::value::MapAccessDeserializer::new(map))?;
        table.into_spec().map_err(de::Error::custom)
    }
}
