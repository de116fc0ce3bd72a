//! Several guests and neighbours on the same cards, every instant worked out by hand.

#[path = "common/paper.rs"]
mod paper;

use lazycopy_link::{Card, Direction, HostId, Route};
use lazycopy_migration::Scheme;
use lazycopy_simulation::{Exceeded, RunError};
use lazycopy_simulation::{
    Fleet, FleetMigration, FleetRun, Migration, Neighbour, Options, check_fleet, simulate_fleet,
};
use lazycopy_units::{Duration, Instant, Rate};
use paper::{BANDWIDTH, CONTEXT, MS, round_trip};
use std::sync::Arc;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn rate(bytes_per_sec: u64) -> Rate {
    Rate::from_bytes_per_sec(bytes_per_sec).unwrap()
}

/// These migrations from host 0 to host 1, at these instants, over the paper's link.
fn fleet(migrations: &[(&Migration, u64)]) -> Fleet {
    let card = Card { out: rate(BANDWIDTH), into: rate(BANDWIDTH) };
    let migrations = migrations.iter().map(|(migration, starts)| FleetMigration {
        guest: Arc::clone(&migration.guest),
        warmup_accesses: migration.warmup_accesses,
        parameters: migration.parameters.clone(),
        source: HostId(0),
        destination: HostId(1),
        rate: None,
        latency: migration.link.latency,
        starts: at(*starts),
    });
    Fleet { cards: vec![card, card], migrations: migrations.collect(), neighbours: Vec::new() }
}

/// A neighbour that sends out of host 0, from the beginning on.
fn neighbour(bytes_per_sec: u64, off: Duration) -> Neighbour {
    Neighbour {
        route: Route { source: Some(HostId(0)), destination: None },
        rate: rate(bytes_per_sec),
        on: Duration::from_secs(1),
        off,
        begins: Instant::ZERO,
    }
}

fn run(fleet: &Fleet) -> FleetRun {
    let run = simulate_fleet(fleet, &Options::default()).unwrap();
    check_fleet(fleet, &run).unwrap();
    run
}

/// What a context takes at half the bandwidth: ceil(4272 / 4112 s).
const HALVED_CONTEXT: u64 = 1_038_910_506;

#[test]
fn two_migrations_at_once_get_half_the_card_each() {
    let migration = round_trip(Scheme::PostCopy);
    let run = run(&fleet(&[(&migration, 0), (&migration, 0)]));
    for metrics in run.runs.iter().map(|run| &run.metrics) {
        assert_eq!(metrics.downtime_ns, Some(HALVED_CONTEXT + 200 * MS));
        let total = HALVED_CONTEXT + 200 * MS + 20 * 1_000 * MS;
        assert_eq!(metrics.total_migration_time_ns, Some(total));
    }
    let out = &run.cards[0];
    assert_eq!((out.host, out.direction), (HostId(0), Direction::Out));
    assert_eq!(out.bytes, 2 * (4_272 + 20 * 4_112));
    assert!((BANDWIDTH - 1..=BANDWIDTH).contains(&out.bandwidth_peak), "{out:?}");
    assert_eq!(run.cards[1].bytes, 0, "nothing comes into the source");
    assert_eq!(run.cards[3].bytes, out.bytes);
}

#[test]
fn a_migration_that_begins_when_another_is_over_has_the_card_to_itself() {
    let migration = round_trip(Scheme::PostCopy);
    let later = CONTEXT + 10_000 * MS;
    let run = run(&fleet(&[(&migration, 0), (&migration, later)]));
    let [first, second] = [0, 1].map(|number| &run.runs[number].metrics);
    assert_eq!(first, second);
    assert_eq!(first.total_migration_time_ns, Some(CONTEXT + 10_200 * MS));
    assert_eq!(run.runs[1].source.requested_at, Some(at(later)));
    assert_eq!(run.network_until, at(later + CONTEXT + 10_000 * MS));
}

