//! What is compared.

use crate::metric::{Metric, MetricValue};
use crate::sweep_record::SweepRecord;
use lazycopy_migration::Metrics;
use serde::{Serialize, Serializer};

/// In what a measure is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Time,
    /// Pages, faults, accesses.
    Count,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    Rate,
    /// A part of a whole, 0 to 1.
    Share,
}

/// A number that is compared: each metric that is one, and what is derived from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// `total_migration_time_ns`.
    TotalMigrationTime,
    /// `preparation_time_ns`.
    PreparationTime,
    /// `downtime_ns`.
    Downtime,
    /// `resume_time_ns`.
    ResumeTime,
    /// `stall_time_ns`.
    StallTime,
    /// `guest_pause_ns`, derived: `downtime_ns` + `stall_time_ns`. For so long the guest stands
    /// still, whether at once or by and by.
    GuestPause,
    /// `last_fault_ns`.
    LastFault,
    /// `measured_time_ns`.
    MeasuredTime,
    /// `reference_measured_time_ns`.
    ReferenceMeasuredTime,
    /// `faults`.
    Faults,
    /// `faults_remote`.
    FaultsRemote,
    /// `faults_disk`.
    FaultsDisk,
    /// `pages_transferred`.
    PagesTransferred,
    /// `pages_round`.
    PagesRound,
    /// `pages_background`.
    PagesBackground,
    /// `pages_forward`.
    PagesForward,
    /// `pages_demand`.
    PagesDemand,
    /// `pages_resent`.
    PagesResent,
    /// `pages_duplicate`.
    PagesDuplicate,
    /// `pages_discarded`.
    PagesDiscarded,
    /// `pages_dropped`.
    PagesDropped,
    /// `pages_exempted`.
    PagesExempted,
    /// `pages_recovered`.
    PagesRecovered,
    /// `pauses`.
    Pauses,
    /// `paused_time_ns`.
    PausedTime,
    /// `bytes_transferred`.
    BytesTransferred,
    /// `bandwidth_mean`.
    BandwidthMean,
    /// `bandwidth_peak`.
    BandwidthPeak,
    /// `forward_lead_mean`.
    ForwardLeadMean,
    /// `forward_accuracy`.
    ForwardAccuracy,
    /// `forward_coverage`.
    ForwardCoverage,
    /// `slip_ns`.
    Slip,
}

/// Whether a measure says which scheme is better.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    Less,
    Neither,
}

impl Measure {
    /// Every measure, in the order of a table.
    pub const ALL: [Measure; 32] = [
        Measure::TotalMigrationTime,
        Measure::PreparationTime,
        Measure::Downtime,
        Measure::ResumeTime,
        Measure::StallTime,
        Measure::GuestPause,
        Measure::LastFault,
        Measure::MeasuredTime,
        Measure::ReferenceMeasuredTime,
        Measure::Faults,
        Measure::FaultsRemote,
        Measure::FaultsDisk,
        Measure::PagesTransferred,
        Measure::PagesRound,
        Measure::PagesBackground,
        Measure::PagesForward,
        Measure::PagesDemand,
        Measure::PagesResent,
        Measure::PagesDuplicate,
        Measure::PagesDiscarded,
        Measure::PagesDropped,
        Measure::PagesExempted,
        Measure::PagesRecovered,
        Measure::Pauses,
        Measure::PausedTime,
        Measure::BytesTransferred,
        Measure::BandwidthMean,
        Measure::BandwidthPeak,
        Measure::ForwardLeadMean,
        Measure::ForwardAccuracy,
        Measure::ForwardCoverage,
        Measure::Slip,
    ];

