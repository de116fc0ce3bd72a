//! The rules of pre-copy on guests so small that each case is worked out by hand.
//!
//! Where nothing else is said a page takes 1 ms on the link, and the guest writes with every
//! access. At one instant accesses come before the link's choice.

use lazycopy_guest::{GuestSpec, ResidentAtStart, WorkloadSpec};
use lazycopy_link::LinkParameters;
use lazycopy_migration::{
    EventKind, MigrationParameters, Outcome, PushOrder, RoundParameters, Scheme, StopRule,
};
use lazycopy_simulation::{Migration, Run, check_run, simulate};
use lazycopy_units::{Duration, Instant, PAGE_MESSAGE_BYTES, PageNumber, Rate};
use std::sync::Arc;

const PAGE_TIME: Duration = Duration::from_millis(1);

/// The rate at which a page takes so long.
fn one_page_in(time: Duration) -> Rate {
    Rate::from_bytes_per_sec(PAGE_MESSAGE_BYTES * 1_000_000_000 / time.as_nanos()).unwrap()
}

/// A guest of `pages` pages that writes to the first `written` of them in turn, the next one every
/// `think` nanoseconds, moved by pre-copy.
fn migrate(pages: u32, written: u32, think: u64, rounds: RoundParameters) -> Run {
    migrate_over(PAGE_TIME, pages, written, think, rounds)
}

fn migrate_over(
    page_time: Duration,
    pages: u32,
    written: u32,
    think: u64,
    rounds: RoundParameters,
) -> Run {
    migrate_by(Scheme::PreCopy, page_time, pages, written, think, rounds)
}

fn migrate_by(
    scheme: Scheme,
    page_time: Duration,
    pages: u32,
    written: u32,
    think: u64,
    rounds: RoundParameters,
) -> Run {
    let migration = Migration {
        guest: Arc::new(GuestSpec {
            seed: 1,
            pages,
            frames: pages,
            think_time: Duration::from_nanos(think),
            write_fraction: 1.0,
            whole_page_fraction: 0.0,
            zero_fraction: 0.0,
            compressible_fraction: 0.0,
            workload: WorkloadSpec::List { pages: (0..written).map(PageNumber).collect() },
            resident_at_start: ResidentAtStart::All,
        }),
        warmup_accesses: 0,
        link: LinkParameters { bandwidth: one_page_in(page_time), latency: Duration::ZERO },
        parameters: MigrationParameters {
            scheme,
            push_order: PushOrder::Address,
            context_bytes: 0,
            head_start: 0,
            max_lead: None,
            fault_penalty: Duration::ZERO,
            disk_latency_source: Duration::ZERO,
            disk_latency_destination: Duration::ZERO,
            measured_accesses: 1,
            rounds,
            pre_paging: Default::default(),
            whole_page_writes: false,
            push_rate: None,
            checkpoint: false,
        },
    };
    let run = simulate(&migration).unwrap();
    check_run(&migration, &run).unwrap();
    run
}

fn rule(stop_rule: StopRule) -> RoundParameters {
    RoundParameters { stop_rule, ..RoundParameters::default() }
}

/// QEMU's rule with a page per tenth of a second: its threshold at 300 ms is three pages.
fn a_page_per_window() -> RoundParameters {
    RoundParameters {
        bandwidth_cap: Some(one_page_in(Duration::from_millis(100))),
        ..rule(StopRule::Qemu)
    }
}

fn at_millis(millis: u64) -> Option<Instant> {
    Some(Instant::ZERO + Duration::from_millis(millis))
}

#[track_caller]
fn assert_sent(run: &Run, rounds: u32, pages: u64, resent: u64) {
    let source = &run.source;
    assert_eq!((source.rounds, source.sent.round, source.resent), (rounds, pages, resent));
}

#[test]
fn xen_stops_when_fewer_than_fifty_pages_are_dirty() {
    // Writes at 20.5, 41, 61.5 and 82 ms to pages 0 to 3, which are sent already.
    let run = migrate(100, 10, 20_500_000, rule(StopRule::Xen));
    assert_sent(&run, 1, 100 + 4, 0);
    assert_eq!(run.source.suspended_at, at_millis(100));
    assert_eq!(run.source.handover_at, at_millis(104));
}