#[test]
fn a_steady_neighbour_is_slowed_down_while_a_migration_sends() {
    let migration = round_trip(Scheme::PostCopy);
    let mut fleet = fleet(&[(&migration, 0)]);
    fleet.neighbours.push(neighbour(BANDWIDTH, Duration::ZERO));
    let run = run(&fleet);
    let sending = HALVED_CONTEXT + 20 * 1_000 * MS;
    assert_eq!(run.runs[0].metrics.total_migration_time_ns, Some(sending + 200 * MS));
    // It has half the card while the migration sends, as many bytes as the migration; the 0.4 s in
    // which the last page arrives and the source learns of it do not count. Alone the neighbour
    // takes half the time, the byte that has not gone yet counted as a whole one.
    let felt = &run.neighbours[0];
    assert_eq!(felt.bytes, 4_272 + 20 * 4_112);
    assert_eq!(felt.busy_time_ns, sending);
    assert_eq!(felt.busy_time_alone_ns, (4_272 + 20 * 4_112 + 1) * 1_000 * MS / BANDWIDTH + 1);
    assert!((felt.slowdown.unwrap() - 2.0).abs() < 1e-4, "{felt:?}");
    assert_eq!(run.network_until, at(sending));
    let carried = run.cards[0].bandwidth_mean.unwrap();
    assert!((BANDWIDTH - 1..=BANDWIDTH).contains(&carried), "{carried}");
}

#[test]
fn the_books_open_when_the_first_migration_is_asked_for() {
    let migration = round_trip(Scheme::PostCopy);
    let starting = |starts: u64| {
        let mut fleet = fleet(&[(&migration, starts), (&migration, starts + 5_000 * MS)]);
        fleet.neighbours.push(neighbour(BANDWIDTH, Duration::ZERO));
        run(&fleet)
    };
    let now = starting(0);
    assert_eq!(now.network_from, at(0));
    // In the midst of a burst of a second, and between two.
    for starts in [1_000_300 * MS, 1_000_000 * MS] {
        let later = starting(starts);
        assert_eq!(later.network_from, at(starts));
        let span = |run: &FleetRun| run.network_until - run.network_from;
        assert_eq!(span(&later), span(&now));
        let [felt, felt_now] = [&later.neighbours[0], &now.neighbours[0]];
        assert!(felt.bytes.abs_diff(felt_now.bytes) <= 1, "{felt:?} {felt_now:?}");
        assert_eq!(felt.busy_time_ns, felt_now.busy_time_ns);
        let [slowed, slowed_now] = [felt, felt_now].map(|felt| felt.slowdown.unwrap());
        assert!((slowed - slowed_now).abs() < 1e-4, "{slowed} {slowed_now}");
        let card_now = &now.cards[0];
        let card = &later.cards[0];
        assert!(card.bytes.abs_diff(card_now.bytes) <= 1, "{card:?} {card_now:?}");
    }
}

#[test]
fn a_first_burst_that_is_cut_off_counts_as_far_as_it_went() {
    // A burst of a thousand seconds, ten before the migration and some twenty during it.
    let migration = round_trip(Scheme::PostCopy);
    let mut fleet = fleet(&[(&migration, 10_000 * MS)]);
    let long = Neighbour {
        on: Duration::from_secs(1_000),
        ..neighbour(BANDWIDTH, Duration::from_secs(1))
    };
    fleet.neighbours.push(long);
    let run = run(&fleet);
    let felt = &run.neighbours[0];
    assert_eq!(felt.busy_time_ns, HALVED_CONTEXT + 20 * 1_000 * MS);
    assert!((felt.slowdown.unwrap() - 2.0).abs() < 1e-4, "{felt:?}");
}

#[test]
fn a_neighbour_that_moved_no_byte_has_lost_nothing() {
    let migration = round_trip(Scheme::PostCopy);
    let mut fleet = fleet(&[(&migration, 0)]);
    // A byte takes 0.1 ms at the most; the last page has left a nanosecond later.
    let begins = at(CONTEXT + 20 * 500 * MS - 1);
    fleet.neighbours.push(Neighbour { begins, ..neighbour(BANDWIDTH, Duration::ZERO) });
    let run = run(&fleet);
    let felt = &run.neighbours[0];
    assert_eq!((felt.bytes, felt.busy_time_ns, felt.slowdown), (0, 0, None));
}

#[test]
fn a_neighbour_below_its_share_loses_nothing() {
    let migration = round_trip(Scheme::PostCopy);
    let mut fleet = fleet(&[(&migration, 0)]);
    fleet.neighbours.push(neighbour(BANDWIDTH / 4, Duration::ZERO));
    let run = run(&fleet);
    assert_eq!(run.neighbours[0].slowdown, Some(1.0));
    // Three quarters are left: ceil(4272 / 6168 s), and each page ceil(4112 / 6168 s).
    let total = 692_607_004 + 20 * 666_666_667 + 200 * MS;
    assert_eq!(run.runs[0].metrics.total_migration_time_ns, Some(total));
}

