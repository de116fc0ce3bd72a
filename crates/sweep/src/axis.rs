//! Axes, and the entries that they and contenders put into a scenario.

use crate::file::Contender;
use lazycopy_migration::Scheme;
use serde::Deserialize;
use serde_json::Value as Json;
use toml::{Table, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AxisTable {
    key: Option<String>,
    name: Option<String>,
    values: Option<Vec<Value>>,
    points: Option<Vec<Table>>,
}

/// A key of a scenario and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// In TOML.
    pub(crate) value: String,
}

impl Entry {
    pub(crate) fn scheme(scheme: Scheme) -> Entry {
        Entry { key: "migration.scheme".to_owned(), value: format!("\"{scheme}\"") }
    }

    /// As an override is written.
    pub(crate) fn assignment(&self) -> String {
        format!("{}={}", self.key, self.value)
    }
}

/// What varies from cell to cell.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) name: String,
    /// At least one.
    pub(crate) points: Vec<Point>,
}

/// One place on an axis.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) entries: Vec<Entry>,
    /// As results name it: the value, or an object of several.
    pub(crate) label: Json,
}

/// What is wrong, after the key of the sweep file.
type Problem = (String, String);

/// The entries of a table whose keys are those of a scenario: `"link.latency" = "1ms"`, or the
/// same unquoted, which TOML reads as a table within a table.
pub(crate) fn entries(table: Table) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(table) if !key.contains('.') => {
                for (inner, value) in table {
                    entries.push(entry(format!("{key}.{inner}"), &value)?);
                }
            }
            value => entries.push(entry(key, &value)?),
        }
    }
    Ok(entries)
}

fn entry(key: String, value: &Value) -> Result<Entry, String> {
    let part_is_odd = |part: &str| part.trim().is_empty() || part.contains('=');
    if key.split('.').any(part_is_odd) {
        return Err(format!("\"{key}\" is no key; write for example \"link.bandwidth\""));
    }
    Ok(Entry { key, value: value.to_string() })
}

pub(crate) fn axes(tables: Vec<AxisTable>) -> Result<Vec<Axis>, Problem> {
    let mut axes: Vec<Axis> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let key = match table.name.as_ref().or(table.key.as_ref()) {
            Some(name) => format!("axis \"{name}\""),
            None => format!("axis {}", index + 1),
        };
        let axis = axis(table).map_err(|problem| (key.clone(), problem))?;
        if axes.iter().any(|other| other.name == axis.name) {
            return Err((key, "another axis has this name; give one of them another".to_owned()));
        }
        axes.push(axis);
    }
    Ok(axes)
}

fn axis(table: AxisTable) -> Result<Axis, String> {
    let (name, points) = match table {
        AxisTable { key: Some(key), name, values: Some(values), points: None } => {
            let point = |value: &Value| {
                Ok(Point { entries: vec![entry(key.clone(), value)?], label: json(value)? })
            };
            let points = values.iter().map(point).collect::<Result<Vec<Point>, String>>()?;
            (name.unwrap_or(key), points)
        }
        AxisTable { key: None, name: Some(name), values: None, points: Some(points) } => {
            let point = |table: &Table| {
                let label = json(&Value::Table(table.clone()))?;
                Ok(Point { entries: entries(table.clone())?, label })
            };
            (name, points.iter().map(point).collect::<Result<Vec<Point>, String>>()?)
        }
        _ => {
            let problem = "it takes `key` and `values`, or, for several keys at once, `name` and \
                           `points`";
            return Err(problem.to_owned());
        }
    };
    if name.trim().is_empty() {
        return Err("its name is empty".to_owned());
    }
    if points.is_empty() {
        return Err("it is empty; give it one value at least".to_owned());
    }
    if points.iter().any(|point| point.entries.is_empty()) {
        return Err("a point sets nothing; give it the keys that it sets".to_owned());
    }
    let keys = |point: &Point| {
        let mut keys: Vec<String> = point.entries.iter().map(|entry| entry.key.clone()).collect();
        keys.sort();
        keys
    };
    let first = keys(&points[0]);
    if let Some(other) = points.iter().map(keys).find(|other| *other != first) {
        return Err(format!(
            "its points set different keys: {} and {}",
            first.join(", "),
            other.join(", ")
        ));
    }
    for (index, point) in points.iter().enumerate() {
        if points[..index].iter().any(|other| other.label == point.label) {
            return Err(format!("{} stands there twice", point.label));
        }
    }
    Ok(Axis { name, points })
}

/// Nothing may be set by two axes, or by an axis and a contender: one of them would be without
/// effect.
pub(crate) fn check_keys(axes: &[Axis], contenders: &[Contender]) -> Result<(), Problem> {
    for (index, axis) in axes.iter().enumerate() {
        let own = &axis.points[0].entries;
        let others = axes[..index]
            .iter()
            .map(|other| (format!("axis \"{}\"", other.name), &other.points[0].entries));
        let contenders = contenders
            .iter()
            .map(|contender| (format!("contender \"{}\"", contender.name), &contender.entries));
        for (other, entries) in others.chain(contenders) {
            let both = own.iter().find(|one| entries.iter().any(|it| overlap(&one.key, &it.key)));
            if let Some(Entry { key, .. }) = both {
                let problem = format!("{other} sets {key}, too; one of them can have it");
                return Err((format!("axis \"{}\"", axis.name), problem));
            }
        }
    }
    Ok(())
}

/// Whether two keys are the same, or one is within the other.
fn overlap(one: &str, other: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    within(one, other) || within(other, one)
}

/// A value as results hold it.
fn json(value: &Value) -> Result<Json, String> {
    Ok(match value {
        Value::String(text) => Json::from(text.clone()),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) if number.is_finite() => Json::from(*number),
        Value::Float(number) => return Err(format!("{number} is no value of any key")),
        Value::Boolean(truth) => Json::from(*truth),
        Value::Datetime(moment) => return Err(format!("{moment} is no value of any key")),
        Value::Array(values) => values.iter().map(json).collect::<Result<Json, String>>()?,
        Value::Table(table) => table
            .iter()
            .map(|(key, value)| Ok((key.clone(), json(value)?)))
            .collect::<Result<Json, String>>()?,
    })
}
