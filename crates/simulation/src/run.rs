//! One migration from its request to the end of its run.

use crate::fleet::{Fleet, FleetMigration, simulate_fleet};
use crate::options::{AccessCount, Exceeded, Options};
use crate::pair::Pair;
use lazycopy_guest::{GuestSnapshot, GuestSpec, Reference, WorkloadError, reference_run};
use lazycopy_link::{Card, HostId, LinkParameters, Network, NetworkError};
use lazycopy_migration::{
    DestinationReport, Event, Metrics, MigrationParameters, Outcome, SourceReport, Verdict,
};
use lazycopy_scenario::ScenarioError;
use lazycopy_units::Instant;
use std::sync::Arc;

/// What is to be simulated: a guest, how it is moved, and over which link.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The guest.
    pub guest: Arc<GuestSpec>,
    /// Accesses that complete before time begins.
    pub warmup_accesses: u64,
    /// How it is moved.
    pub parameters: MigrationParameters,
    /// The link, the migration's own.
    pub link: LinkParameters,
}

/// What a simulated migration gave.
#[derive(Clone, Debug)]
pub struct Run {
    /// The metrics.
    pub metrics: Metrics,
    /// What the source counted.
    pub source: SourceReport,
    /// What the destination counted.
    pub destination: DestinationReport,
    /// Every event but hits, by time, the source's first; empty where events are not kept.
    pub events: Vec<Event>,
    /// The guest just before the migration; without its pages where events are not kept.
    pub before: GuestSnapshot,
    /// The guest at the end of the run, if it is anywhere.
    pub after: Option<GuestSnapshot>,
    /// The same guest, never migrated, up to the end of the run; `None` where it was not asked
    /// for.
    pub reference: Option<Reference>,
}

/// Why a migration could not be simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The scenario cannot be simulated.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The guest's workload failed.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// There can be no such network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The simulation did not end within its limits.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
}

/// Simulates one migration over a link of its own and keeps everything of it.
///
/// # Errors
/// When the guest's workload cannot be read, or a limit is exceeded.
pub fn simulate(migration: &Migration) -> Result<Run, RunError> {
    simulate_with(migration, &Options::default())
}

/// Simulates one migration over a link of its own: a network of two hosts.
///
/// # Errors
/// When the guest's workload cannot be read, or a limit is exceeded.
pub fn simulate_with(migration: &Migration, options: &Options) -> Result<Run, RunError> {
    let mut run = simulate_fleet(&Fleet::from(migration), options)?;
    Ok(run.runs.pop().expect("a fleet has a run for each migration"))
}

impl From<&Migration> for Fleet {
    /// A network of two hosts, whose cards carry what the link does.
    fn from(migration: &Migration) -> Fleet {
        let LinkParameters { bandwidth, latency } = migration.link;
        let card = Card { out: bandwidth, into: bandwidth };
        Fleet {
            cards: vec![card, card],
            migrations: vec![FleetMigration {
                guest: Arc::clone(&migration.guest),
                warmup_accesses: migration.warmup_accesses,
                parameters: migration.parameters.clone(),
                source: HostId(0),
                destination: HostId(1),
                rate: None,
                latency,
                starts: Instant::ZERO,
            }],
            neighbours: Vec::new(),
        }
    }
}

impl Run {
    /// Whether what the guest observed, and each of its pages at the end of the run, equal the
    /// reference run's; `None` where there is no reference run, or the guest did not come to an
    /// end at the destination.
    pub fn digest_matches(&self) -> Option<bool> {
        let (ended, reference) = (self.destination.ended_registers?, self.reference?);
        let same_view = (ended.accesses, ended.digest)
            == (reference.registers.accesses, reference.registers.digest);
        Some(same_view && self.destination.ended_pages_digest == Some(reference.pages_digest))
    }
}

/// The run of a pair in which nothing happens any more.
pub(crate) fn finish(
    migration: &FleetMigration,
    mut pair: Pair,
    network: &Network,
    before: GuestSnapshot,
    options: &Options,
    accesses: &mut AccessCount,
) -> Result<Run, RunError> {
    assert!(pair.has_ended(), "a run stopped before its end");
    let mut source = pair.source.report().clone();
    let destination = pair.destination.report().clone();
    source.bandwidth_peak = Some(network.flow_meter(pair.flow).peak_bytes_per_sec());
    source.link_used_until = Some(pair.free_at());
    let guest = pair.destination.guest().or(pair.source.guest());
    let after = guest.map(|guest| guest.snapshot(options.snapshot_pages()));
    let scheme = migration.parameters.scheme;
    let verdict = verdict(&source, &destination);
    let mut metrics = Metrics::from_reports(scheme, &source, &destination, verdict);
    if scheme.parts().forward_context {
        metrics.forward_lead_mean = pair.journal.mean_lead();
    }
    let mut reference = None;
    if options.reference {
        let (measured, whole) = references(migration, &destination, accesses)?;
        metrics.reference_measured_time_ns = Some(measured.measured_time.as_nanos());
        reference = Some(whole);
    }
    let events = pair.journal.into_events();
    Ok(Run { metrics, source, destination, events, before, after, reference })
}

fn verdict(source: &SourceReport, destination: &DestinationReport) -> Verdict {
    match (&source.returned, &destination.lost) {
        (Some((_, reason)), _) => {
            let gave_up = source.never_converges_in.is_some();
            let outcome = if gave_up { Outcome::NeverConverges } else { Outcome::Failed };
            Verdict { outcome, reason: reason.clone() }
        }
        (_, Some((_, reason))) => Verdict { outcome: Outcome::Lost, reason: reason.clone() },
        _ => Verdict {
            outcome: Outcome::Completed,
            reason: "the destination has every page".to_owned(),
        },
    }
}

/// The reference run up to the end of the measured accesses, and up to the end of the run.
fn references(
    migration: &FleetMigration,
    destination: &DestinationReport,
    accesses: &mut AccessCount,
) -> Result<(Reference, Reference), RunError> {
    let resumed = destination.resumed_registers;
    let from = resumed.map_or(migration.warmup_accesses, |registers| registers.accesses);
    let ended = destination.ended_registers.map_or(from, |registers| registers.accesses);
    let latency = migration.parameters.disk_latency_source;
    let measured_to = from.saturating_add(migration.parameters.measured_accesses);
    accesses.reserve(measured_to)?;
    let measured = reference_run(&migration.guest, latency, from, measured_to)?;
    let whole = if ended == measured_to {
        measured
    } else {
        accesses.reserve(ended)?;
        reference_run(&migration.guest, latency, from, ended)?
    };
    Ok((measured, whole))
}
