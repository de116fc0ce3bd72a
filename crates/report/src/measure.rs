//! What a page says of a measure: its meaning, and its values as people read them.

use crate::quantity::{Quantity, fixed, short_number};
use lazycopy_migration::Metrics;
use lazycopy_results::{Measure, Summary};
use lazycopy_units::Duration;

/// The measures that figures are drawn of: what the paper claims, and what a guest feels.
pub(crate) const SHOWN: [Measure; 6] = [
    Measure::TotalMigrationTime,
    Measure::Downtime,
    Measure::StallTime,
    Measure::GuestPause,
    Measure::MeasuredTime,
    Measure::Faults,
];

/// In what it is counted.
pub(crate) fn quantity(measure: Measure) -> Quantity {
    Quantity::from(measure.unit())
}

/// Its name as part of a file's.
pub(crate) fn file_name(measure: Measure) -> String {
    measure.name().trim_end_matches("_ns").replace('_', "-")
}

/// Its meaning in a line.
pub(crate) fn meaning(measure: Measure) -> &'static str {
    match measure {
        Measure::TotalMigrationTime => {
            "From the request to completion: preparation, downtime and resume time."
        }
        Measure::PreparationTime => "From the request to the suspension; 0 without rounds.",
        Measure::Downtime => {
            "From the suspension to the resume at the destination, a head start included."
        }
        Measure::ResumeTime => "From the resume to completion.",
        Measure::StallTime => "How long page faults of the migration blocked the guest.",
        Measure::GuestPause => "For so long the guest stands still, at once or by and by.",
        Measure::LastFault => "From the request to the end of the last page fault.",
        Measure::MeasuredTime => {
            "From the resume to the end of the measured accesses: what the guest feels."
        }
        Measure::ReferenceMeasuredTime => "The same accesses of the same guest, never migrated.",
        Measure::Faults => "Page faults at the destination that began before completion.",
        Measure::FaultsRemote => "Of the page faults, those ended by a page from the source.",
        Measure::FaultsDisk => "Of the page faults, those ended by a load from the disk.",
        Measure::PagesTransferred => {
            "Pages sent: before the hand-over, in the background, forward and on demand."
        }
        Measure::PagesRound => "Sent before the hand-over (pre-copy and stop-and-copy).",
        Measure::PagesBackground => "Sent by the background push.",
        Measure::PagesForward => "Sent since the forward context touched them.",
        Measure::PagesDemand => "Sent since the destination asked for them.",
        Measure::PagesResent => "Of the pages sent, those that were dirty again (pre-copy).",
        Measure::PagesDuplicate => "Of the pages sent, those that the destination had held before.",
        Measure::PagesDiscarded => {
            "Of the pages sent, those not installed: memory was full and the disk had them."
        }
        Measure::PagesDropped => "Never sent, since the forward context evicted them.",
        Measure::PagesExempted => "Never sent, since the guest wrote them as a whole.",
        Measure::PagesRecovered => "Sent again since a broken link had lost them.",
        Measure::Pauses => "How often the link broke after the hand-over.",
        Measure::PausedTime => "How long it was broken in all.",
        Measure::BytesTransferred => "Context and pages on the link, headers included.",
        Measure::BandwidthMean => {
            "These bytes per second, from the request until the link had carried the last of them."
        }
        Measure::BandwidthPeak => "Bytes per second in the busiest tenth of a second.",
        Measure::ForwardLeadMean => {
            "Mean number of accesses by which the forward context was ahead."
        }
        Measure::ForwardAccuracy => "Forward pages that the guest touched before it evicted them.",
        Measure::ForwardCoverage => {
            "First touches while the migration lasted that found their page in memory."
        }
        Measure::Slip => "The greatest lateness of what the processes did; none in virtual time.",
    }
}

/// What stands where a measure does not apply.
const NOTHING: &str = "\u{2013}";

/// Its value in a run to the microsecond, byte or page.
pub(crate) fn exact(measure: Measure, metrics: &Metrics) -> String {
    let Some(value) = measure.value(metrics) else { return NOTHING.to_owned() };
    match quantity(measure) {
        // A measure of time is a whole number of nanoseconds.
        Quantity::Time => Duration::from_nanos(value as u64).to_string(),
        Quantity::Count if value.fract() == 0.0 => fixed(value, 0),
        Quantity::Bytes if value < 1e6 => format!("{} B", fixed(value, 0)),
        quantity => quantity.figure(value),
    }
}

/// A mean with its interval: `12.7 s (12.1 to 13.3)`.
pub(crate) fn mean_text(measure: Measure, summary: Option<Summary>) -> String {
    let Some(summary) = summary else { return NOTHING.to_owned() };
    let quantity = quantity(measure);
    let mean = quantity.figure(summary.mean);
    match summary.interval {
        Some((low, high)) if low < high => {
            let divisor = quantity.unit(summary.mean).divisor;
            let number = |value: f64| short_number(value / divisor);
            format!("{mean} ({} to {})", number(low), number(high))
        }
        _ => mean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_migration::{DestinationReport, Outcome, Scheme, SourceReport, Verdict};

    #[test]
    fn values_come_with_their_units() {
        let verdict = Verdict { outcome: Outcome::Completed, reason: "done".to_owned() };
        let (source, destination) = (SourceReport::default(), DestinationReport::default());
        let mut metrics = Metrics::from_reports(Scheme::LazyCopy, &source, &destination, verdict);
        metrics.downtime_ns = Some(1_689_455_253);
        metrics.stall_time_ns = 11_000_000_000;
        metrics.bytes_transferred = 107_072;
        metrics.forward_accuracy = Some(0.875);
        assert_eq!(exact(Measure::Downtime, &metrics), "1.689 s");
        assert_eq!(exact(Measure::GuestPause, &metrics), "12.689 s");
        assert_eq!(exact(Measure::BytesTransferred, &metrics), "107\u{202f}072 B");
        assert_eq!(exact(Measure::ForwardAccuracy, &metrics), "87.5 %");
        assert_eq!(exact(Measure::Slip, &metrics), "\u{2013}");
    }

    #[test]
    fn a_mean_has_its_interval_where_it_has_a_width() {
        let summary = Summary::of(&[1e9, 2e9, 3e9]);
        assert_eq!(mean_text(Measure::Downtime, summary), "2 s (-0.484 to 4.48)");
        assert_eq!(mean_text(Measure::Downtime, Summary::of(&[2e9, 2e9])), "2 s");
        assert_eq!(mean_text(Measure::Downtime, None), "\u{2013}");
    }
}
