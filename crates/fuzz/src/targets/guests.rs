//! Small guests and their migrations, drawn from bytes.

use arbitrary::{Arbitrary, Result, Unstructured};
use lazycopy_guest::{GuestSpec, ResidentAtStart, WorkloadSpec};
use lazycopy_link::{Compression, LinkParameters, LinkSpec, PlaneParameters};
use lazycopy_migration::{
    Direction, MigrationParameters, PrePaging, PushOrder, RoundParameters, Scheme, StopRule,
};
use lazycopy_protocol::control::{MigrationId, Watch};
use lazycopy_protocol::peer::Offer;
use lazycopy_units::{Duration, Rate};

/// The most pages of a drawn guest.
pub(crate) const MOST_PAGES: u32 = 24;

/// A guest of so many pages, half of which fit its memory.
pub(crate) fn spec(pages: u32) -> GuestSpec {
    GuestSpec {
        seed: 5,
        pages,
        frames: pages.div_ceil(2),
        think_time: Duration::from_nanos(1_000),
        write_fraction: 0.3,
        whole_page_fraction: 0.2,
        zero_fraction: 0.1,
        compressible_fraction: 0.3,
        workload: WorkloadSpec::Zipf { exponent: 0.7 },
        resident_at_start: ResidentAtStart::None,
    }
}

/// A guest of a few pages.
pub(crate) fn any_spec(u: &mut Unstructured<'_>) -> Result<GuestSpec> {
    let pages = u.int_in_range(1..=MOST_PAGES)?;
    let all = u.ratio(1, 4)?;
    let frames = if all { pages } else { u.int_in_range(1..=pages)? };
    let workload = match u.int_in_range(0..=2)? {
        0 => WorkloadSpec::Queue { length: u.int_in_range(1..=100)? },
        1 => WorkloadSpec::Sequential,
        _ => WorkloadSpec::Zipf { exponent: f64::from(u.int_in_range(0..=20u8)?) / 10.0 },
    };
    Ok(GuestSpec {
        seed: u8::arbitrary(u)?.into(),
        think_time: Duration::from_nanos(u.int_in_range(100_000..=2_000_000)?),
        write_fraction: f64::from(u.int_in_range(0..=10u8)?) / 10.0,
        whole_page_fraction: f64::from(u.int_in_range(0..=10u8)?) / 10.0,
        resident_at_start: if all { ResidentAtStart::All } else { ResidentAtStart::None },
        workload,
        frames,
        ..spec(pages)
    })
}

/// A span as it may be said, mostly short.
pub(crate) fn any_span(u: &mut Unstructured<'_>, wild: bool) -> Result<Duration> {
    Ok(Duration::from_nanos(match u.int_in_range(0..=3)? {
        0 => 0,
        3 if wild => u64::arbitrary(u)?,
        _ => u.int_in_range(0..=20_000_000)?,
    }))
}

fn any_rounds(u: &mut Unstructured<'_>) -> Result<RoundParameters> {
    let max_rounds = u.int_in_range(1..=8)?;
    Ok(RoundParameters {
        stop_rule: *u.choose(&[StopRule::Clark, StopRule::Xen, StopRule::Qemu])?,
        downtime_limit: Duration::from_nanos(u.int_in_range(1..=400_000_000)?),
        bandwidth_cap: u.ratio(1, 4)?.then_some(Rate::from_bytes_per_sec(1 << 20)).flatten(),
        hybrid_rounds: u.int_in_range(1..=max_rounds)?,
        max_rounds,
        max_time: u.ratio(1, 4)?.then_some(Duration::from_millis(200)),
        auto_converge: u.arbitrary()?,
        first_write_cost: Duration::from_nanos(u.int_in_range(0..=10_000)?),
        keeps_pace: u.arbitrary()?,
        burst_share_percent: u.int_in_range(0..=99)?,
        ..RoundParameters::default()
    })
}

/// Any scheme with any of its parameters; wild ones are those of a source that says what it likes.
pub(crate) fn any_parameters(u: &mut Unstructured<'_>, wild: bool) -> Result<MigrationParameters> {
    let orders = [
        PushOrder::Lru,
        PushOrder::Mru,
        PushOrder::Address,
        PushOrder::Bubbling,
        PushOrder::Predicted,
    ];
    let max_lead = u.ratio(1, 2)?.then_some(u.int_in_range(1..=40)?);
    let count = |u: &mut Unstructured<'_>, most: u64| match wild && u.ratio(1, 8)? {
        true => u64::arbitrary(u),
        false => u.int_in_range(0..=most),
    };
    Ok(MigrationParameters {
        scheme: *u.choose(&Scheme::ALL)?,
        push_order: *u.choose(&orders)?,
        // No more: what is under way is waited for.
        context_bytes: count(u, 8_192)?.min(1 << 20),
        head_start: u.int_in_range(0..=max_lead.unwrap_or(8))?,
        max_lead,
        fault_penalty: any_span(u, wild)?,
        disk_latency_source: any_span(u, wild)?,
        disk_latency_destination: any_span(u, wild)?,
        measured_accesses: count(u, 60)?.max(1),
        rounds: any_rounds(u)?,
        pre_paging: PrePaging {
            pivots: u.int_in_range(1..=8)?,
            direction: *u.choose(&[Direction::Dual, Direction::Forward, Direction::Backward])?,
            sticky_pivot: true,
        },
        whole_page_writes: u.arbitrary()?,
        push_rate: u.ratio(1, 4)?.then_some(Rate::from_bytes_per_sec(1 << 20)).flatten(),
        checkpoint: u.ratio(1, 4)?,
    })
}

/// An offer of a small guest, over a modelled link or not.
pub(crate) fn any_offer(u: &mut Unstructured<'_>, unlimited: bool, wild: bool) -> Result<Offer> {
    let link = if unlimited {
        LinkSpec::Unlimited(PlaneParameters {
            connections: 1,
            compression: Compression::Lz4,
            page_check: u.arbitrary()?,
            congestion: None,
        })
    } else {
        let rates = [1_000_000, 10_000_000, 1_000_000_000];
        LinkSpec::Modelled(LinkParameters {
            bandwidth: Rate::from_bytes_per_sec(*u.choose(&rates)?).expect("it is above zero"),
            latency: any_span(u, wild)?,
        })
    };
    let position = u.int_in_range(0..=60)?;
    Ok(Offer {
        migration: MigrationId(1),
        source: "source".to_owned(),
        vm: "guest".to_owned(),
        spec: any_spec(u)?,
        position,
        warmup_accesses: position,
        time_scale: 1,
        parameters: any_parameters(u, wild)?,
        link,
        watch: Watch::Off,
        recover_within: Duration::from_secs(1),
    })
}
