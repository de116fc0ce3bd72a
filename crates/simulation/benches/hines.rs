//! Pre-paging, held against Hines, Deshpande and Gopalan (OSR 43(3), 2009).
//!
//! `cargo bench -p lazycopy-simulation --bench hines` prints the share of the guest's first
//! touches that had to wait for the network, with and without pre-paging, beside their table; then
//! the orderings of pre-paging for guests with several places of work at once.
//!
//! Their conditions that are known: a guest of 2,048 MB, gigabit Ethernet, a sequential stress
//! over a working set. Not known: the time between two touches (their write rate is not stated),
//! where the working set lies in memory, and what a fault takes besides the network. Here a
//! control message takes 0.1 ms, working sets begin at eight places spread evenly over memory, and
//! the table is printed for two times between touches. It takes a minute.

use lazycopy_guest::{GuestSpec, ResidentAtStart, WorkloadSpec};
use lazycopy_link::LinkParameters;
use lazycopy_migration::{Direction, MigrationParameters, PrePaging, PushOrder, Scheme};
use lazycopy_simulation::{Migration, Options, simulate_with};
use lazycopy_units::{Duration, PageNumber, Rate};
use std::sync::Arc;

/// 2,048 MB.
const PAGES: u32 = 524_288;
const PAGES_PER_MIB: u32 = 256;
const GIGABIT: u64 = 125_000_000;
const LATENCY: Duration = Duration::from_nanos(100_000);
/// Where working sets begin, in parts of the memory that is left for them.
const PLACES: u32 = 8;

/// Working set in MiB, and per cent of network faults with pre-paging and with push alone.
const PUBLISHED: [(u32, f64, f64); 6] = [
    (8, 2.0, 15.0),
    (16, 4.0, 13.0),
    (32, 4.0, 13.0),
    (64, 3.0, 10.0),
    (128, 3.0, 9.0),
    (256, 3.0, 10.0),
];

#[derive(Clone, Copy)]
struct Order {
    name: &'static str,
    push_order: PushOrder,
    pre_paging: PrePaging,
}

const fn bubbling(name: &'static str, pivots: u32, direction: Direction) -> Order {
    let sticky_pivot = !matches!(direction, Direction::Dual);
    let pre_paging = PrePaging { pivots, direction, sticky_pivot };
    Order { name, push_order: PushOrder::Bubbling, pre_paging }
}

/// The plain push, by address.
const PUSH_ALONE: Order = Order {
    name: "push alone",
    push_order: PushOrder::Address,
    pre_paging: PrePaging { pivots: 1, direction: Direction::Dual, sticky_pivot: false },
};
/// Their default.
const DUAL: Order = bubbling("dual", 1, Direction::Dual);

/// What a migration showed of the guest's first touches.
#[derive(Clone, Copy, Default)]
struct Shares {
    first_touches: u64,
    from_the_network: u64,
    faults: u64,
    stall_ns: u64,
}

impl Shares {
    fn percent(self) -> f64 {
        100.0 * self.from_the_network as f64 / self.first_touches.max(1) as f64
    }
}

fn migrate(order: Order, pages: Vec<PageNumber>, think_time: Duration) -> Shares {
    let migration = Migration {
        guest: Arc::new(GuestSpec {
            seed: 1,
            pages: PAGES,
            frames: PAGES,
            think_time,
            write_fraction: 1.0,
            whole_page_fraction: 0.0,
            zero_fraction: 0.0,
            compressible_fraction: 0.0,
            workload: WorkloadSpec::List { pages },
            resident_at_start: ResidentAtStart::All,
        }),
        warmup_accesses: 0,
        parameters: MigrationParameters {
            scheme: Scheme::PostCopy,
            push_order: order.push_order,
            context_bytes: 4_096,
            head_start: 0,
            max_lead: None,
            fault_penalty: Duration::ZERO,
            disk_latency_source: Duration::ZERO,
            disk_latency_destination: Duration::ZERO,
            measured_accesses: 1,
            rounds: Default::default(),
            pre_paging: order.pre_paging,
            whole_page_writes: false,
            push_rate: None,
            checkpoint: false,
        },
        link: LinkParameters {
            bandwidth: Rate::from_bytes_per_sec(GIGABIT).expect("it is above zero"),
            latency: LATENCY,
        },
    };
    let run = simulate_with(&migration, &Options::metrics_only()).expect("it ends");
    let report = run.destination;
    Shares {
        first_touches: report.first_touches,
        from_the_network: report.first_touches - report.first_touches_found,
        faults: run.metrics.faults,
        stall_ns: run.metrics.stall_time_ns,
    }
}

