//! What a second core is worth: the same sweep on one thread and on two, turn and turn about, each
//! into a fresh directory; 1.9 times as fast is wanted. With a number of
//! seeds as argument (`cargo bench -p lazycopy-sweep --bench scaling -- 245`) it runs the sweep
//! of a million on all cores instead and states its speed.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use lazycopy_sweep::{Observer, Shard, Sweep, SweepError, Work, compute, merge, on_threads};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// What two cores are to give at least.
const LEAST_SPEEDUP: f64 = 1.9;

/// Seeds of each cell and contender in a comparison: some ten seconds of work for one core. With fewer, what a
/// sweep does once (its scenarios, the corrections over the map) would count too much.
const SEEDS: u64 = 100;

/// How often each is measured; the fastest counts, since others' work only slows one down.
const ROUNDS: usize = 4;

struct Silent;

impl Observer for Silent {
    fn begins(&self, _there: u64, _runs: u64) {}
    fn ran(&self) {}
    fn replaces(&self, problem: &SweepError) {
        panic!("a fresh directory has a broken block: {problem}");
    }
}

/// From the sweep file to its results.
fn measure(threads: Option<usize>, seeds: u64) -> (u64, Duration) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/sweeps/million.toml");
    let scratch = tempfile::tempdir().expect("a directory for the results");
    let out = scratch.path().join("out");
    let begun = Instant::now();
    let runs = on_threads(threads, || {
        let sweep = Sweep::open(&file, Some(seeds), scratch.path())?;
        let cancelled = AtomicBool::new(false);
        let work = Work { shard: Shard::WHOLE, cancelled: &cancelled, observer: &Silent };
        let computed = compute(&sweep, &out, work)?;
        merge(&out)?;
        Ok::<u64, SweepError>(computed.runs)
    });
    let runs = runs.and_then(|runs| runs).expect("the shipped sweep runs");
    (runs, begun.elapsed())
}

fn state(what: &str, runs: u64, time: Duration) {
    let rate = runs as f64 / time.as_secs_f64();
    println!("{what}: {runs} runs in {:.2} s, {rate:.0} a second", time.as_secs_f64());
}

fn main() {
    let seeds = std::env::args().skip(1).find_map(|word| word.parse::<u64>().ok());
    if let Some(seeds) = seeds {
        let (runs, time) = measure(None, seeds);
        state("all cores", runs, time);
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        println!("skipped: one core alone");
        return;
    }
    let mut best = [Duration::MAX; 2];
    let mut runs = 0;
    for _ in 0..ROUNDS {
        for (threads, best) in [1, 2].into_iter().zip(&mut best) {
            let (all, time) = measure(Some(threads), SEEDS);
            (runs, *best) = (all, time.min(*best));
        }
    }
    let speedup = best[0].as_secs_f64() / best[1].as_secs_f64();
    state("one core", runs, best[0]);
    state("two cores", runs, best[1]);
    println!("two cores are {speedup:.2} times one core; {LEAST_SPEEDUP} is wanted");
}
