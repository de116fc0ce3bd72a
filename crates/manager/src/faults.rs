//! The fault simulation: what the guarantees are held against.

use crate::console::Console;
use crate::feed;
use crate::grammar::EventLevel;
use crate::session::{INTERRUPTED, complain, printed};
use lazycopy_simulation::faults::{
    FaultCase, FaultOptions, FaultRun, FaultSummary, fault_checkers,
};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Seeds that a thread takes at a time: some tenths of a second of work, so that an interruption
/// is heeded soon.
const SEEDS_AT_ONCE: u64 = 200;

/// Which cases to run.
#[derive(clap::Args, Clone, Debug)]
pub struct FaultsArguments {
    /// How many cases: each seed draws a guest, a scheme, a link, deadlines and what goes wrong
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, conflicts_with = "seed")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub seeds: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0, conflicts_with = "seed")]
    #[arg(value_parser = clap::value_parser!(u64).range(..=u64::MAX / 2))]
    pub from: u64,
    /// One case alone, with its story
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// An option of other modes without a meaning here: not shown.
    #[arg(long, hide = true)]
    listen: Option<String>,
    /// An option of other modes without a meaning here: not shown.
    #[arg(long, hide = true)]
    out: Option<PathBuf>,
    /// An option of other modes without a meaning here: not shown.
    #[arg(long = "event-level", id = "event_level", hide = true)]
    event_level: Option<EventLevel>,
}

/// What many cases came to, up to the first that broke a guarantee.
#[derive(Default)]
struct Outcome {
    summary: FaultSummary,
    /// The least seed that broke one, of those that were run.
    broken: Option<u64>,
}

/// Runs the cases and prints what they came to.
pub(crate) fn run(arguments: &FaultsArguments, json: bool, cancelled: &AtomicBool) -> ExitCode {
    let (text, document) = (Console::stdout(), Console::json());
    match arguments.seed {
        Some(seed) if json => {
            let (found, code) = found(seed);
            document.print_json(&found);
            printed(&document, code)
        }
        Some(seed) => {
            let code = tell(&text, seed);
            printed(&text, code)
        }
        None if json => document_many(&document, arguments, cancelled),
        None => run_many(&text, arguments, cancelled),
    }
}

/// As [`run_many`], in one document.
fn document_many(
    console: &Console,
    arguments: &FaultsArguments,
    cancelled: &AtomicBool,
) -> ExitCode {
    let (first, end) = (arguments.from, arguments.from + arguments.seeds);
    let Outcome { summary, broken } = run_seeds(first, end, cancelled);
    if cancelled.load(Ordering::Relaxed) {
        return ExitCode::from(INTERRUPTED);
    }
    let guarantees = fault_checkers();
    let guarantees = guarantees.iter().map(|(name, holds)| json!({ "name": name, "holds": holds }));
    let hits = summary.hits().map(|(scheme, phase, fault, count)| {
        json!({ "scheme": scheme, "phase": phase.name(), "fault": fault, "count": count })
    });
    let outcomes = summary.outcomes().map(
        |(scheme, outcome, count)| json!({ "scheme": scheme, "outcome": outcome, "count": count }),
    );
    console.print_json(&json!({
        "first_seed": first,
        "last_seed": end - 1,
        "runs": summary.runs(),
        "guarantees": guarantees.collect::<Vec<_>>(),
        "hits": hits.collect::<Vec<_>>(),
        "outcomes": outcomes.collect::<Vec<_>>(),
        "tally": summary.tally(),
        "broken": broken.map(|seed| found(seed).0),
    }));
    match broken {
        Some(seed) => complain(broken_by(seed)),
        None => printed(console, ExitCode::SUCCESS),
    }
}

fn broken_by(seed: u64) -> String {
    format!("a guarantee is broken; to see it again: {}", again(seed))
}

fn again(seed: u64) -> String {
    format!("manager faults --seed {seed}")
}

