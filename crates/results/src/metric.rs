//! The metrics by name, for results that hold some of them.

use lazycopy_migration::Metrics;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// The value of one metric in one run.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// It does not apply, or is a ratio of nothing.
    Null,
    /// Nanoseconds, bytes, pages, faults.
    Integer(u64),
    /// A mean or a share.
    Number(f64),
    /// A name or a sentence: `outcome`, `reason`.
    Text(String),
}

/// A metric: its name, and where its value stands in [`Metrics`].
#[derive(Clone, Copy)]
pub struct Metric {
    /// Its name in every result file.
    pub name: &'static str,
    value: fn(&Metrics) -> MetricValue,
}

macro_rules! metrics {
    ($($name:ident),* $(,)?) => {
        &[$(Metric {
            name: stringify!($name),
            value: |metrics| MetricValue::from(&metrics.$name),
        }),*]
    };
}

impl Metric {
    /// Every metric, in the order of a result.
    pub const ALL: &'static [Metric] = metrics![
        total_migration_time_ns,
        preparation_time_ns,
        downtime_ns,
        resume_time_ns,
        faults,
        faults_remote,
        faults_disk,
        stall_time_ns,
        last_fault_ns,
        measured_time_ns,
        reference_measured_time_ns,
        pages_transferred,
        pages_round,
        pages_background,
        pages_forward,
        pages_demand,
        pages_resent,
        pages_duplicate,
        pages_discarded,
        pages_dropped,
        pages_exempted,
        pages_recovered,
        pauses,
        paused_time_ns,
        bytes_transferred,
        bandwidth_mean,
        bandwidth_peak,
        forward_lead_mean,
        forward_accuracy,
        forward_coverage,
        slip_ns,
        outcome,
        reason,
    ];

    /// The metric of that name.
    pub fn named(name: &str) -> Option<Metric> {
        Metric::ALL.iter().copied().find(|metric| metric.name == name)
    }

    /// Its value in a run.
    pub fn value(&self, metrics: &Metrics) -> MetricValue {
        (self.value)(metrics)
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Metric {
    fn eq(&self, other: &Metric) -> bool {
        self.name == other.name
    }
}

impl Eq for Metric {}

impl MetricValue {
    /// The value as a number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            MetricValue::Integer(value) => Some(*value as f64),
            MetricValue::Number(value) => Some(*value),
            MetricValue::Null | MetricValue::Text(_) => None,
        }
    }
}

impl From<&u64> for MetricValue {
    fn from(value: &u64) -> Self {
        MetricValue::Integer(*value)
    }
}

impl From<&f64> for MetricValue {
    fn from(value: &f64) -> Self {
        MetricValue::Number(*value)
    }
}

impl From<&String> for MetricValue {
    fn from(value: &String) -> Self {
        MetricValue::Text(value.clone())
    }
}

impl From<&lazycopy_migration::Outcome> for MetricValue {
    fn from(value: &lazycopy_migration::Outcome) -> Self {
        MetricValue::Text(value.to_string())
    }
}

impl From<&Option<u64>> for MetricValue {
    fn from(value: &Option<u64>) -> Self {
        value.map_or(MetricValue::Null, MetricValue::Integer)
    }
}

impl From<&Option<f64>> for MetricValue {
    fn from(value: &Option<f64>) -> Self {
        value.map_or(MetricValue::Null, MetricValue::Number)
    }
}

impl Serialize for MetricValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            MetricValue::Null => serializer.serialize_unit(),
            MetricValue::Integer(value) => serializer.serialize_u64(*value),
            MetricValue::Number(value) => serializer.serialize_f64(*value),
            MetricValue::Text(value) => serializer.serialize_str(value),
        }
    }
}

impl<'de> Deserialize<'de> for MetricValue {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(MetricVisitor)
    }
}

struct MetricVisitor;

impl de::Visitor<'_> for MetricVisitor {
    type Value = MetricValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text or null")
    }

    fn visit_unit<E: de::Error>(self) -> Result<MetricValue, E> {
        Ok(MetricValue::Null)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<MetricValue, E> {
        Ok(MetricValue::Integer(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<MetricValue, E> {
        Ok(MetricValue::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<MetricValue, E> {
        Ok(MetricValue::Text(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_migration::{DestinationReport, Outcome, Scheme, SourceReport, Verdict};
    use serde_json::Value;

    #[test]
    fn every_metric_of_a_result_is_here_under_its_name_and_in_its_place() {
        let verdict = Verdict { outcome: Outcome::NeverConverges, reason: "a test".to_owned() };
        let (source, destination) = (SourceReport::default(), DestinationReport::default());
        let mut metrics = Metrics::from_reports(Scheme::LazyCopy, &source, &destination, verdict);
        (metrics.faults, metrics.pages_demand, metrics.slip_ns) = (7, 3, Some(u64::MAX));
        metrics.forward_lead_mean = Some(1.0);
        let names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name).collect();
        let whole = serde_json::to_string(&metrics).unwrap();
        let fields = Metric::ALL.iter().map(|metric| {
            let value = serde_json::to_string(&metric.value(&metrics)).unwrap();
            format!("\"{}\":{value}", metric.name)
        });
        assert_eq!(format!("{{{}}}", fields.collect::<Vec<_>>().join(",")), whole, "{names:?}");
    }

    #[test]
    fn values_are_read_back_as_they_were_written() {
        for text in ["null", "0", "18446744073709551615", "0.1", "1.0", "\"lost\""] {
            let value: MetricValue = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
            let plain: Value = serde_json::from_str(text).unwrap();
            assert_eq!(value.number(), plain.as_f64());
        }
        assert!(serde_json::from_str::<MetricValue>("[1]").is_err());
    }
}