    /// Its name in result files: that of its metric, or of what it is derived from.
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// What it is called in prose and in figures.
    pub fn label(self) -> &'static str {
        self.facts().1
    }

    /// In what it is counted.
    pub fn unit(self) -> Unit {
        self.facts().2
    }

    /// Whether a scheme with less of it is better. Of the others neither less nor more is good:
    /// they tell why.
    pub fn less_is_better(self) -> bool {
        self.facts().3 == Aim::Less
    }

    /// The measure of that name.
    pub fn named(name: &str) -> Option<Measure> {
        Measure::ALL.into_iter().find(|measure| measure.name() == name)
    }

    fn facts(self) -> (&'static str, &'static str, Unit, Aim) {
        use Aim::{Less, Neither};
        use Unit::{Bytes, Count, Rate, Share, Time};
        match self {
            Measure::TotalMigrationTime => {
                ("total_migration_time_ns", "total migration time", Time, Less)
            }
            Measure::PreparationTime => ("preparation_time_ns", "preparation time", Time, Neither),
            Measure::Downtime => ("downtime_ns", "downtime", Time, Less),
            Measure::ResumeTime => ("resume_time_ns", "resume time", Time, Neither),
            Measure::StallTime => ("stall_time_ns", "stall time", Time, Less),
            Measure::GuestPause => ("guest_pause_ns", "downtime + stall time", Time, Less),
            Measure::LastFault => ("last_fault_ns", "time to the last fault", Time, Neither),
            Measure::MeasuredTime => ("measured_time_ns", "measured time", Time, Less),
            Measure::ReferenceMeasuredTime => {
                ("reference_measured_time_ns", "the reference run's measured time", Time, Neither)
            }
            Measure::Faults => ("faults", "page faults", Count, Less),
            Measure::FaultsRemote => ("faults_remote", "remote faults", Count, Less),
            Measure::FaultsDisk => ("faults_disk", "disk faults", Count, Less),
            Measure::PagesTransferred => ("pages_transferred", "pages transferred", Count, Less),
            Measure::PagesRound => ("pages_round", "pages before the hand-over", Count, Neither),
            Measure::PagesBackground => ("pages_background", "background pages", Count, Neither),
            Measure::PagesForward => ("pages_forward", "forward pages", Count, Neither),
            Measure::PagesDemand => ("pages_demand", "demand pages", Count, Neither),
            Measure::PagesResent => ("pages_resent", "pages sent again", Count, Less),
            Measure::PagesDuplicate => ("pages_duplicate", "duplicate pages", Count, Less),
            Measure::PagesDiscarded => ("pages_discarded", "discarded pages", Count, Less),
            Measure::PagesDropped => ("pages_dropped", "dropped pages", Count, Neither),
            Measure::PagesExempted => ("pages_exempted", "exempted pages", Count, Neither),
            Measure::PagesRecovered => ("pages_recovered", "recovered pages", Count, Less),
            Measure::Pauses => ("pauses", "pauses", Count, Less),
            Measure::PausedTime => ("paused_time_ns", "paused time", Time, Less),
            Measure::BytesTransferred => ("bytes_transferred", "bytes transferred", Bytes, Less),
            Measure::BandwidthMean => ("bandwidth_mean", "mean bandwidth", Rate, Neither),
            Measure::BandwidthPeak => ("bandwidth_peak", "peak bandwidth", Rate, Neither),
            Measure::ForwardLeadMean => ("forward_lead_mean", "mean lead", Count, Neither),
            Measure::ForwardAccuracy => ("forward_accuracy", "forward accuracy", Share, Neither),
            Measure::ForwardCoverage => ("forward_coverage", "forward coverage", Share, Neither),
            Measure::Slip => ("slip_ns", "slip", Time, Neither),
        }
    }

    /// Whether runs that hold these metrics alone can tell it.
    pub fn is_told_by(self, metrics: &[String]) -> bool {
        let told = |name: &str| metrics.iter().any(|metric| metric == name).then_some(0.0);
        self.sum(told).is_some()
    }

    /// Its value in a run, `None` where it does not apply.
    pub fn value(self, metrics: &Metrics) -> Option<f64> {
        self.sum(|name| Metric::named(name).and_then(|metric| metric.value(metrics).number()))
    }

    /// Its value in a run of a sweep, `None` where it does not apply or was not asked for.
    pub fn value_in_sweep(self, record: &SweepRecord) -> Option<f64> {
        self.sum(|name| record.metric(name).and_then(MetricValue::number))
    }

    fn sum(self, value: impl Fn(&str) -> Option<f64>) -> Option<f64> {
        if self == Measure::GuestPause {
            return Some(value("downtime_ns")? + value("stall_time_ns")?);
        }
        value(self.name())
    }
}

impl Serialize for Measure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_migration::{DestinationReport, Outcome, Scheme, SourceReport, Verdict};

    fn metrics() -> Metrics {
        let verdict = Verdict { outcome: Outcome::Completed, reason: "a test".to_owned() };
        let (source, destination) = (SourceReport::default(), DestinationReport::default());
        Metrics::from_reports(Scheme::PostCopy, &source, &destination, verdict)
    }

    #[test]
    fn every_metric_but_the_words_is_a_measure_under_its_name() {
        for metric in Metric::ALL {
            let words = ["outcome", "reason"].contains(&metric.name);
            assert_eq!(Measure::named(metric.name).is_none(), words, "{}", metric.name);
        }
        assert_eq!(Measure::ALL.len(), Metric::ALL.len() - 2 + 1, "and one is derived");
        assert!(Measure::ALL.is_sorted(), "in the order of the table");
    }

    #[test]
    fn a_measure_is_the_value_of_its_metric() {
        let metrics = Metrics { faults: 7, forward_accuracy: Some(0.5), ..metrics() };
        assert_eq!(Measure::Faults.value(&metrics), Some(7.0));
        assert_eq!(Measure::ForwardAccuracy.value(&metrics), Some(0.5));
        assert_eq!(Measure::TotalMigrationTime.value(&metrics), None);
    }

    #[test]
    fn the_guests_pause_is_downtime_and_stall_and_takes_both() {
        let metrics = Metrics { downtime_ns: Some(3), stall_time_ns: 4, ..metrics() };
        assert_eq!(Measure::GuestPause.value(&metrics), Some(7.0));
        assert_eq!(Measure::GuestPause.value(&Metrics { downtime_ns: None, ..metrics }), None);
        let asked =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(Measure::GuestPause.is_told_by(&asked(&["downtime_ns", "stall_time_ns"])));
        assert!(!Measure::GuestPause.is_told_by(&asked(&["downtime_ns", "faults"])));
        assert!(Measure::Faults.is_told_by(&asked(&["downtime_ns", "faults"])));
    }
}
