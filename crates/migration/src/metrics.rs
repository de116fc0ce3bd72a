//! The metrics of a migration, each defined where it is computed.

use crate::parameters::Scheme;
use crate::report::{DestinationReport, PageCounts, SourceReport};
use lazycopy_units::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a migration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The guest runs at the destination, which has all of it.
    Completed,
    /// A user took the migration back before the hand-over; the guest is at the source.
    Cancelled,
    /// Something broke before the hand-over; the guest is at the source.
    Failed,
    /// Something broke after the hand-over; the guest is gone.
    Lost,
    /// The rounds could not catch up with the guest's writes; the guest is at the source.
    NeverConverges,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Completed => "completed",
            Outcome::Cancelled => "cancelled",
            Outcome::Failed => "failed",
            Outcome::Lost => "lost",
            Outcome::NeverConverges => "never_converges",
        })
    }
}

/// An outcome with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in words.
    pub reason: String,
}

/// The metrics of one migration, at the top level of every result. Times in nanoseconds, sizes in
/// bytes; what does not apply, and a ratio of nothing, is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// From the request to completion: preparation, downtime and resume time.
    pub total_migration_time_ns: Option<u64>,
    /// From the request to the suspension; 0 without rounds.
    pub preparation_time_ns: Option<u64>,
    /// From the suspension to the resume at the destination, a head start included.
    pub downtime_ns: Option<u64>,
    /// From the resume to completion.
    pub resume_time_ns: Option<u64>,
    /// Page faults at the destination that began before completion.
    pub faults: u64,
    /// Of these, ended by a page from the source.
    pub faults_remote: u64,
    /// Of these, ended by a load from the disk.
    pub faults_disk: u64,
    /// How long these faults blocked the guest.
    pub stall_time_ns: u64,
    /// From the request to the end of the last of them; null without faults.
    pub last_fault_ns: Option<u64>,
    /// From the resume to the end of the measured accesses: what the guest feels.
    pub measured_time_ns: Option<u64>,
    /// The same accesses in the reference run.
    pub reference_measured_time_ns: Option<u64>,
    /// Pages sent: the sum of the next four.
    pub pages_transferred: u64,
    /// Sent before the hand-over (pre-copy and stop-and-copy).
    pub pages_round: u64,
    /// Sent by the background push.
    pub pages_background: u64,
    /// Sent since the forward context touched them.
    pub pages_forward: u64,
    /// Sent on demand.
    pub pages_demand: u64,
    /// Of the pages sent, those sent again since they were dirty again (pre-copy).
    pub pages_resent: u64,
    /// Of the pages sent, those that the destination had held before.
    pub pages_duplicate: u64,
    /// Of the pages sent, those not installed since memory was full (and the disk had them).
    pub pages_discarded: u64,
    /// Pages of the residency list that were never sent, since the forward context evicted them.
    pub pages_dropped: u64,
    /// Pages that were never sent, since the guest wrote them as a whole at the destination.
    pub pages_exempted: u64,
    /// Pages sent again since a broken link had lost them.
    pub pages_recovered: u64,
    /// How often the link broke after the hand-over, as either side saw it.
    #[serde(default)]
    pub pauses: u64,
    /// How long it was broken in all.
    #[serde(default)]
    pub paused_time_ns: u64,
    /// Bytes of context and pages on the link.
    pub bytes_transferred: u64,
    /// These bytes per second from the request until the link had carried the last of them.
    pub bandwidth_mean: Option<u64>,
    /// Bytes per second in the busiest tenth of a second, counted from the beginning of time: ten
    /// times its bytes. So a migration that uses the link for less than a tenth of a second, or for
    /// parts of two, may have a peak below its mean.
    pub bandwidth_peak: Option<u64>,
    /// Mean, over the forward context's accesses, of how many more it had completed than the
    /// following context.
    pub forward_lead_mean: Option<f64>,
    /// Share of the forward pages that the following context touched before evicting them.
    pub forward_accuracy: Option<f64>,
    /// Share of the following context's first touches, while the migration lasted, that found
    /// their page in memory.
    pub forward_coverage: Option<f64>,
    /// The greatest lateness of anything that the processes did; null in virtual time.
    pub slip_ns: Option<u64>,
    /// How the migration ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
}

impl Metrics {
    /// The metrics from what both sides counted. `forward_lead_mean`, `slip_ns` and
    /// `reference_measured_time_ns` need more than that and are left null.
    pub fn from_reports(
        scheme: Scheme,
        source: &SourceReport,
        destination: &DestinationReport,
        verdict: Verdict,
    ) -> Self {
        let span = |from: Option<Instant>, to: Option<Instant>| -> Option<u64> {
            Some((to? - from?).as_nanos())
        };
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let forward = scheme.parts().forward_context;
        let completed = destination.completed_at.filter(|_| verdict.outcome == Outcome::Completed);
        let total = span(source.requested_at, completed);
        Metrics {
            total_migration_time_ns: total,
            preparation_time_ns: span(source.requested_at, source.suspended_at),
            downtime_ns: span(source.suspended_at, destination.resumed_at),
            resume_time_ns: span(destination.resumed_at, completed),
            faults: destination.faults_remote + destination.faults_disk,
            faults_remote: destination.faults_remote,
            faults_disk: destination.faults_disk,
            stall_time_ns: destination.stall_time.as_nanos(),
            last_fault_ns: span(source.requested_at, destination.last_fault_at),
            measured_time_ns: span(destination.resumed_at, destination.measured_at),
            reference_measured_time_ns: None,
            pages_transferred: source.sent.total(),
            pages_round: source.sent.round,
            pages_background: source.sent.background,
            pages_forward: source.sent.forward,
            pages_demand: source.sent.demand,
            pages_resent: source.resent,
            pages_duplicate: destination.duplicate,
            pages_discarded: destination.discarded,
            pages_dropped: source.dropped,
            pages_exempted: source.exempted,
            pages_recovered: source.recovered,
            pauses: source.pauses.max(destination.pauses),
            paused_time_ns: source.paused_time.max(destination.paused_time).as_nanos(),
            bytes_transferred: source.bytes,
            bandwidth_mean: span(source.requested_at, source.link_used_until)
                .and_then(|used| mean_rate(source.bytes, used)),
            bandwidth_peak: source.bandwidth_peak,
            forward_lead_mean: None,
            forward_accuracy: if forward {
                ratio(destination.forward_touched, source.sent.forward)
            } else {
                None
            },
            forward_coverage: if forward {
                ratio(destination.first_touches_found, destination.first_touches)
            } else {
                None
            },
            slip_ns: None,
            outcome: verdict.outcome,
            reason: verdict.reason,
        }
    }

