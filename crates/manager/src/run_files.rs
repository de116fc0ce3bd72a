//! A run's directory: `result.json`, `events.jsonl`, `before.txt`, `after.txt`.

use crate::fleet::Side;
use crate::recording::Case;
use crate::render::figure;
use crate::verification::Verification;
use lazycopy_migration::{DestinationReport, Event, EventRun, Metrics, SourceReport};
use lazycopy_protocol::control::{HostSnapshot, SideEnded, SideReport};
use lazycopy_results::{
    ForwardLead, PROGRAM_VERSION, PlaneRecord, ResultsError, RunRecord, RunWriter, SCHEMA_VERSION,
    merge_events,
};
use lazycopy_units::PAGE_MESSAGE_BYTES;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tokio::sync::mpsc;

/// The most events of one side that are written; what lies beyond stays out of the run's files:
/// several times the pages of the largest guest, and some gigabytes.
const MAX_EVENTS: usize = 1 << 25;

/// The events of one side, as they come from its server.
pub(crate) type Pieces = mpsc::Receiver<Vec<EventRun>>;

/// A run whose events are written, and what follows from them.
#[derive(Debug)]
pub(crate) struct Begun {
    directory: Result<RunWriter, ResultsError>,
    forward_lead_mean: Option<f64>,
}

/// Begins a run's directory below `out`: writes the events of both sides while they come, merged,
/// none of them held longer than that takes. Blocks until both sides have no more.
pub(crate) fn begin(out: &Path, case: &Case, source: Pieces, destination: Pieces) -> Begun {
    let mut lead = ForwardLead::of(case.migration.parameters.scheme);
    let mut directory = RunWriter::begin(out, &run_name(case));
    for event in merge_events(events(source), events(destination)) {
        lead.note(&event);
        if let Ok(writer) = &mut directory
            && let Err(problem) = writer.event(&event)
        {
            directory = Err(problem);
        }
    }
    Begun { directory, forward_lead_mean: lead.mean() }
}

fn events(mut pieces: Pieces) -> impl Iterator<Item = Event> {
    let pieces = std::iter::from_fn(move || pieces.blocking_recv());
    pieces.flatten().flat_map(EventRun::events).take(MAX_EVENTS)
}

/// What was written of a run.
#[derive(Debug)]
pub(crate) struct Written {
    /// Its record.
    pub record: RunRecord,
    /// Its directory, or why there is none.
    pub directory: Result<PathBuf, ResultsError>,
    /// What makes the record wrong, if anything does: parts that do not add up, a guest that
    /// differs from its reference run.
    pub wrong: Option<String>,
}

/// Writes the rest of a run's directory.
pub(crate) fn finish(begun: Begun, case: &Case, verification: &Verification) -> Written {
    let reports = reports(case);
    let mut metrics = metrics(case, verification, &reports);
    metrics.forward_lead_mean = begun.forward_lead_mean;
    let wrong = match (metrics.check(&reports.0, &reports.1), verification) {
        (Err(problem), _) => Some(format!("its parts do not add up: {problem}")),
        (Ok(()), Verification::Different { what }) => Some(what.clone()),
        (Ok(()), _) => None,
    };
    let plane = plane(case, reports.0.sent.total());
    let mut record = record(case, verification, metrics, plane);
    let (before, after) =
        (drawn(case, "before", |side| &side.before), drawn(case, "after", |side| &side.after));
    let directory = begun.directory.and_then(|writer| writer.finish(&record, &before, &after));
    if let Ok(directory) = &directory
        && let Some(name) = directory.file_name()
    {
        record.run = name.to_string_lossy().into_owned();
    }
    Written { record, directory, wrong }
}

fn sides(case: &Case) -> impl Iterator<Item = &SideEnded> {
    [Side::Source, Side::Destination].into_iter().filter_map(|side| case.migration.reported(side))
}

/// What both sides counted; nothing for a side that did not report, but that a source which died
/// had sent what came.
fn reports(case: &Case) -> (SourceReport, DestinationReport) {
    let mut reports = <(SourceReport, DestinationReport)>::default();
    for side in sides(case) {
        match &side.report {
            SideReport::Source(report) => reports.0 = report.clone(),
            SideReport::Destination(report) => reports.1 = report.clone(),
        }
    }
    if case.migration.reported(Side::Source).is_none() {
        reports.0.sent = reports.1.arrived;
        reports.0.bytes = reports.1.arrived.total() * PAGE_MESSAGE_BYTES;
    }
    reports
}

