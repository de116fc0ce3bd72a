//! What the bytes of pages cost: to make them, to check them, to fill a guest, to touch its pages.
//!
//! To repeat it: `cargo bench -p lazycopy-guest --bench contents`. It takes some seconds and a
//! gigabyte. Pages are made and checked one after another in one buffer that stays in the caches;
//! the guest is a fresh mapping, so that what the system does for it counts.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use lazycopy_guest::{Guest, GuestSpec, PageContents, ResidentAtStart, WorkloadSpec, first_stamp};
use lazycopy_units::{Duration, Instant as Moment, PAGE_BYTES, PageNumber};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// A gigabyte.
const PAGES: u32 = 1 << 18;
/// Rounds are short, so that some of them find the machine quiet.
const PAGES_OF_A_ROUND: usize = 1 << 12;
const ROUNDS: usize = 64;
const STARTS: usize = 4;
const ACCESSES: u64 = 200_000;

fn spec(zero_fraction: f64, compressible_fraction: f64) -> Arc<GuestSpec> {
    Arc::new(GuestSpec {
        seed: 1,
        pages: PAGES,
        frames: PAGES,
        think_time: Duration::from_nanos(1_000),
        write_fraction: 0.3,
        whole_page_fraction: 0.0,
        zero_fraction,
        compressible_fraction,
        workload: WorkloadSpec::Queue { length: 1 << 20 },
        resident_at_start: ResidentAtStart::All,
    })
}

/// The least time of some rounds, in seconds; a round is told its number.
fn best(rounds: usize, mut round: impl FnMut(usize)) -> f64 {
    let times = (0..rounds).map(|number| {
        let began = Instant::now();
        round(number);
        began.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

fn main() {
    let gigabytes = |pages: usize| pages as f64 * PAGE_BYTES as f64 / 1e9;
    let kinds =
        [("random", spec(0.0, 0.0)), ("zeros", spec(1.0, 0.0)), ("patterns", spec(0.0, 1.0))];
    println!("GB/s");
    for (kind, spec) in &kinds {
        let contents = PageContents::of(spec);
        let pages = |round: usize| {
            let first = round * PAGES_OF_A_ROUND;
            let pages = (first..first + PAGES_OF_A_ROUND).map(|page| PageNumber(page as u32));
            pages.map(|page| (page, first_stamp(spec.seed, page)))
        };
        let mut bytes = [0; PAGE_BYTES as usize];
        let filled = best(ROUNDS, |round| {
            for (page, stamp) in pages(round) {
                contents.fill(page, stamp, black_box(&mut bytes));
            }
        });
        let guest = Guest::new_in_pages(Arc::clone(spec)).expect("there is a gigabyte");
        let memory = guest.memory().bytes().expect("its pages are real bytes");
        let checked = best(ROUNDS, |round| {
            for (page, stamp) in pages(round) {
                assert!(contents.matches(page, stamp, memory.page(page)));
            }
        });
        drop(guest);
        let started = best(STARTS, |_| {
            black_box(Guest::new_in_pages(Arc::clone(spec)).expect("there is a gigabyte"));
        });
        println!(
            "{kind:>9}: filled {:.1}, checked in memory {:.1}, as a new guest {:.1}",
            gigabytes(PAGES_OF_A_ROUND) / filled,
            gigabytes(PAGES_OF_A_ROUND) / checked,
            gigabytes(PAGES as usize) / started
        );
    }
    println!("million accesses per second");
    let (_, spec) = &kinds[0];
    for (kind, guest) in [
        ("stamps beside the pages", Guest::new(Arc::clone(spec)).expect("it has no trace")),
        (
            "stamps in the pages",
            Guest::new_in_pages(Arc::clone(spec)).expect("there is a gigabyte"),
        ),
    ] {
        let mut guest = guest;
        let taken = best(ROUNDS, |_| {
            let end = guest.registers().accesses + ACCESSES;
            guest.run_to(Moment::ZERO, end, Duration::ZERO).expect("it has no trace");
        });
        println!("{kind:>25}: {:.1}", ACCESSES as f64 / taken / 1e6);
    }
}
