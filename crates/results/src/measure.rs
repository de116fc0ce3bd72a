//! What is compared.

use lazycopy_migration::Metrics;
use serde::Serialize;

/// In what a measure is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Time,
    /// Pages, faults.
    Count,
}

/// A metric that is compared; less of it is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// `total_migration_time_ns`.
    TotalMigrationTime,
    /// `downtime_ns`.
    Downtime,
    /// `stall_time_ns`.
    StallTime,
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
}

impl Measure {
    /// Every measure, in the order of a table.
    pub const ALL: [Measure; 13] = [
        Measure::TotalMigrationTime,
        Measure::Downtime,
        Measure::StallTime,
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
    ];

    /// What it is called in a table; parts of a measure stand below it, indented.
    pub fn label(self) -> &'static str {
        match self {
            Measure::TotalMigrationTime => "total migration time",
            Measure::Downtime => "downtime",
            Measure::StallTime => "stall time",
            Measure::MeasuredTime => "measured time",
            Measure::ReferenceMeasuredTime => "  the reference run's",
            Measure::Faults => "page faults",
            Measure::FaultsRemote => "  remote",
            Measure::FaultsDisk => "  disk",
            Measure::PagesTransferred => "pages transferred",
            Measure::PagesRound => "  before the hand-over",
            Measure::PagesBackground => "  background",
            Measure::PagesForward => "  forward",
            Measure::PagesDemand => "  demand",
        }
    }

    /// In what it is counted.
    pub fn unit(self) -> Unit {
        match self {
            Measure::TotalMigrationTime
            | Measure::Downtime
            | Measure::StallTime
            | Measure::MeasuredTime
            | Measure::ReferenceMeasuredTime => Unit::Time,
            _ => Unit::Count,
        }
    }

    /// Its value in a run, `None` where it does not apply.
    pub fn value(self, metrics: &Metrics) -> Option<f64> {
        let value = match self {
            Measure::TotalMigrationTime => metrics.total_migration_time_ns?,
            Measure::Downtime => metrics.downtime_ns?,
            Measure::StallTime => metrics.stall_time_ns,
            Measure::MeasuredTime => metrics.measured_time_ns?,
            Measure::ReferenceMeasuredTime => metrics.reference_measured_time_ns?,
            Measure::Faults => metrics.faults,
            Measure::FaultsRemote => metrics.faults_remote,
            Measure::FaultsDisk => metrics.faults_disk,
            Measure::PagesTransferred => metrics.pages_transferred,
            Measure::PagesRound => metrics.pages_round,
            Measure::PagesBackground => metrics.pages_background,
            Measure::PagesForward => metrics.pages_forward,
            Measure::PagesDemand => metrics.pages_demand,
        };
        Some(value as f64)
    }
}
