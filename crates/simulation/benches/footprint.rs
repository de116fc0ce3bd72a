//! What a large guest takes: wall time and memory, under each scheme, with a working set of 65,536
//! pages ("narrow") and with one of all its pages ("wide").
//!
//! To repeat it: `cargo bench -p lazycopy-simulation --bench footprint`, with `-- 1 4 16 64` for
//! guests of so many GiB (1, 4 and 16 are the default; 64 wants 2 GB of memory). Ten simulated
//! seconds at a million accesses a second, half of them writes, frames = pages, no reference run.
//! Each case is a process of its own, which reports the most memory that it ever held
//! (`VmHWM`); of that is taken what a guest of a thousandth of its pages holds, and the rest
//! divided by the pages: both ends and the disk together.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use lazycopy_guest::{GuestSpec, ResidentAtStart, WorkloadSpec};
use lazycopy_link::LinkParameters;
use lazycopy_migration::{MigrationParameters, PushOrder, Scheme};
use lazycopy_simulation::{Migration, Options, simulate_with};
use lazycopy_units::{Duration, Rate};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

const PAGES_PER_GIB: u32 = 1 << 18;
const ACCESSES: u64 = 10_000_000;
/// So many accesses before: a guest with a wide working set has dirty pages everywhere.
const WARM_UP: u64 = 10_000_000;
const CASE: &str = "--case";
const WORKING_SETS: [&str; 2] = ["narrow", "wide"];
/// What is wanted.
const BYTES_PER_PAGE: f64 = 40.0;

/// Working sets by name.
fn workload(name: &str) -> WorkloadSpec {
    match name {
        "narrow" => WorkloadSpec::Queue { length: 1 << 16 },
        "wide" => WorkloadSpec::Zipf { exponent: 0.0 },
        _ => panic!("\"{name}\" is no working set; they are {WORKING_SETS:?}"),
    }
}

fn migration(scheme: Scheme, working_set: &str, pages: u32) -> Migration {
    Migration {
        guest: Arc::new(GuestSpec {
            seed: 1,
            pages,
            frames: pages,
            think_time: Duration::from_nanos(1_000),
            write_fraction: 0.5,
            whole_page_fraction: 0.0,
            zero_fraction: 0.0,
            compressible_fraction: 0.0,
            workload: workload(working_set),
            resident_at_start: ResidentAtStart::All,
        }),
        warmup_accesses: WARM_UP,
        parameters: MigrationParameters {
            scheme,
            push_order: PushOrder::Lru,
            context_bytes: 4_096,
            head_start: 2,
            max_lead: None,
            fault_penalty: Duration::ZERO,
            disk_latency_source: Duration::from_nanos(100_000),
            disk_latency_destination: Duration::from_nanos(100_000),
            measured_accesses: ACCESSES,
            rounds: Default::default(),
            pre_paging: Default::default(),
            whole_page_writes: false,
            push_rate: None,
            checkpoint: false,
        },
        link: LinkParameters {
            // 100 Gbit/s: 64 GiB within the ten seconds.
            bandwidth: Rate::from_bytes_per_sec(12_500_000_000).expect("it is above zero"),
            latency: Duration::from_nanos(10_000),
        },
    }
}

/// The most memory that this process ever held, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is named");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes << 10
}

/// One case, in a process of its own: seconds, and peak memory in bytes.
fn run_case(scheme: &str, working_set: &str, pages: &str) {
    let scheme: Scheme = scheme.parse().expect("a scheme");
    let migration = migration(scheme, working_set, pages.parse().expect("a number of pages"));
    let began = Instant::now();
    let run = simulate_with(&migration, &Options::metrics_only()).expect("it runs");
    assert_eq!(run.metrics.outcome, lazycopy_migration::Outcome::Completed);
    println!("{} {}", began.elapsed().as_secs_f64(), peak_bytes());
}

fn measure(scheme: Scheme, working_set: &str, pages: u32) -> (f64, u64) {
    let executable = std::env::current_exe().expect("it runs");
    let output = Command::new(executable)
        .args([CASE, scheme.name(), working_set, &pages.to_string()])
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let (seconds, bytes) = text.trim().split_once(' ').expect("it prints two numbers");
    (seconds.parse().expect("seconds"), bytes.parse().expect("bytes"))
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [case, scheme, working_set, pages] = words.as_slice()
        && case == CASE
    {
        return run_case(scheme, working_set, pages);
    }
    let mut sizes: Vec<u32> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![1, 4, 16];
    }
    println!(
        "scheme            working set   GiB  wall time  per million accesses + pages  \
         per further page  bytes per page"
    );
    let mut most = 0.0f64;
    let cases = Scheme::ALL.into_iter().flat_map(|scheme| WORKING_SETS.map(|set| (scheme, set)));
    for (scheme, set) in cases {
        let mut smallest = None;
        for gib in &sizes {
            let pages = gib * PAGES_PER_GIB;
            let (_, without_pages) = measure(scheme, set, pages / 1_000);
            let (seconds, bytes) = measure(scheme, set, pages);
            let per_page = bytes.saturating_sub(without_pages) as f64 / f64::from(pages);
            let millions = (WARM_UP + ACCESSES + u64::from(pages)) as f64 / 1e6;
            let each = seconds / millions;
            // What each page costs beyond those of the smallest guest: the same for every size
            // where the time is linear.
            let further = smallest.map(|(least, fewest)| {
                format!("{:.0} ns", (seconds - least) * 1e9 / f64::from(pages - fewest))
            });
            smallest = smallest.or(Some((seconds, pages)));
            println!(
                "{:<18}{set:<11}{gib:>6}{seconds:>9.2} s{each:>28.3} s{:>18}{per_page:>16.1}",
                scheme.name(),
                further.unwrap_or_default(),
            );
            most = most.max(per_page);
        }
    }
    println!("\nthe most is {most:.1} bytes per page; {BYTES_PER_PAGE} are allowed");
}