    /// Checks that parts add up to their totals and that both sides counted the same.
    ///
    /// # Errors
    /// What does not add up, in words.
    pub fn check(
        &self,
        source: &SourceReport,
        destination: &DestinationReport,
    ) -> Result<(), String> {
        self.check_parts()?;
        if self.outcome == Outcome::Completed
            && destination.source_lost.is_none()
            && source.released_at.is_some()
            && !same_pages(source, destination)
        {
            let (sent, lost) = (source.sent, source.lost_in_flight);
            let arrived = destination.arrived;
            return Err(format!("sent {sent:?}, lost in flight {lost:?}, arrived {arrived:?}"));
        }
        Ok(())
    }

    /// Checks that parts add up to their totals.
    ///
    /// # Errors
    /// What does not add up, in words.
    pub fn check_parts(&self) -> Result<(), String> {
        // Figures of a file may be any.
        let sum = |parts: &[u64]| parts.iter().map(|part| u128::from(*part)).sum::<u128>();
        let causes =
            [self.pages_round, self.pages_background, self.pages_forward, self.pages_demand];
        let pages = sum(&causes);
        if u128::from(self.pages_transferred) != pages {
            return Err(format!("{} pages transferred, {pages} by cause", self.pages_transferred));
        }
        if u128::from(self.faults) != sum(&[self.faults_remote, self.faults_disk]) {
            return Err(format!("{} faults do not split into remote and disk", self.faults));
        }
        if self.outcome != Outcome::Completed {
            return Ok(());
        }
        let times = (
            self.total_migration_time_ns,
            self.preparation_time_ns,
            self.downtime_ns,
            self.resume_time_ns,
        );
        let (total, preparation, downtime, resume) = match times {
            (Some(total), Some(preparation), Some(downtime), Some(resume)) => {
                (total, preparation, downtime, resume)
            }
            // The source died before it told when it began and when it suspended the guest.
            (None, None, None, Some(_)) => return Ok(()),
            _ => return Err("a completed migration lacks one of its times".to_owned()),
        };
        if u128::from(total) != sum(&[preparation, downtime, resume]) {
            return Err(format!("{total} ns is not {preparation} + {downtime} + {resume} ns"));
        }
        Ok(())
    }
}

/// Whether both sides count the same pages. A forward page that was to arrive after completion may
/// have met a destination that was through, or a link that had broken: nobody needed it.
fn same_pages(source: &SourceReport, destination: &DestinationReport) -> bool {
    let (sent, arrived) = (source.sent.above(&source.lost_in_flight), destination.arrived);
    if sent == arrived {
        return true;
    }
    let but_for_forward = PageCounts { forward: arrived.forward, ..sent } == arrived;
    but_for_forward
        && arrived.forward < sent.forward
        && was_sending_at_completion(source, destination)
}

/// Whether what the source sent last was to arrive after completion, of which it learns one latency
/// later.
fn was_sending_at_completion(source: &SourceReport, destination: &DestinationReport) -> bool {
    let instants = (source.released_at, source.link_used_until, destination.completed_at);
    let (Some(released), Some(used), Some(completed)) = instants else { return false };
    let latency = released.as_nanos().saturating_sub(completed.as_nanos());
    used.as_nanos().saturating_add(latency) > completed.as_nanos()
}

/// Bytes per second of `bytes` over `nanos` nanoseconds; `None` over no time.
fn mean_rate(bytes: u64, nanos: u64) -> Option<u64> {
    let per_sec = u128::from(bytes) * u128::from(Duration::from_secs(1).as_nanos());
    u64::try_from(per_sec.checked_div(u128::from(nanos))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Option<Instant> {
        Some(Instant::ZERO + Duration::from_secs(seconds))
    }

    #[test]
    fn forward_pages_alone_may_be_missed_and_only_after_completion() {
        let counts = |background, forward| PageCounts { background, forward, ..Default::default() };
        // The latency is one second.
        let source = |until| SourceReport {
            sent: counts(9, 3),
            link_used_until: at(until),
            released_at: at(21),
            ..SourceReport::default()
        };
        let destination = |arrived| DestinationReport {
            arrived,
            completed_at: at(20),
            ..DestinationReport::default()
        };
        assert!(same_pages(&source(19), &destination(counts(9, 3))));
        assert!(same_pages(&source(20), &destination(counts(9, 2))));
        assert!(!same_pages(&source(19), &destination(counts(9, 2))), "it came before completion");
        assert!(!same_pages(&source(20), &destination(counts(8, 3))), "no forward page");
        assert!(!same_pages(&source(20), &destination(counts(9, 4))), "it was never sent");
    }
}