#[test]
fn xen_goes_on_at_fifty_dirty_pages_and_stops_after_the_fifth_round() {
    // All fifty are written within 0.5 ms: a round sends page 0, finds the others dirty again, and
    // the first round then sends the fifty that are never written.
    let run = migrate(100, 50, 10_000, rule(StopRule::Xen));
    assert_sent(&run, 5, (1 + 50) + 4 + 50, 4);
    assert_eq!(run.source.suspended_at, at_millis(51 + 4));
    assert_eq!(run.metrics.outcome, Outcome::Completed);
}

#[test]
fn xen_stops_after_the_first_round_at_forty_nine() {
    let run = migrate(100, 49, 10_000, rule(StopRule::Xen));
    assert_sent(&run, 1, (1 + 51) + 49, 0);
    assert_eq!(run.source.suspended_at, at_millis(52));
}

#[test]
fn a_bandwidth_cap_paces_the_rounds_and_not_what_follows_the_suspension() {
    // Pages at 0, 2, ... 18 ms; the only write, at 15 ms, is to page 0.
    let cap = Some(one_page_in(Duration::from_millis(2)));
    let run =
        migrate(10, 1, 20_000_000, RoundParameters { bandwidth_cap: cap, ..rule(StopRule::Xen) });
    assert_sent(&run, 1, 10 + 1, 0);
    assert_eq!(run.source.suspended_at, at_millis(20));
    assert_eq!(run.source.handover_at, at_millis(21));
}

fn clark(cap: u64) -> RoundParameters {
    RoundParameters {
        minimum_rate: one_page_in(PAGE_TIME),
        bandwidth_cap: Some(Rate::from_bytes_per_sec(cap).unwrap()),
        ..rule(StopRule::Clark)
    }
}

#[test]
fn clark_stops_when_less_than_256_kib_remain() {
    // The first round goes at the least rate, not the link's. 64 pages are 256 KiB.
    let fast = Duration::from_nanos(100_000);
    let run = migrate_over(fast, 200, 63, 1_000, clark(11_000_000));
    assert_sent(&run, 1, (1 + 137) + 63, 0);
    assert_eq!(run.source.suspended_at, at_millis(138));
    let run = migrate_over(fast, 200, 64, 1_000, clark(100_000_000));
    assert_eq!(run.source.rounds, 2);
}

#[test]
fn clark_stops_when_the_next_round_would_need_more_than_the_maximum() {
    // 101 pages in 101 ms; 100 are dirty, 4.06 MB/s, and 6.25 MB/s more are 10.3 MB/s.
    let fast = Duration::from_nanos(100_000);
    let run = migrate_over(fast, 200, 100, 2_000, clark(10_000_000));
    assert_sent(&run, 1, 101 + 100, 0);
    assert_eq!(run.source.suspended_at, at_millis(101));
}

#[test]
fn clark_sends_the_next_round_as_fast_as_pages_were_dirtied_and_a_little_more() {
    // As above; the second round sends page 0, and the others are dirty again: 1 GB/s.
    let fast = Duration::from_nanos(100_000);
    let run = migrate_over(fast, 200, 100, 2_000, clark(11_000_000));
    assert_sent(&run, 2, 101 + 1 + 100, 1);
    let dirty_rate = 100 * 4_096 * 1_000 / 101;
    let rate = Rate::from_bytes_per_sec(dirty_rate + 6_250_000).unwrap();
    let second_round = at_millis(101).map(|began| began + rate.time_for(PAGE_MESSAGE_BYTES));
    assert_eq!(run.source.suspended_at, second_round);
}

#[test]
fn clark_takes_what_the_link_gives_as_the_maximum_where_there_is_no_cap() {
    // As above: 10.3 MB/s. A page takes 0.4 ms, 10.28 MB/s, however slowly the first round goes;
    // or 0.398 ms, 10.33 MB/s.
    let uncapped = RoundParameters { bandwidth_cap: None, ..clark(1) };
    let run = |nanos| {
        let link = Duration::from_nanos(nanos);
        migrate_over(link, 200, 100, 2_000, RoundParameters { max_rounds: 2, ..uncapped.clone() })
    };
    assert_eq!(run(400_000).metrics.outcome, Outcome::Completed);
    assert_eq!(run(400_000).source.rounds, 1);
    assert_eq!(run(398_000).source.rounds, 2);
}

