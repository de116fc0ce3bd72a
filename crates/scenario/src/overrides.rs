//! Overrides: entries that are put into the document before it is typed.

use crate::error::ScenarioError;
use crate::link_table::UNLIMITED;
use crate::preset::Preset;
use toml::{Table, Value};

/// The table whose keys depend on one of them.
const WORKLOAD: [&str; 2] = ["guest", "workload"];

/// Another one: its keys depend on its bandwidth.
const LINK: &str = "link";

/// Entries that were asked for together.
#[derive(Clone, Debug)]
pub(crate) struct Override {
    /// As the user wrote it.
    pub(crate) origin: String,
    entries: Vec<(Vec<String>, Value)>,
}

impl Override {
    /// From `KEY=VALUE`, the value in TOML or else a bare string.
    pub(crate) fn parse(text: &str) -> Result<Override, ScenarioError> {
        let origin = format!("--set {text}");
        let wrong = |problem: &str| ScenarioError::Override {
            origin: origin.clone(),
            problem: problem.to_owned(),
        };
        let Some((key, value)) = text.split_once('=') else {
            return Err(wrong("write KEY=VALUE, for example link.bandwidth=1Gbit/s"));
        };
        let path: Vec<String> = key.split('.').map(|part| part.trim().to_owned()).collect();
        if path.iter().any(String::is_empty) {
            return Err(wrong("a part of the key is empty; write for example link.bandwidth"));
        }
        let value = parse_value(value.trim());
        Ok(Override { origin, entries: vec![(path, value)] })
    }

    pub(crate) fn preset(preset: Preset) -> Override {
        let path = |key: &str| key.split('.').map(str::to_owned).collect();
        let entries = preset.entries().map(|(key, value)| (path(key), value)).into();
        Override { origin: format!("--preset {preset}"), entries }
    }

    /// Puts the entries into the document.
    pub(crate) fn apply(&self, document: &mut Table) -> Result<(), String> {
        self.entries.iter().try_for_each(|(path, value)| put(document, path, value.clone()))
    }
}

/// A TOML value, or the text itself.
fn parse_value(text: &str) -> Value {
    let entry = toml::from_str::<Table>(&format!("value = {text}"));
    // With a line feed in it the text could bring keys of its own.
    match entry.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("value")) {
        Some(value) => value,
        None => Value::String(text.to_owned()),
    }
}

fn put(document: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    let (last, parents) = path.split_last().expect("a key has at least one part");
    let mut table = document;
    for (depth, part) in parents.iter().enumerate() {
        let entry = table.entry(part.clone()).or_insert_with(|| Value::Table(Table::new()));
        if path[..=depth] == WORKLOAD
            && let Value::String(kind) = entry
        {
            *entry = Value::Table(of_kind(Value::String(std::mem::take(kind))));
        }
        table = match entry {
            Value::Table(table) => table,
            _ => return Err(format!("`{}` has no keys of its own", path[..=depth].join("."))),
        };
    }
    table.insert(last.clone(), value);
    Ok(())
}

/// Takes out of the document what belongs to a kind of workload or link that the overrides, as a
/// whole, replace by another: so their order decides between themselves alone, and a key of the
/// new kind may stand before the one that chooses it.
pub(crate) fn make_way(document: &mut Table, overrides: &[&Override]) -> Result<(), String> {
    let mut chosen = Table::new();
    overrides.iter().try_for_each(|entry| entry.apply(&mut chosen))?;
    if let (Some(before), Some(kind)) = (workload_kind(document), workload_kind(&chosen))
        && before != kind
    {
        let kind = Value::Table(of_kind(kind.clone()));
        put(document, &WORKLOAD.map(str::to_owned), kind)?;
    }
    if let (Some(before), Some(now)) = (is_unlimited(document), is_unlimited(&chosen))
        && before != now
    {
        document.remove(LINK);
        if now {
            // How fast a model's time goes says nothing where instants are the clock's.
            document.remove("time_scale");
        }
    }
    Ok(())
}

/// The kind of workload that a document names.
fn workload_kind(document: &Table) -> Option<&Value> {
    let [guest, workload] = WORKLOAD;
    match document.get(guest)?.get(workload)? {
        Value::Table(table) => table.get("kind"),
        kind => Some(kind),
    }
}

/// Whether the bandwidth that a document names says that no link is modelled.
fn is_unlimited(document: &Table) -> Option<bool> {
    let bandwidth = document.get(LINK)?.get("bandwidth")?;
    Some(bandwidth.as_str() == Some(UNLIMITED))
}

/// A workload of that kind, and nothing else about it.
fn of_kind(kind: Value) -> Table {
    Table::from_iter([("kind".to_owned(), kind)])
}