/// One case as a document.
fn found(seed: u64) -> (Value, ExitCode) {
    let case = FaultCase::draw(seed);
    let run = case.run(&FaultOptions { events: true, ..FaultOptions::default() });
    let violations = run.violations.iter().map(|it| {
        json!({
            "at_ns": it.at, "guarantee": it.checker, "holds": it.sentence, "problem": it.problem,
        })
    });
    let found = json!({
        "seed": seed,
        "again": again(seed),
        "case": case.to_string().trim_end(),
        "outcome": run.verdict.outcome,
        "reason": run.verdict.reason,
        "story": story(&run).lines().collect::<Vec<_>>(),
        "violations": violations.collect::<Vec<_>>(),
    });
    (found, code_of(&run))
}

fn code_of(run: &FaultRun) -> ExitCode {
    match run.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn run_many(console: &Console, arguments: &FaultsArguments, cancelled: &AtomicBool) -> ExitCode {
    let (first, end) = (arguments.from, arguments.from + arguments.seeds);
    console.print(&format!("Fault simulation, seeds {first} to {}. In every run:", end - 1));
    for (name, sentence) in fault_checkers() {
        console.print(&format!("  {name:<24}{sentence}"));
    }
    console.print("");
    let outcome = run_seeds(first, end, cancelled);
    if cancelled.load(Ordering::Relaxed) {
        return ExitCode::from(INTERRUPTED);
    }
    if let Some(seed) = outcome.broken {
        tell(console, seed);
        return complain(broken_by(seed));
    }
    console.print(&format!("{}", outcome.summary));
    let missing = outcome.summary.missing().len();
    console.print(&match missing {
        0 => "Every guarantee held in every run, and every cell of the table was hit.".to_owned(),
        _ => format!(
            "Every guarantee held in every run; {missing} cells of the table were not hit: with \
             more seeds they are."
        ),
    });
    printed(console, ExitCode::SUCCESS)
}

/// Runs the cases of these seeds on all cores.
fn run_seeds(first: u64, end: u64, cancelled: &AtomicBool) -> Outcome {
    let next = AtomicU64::new(first);
    let outcome = Mutex::new(Outcome::default());
    let work = || loop {
        let from = next.fetch_add(SEEDS_AT_ONCE, Ordering::Relaxed);
        if from >= end || cancelled.load(Ordering::Relaxed) {
            return;
        }
        let mut block = Outcome::default();
        for seed in from..end.min(from + SEEDS_AT_ONCE) {
            let case = FaultCase::draw(seed);
            let run = case.run(&FaultOptions::default());
            block.summary.add(&case, &run);
            if !run.violations.is_empty() {
                block.broken = Some(seed);
                // Those before it are under way: the least of all is told.
                next.store(end, Ordering::Relaxed);
                break;
            }
        }
        let mut all = outcome.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.summary.merge(&block.summary);
        all.broken = [all.broken, block.broken].into_iter().flatten().min();
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    outcome.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The story of one case.
fn tell(console: &Console, seed: u64) -> ExitCode {
    let case = FaultCase::draw(seed);
    console.print(case.to_string().trim_end());
    let run = case.run(&FaultOptions { events: true, ..FaultOptions::default() });
    console.print(&story(&run));
    console.print(&format!("{}: {}.", run.verdict.outcome, run.verdict.reason));
    for violation in &run.violations {
        console.print(&format!(
            "Broken at {}: {} ({}): {}",
            violation.at, violation.checker, violation.sentence, violation.problem
        ));
    }
    code_of(&run)
}

/// Events and faults by their instants.
fn story(run: &FaultRun) -> String {
    let events = run.events.iter().filter_map(|event| {
        let side = format!("{:?}", event.side).to_lowercase();
        Some((event.at, feed::line(EventLevel::Milestones, &side, event)?))
    });
    let hits = run.hits.iter().map(|hit| {
        let millis = hit.at.as_nanos() / 1_000_000;
        let line = format!("[{:>5}.{:03} s] FAULT: {}", millis / 1000, millis % 1000, hit.fault);
        (hit.at, line)
    });
    let mut lines: Vec<_> = events.chain(hits).collect();
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}
