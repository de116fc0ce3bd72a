//! Several migrations at once, over the cards of several hosts.

use crate::books::{Books, Traffic};
use crate::engine::Engine;
use crate::journal::Journal;
use crate::neighbours::{Neighbour, NeighbourReport, Neighbours};
use crate::options::{AccessCount, Options};
use crate::pair::Pair;
use crate::run::{Run, RunError, finish};
use lazycopy_guest::{Guest, GuestSnapshot, GuestSpec};
use lazycopy_link::{Card, Direction, HostId, Network, Route};
use lazycopy_migration::MigrationParameters;
use lazycopy_units::{Duration, Instant, Rate};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Hosts, the guests that are moved between them, and what else is on their network.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// The network cards of the hosts, which are numbered from 0.
    pub cards: Vec<Card>,
    /// The migrations; equal kinds of events go by their order here.
    pub migrations: Vec<FleetMigration>,
    /// The traffic of others.
    pub neighbours: Vec<Neighbour>,
}

/// One migration of a fleet.
#[derive(Clone, Debug)]
pub struct FleetMigration {
    /// The guest.
    pub guest: Arc<GuestSpec>,
    /// Accesses that complete before its time begins.
    pub warmup_accesses: u64,
    /// How it is moved.
    pub parameters: MigrationParameters,
    /// From where.
    pub source: HostId,
    /// To where.
    pub destination: HostId,
    /// The most that it may take of the network; `None`: its share.
    pub rate: Option<Rate>,
    /// From the end of a message's transmission to its delivery; also what a control message
    /// takes, in either direction.
    pub latency: Duration,
    /// When the migration is asked for, and the guest's time begins.
    pub starts: Instant,
}

/// What one direction of a host's card carried while migrations used the network: from the first
/// request for one to the instant at which the network had carried the last message of any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardReport {
    /// Whose card.
    pub host: HostId,
    /// Which direction.
    pub direction: Direction,
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes per second over the whole time; null over no time.
    pub bandwidth_mean: Option<u64>,
    /// Ten times the bytes of the busiest tenth of a second, counted from the beginning of time:
    /// below the mean where the whole time is less than that.
    pub bandwidth_peak: u64,
    /// What it carried over time; null where events are not kept.
    pub over_time: Option<OverTime>,
}

/// Bytes in equal spans of time, from the beginning of time on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverTime {
    /// The length of each span.
    pub span_ns: u64,
    /// Bytes in each.
    pub bytes: Vec<u64>,
}

/// What a simulated fleet gave.
#[derive(Clone, Debug)]
pub struct FleetRun {
    /// A run for each migration, in their order.
    pub runs: Vec<Run>,
    /// What each neighbour felt.
    pub neighbours: Vec<NeighbourReport>,
    /// What each card carried, host by host, out and in.
    pub cards: Vec<CardReport>,
    /// When the first migration was asked for: reports of neighbours and cards begin here.
    pub network_from: Instant,
    /// When the network had carried the last message of a migration: reports of neighbours and
    /// cards end here.
    pub network_until: Instant,
}

/// Simulates several migrations at once. Where neighbours send, which do not come to an end by
/// themselves, it may go on no longer than their bytes can be counted, whatever the limits say.
///
/// # Errors
/// When a workload cannot be read, the network cannot be built, or a limit is exceeded.
pub fn simulate_fleet(fleet: &Fleet, options: &Options) -> Result<FleetRun, RunError> {
    let mut network = Network::new(&fleet.cards)?;
    if options.events {
        network.keep_series();
    }
    let mut pairs = Vec::with_capacity(fleet.migrations.len());
    let mut before = Vec::with_capacity(fleet.migrations.len());
    let mut accesses = AccessCount::new(&options.limits);
    for migration in &fleet.migrations {
        accesses.reserve(migration.warmup_accesses)?;
        let (pair, snapshot) = prepare(migration, &mut network, options)?;
        pairs.push(pair);
        before.push(snapshot);
    }
    let neighbours = Neighbours::new(&fleet.neighbours, &mut network)?;
    let mut options = *options;
    options.limits.time = options.limits.time.min(countable(fleet));
    let starts = fleet.migrations.iter().map(|migration| migration.starts);
    let books = Books::new(starts.min().unwrap_or(Instant::ZERO));
    let mut engine = Engine::new(pairs, neighbours, network, &options, accesses, books);
    engine.run_migrations()?;
    let span = [engine.books.from, engine.books.until];
    let (neighbours, cards) = reports(&mut engine, fleet.cards.len());
    engine.run_to_end()?;
    let network = &engine.network;
    let mut accesses = engine.bounds.accesses;
    accesses.check()?;
    let runs = engine.pairs.into_iter().zip(before).zip(&fleet.migrations);
    let runs = runs
        .map(|((pair, before), migration)| {
            finish(migration, pair, network, before, &options, &mut accesses)
        })
        .collect::<Result<Vec<Run>, RunError>>()?;
    let [network_from, network_until] = span;
    Ok(FleetRun { runs, neighbours, cards, network_from, network_until })
}

