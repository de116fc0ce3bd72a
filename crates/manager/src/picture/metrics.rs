//! `/metrics`: what is, and what has been counted since the page is served.

use super::snapshot::ServerState;
use super::track::Counts;
use super::view::server_state;
use crate::fleet::Ended;
use crate::manager::{Manager, State};
use lazycopy_migration::Scheme;
use lazycopy_protocol::control::VmPhase;
use lazycopy_results::PROGRAM_VERSION;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use serde::Serialize;
use std::fmt;
use std::sync::atomic::AtomicU64;

/// As the text's format asks for.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ends {
    scheme: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByScheme {
    scheme: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEnd {
    ended_by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InPhase {
    phase: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfServer {
    server: String,
}

/// The phases of guests, so that each is told while nobody is in it.
const PHASES: [VmPhase; 7] = [
    VmPhase::Created,
    VmPhase::Running,
    VmPhase::Suspended,
    VmPhase::Stopped,
    VmPhase::MigratingOut,
    VmPhase::MigratingIn,
    VmPhase::Failed,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

type Times = Family<ByScheme, Histogram, fn() -> Histogram>;

/// Counts that only grow.
#[derive(Clone, Debug)]
pub(crate) struct Meters {
    migrations: Family<Ends, Counter>,
    pages: Family<ByCause, Counter>,
    faults: Family<ByEnd, Counter>,
    stall: Counter<f64, AtomicU64>,
    bytes: Counter,
    durations: Times,
    downtimes: Times,
}

impl Default for Meters {
    fn default() -> Self {
        // From a millisecond to an hour and a half of model time.
        let times = || Histogram::new(exponential_buckets(0.001, 4.0, 12));
        let meters = Meters {
            migrations: Family::default(),
            pages: Family::default(),
            faults: Family::default(),
            stall: Counter::default(),
            bytes: Counter::default(),
            durations: Family::new_with_constructor(times),
            downtimes: Family::new_with_constructor(times),
        };
        // Each series is there from the beginning: a rate over it misses nothing.
        meters.count(&Counts::default(), &Counts::default());
        meters
    }
}

impl Meters {
    /// Adds what a migration has counted from one time to the next.
    pub(crate) fn count(&self, before: &Counts, now: &Counts) {
        let causes = [
            ("round", before.arrived.round, now.arrived.round),
            ("background", before.arrived.background, now.arrived.background),
            ("forward", before.arrived.forward, now.arrived.forward),
            ("demand", before.arrived.demand, now.arrived.demand),
        ];
        for (cause, before, now) in causes {
            self.pages.get_or_create(&ByCause { cause }).inc_by(now - before);
        }
        let ends = [
            ("remote", before.faults_remote, now.faults_remote),
            ("disk", before.faults_disk, now.faults_disk),
        ];
        for (ended_by, before, now) in ends {
            self.faults.get_or_create(&ByEnd { ended_by }).inc_by(now - before);
        }
        self.stall.inc_by(secs(now.stall_ns - before.stall_ns));
        self.bytes.inc_by(now.bytes - before.bytes);
    }

    /// A migration is over.
    pub(crate) fn ended(&self, scheme: Scheme, ended: &Ended) {
        let (scheme, outcome) = (scheme.to_string(), ended.verdict.outcome.to_string());
        let ends = Ends { scheme: scheme.clone(), outcome };
        self.migrations.get_or_create(&ends).inc();
        let Some(record) = &ended.record else { return };
        let by_scheme = ByScheme { scheme };
        let times = [
            (&self.durations, record.metrics.total_migration_time_ns),
            (&self.downtimes, record.metrics.downtime_ns),
        ];
        for (family, time) in times {
            if let Some(time) = time {
                family.get_or_create(&by_scheme).observe(secs(time));
            }
        }
    }

    /// All of it as text.
    pub(crate) fn text(&self, manager: &Manager) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("lazycopy");
        manager.read(|state| gauges(&mut registry, state));
        self.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }

    fn register(&self, registry: &mut Registry) {
        let seconds = Unit::Seconds;
        registry.register(
            "migrations",
            "Migrations that have ended, by scheme and outcome",
            self.migrations.clone(),
        );
        registry.register(
            "pages_arrived",
            "Pages that have arrived at their destination, by cause",
            self.pages.clone(),
        );
        registry.register(
            "page_faults",
            "Page faults of migrations, by what ended them",
            self.faults.clone(),
        );
        registry.register_with_unit(
            "stall",
            "Model time that page faults of migrations blocked guests",
            seconds.clone(),
            self.stall.clone(),
        );
        registry.register_with_unit(
            "transferred",
            "Bytes of pages and contexts that have arrived",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register_with_unit(
            "migration_duration",
            "Model time from the request to completion",
            seconds.clone(),
            self.durations.clone(),
        );
        registry.register_with_unit(
            "migration_downtime",
            "Model time from the suspension to the resume",
            seconds,
            self.downtimes.clone(),
        );
    }
}

/// What is now.
fn gauges(registry: &mut Registry, state: &State) {
    let fleet = &state.fleet;
    let servers = Family::<InState, Gauge>::default();
    let (frames, taken) =
        (Family::<OfServer, Gauge>::default(), Family::<OfServer, Gauge>::default());
    use ServerState::{Away, Draining, Gone, Ready, Silent};
    for known in [Ready, Draining, Silent, Away, Gone] {
        drop(servers.get_or_create(&InState { state: word(known) }));
    }
    for (name, server) in fleet.servers() {
        servers.get_or_create(&InState { state: word(server_state(server)) }).inc();
        let of = OfServer { server: name.to_owned() };
        if server.connected {
            frames.get_or_create(&of).set(count(server.frames));
            taken.get_or_create(&of).set(count(fleet.frames_taken(name)));
        }
    }
    let guests = Family::<InPhase, Gauge>::default();
    for known in PHASES {
        drop(guests.get_or_create(&InPhase { phase: word(known) }));
    }
    for (name, vm) in fleet.vms() {
        let migrates = fleet.migration_of(name).is_some_and(|(_, it)| !it.has_arrived());
        let phase = if migrates { VmPhase::MigratingOut } else { vm.phase };
        guests.get_or_create(&InPhase { phase: word(phase) }).inc();
    }
    let running: Gauge = Gauge::default();
    running.set(count(fleet.running().count() as u64));
    let paused: Gauge = Gauge::default();
    paused.set(count(fleet.running().filter(|(_, it)| it.pause().is_some()).count() as u64));
    let build = Family::<Build, Gauge>::default();
    build.get_or_create(&Build { version: PROGRAM_VERSION }).set(1);
    registry.register("build_info", "The version of the manager; its value is always 1", build);
    registry.register("servers", "Servers that the manager knows, by state", servers);
    registry.register("server_frames", "Frames of a server's memory for guests", frames);
    registry.register("server_frames_taken", "Of these, taken or promised", taken);
    registry.register("guests", "Guests, by phase", guests);
    registry.register("migrations_running", "Migrations that have not ended", running);
    registry.register("migrations_paused", "Of these, those whose link is broken", paused);
}

/// The word that a value has in messages.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn secs(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
