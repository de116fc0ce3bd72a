//! Runs cases of the shells' fault simulation: one and tells its story, or many.

#[path = "../harness/mod.rs"]
mod harness;

use clap::Parser;
use harness::{CHECKERS, ShellCase, ShellSummary};
use lazycopy_migration::BrokenRule;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// Whole servers in a simulated network and time, where everything fails that can.
#[derive(Parser)]
struct Arguments {
    /// Run so many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this seed alone, and tell what happens
    #[arg(long)]
    seed: Option<u64>,
    /// Threads; each runs cases of its own
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Have the machines break a rule on purpose, by its name, and tell which seed shows it
    #[arg(long, value_parser = rule)]
    break_rule: Option<BrokenRule>,
}

fn rule(name: &str) -> Result<BrokenRule, String> {
    let named = BrokenRule::ALL.into_iter().find(|rule| format!("{rule:?}") == name);
    named.ok_or_else(|| format!("one of {:?}", BrokenRule::ALL))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(rule) = arguments.break_rule {
        return broken(&arguments, rule);
    }
    match arguments.seed {
        Some(seed) => one(seed),
        None => many(&arguments),
    }
}

/// Tells the story of one seed. What the servers log goes along, as `RUST_LOG` says.
fn one(seed: u64) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let case = ShellCase::draw(seed);
    print!("{case}");
    let run = case.run();
    run.story.iter().for_each(|line| println!("{line}"));
    println!("outcome: {:?}", run.outcome);
    run.violations.iter().for_each(|violation| println!("broken: {violation}"));
    match run.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Looks for the first seed that shows that a rule is broken.
fn broken(arguments: &Arguments, rule: BrokenRule) -> ExitCode {
    BrokenRule::break_here(Some(rule));
    for seed in arguments.from..arguments.from + arguments.seeds {
        if let Some(violation) = ShellCase::draw(seed).run().violations.first() {
            println!("{rule:?}: seed {seed}: {violation}");
            return ExitCode::SUCCESS;
        }
    }
    println!("{rule:?}: no seed shows it");
    ExitCode::FAILURE
}

fn many(arguments: &Arguments) -> ExitCode {
    let (from, to) = (arguments.from, arguments.from + arguments.seeds);
    println!("seeds {from} to {}; what must hold:", to - 1);
    CHECKERS.iter().for_each(|(name, sentence)| println!("  {name}: {sentence}"));
    let begun = Instant::now();
    let next = AtomicU64::new(from);
    let run_some = || {
        let (mut summary, mut broken) = (ShellSummary::default(), 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= to {
                return (summary, broken);
            }
            let case = ShellCase::draw(seed);
            let run = case.run();
            summary.add(&case, &run);
            for violation in &run.violations {
                broken += 1;
                println!("seed {seed}: {violation}\n  again: {}", case.command());
            }
        }
    };
    let (mut summary, mut broken) = (ShellSummary::default(), 0);
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..arguments.threads.max(1)).map(|_| scope.spawn(run_some)).collect();
        for thread in threads {
            if let Ok((some, broke)) = thread.join() {
                summary.merge(&some);
                broken += broke;
            }
        }
    });
    print!("\n{summary}");
    println!("{:.1} s; guarantees broken: {broken}", begun.elapsed().as_secs_f64());
    match broken {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
