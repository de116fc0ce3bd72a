//! The metrics of a result by name: in what they are counted, and what they mean.

use crate::quantity::{Quantity, fixed};
use lazycopy_migration::Metrics;
use lazycopy_units::Duration;
use serde_json::Value;

/// A metric of every result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    /// Its name in a result file.
    pub name: &'static str,
    /// What it is called in prose.
    pub label: &'static str,
    pub quantity: Quantity,
    /// Its meaning in a line.
    pub meaning: &'static str,
}

const fn metric(
    name: &'static str,
    label: &'static str,
    quantity: Quantity,
    meaning: &'static str,
) -> Metric {
    Metric { name, label, quantity, meaning }
}

/// Downtime and stall time of each run together: not in a result, but what a guest waits for.
pub(crate) const DOWNTIME_AND_STALL: &str = "downtime_and_stall_ns";

/// The metrics that figures are drawn of.
pub(crate) const SHOWN: [Metric; 5] = [
    METRICS[0],
    METRICS[2],
    METRICS[7],
    metric(
        DOWNTIME_AND_STALL,
        "downtime + stall",
        Quantity::Time,
        "What the guest waits for: downtime and stall time of a run together.",
    ),
    METRICS[4],
];

/// All of them, in the order of a result file.
pub(crate) const METRICS: [Metric; 29] = [
    metric(
        "total_migration_time_ns",
        "total migration time",
        Quantity::Time,
        "From the request to completion: preparation, downtime and resume time.",
    ),
    metric(
        "preparation_time_ns",
        "preparation time",
        Quantity::Time,
        "From the request to the suspension; 0 without rounds.",
    ),
    metric(
        "downtime_ns",
        "downtime",
        Quantity::Time,
        "From the suspension to the resume at the destination, a head start included.",
    ),
    metric("resume_time_ns", "resume time", Quantity::Time, "From the resume to completion."),
    metric(
        "faults",
        "page faults",
        Quantity::Count,
        "Page faults at the destination that began before completion.",
    ),
    metric(
        "faults_remote",
        "remote faults",
        Quantity::Count,
        "Of these, ended by a page from the source.",
    ),
    metric(
        "faults_disk",
        "disk faults",
        Quantity::Count,
        "Of these, ended by a load from the disk.",
    ),
    metric(
        "stall_time_ns",
        "stall time",
        Quantity::Time,
        "How long these faults blocked the guest.",
    ),
    metric(
        "last_fault_ns",
        "last fault",
        Quantity::Time,
        "From the request to the end of the last of these faults.",
    ),
    metric(
        "measured_time_ns",
        "measured time",
        Quantity::Time,
        "From the resume to the end of the measured accesses: what the guest feels.",
    ),
    metric(
        "reference_measured_time_ns",
        "the reference run's measured time",
        Quantity::Time,
        "The same accesses of the same guest, never migrated.",
    ),
    metric(
        "pages_transferred",
        "pages transferred",
        Quantity::Count,
        "Pages sent: the sum of the next four.",
    ),
    metric(
        "pages_round",
        "pages in rounds",
        Quantity::Count,
        "Sent before the hand-over (pre-copy and stop-and-copy).",
    ),
    metric("pages_background", "background pages", Quantity::Count, "Sent by the background push."),
    metric(
        "pages_forward",
        "forward pages",
        Quantity::Count,
        "Sent since the forward context touched them.",
    ),
    metric("pages_demand", "pages on demand", Quantity::Count, "Sent since the destination asked."),
    metric(
        "pages_resent",
        "pages sent again",
        Quantity::Count,
        "Of the pages sent, those sent again since they were dirty again (pre-copy).",
    ),
    metric(
        "pages_duplicate",
        "duplicate pages",
        Quantity::Count,
        "Of the pages sent, those that the destination had held before.",
    ),
    metric(
        "pages_discarded",
        "discarded pages",
        Quantity::Count,
        "Of the pages sent, those not installed since memory was full and the disk had them.",
    ),
    metric(
        "pages_dropped",
        "dropped pages",
        Quantity::Count,
        "Of the residency list, those never sent since the forward context evicted them.",
    ),
    metric(
        "pages_exempted",
        "exempted pages",
        Quantity::Count,
        "Never sent since the guest wrote them as a whole at the destination.",
    ),
    metric(
        "pages_recovered",
        "recovered pages",
        Quantity::Count,
        "Sent again since a broken link had lost them.",
    ),
    metric(
        "bytes_transferred",
        "bytes transferred",
        Quantity::Bytes,
        "Context and pages, headers included.",
    ),
    metric(
        "bandwidth_mean",
        "mean bandwidth",
        Quantity::Rate,
        "These bytes per second, from the request until the link had carried the last of them.",
    ),
    metric(
        "bandwidth_peak",
        "peak bandwidth",
        Quantity::Rate,
        "Bytes per second in the busiest tenth of a second.",
    ),
    metric(
        "forward_lead_mean",
        "mean lead",
        Quantity::Count,
        "Mean number of accesses by which the forward context was ahead.",
    ),
    metric(
        "forward_accuracy",
        "forward accuracy",
        Quantity::Share,
        "Forward pages that the guest touched before it evicted them.",
    ),
    metric(
        "forward_coverage",
        "forward coverage",
        Quantity::Share,
        "First touches while the migration lasted that found their page in memory.",
    ),
    metric(
        "slip_ns",
        "slip",
        Quantity::Time,
        "The greatest lateness of anything that the processes did; none in virtual time.",
    ),
];