/// Until when the bytes of all neighbours together are at most half of what can be counted; the
/// migrations' own are few beside it.
fn countable(fleet: &Fleet) -> Instant {
    let rate = |neighbour: &Neighbour| {
        let card = |host: Option<HostId>| fleet.cards.get(host?.0 as usize);
        let out = card(neighbour.route.source).map(|card| card.out);
        let into = card(neighbour.route.destination).map(|card| card.into);
        [out, into].into_iter().flatten().fold(neighbour.rate, Rate::min).bytes_per_sec()
    };
    let together: u128 = fleet.neighbours.iter().map(|neighbour| u128::from(rate(neighbour))).sum();
    let nanos = u128::from(u64::MAX / 2) * u128::from(Duration::from_secs(1).as_nanos());
    nanos
        .checked_div(together)
        .map_or(Instant::MAX, |nanos| Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

/// A guest after its warm-up, with both machines and a flow.
fn prepare(
    migration: &FleetMigration,
    network: &mut Network,
    options: &Options,
) -> Result<(Pair, GuestSnapshot), RunError> {
    let mut guest = Guest::new(Arc::clone(&migration.guest))?;
    guest.run_to(Instant::ZERO, migration.warmup_accesses, Duration::ZERO)?;
    let before = guest.snapshot(options.snapshot_pages());
    let route = Route { source: Some(migration.source), destination: Some(migration.destination) };
    let flow = network.add_flow(route, migration.rate)?;
    let journal = Journal::new(options.events);
    let FleetMigration { parameters, latency, starts, .. } = migration;
    Ok((Pair::new(guest, parameters, flow, *latency, *starts, journal), before))
}

/// What neighbours and cards did while the books were open.
fn reports(engine: &mut Engine, hosts: usize) -> (Vec<NeighbourReport>, Vec<CardReport>) {
    let span = [engine.books.from, engine.books.until];
    let Engine { books, network, .. } = engine;
    match (books.opened.take(), books.closed.take()) {
        (Some(opened), Some(Traffic { mut neighbours, mut network })) => {
            let reports = neighbours.close(span, &mut network, opened);
            (reports, card_reports(hosts, &mut network, span))
        }
        _ => (Vec::new(), card_reports(hosts, network, span)),
    }
}

fn card_reports(
    hosts: usize,
    network: &mut Network,
    [from, until]: [Instant; 2],
) -> Vec<CardReport> {
    let hosts = (0..hosts as u32).map(HostId);
    let directions = hosts.flat_map(|host| [(host, Direction::Out), (host, Direction::In)]);
    directions
        .map(|(host, direction)| {
            let (meter, series) = network.card_meters(host, direction, until);
            CardReport {
                host,
                direction,
                bytes: meter.bytes(),
                bandwidth_mean: meter.mean_bytes_per_sec(until - from),
                bandwidth_peak: meter.peak_bytes_per_sec(),
                over_time: series.map(|series| OverTime {
                    span_ns: series.bucket().as_nanos(),
                    bytes: series.bytes().to_vec(),
                }),
            }
        })
        .collect()
}