/// A sequential stress over a working set, at each place.
fn sequential(order: Order, mebibytes: u32, think_time: Duration) -> Shares {
    let pages = mebibytes * PAGES_PER_MIB;
    let mut sum = Shares::default();
    for place in 0..PLACES {
        let from = (PAGES - pages) / PLACES * place;
        let list = (from..from + pages).map(PageNumber).collect();
        let shares = migrate(order, list, think_time);
        sum.first_touches += shares.first_touches;
        sum.from_the_network += shares.from_the_network;
    }
    sum
}

/// Several processes that each walk through memory of their own, in turn.
fn processes(order: Order, count: u32, upwards: bool, think_time: Duration) -> Shares {
    let share = PAGES / count;
    let each = 16_384;
    let list = (0..each).flat_map(|step| {
        (0..count).map(move |process| {
            let step = if upwards { step } else { each - 1 - step };
            PageNumber(process * share + share / 4 + step)
        })
    });
    migrate(order, list.collect(), think_time)
}

/// The table of network faults.
fn print_table(micros: u64) {
    let think_time = Duration::from_nanos(micros * 1_000);
    println!(
        "\n{micros} us from touch to touch: per cent of first touches that waited for the network"
    );
    println!("               pre-paging             push alone");
    println!("  working set    here  published      here  eighth  published");
    for (mebibytes, published, published_alone) in PUBLISHED {
        let with = sequential(DUAL, mebibytes, think_time).percent();
        let alone = sequential(PUSH_ALONE, mebibytes, think_time).percent();
        let eighth = alone / READ_AHEAD;
        println!(
            "  {mebibytes:>7} MiB{with:>8.1}{published:>11.0}{alone:>10.1}{eighth:>8.1}{published_alone:>11.0}"
        );
    }
}

const WHY: &str = "
Pre-paging: here hardly a touch waits, there 2 to 4 per cent do. Bubbling grows around the pivot in both
directions at 15,200 pages per second each, so that a walk slower than that (66 us from touch to touch)
faults once; there, walks restart and other processes fault, too.
Push alone: here nearly every touch waits until the push comes by, which where it starts far from the
working set is late; there 9 to 15 per cent. That is near one in eight in each row. Their pages came in
through Linux's swap, which by default reads ahead in groups of eight pages, so that seven of eight
touches find their page. It is our reading, not a statement of theirs; with it (column \"eighth\")
rows differ by what the unknown write rate and place of the working set decide.";

/// Pages that Linux's swap reads at once by default.
const READ_AHEAD: f64 = 8.0;

fn print_orderings(count: u32, upwards: bool) {
    let orders = [
        PUSH_ALONE,
        bubbling("forward, 1 pivot", 1, Direction::Forward),
        bubbling("backward, 1 pivot", 1, Direction::Backward),
        DUAL,
        bubbling("forward, 7 pivots", 7, Direction::Forward),
        bubbling("dual, 3 pivots", 3, Direction::Dual),
        bubbling("dual, 7 pivots", 7, Direction::Dual),
        bubbling("dual, 14 pivots", 14, Direction::Dual),
    ];
    let direction = if upwards { "upwards" } else { "downwards" };
    println!("\n{count} processes that walk {direction}, 200 us from touch to touch");
    for order in orders {
        let shares = processes(order, count, upwards, Duration::from_nanos(200_000));
        let stall = shares.stall_ns as f64 / 1e9;
        let (percent, faults) = (shares.percent(), shares.faults);
        println!("  {:<18}{percent:>7.2} %{faults:>8} faults{stall:>8.3} s stall", order.name);
    }
}

fn main() {
    for micros in [100, 400] {
        print_table(micros);
    }
    println!("{WHY}");
    for (count, upwards) in [(1, true), (4, true), (8, true), (8, false)] {
        print_orderings(count, upwards);
    }
}