/// The metrics of a run by their names.
#[derive(Clone, Debug)]
pub(crate) struct Values(Value);

impl Values {
    pub fn of(metrics: &Metrics) -> Values {
        Values(serde_json::to_value(metrics).expect("metrics have string keys alone"))
    }

    /// A value as a number; `None` where the metric does not apply.
    pub fn number(&self, name: &str) -> Option<f64> {
        if name == DOWNTIME_AND_STALL {
            return Some(self.number("downtime_ns")? + self.number("stall_time_ns")?);
        }
        self.0.get(name)?.as_f64()
    }

    /// A value as people read it, to the millisecond or microsecond and the single page.
    pub fn text(&self, metric: &Metric) -> String {
        let Some(value) = self.0.get(metric.name).filter(|value| !value.is_null()) else {
            return "\u{2013}".to_owned();
        };
        match (metric.quantity, value.as_u64(), value.as_f64()) {
            (Quantity::Time, Some(nanos), _) => Duration::from_nanos(nanos).to_string(),
            (Quantity::Count, Some(count), _) => fixed(count as f64, 0),
            (Quantity::Bytes, Some(bytes), _) if bytes < 1_000_000 => {
                format!("{} B", fixed(bytes as f64, 0))
            }
            (quantity, _, Some(number)) => quantity.figure(number),
            _ => value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_migration::{DestinationReport, Outcome, Scheme, SourceReport, Verdict};

    fn metrics() -> Metrics {
        let verdict = Verdict { outcome: Outcome::Completed, reason: "done".to_owned() };
        let (source, destination) = (SourceReport::default(), DestinationReport::default());
        Metrics::from_reports(Scheme::LazyCopy, &source, &destination, verdict)
    }

    #[test]
    fn every_metric_of_a_result_is_explained() {
        let Value::Object(fields) = serde_json::to_value(metrics()).unwrap() else { panic!() };
        for name in fields.keys().filter(|name| !["outcome", "reason"].contains(&name.as_str())) {
            assert!(METRICS.iter().any(|metric| metric.name == name), "{name}");
        }
        assert_eq!(fields.len(), METRICS.len() + 2);
    }

    #[test]
    fn values_come_with_their_units() {
        let mut metrics = metrics();
        metrics.downtime_ns = Some(1_689_455_253);
        metrics.stall_time_ns = 11_000_000_000;
        metrics.bytes_transferred = 107_072;
        metrics.forward_accuracy = Some(0.875);
        let values = Values::of(&metrics);
        let text = |name| values.text(METRICS.iter().find(|metric| metric.name == name).unwrap());
        assert_eq!(text("downtime_ns"), "1.689 s");
        assert_eq!(text("bytes_transferred"), "107\u{202f}072 B");
        assert_eq!(text("forward_accuracy"), "87.5 %");
        assert_eq!(text("slip_ns"), "\u{2013}");
        assert_eq!(values.number(DOWNTIME_AND_STALL), Some(12_689_455_253.0));
    }
}
