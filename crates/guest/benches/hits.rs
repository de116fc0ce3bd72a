//! Accesses that hit: [`Guest::run`] beside the bare pager, and both as loops whose instructions
//! can be counted.
//!
//! To repeat it: `cargo bench -p lazycopy-guest --bench hits`. Rounds take turns and the best of
//! each counts, so that the ratio of one run means more than its figures. With `-- --loop NAME` it
//! runs one loop once and prints nothing, for `.ci/instructions`; the names are `pager`, which
//! misses too, and `run`.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use lazycopy_guest::{
    Access, Guest, GuestSpec, Memory, ResidentAtStart, WorkloadSpec, open_workload,
};
use lazycopy_units::{Duration, Instant as Moment, PageNumber};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const SIZES: [u32; 2] = [4_096, 1 << 20];
const ACCESSES: u64 = 200_000;
const ROUNDS: usize = 150;

fn guest(pages: u32, frames: u32) -> Guest {
    let whole = frames == pages;
    let spec = Arc::new(GuestSpec {
        seed: 1,
        pages,
        frames,
        think_time: Duration::from_nanos(1_000),
        write_fraction: 0.0,
        whole_page_fraction: 0.0,
        zero_fraction: 0.0,
        compressible_fraction: 0.0,
        workload: WorkloadSpec::Queue { length: 1 << 16 },
        resident_at_start: if whole { ResidentAtStart::All } else { ResidentAtStart::None },
    });
    Guest::new(spec).expect("it has no trace")
}

/// The pages that the guest will touch.
fn pages_of(guest: &Guest) -> Vec<PageNumber> {
    let mut workload = open_workload(guest.spec(), 0).expect("it has no trace");
    let mut accesses: Vec<Access> = Vec::new();
    while (accesses.len() as u64) < ACCESSES {
        workload.fill(&mut accesses).expect("it has no trace");
    }
    accesses.iter().take(ACCESSES as usize).map(|access| access.page).collect()
}

fn read_all(memory: &mut Memory, pages: &[PageNumber]) {
    for page in pages {
        black_box(memory.read(*page, || u64::from(page.0)));
    }
}

fn run_on(guest: &mut Guest) {
    let accesses = guest.registers().accesses + ACCESSES;
    guest.run_to(Moment::ZERO, accesses, Duration::ZERO).expect("it has no trace");
    black_box(guest.registers());
}

/// A loop for the count of instructions.
fn run_loop(name: &str) {
    let mut guest = guest(50, if name == "pager" { 20 } else { 50 });
    match name {
        "pager" => {
            let pages = pages_of(&guest);
            read_all(guest.memory_mut(), &pages);
        }
        "run" => run_on(&mut guest),
        _ => panic!("\"{name}\" is no loop; the loops are pager and run"),
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = words.iter().position(|word| word == "--loop") {
        return run_loop(words.get(at + 1).expect("the name of a loop"));
    }
    println!("million accesses per second, every one a hit");
    for pages in SIZES {
        let mut guest = guest(pages, pages);
        let touched = pages_of(&guest);
        let mut memory = Memory::new(pages, pages);
        (0..pages).for_each(|page| {
            assert!(memory.install_most_recent(PageNumber(page), 0, false).is_none())
        });
        let (mut bare, mut run) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            let began = Instant::now();
            read_all(&mut memory, &touched);
            bare = bare.min(began.elapsed().as_secs_f64());
            let began = Instant::now();
            run_on(&mut guest);
            run = run.min(began.elapsed().as_secs_f64());
        }
        let speed = |seconds: f64| ACCESSES as f64 / seconds / 1e6;
        println!(
            "{pages:>9} pages: bare pager {:.1}, Guest::run {:.1}, ratio {:.2} (0.5 is wanted)",
            speed(bare),
            speed(run),
            bare / run
        );
    }
}
