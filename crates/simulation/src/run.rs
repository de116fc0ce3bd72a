//! One migration from its request to the end of its run.

use crate::engine::Engine;
use lazycopy_guest::{
    Guest, GuestSnapshot, GuestSpec, ProgressLog, ProgressRun, Reference, WorkloadError,
    reference_run,
};
use lazycopy_link::LinkParameters;
use lazycopy_migration::{
    DestinationReport, Event, EventKind, Metrics, MigrationParameters, Outcome, Side, SourceReport,
    Verdict,
};
use lazycopy_units::{Duration, Instant};
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
    /// Every event but hits, by time, the source's first.
    pub events: Vec<Event>,
    /// The guest just before the migration.
    pub before: GuestSnapshot,
    /// The guest at the end of the run, if it is anywhere.
    pub after: Option<GuestSnapshot>,
    /// The same guest, never migrated, up to the end of the run.
    pub reference: Reference,
}

/// Why a migration could not be simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The guest's workload failed.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
}

/// Simulates one migration.
///
/// # Errors
/// When the guest's workload cannot be read.
pub fn simulate(migration: &Migration) -> Result<Run, RunError> {
    let mut guest = Guest::new(Arc::clone(&migration.guest))?;
    guest.run_to(Instant::ZERO, migration.warmup_accesses, Duration::ZERO)?;
    let before = guest.snapshot(usize::MAX);
    let mut engine = Engine::new(guest, &migration.parameters, migration.link);
    engine.run();
    let (source, destination, mut events, after) = engine.finish();
    events.sort_by_key(|event| (event.at, event.side));
    let mut metrics = Metrics::from_reports(
        migration.parameters.scheme,
        &source,
        &destination,
        verdict(&source, &destination),
    );
    let (from, to) = span_of(&destination, migration.warmup_accesses);
    let latency = migration.parameters.disk_latency_source;
    let measured_to = from + migration.parameters.measured_accesses;
    let measured = reference_run(&migration.guest, latency, from, measured_to)?;
    metrics.reference_measured_time_ns = Some(measured.measured_time.as_nanos());
    let reference = if to == measured_to {
        measured
    } else {
        reference_run(&migration.guest, latency, from, to)?
    };
    if migration.parameters.scheme.parts().forward_context {
        let forward = progress_of(&events, Side::Source);
        metrics.forward_lead_mean =
            forward.mean_lead_over(&progress_of(&events, Side::Destination));
    }
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

/// Indices of the first access after the resume and of the first after the end of the run.
fn span_of(destination: &DestinationReport, warmup: u64) -> (u64, u64) {
    let from = destination.resumed_registers.map_or(warmup, |registers| registers.accesses);
    let to = destination.ended_registers.map_or(from, |registers| registers.accesses);
    (from, to)
}

/// When the context at `side` completed its accesses, from its events.
fn progress_of(events: &[Event], side: Side) -> ProgressLog {
    let runs =
        events.iter().filter(|event| event.side == side).filter_map(|event| match event.kind {
            EventKind::Progress { step, count } => {
                Some(ProgressRun { first: event.at, step, count })
            }
            _ => None,
        });
    ProgressLog::from_runs(runs.collect())
}