#[test]
fn the_rounds_of_a_hybrid_go_at_the_rate_of_clark() {
    // As above, and the second round is the hybrid's last.
    let fast = Duration::from_nanos(100_000);
    let rounds = RoundParameters { hybrid_rounds: 2, ..clark(11_000_000) };
    let run = migrate_by(Scheme::HybridPostCopy, fast, 200, 100, 2_000, rounds);
    let rate = Rate::from_bytes_per_sec(100 * 4_096 * 1_000 / 101 + 6_250_000).unwrap();
    let second_round = at_millis(101).map(|began| began + rate.time_for(PAGE_MESSAGE_BYTES));
    assert_eq!(run.source.suspended_at, second_round);
    assert_eq!((run.source.rounds, run.source.sent.round), (2, 102));
}

#[test]
fn qemu_keeps_its_limit_until_the_rest_fits_the_downtime_and_then_drops_it() {
    // A page at 0, 100, ... 600 ms; at 700 ms three are left, and go at the link's rate.
    let run = migrate(10, 1, 10_000_000_000, a_page_per_window());
    assert_sent(&run, 1, 10, 0);
    assert_eq!(run.source.suspended_at, at_millis(700));
    assert_eq!(run.source.handover_at, at_millis(703));
}

#[test]
fn qemu_keeps_a_limit_of_less_than_a_page_per_window() {
    // A page per 250 ms: at 0, 200, 500, 700 and 1,000 ms. The threshold is three pages after a
    // span of 200 ms and two after one of 300 ms; at 1,200 ms three of the eight are left.
    let rounds = RoundParameters {
        bandwidth_cap: Some(one_page_in(Duration::from_millis(250))),
        downtime_limit: Duration::from_millis(600),
        ..rule(StopRule::Qemu)
    };
    let run = migrate(8, 1, 10_000_000_000, rounds);
    assert_sent(&run, 1, 8, 0);
    assert_eq!(run.source.suspended_at, at_millis(1_200));
}

#[test]
fn qemu_looks_at_what_remains_only_when_a_window_begins() {
    // Four pages per window, so the threshold is twelve pages: 14 are left at 100 ms, 12 at
    // 102 ms, and 10 when it looks again.
    let rounds = RoundParameters {
        bandwidth_cap: Some(one_page_in(Duration::from_millis(25))),
        ..rule(StopRule::Qemu)
    };
    let run = migrate(18, 1, 10_000_000_000, rounds);
    assert_sent(&run, 1, 18, 0);
    assert_eq!(run.source.suspended_at, at_millis(200));
    assert_eq!(run.source.handover_at, at_millis(210));
}

#[test]
fn qemu_gives_up_in_the_round_that_is_its_last() {
    // At 700 ms pages 7 to 9 are left, and 0 to 4 dirty: eight. At 1,200 ms 2 to 4 are left: five
    // with the dirty ones, above the threshold. From then on two per round.
    let rounds = RoundParameters { max_rounds: 4, ..a_page_per_window() };
    let run = migrate(10, 5, 1_000_000, rounds);
    assert_eq!(run.metrics.outcome, Outcome::NeverConverges);
    assert_eq!(run.source.never_converges_in, Some(4));
    assert_sent(&run, 4, 7 + 5 + 2 + 2, 6);
    let (at, reason) = run.source.returned.as_ref().unwrap();
    assert_eq!(
        (Some(*at), reason.as_str()),
        (at_millis(1_600), "5 pages were dirty after round 4")
    );
}

#[test]
fn qemu_gives_up_at_its_bound_on_time() {
    let rounds =
        RoundParameters { max_time: Some(Duration::from_millis(1_300)), ..a_page_per_window() };
    let run = migrate(10, 5, 1_000_000, rounds);
    assert_eq!(run.metrics.outcome, Outcome::NeverConverges);
    assert_eq!(run.source.never_converges_in, Some(3));
    let (at, reason) = run.source.returned.as_ref().unwrap();
    assert_eq!(Some(*at), at_millis(1_300));
    // As at 1,200 ms, but for the page that went there and was written again.
    assert!(reason.starts_with("5 pages were dirty or still to be sent in round 3"), "{reason}");
}