fn metrics(
    case: &Case,
    verification: &Verification,
    (source, destination): &(SourceReport, DestinationReport),
) -> Metrics {
    let (verdict, _) = case.migration.verdict();
    let scheme = case.migration.parameters.scheme;
    let mut metrics = Metrics::from_reports(scheme, source, destination, verdict);
    // Without a modelled link instants are the clock's: nothing can be later than they.
    if !case.migration.link.is_unlimited() {
        metrics.slip_ns = sides(case).map(|side| side.slip.as_nanos()).max();
    }
    if let Verification::Equal { measured_time } = verification {
        metrics.reference_measured_time_ns = measured_time.map(|time| time.as_nanos());
    }
    metrics
}

/// What went over the sockets for so many pages, as the source tells it.
fn plane(case: &Case, pages: u64) -> Option<PlaneRecord> {
    let parameters = case.migration.link.plane()?;
    let counts = case.migration.reported(Side::Source)?.plane.clone()?;
    let without_body = counts.pages_zero + counts.pages_same;
    Some(PlaneRecord {
        bytes_sent: counts.bytes_sent,
        pages_zero: counts.pages_zero,
        pages_same: counts.pages_same,
        pages_compressed: counts.pages_compressed,
        compression_ratio: PlaneRecord::ratio(pages, without_body, counts.body_bytes),
        connections: parameters.connections,
        congestion: counts.congestion,
        checksums: parameters.page_check,
    })
}

fn record(
    case: &Case,
    verification: &Verification,
    metrics: Metrics,
    plane: Option<PlaneRecord>,
) -> RunRecord {
    let migration = &case.migration;
    // By the clock a message's instant is that of its coming.
    let out_of_order = match migration.link.is_unlimited() {
        true => 0,
        false => sides(case).map(|side| side.out_of_order).sum(),
    };
    // Whoever acts later than by the latency sends messages that come after their instant.
    let slip_bound = migration.link.modelled().map(|link| link.latency.as_nanos());
    let is_late = |bound| metrics.slip_ns.is_some_and(|slip| slip > bound) || out_of_order > 0;
    RunRecord {
        schema_version: SCHEMA_VERSION,
        program_version: PROGRAM_VERSION.to_owned(),
        run: String::new(),
        preset: case
            .definition
            .as_ref()
            .and_then(|definition| definition.preset())
            .map(|preset| preset.name().to_owned()),
        scheme: migration.parameters.scheme,
        seed: migration.scenario.seed,
        guest: None,
        source_server: migration.source.clone(),
        destination_server: migration.destination.clone(),
        scenario: serde_json::to_value(&*migration.scenario).unwrap_or(Value::Null),
        digest_matches: match verification {
            Verification::Equal { .. } => Some(true),
            Verification::Different { .. } => Some(false),
            Verification::Unknown { .. } => None,
        },
        slip_bound_ns: slip_bound,
        slip_exceeded: slip_bound.is_some_and(is_late),
        out_of_order,
        plane,
        metrics,
    }
}

/// The date, the guest and the scheme, as a name of a directory.
fn run_name(case: &Case) -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let date = now.trim_end_matches('Z').replace(':', "-");
    let (vm, scheme) = (&case.migration.vm, case.migration.parameters.scheme.name());
    match vm.contains(scheme) {
        true => format!("{date}-{vm}"),
        false => format!("{date}-{vm}-{scheme}"),
    }
}

/// Both hosts at one instant, as in the paper's figures 1 and 2.
fn drawn(case: &Case, when: &str, snapshot: fn(&SideEnded) -> &HostSnapshot) -> String {
    let migration = &case.migration;
    let title = format!(
        "Guest \"{}\" {when} its migration from \"{}\" to \"{}\", {}, seed {}",
        migration.vm,
        migration.source,
        migration.destination,
        migration.parameters.scheme,
        migration.scenario.seed
    );
    let side = |side| migration.reported(side).map(snapshot);
    figure(&title, &migration.vm, side(Side::Source), side(Side::Destination))
}
