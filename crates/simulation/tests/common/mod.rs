//! Drawn guests, links, disks and schemes.

use lazycopy_guest::{GuestSpec, ResidentAtStart, WorkloadSpec};
use lazycopy_link::LinkParameters;
use lazycopy_migration::{
    Direction, MigrationParameters, PrePaging, PushOrder, RoundParameters, Scheme, StopRule,
};
use lazycopy_simulation::Migration;
use lazycopy_units::{Duration, PAGE_MESSAGE_BYTES, PageNumber, Rate};
use proptest::prelude::*;
use std::sync::Arc;

fn workloads(pages: u32) -> impl Strategy<Value = WorkloadSpec> {
    prop_oneof![
        (1u32..200).prop_map(|length| WorkloadSpec::Queue { length }),
        proptest::collection::vec((0..pages).prop_map(PageNumber), 1..60)
            .prop_map(|pages| WorkloadSpec::List { pages }),
        (0u32..3).prop_map(|exponent| WorkloadSpec::Zipf { exponent: f64::from(exponent) * 0.7 }),
        Just(WorkloadSpec::Sequential),
    ]
}

pub fn guests(think_time: u64) -> impl Strategy<Value = GuestSpec> {
    (1u32..60, any::<u64>())
        .prop_flat_map(|(pages, seed)| {
            (
                Just((pages, seed)),
                1..=pages,
                prop_oneof![Just(0.0), Just(0.2), Just(1.0)],
                prop_oneof![Just(0.0), Just(0.5), Just(1.0)],
                workloads(pages),
                any::<bool>(),
            )
        })
        .prop_map(
            move |((pages, seed), frames, write_fraction, whole_page_fraction, workload, all)| {
                GuestSpec {
                    seed,
                    pages,
                    frames: if all { pages } else { frames },
                    think_time: Duration::from_nanos(think_time),
                    write_fraction,
                    whole_page_fraction,
                    zero_fraction: 0.0,
                    compressible_fraction: 0.0,
                    workload,
                    resident_at_start: if all {
                        ResidentAtStart::All
                    } else {
                        ResidentAtStart::None
                    },
                }
            },
        )
}

/// Spans from nothing to fifty think times; coincidences with them are common.
pub fn spans(think_time: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0), (1u64..50).prop_map(move |times| times * think_time), 0..50 * think_time,]
        .prop_map(Duration::from_nanos)
}

fn rounds(think_time: u64) -> impl Strategy<Value = RoundParameters> {
    let rule = proptest::sample::select(vec![StopRule::Clark, StopRule::Xen, StopRule::Qemu]);
    let rate = move || {
        (1u64..200).prop_map(move |times| {
            let page_time = (times * think_time).div_ceil(10);
            Rate::from_bytes_per_sec(PAGE_MESSAGE_BYTES * 1_000_000_000 / page_time).unwrap()
        })
    };
    let cap = proptest::option::of(rate());
    let time = proptest::option::of((1u64..2_000).prop_map(move |times| times * think_time));
    let bounds = (1u32..20, time);
    let cost = (spans(think_time), any::<bool>(), 0u8..100);
    (rule, 1u64..100, cap, rate(), 1u32..4, bounds, any::<bool>(), cost).prop_map(
        move |(
            stop_rule,
            limit,
            bandwidth_cap,
            minimum_rate,
            hybrid_rounds,
            bounds,
            auto,
            (first_write_cost, keeps_pace, burst_share_percent),
        )| {
            RoundParameters {
                stop_rule,
                downtime_limit: Duration::from_nanos(limit * think_time),
                bandwidth_cap,
                minimum_rate,
                hybrid_rounds,
                max_rounds: bounds.0,
                max_time: bounds.1.map(Duration::from_nanos),
                auto_converge: auto,
                first_write_cost,
                keeps_pace,
                burst_share_percent,
            }
        },
    )
}

fn pre_paging() -> impl Strategy<Value = PrePaging> {
    let direction = vec![Direction::Dual, Direction::Forward, Direction::Backward];
    (1u32..9, proptest::sample::select(direction), any::<bool>()).prop_map(
        |(pivots, direction, sticky)| PrePaging {
            pivots,
            direction,
            sticky_pivot: sticky || direction != Direction::Dual,
        },
    )
}

pub fn parameters(think_time: u64) -> impl Strategy<Value = MigrationParameters> {
    let scheme = proptest::sample::select(Scheme::ALL.to_vec());
    let order = proptest::sample::select(vec![
        PushOrder::Lru,
        PushOrder::Mru,
        PushOrder::Address,
        PushOrder::Bubbling,
        PushOrder::Predicted,
    ]);
    let lead = proptest::option::of((1u64..40, 0u64..10));
    let penalty = prop_oneof![3 => Just(Duration::ZERO), 1 => spans(think_time)];
    let spans = || spans(think_time);
    let disk = (spans(), spans());
    let rounds = (rounds(think_time), pre_paging(), any::<bool>());
    (scheme, order, 0u64..5_000, lead, disk, penalty, 1u64..300, rounds).prop_map(
        |(scheme, push_order, context_bytes, lead, disk, penalty, measured, rounds)| {
            let (source, destination) = disk;
            let (rounds, pre_paging, whole_page_writes) = rounds;
            let (max_lead, head_start) =
                lead.map_or((None, 2), |(lead, head)| (Some(lead), head.min(lead)));
            MigrationParameters {
                scheme,
                push_order,
                context_bytes,
                head_start,
                max_lead,
                fault_penalty: penalty,
                disk_latency_source: source,
                disk_latency_destination: destination,
                measured_accesses: measured,
                rounds,
                pre_paging,
                whole_page_writes,
                push_rate: None,
                checkpoint: false,
            }
        },
    )
}

/// Links that send from fifty pages per think time to one page in fifty think times.
pub fn links(think_time: u64) -> impl Strategy<Value = LinkParameters> {
    let page_time =
        prop_oneof![think_time.div_ceil(50)..=think_time, think_time..50 * think_time + 1];
    (page_time, spans(think_time)).prop_map(|(page_time, latency)| LinkParameters {
        bandwidth: Rate::from_bytes_per_sec(PAGE_MESSAGE_BYTES * 1_000_000_000 / page_time)
            .expect("a page takes less than an hour"),
        latency: latency.max(Duration::from_nanos(1)),
    })
}

pub fn migrations() -> impl Strategy<Value = Migration> {
    prop_oneof![Just(1u64), 1..1_000u64, Just(970_000_000u64)]
        .prop_flat_map(|think| (guests(think), 0u64..300, parameters(think), links(think)))
        .prop_map(|(guest, warmup_accesses, parameters, link)| Migration {
            guest: Arc::new(guest),
            warmup_accesses,
            parameters,
            link,
        })
}