#[track_caller]
fn assert_given_up(run: &Run, round: u32, pages: u64, at: Option<Instant>) {
    assert_eq!(run.metrics.outcome, Outcome::NeverConverges, "{:?}", run.metrics);
    assert_eq!((run.source.never_converges_in, run.source.sent.round), (Some(round), pages));
    assert_eq!(run.source.returned.as_ref().map(|(at, _)| *at), at);
    let end = run.source.link_used_until;
    assert!(end <= at, "the link was used until {end:?}");
}

#[test]
fn the_bound_on_time_ends_a_round_in_its_midst() {
    let bound = |nanos| RoundParameters {
        max_time: Some(Duration::from_nanos(nanos)),
        ..rule(StopRule::Xen)
    };
    // The fourth page is on its way.
    let run = migrate(1_000, 1, 10_000_000_000, bound(3_500_000));
    assert_given_up(&run, 1, 4, at_millis(4));
    // The last page of the only round ends at the bound.
    let run = migrate(10, 1, 10_000_000_000, bound(10_000_000));
    assert_given_up(&run, 1, 10, at_millis(10));
    let run = migrate(10, 1, 10_000_000_000, bound(10_000_001));
    assert_eq!(run.metrics.outcome, Outcome::Completed);
}

#[test]
fn the_bound_on_time_holds_while_a_cap_holds_the_next_page_back() {
    for stop_rule in [StopRule::Clark, StopRule::Xen, StopRule::Qemu] {
        let bandwidth_cap = Some(one_page_in(Duration::from_secs(100)));
        let max_time = Some(Duration::from_millis(1_250));
        let rounds = RoundParameters { bandwidth_cap, max_time, ..rule(stop_rule) };
        let run = migrate(100, 1, 10_000_000_000, rounds);
        assert_given_up(&run, 1, 1, at_millis(1_250));
    }
}

#[test]
fn auto_converge_slows_a_guest_until_its_rounds_converge() {
    // Five pages every 200 ms, which is a round, until the guest is slowed.
    let bounded =
        RoundParameters { max_time: Some(Duration::from_secs(60)), ..a_page_per_window() };
    let run = migrate(10, 5, 40_000_000, bounded.clone());
    assert_eq!(run.metrics.outcome, Outcome::NeverConverges);

    let run = migrate(10, 5, 40_000_000, RoundParameters { auto_converge: true, ..bounded });
    assert_eq!(run.metrics.outcome, Outcome::Completed);
    let throttled: Vec<u8> = run
        .events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Throttled { percent } => Some(percent),
            _ => None,
        })
        .collect();
    assert!(throttled.len() >= 2, "{throttled:?}");
    let steps: Vec<u8> = (0..throttled.len() as u8).map(|step| (20 + 10 * step).min(99)).collect();
    assert_eq!(throttled, steps);
}

/// A hundred pages go in two bursts of 50 ms, and the guest, which writes one page all the time,
/// is suspended at 200 ms.
fn accesses_beside_two_bursts(burst_share_percent: u8) -> u64 {
    let rounds = RoundParameters {
        bandwidth_cap: Some(one_page_in(Duration::from_millis(2))),
        downtime_limit: Duration::from_millis(210),
        burst_share_percent,
        ..rule(StopRule::Qemu)
    };
    let run = migrate(200, 1, 1_000_000, rounds);
    assert_eq!(run.source.suspended_at, at_millis(200));
    run.destination.resumed_registers.unwrap().accesses
}

#[test]
fn a_burst_takes_its_share_of_the_guests_processor_and_no_more() {
    assert_eq!(accesses_beside_two_bursts(0), 200);
    assert_eq!(accesses_beside_two_bursts(50), 2 * (25 + 50));
}

#[test]
fn the_cost_of_the_dirty_log_shows_where_the_writer_has_no_time_to_spare() {
    // Every write is the first to its page, over the only round of 40 ms.
    let accesses = |think: u64, keeps_pace| {
        let rounds = RoundParameters {
            first_write_cost: Duration::from_nanos(1_500_000),
            keeps_pace,
            ..rule(StopRule::Xen)
        };
        let run = migrate(40, 40, think, rounds);
        run.destination.resumed_registers.unwrap().accesses
    };
    // At 2, 4, ... 40 ms; a page is sent before it is written.
    assert_eq!(accesses(2_000_000, true), 20);
    // At 2, 5.5, ... 37 ms.
    assert_eq!(accesses(2_000_000, false), 11);
}
