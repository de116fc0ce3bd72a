//! The axes of a sweep as people read them.

use crate::quantity::{Quantity, short_number};
use lazycopy_results::{AxisValues, SweepAxis};
use lazycopy_units::Rate;
use serde_json::Value;

/// The key of the link's bandwidth.
const BANDWIDTH: &str = "link.bandwidth";

/// What keys are called in figures, as far as their own name says it badly.
const NAMES: [(&str, &str); 18] = [
    (BANDWIDTH, "link bandwidth"),
    ("link.latency", "link latency, one way"),
    ("disk.latency_source", "disk latency at the source"),
    ("disk.latency_destination", "disk latency at the destination"),
    ("guest.pages", "pages of the guest"),
    ("guest.frames", "frames of memory"),
    ("guest.think_time", "think time"),
    ("guest.write_fraction", "share of writes"),
    ("guest.workload.exponent", "locality (Zipf exponent)"),
    ("guest.workload.length", "length of the page queue"),
    ("migration.head_start", "head start (accesses)"),
    ("migration.max_lead", "maximum lead (accesses)"),
    ("migration.fault_penalty", "fault penalty"),
    ("migration.push_order", "push order"),
    ("migration.pivots", "pivots"),
    ("migration.hybrid_rounds", "rounds before the hand-over"),
    ("migration.downtime_limit", "downtime limit"),
    ("migration.context_bytes", "bytes of the context"),
];

/// An axis along which something varies.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// Its name in the manifest.
    pub name: String,
    /// What it is called in figures.
    pub label: String,
    /// Its values in the manifest.
    pub values: Vec<Value>,
    /// Its values in figures.
    pub ticks: Vec<String>,
    /// Its values as numbers, where all of them are of one kind.
    pub numbers: Option<Vec<f64>>,
}

impl Axis {
    pub fn of(axis: &SweepAxis) -> Axis {
        let ticks = axis.values.iter().map(value_text).collect();
        let measured: Option<Vec<(Quantity, f64)>> = axis.values.iter().map(measured).collect();
        let numbers = measured.filter(|all| all.windows(2).all(|two| two[0].0 == two[1].0));
        Axis {
            name: axis.name.clone(),
            label: label(axis),
            values: axis.values.clone(),
            ticks,
            numbers: numbers.map(|all| all.into_iter().map(|(_, number)| number).collect()),
        }
    }

    /// Whether it varies the link's bandwidth.
    pub fn is_bandwidth(&self) -> bool {
        self.name == BANDWIDTH
    }

    /// Which of its values a cell has.
    pub fn index(&self, cell: &AxisValues) -> Option<usize> {
        let value = cell.get(&self.name)?;
        self.values.iter().position(|it| it == value)
    }
}

/// A cell in words.
pub(crate) fn place(axes: &[Axis], cell: &AxisValues) -> String {
    let part = |axis: &Axis| Some(format!("{} {}", axis.label, axis.ticks[axis.index(cell)?]));
    let parts: Vec<String> = axes.iter().filter_map(part).collect();
    if parts.is_empty() { "the only cell".to_owned() } else { parts.join(", ") }
}

/// What the axis is called; of several keys at once, with what they are.
fn label(axis: &SweepAxis) -> String {
    let named = |name: &str| match NAMES.iter().find(|(key, _)| *key == name) {
        Some((_, label)) => (*label).to_owned(),
        None => {
            let key = name.strip_prefix("migration.").unwrap_or(name);
            key.replace(['_', '.'], " ")
        }
    };
    match axis.values.first() {
        Some(Value::Object(keys)) if !keys.is_empty() => {
            let keys: Vec<String> = keys.keys().map(|key| named(key)).collect();
            format!("{} ({})", named(&axis.name), keys.join(" / "))
        }
        _ => named(&axis.name),
    }
}

fn value_text(value: &Value) -> String {
    match (value, measured(value)) {
        (Value::Object(keys), _) => keys.values().map(value_text).collect::<Vec<_>>().join(" / "),
        (_, Some((Quantity::Count, number))) => short_number(number),
        (_, Some((quantity, number))) => quantity.figure(number),
        (Value::String(text), None) => text.clone(),
        (other, None) => other.to_string(),
    }
}

/// A number, a rate or a duration as scenarios write them.
fn measured(value: &Value) -> Option<(Quantity, f64)> {
    let text = match value {
        Value::String(text) => text,
        other => return Some((Quantity::Count, other.as_f64()?)),
    };
    if let Ok(rate) = text.parse::<Rate>() {
        return Some((Quantity::Rate, rate.bytes_per_sec() as f64));
    }
    let nanos = text.split_whitespace().map(part_of_duration).sum::<Option<f64>>()?;
    (!text.trim().is_empty()).then_some((Quantity::Time, nanos))
}

/// `1500ms` of `1m 1500ms`.
fn part_of_duration(part: &str) -> Option<f64> {
    let digits = part.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = part.split_at(digits);
    let nanos = match unit {
        "ns" | "nsec" => 1.0,
        "us" | "usec" => 1e3,
        "ms" | "msec" => 1e6,
        "s" | "sec" => 1e9,
        "m" | "min" => 60e9,
        "h" | "hr" => 3_600e9,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn axis(name: &str, values: Value) -> Axis {
        let Value::Array(values) = values else { panic!("values are a list") };
        Axis::of(&SweepAxis { name: name.to_owned(), values })
    }

    #[test]
    fn rates_and_durations_are_numbers_with_units() {
        let bandwidth = axis("link.bandwidth", json!(["1028B/s", "1Gbit/s"]));
        assert_eq!(bandwidth.ticks, ["1.03 kB/s", "125 MB/s"]);
        assert_eq!(bandwidth.numbers, Some(vec![1028.0, 125e6]));
        assert!(bandwidth.is_bandwidth());
        let disk = axis("disk.latency_destination", json!(["10ms", "1m 30s"]));
        assert_eq!(disk.ticks, ["10 ms", "90 s"]);
        assert_eq!(disk.label, "disk latency at the destination");
    }

    #[test]
    fn what_is_no_number_stands_as_it_is() {
        let orders = axis("migration.push_order", json!(["lru", "mru", true]));
        assert_eq!(
            (orders.ticks, orders.numbers),
            (vec!["lru".into(), "mru".into(), "true".into()], None)
        );
        assert_eq!(axis("a", json!([1, "1s"])).numbers, None, "of two kinds");
        assert_eq!(axis("migration.some_key", json!([1])).label, "some key");
    }

    #[test]
    fn points_of_several_keys_name_them_once() {
        let memory = axis("memory", json!([{ "guest.frames": 20, "guest.pages": 50 }]));
        assert_eq!(memory.label, "memory (frames of memory / pages of the guest)");
        assert_eq!(memory.ticks, ["20 / 50"]);
        let cell = AxisValues::from([("memory".to_owned(), memory.values[0].clone())]);
        assert_eq!(memory.index(&cell), Some(0));
    }
}