#[test]
fn a_bursty_neighbour_is_slowed_down_in_its_bursts_alone() {
    let migration = round_trip(Scheme::StopAndCopy);
    let mut fleet = fleet(&[(&migration, 0)]);
    fleet.neighbours.push(neighbour(BANDWIDTH, Duration::from_secs(1_000)));
    let run = run(&fleet);
    // One burst of a second, which takes two; the migration loses one second.
    let felt = &run.neighbours[0];
    assert_eq!((felt.bytes, felt.busy_time_ns), (BANDWIDTH, 2_000 * MS));
    assert_eq!((felt.busy_time_alone_ns, felt.slowdown), (1_000 * MS, Some(2.0)));
    let total = 1_000 * MS + 10_000 * MS + CONTEXT + 200 * MS;
    assert_eq!(run.runs[0].metrics.total_migration_time_ns, Some(total));
}

#[test]
fn a_capped_migration_leaves_the_rest_of_the_card() {
    let migration = round_trip(Scheme::PostCopy);
    let mut fleet = fleet(&[(&migration, 0), (&migration, 0)]);
    fleet.migrations[0].rate = Some(rate(BANDWIDTH / 4));
    let run = run(&fleet);
    let total = |number: usize| run.runs[number].metrics.total_migration_time_ns;
    // ceil(4272 / 2056 s) and 20 pages of 2 s; ceil(4272 / 6168 s) and 20 of ceil(4112 / 6168 s).
    assert_eq!(total(0), Some(2_077_821_012 + 40_000 * MS + 200 * MS));
    assert_eq!(total(1), Some(692_607_004 + 20 * 666_666_667 + 200 * MS));
}

#[test]
fn a_neighbour_whose_bytes_could_not_be_counted_ends_the_run_with_an_error() {
    let migration = round_trip(Scheme::PostCopy);
    let mut fleet = fleet(&[(&migration, 0)]);
    let fastest = rate(lazycopy_link::MAX_CARD_RATE);
    fleet.cards = vec![Card { out: fastest, into: fastest }; 2];
    fleet.migrations[0].rate = Some(rate(1));
    fleet.neighbours.push(neighbour(fastest.bytes_per_sec(), Duration::ZERO));
    // Half of what 64 bits hold, at 2^54 - 1 bytes a second.
    let error = simulate_fleet(&fleet, &Options::default()).unwrap_err();
    let RunError::Exceeded(Exceeded::Time(at)) = error else { panic!("{error}") };
    assert_eq!(at.as_nanos() / 1_000_000_000, 512);
}

/// Max-min fairness by its definition: no flow could have more without taking it from one that
/// has no more than it.
#[test]
fn shares_are_max_min_fair_in_the_example_of_the_model() {
    // Host 0's card carries 12 units. One guest moves to host 1, whose card has 12, too, and is
    // its alone; another to host 2, where a neighbour sends, and both are held to half of 4 units;
    // a third takes 3 at most. So: 2 for the second, 3 for the third, and what is left, 7.
    let unit = BANDWIDTH;
    let migration = round_trip(Scheme::PostCopy);
    let mut fleet = fleet(&[(&migration, 0), (&migration, 0), (&migration, 0)]);
    let card = |units: u64| Card { out: rate(units * unit), into: rate(units * unit) };
    fleet.cards = vec![card(12), card(12), card(4)];
    fleet.migrations[1].destination = HostId(2);
    fleet.migrations[2].rate = Some(rate(3 * unit));
    fleet.neighbours.push(Neighbour {
        route: Route { source: None, destination: Some(HostId(2)) },
        ..neighbour(12 * unit, Duration::ZERO)
    });
    let run = run(&fleet);
    // Downtime: a context at the flow's share, and the latency. None is over before the others'
    // contexts have arrived, but pages of the faster ones follow at once: all flows stay busy.
    for (number, share) in [(0, 7), (1, 2), (2, 3)] {
        let context = (4_272 * 1_000_000_000u64).div_ceil(share * unit);
        let downtime = run.runs[number].metrics.downtime_ns;
        assert_eq!(downtime, Some(context + 200 * MS), "migration {number}");
    }
}
