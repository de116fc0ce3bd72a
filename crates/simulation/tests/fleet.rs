//! Several guests over shared cards, beside neighbours: every invariant for each guest, and the
//! cards carry what was sent and no more than they can.

mod common;

use common::{guests, parameters, spans};
use lazycopy_link::{Card, HostId, Route};
use lazycopy_simulation::{
    Fleet, FleetMigration, Limits, Migration, Neighbour, Options, check_fleet, simulate,
    simulate_fleet,
};
use lazycopy_units::{Duration, Instant, PAGE_MESSAGE_BYTES, Rate};
use proptest::prelude::*;
use std::sync::Arc;

const MAX_HOSTS: u32 = 4;

/// Rates that send from ten pages per think time to one page in twenty think times.
fn rates(think_time: u64) -> impl Strategy<Value = Rate> {
    let page_time =
        prop_oneof![think_time.div_ceil(10)..=think_time, think_time..20 * think_time + 1];
    page_time.prop_map(|page_time| {
        Rate::from_bytes_per_sec(PAGE_MESSAGE_BYTES * 1_000_000_000 / page_time).unwrap()
    })
}

fn migrations(think_time: u64) -> impl Strategy<Value = FleetMigration> {
    let hosts = (0..MAX_HOSTS, 0..MAX_HOSTS);
    let cap = proptest::option::weighted(0.3, rates(think_time));
    let guest = (guests(think_time), 0u64..200);
    (guest, parameters(think_time), hosts, cap, spans(think_time), spans(think_time)).prop_map(
        |((guest, warmup_accesses), parameters, (source, destination), rate, latency, starts)| {
            FleetMigration {
                guest: Arc::new(guest),
                warmup_accesses,
                parameters,
                source: HostId(source),
                destination: HostId(destination),
                rate,
                latency: latency.max(Duration::from_nanos(1)),
                starts: Instant::ZERO + starts,
            }
        },
    )
}

fn neighbours(think_time: u64) -> impl Strategy<Value = Neighbour> {
    let end = || proptest::option::of((0..MAX_HOSTS).prop_map(HostId));
    let span = move || spans(think_time);
    (end(), end(), rates(think_time), span(), span(), span()).prop_map(
        move |(source, destination, rate, on, off, begins)| Neighbour {
            route: Route { source, destination },
            rate,
            on: on.max(Duration::from_nanos(think_time)),
            off,
            begins: Instant::ZERO + begins,
        },
    )
}

fn fleets() -> impl Strategy<Value = Fleet> {
    prop_oneof![1..1_000u64, Just(970_000_000u64)].prop_flat_map(|think_time| {
        let rate = || rates(think_time);
        let card = (rate(), rate()).prop_map(|(out, into)| Card { out, into });
        let cards = proptest::collection::vec(card, MAX_HOSTS as usize);
        let migrations = proptest::collection::vec(migrations(think_time), 1..7);
        let neighbours = proptest::collection::vec(neighbours(think_time), 0..4);
        (cards, migrations, neighbours).prop_map(|(cards, migrations, neighbours)| Fleet {
            cards,
            migrations,
            neighbours,
        })
    })
}

/// Everything is kept; what does not end soon never does.
fn options() -> Options {
    let limits = Limits { actions: 1_000_000, ..Limits::default() };
    Options { limits, ..Options::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_invariant_holds_for_each_guest_of_a_fleet(fleet in fleets()) {
        let run = simulate_fleet(&fleet, &options()).unwrap();
        check_fleet(&fleet, &run).map_err(TestCaseError::fail)?;
        for neighbour in &run.neighbours {
            prop_assert_eq!(neighbour.bytes == 0, neighbour.busy_time_alone_ns == 0);
        }
    }

    #[test]
    fn the_same_fleet_gives_the_same_run(fleet in fleets()) {
        let run = || simulate_fleet(&fleet, &options()).unwrap();
        let (once, twice) = (run(), run());
        prop_assert_eq!(once.neighbours, twice.neighbours);
        prop_assert_eq!(once.cards, twice.cards);
        for (once, twice) in once.runs.into_iter().zip(twice.runs) {
            prop_assert_eq!(once.events, twice.events);
            prop_assert_eq!(once.metrics, twice.metrics);
        }
    }

    #[test]
    fn how_far_bursts_go_changes_nothing(fleet in fleets(), burst in 1u64..4) {
        let far = simulate_fleet(&fleet, &options()).unwrap();
        let options = Options { burst, ..options() };
        let near = simulate_fleet(&fleet, &options).unwrap();
        prop_assert_eq!(far.neighbours, near.neighbours);
        for (far, near) in far.runs.into_iter().zip(near.runs) {
            prop_assert_eq!(far.events, near.events);
            prop_assert_eq!(far.metrics, near.metrics);
        }
    }

    /// Guests that share no card do not know of each other.
    #[test]
    fn a_guest_with_its_cards_to_itself_runs_as_if_it_were_alone(
        migrations in proptest::collection::vec(common::migrations(), 1..4),
    ) {
        let mut fleet = Fleet::default();
        for migration in &migrations {
            let source = HostId(fleet.cards.len() as u32);
            let card = Card { out: migration.link.bandwidth, into: migration.link.bandwidth };
            fleet.cards.extend([card, card]);
            fleet.migrations.push(FleetMigration {
                guest: Arc::clone(&migration.guest),
                warmup_accesses: migration.warmup_accesses,
                parameters: migration.parameters.clone(),
                source,
                destination: HostId(source.0 + 1),
                rate: None,
                latency: migration.link.latency,
                starts: Instant::ZERO,
            });
        }
        let fleet_run = simulate_fleet(&fleet, &options()).unwrap();
        for (migration, run) in migrations.iter().zip(fleet_run.runs) {
            let alone: &Migration = migration;
            let alone = simulate(alone).unwrap();
            prop_assert_eq!(run.events, alone.events);
            prop_assert_eq!(run.metrics, alone.metrics);
        }
    }
}
