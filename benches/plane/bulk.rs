//! The background push of post-copy against a plain stream of as many bytes.

use crate::Options;
use crate::conditions::Patience;
use crate::figures::{largest, listed, median};
use crate::laboratory::Laboratory;
use crate::moved::{Move, guest, link};
use crate::stream::{CHUNKS, Transfer};
use anyhow::Result;

/// The goals: the share of a plain stream's goodput that the push reaches, with its checks and
/// without.
const GOALS: [(bool, f64); 2] = [(true, 0.80), (false, 0.90)];

/// The push of one guest, in GB/s: from the instant when the context has left to that when the
/// destination has all pages.
pub fn push(laboratory: &Laboratory, options: &Options, page_check: bool) -> Result<f64> {
    let mut migration = link(options, page_check);
    migration.push("migration.push_order=address".to_owned());
    // The guest hardly runs: what is measured is the push.
    let what = Move {
        scheme: "post-copy",
        guest: guest(options, "100ms", 1),
        migration,
        bytes: options.bytes(),
    };
    let moved = laboratory.make(&what, &["\"context_sent\"", "\"completed\""])?;
    let took = moved.at("completed")? - moved.at("context_sent")?;
    Ok(moved.figure("pages_transferred")? * 4096.0 / took)
}

/// Measures and prints.
pub fn report(options: &Options) -> Result<()> {
    let laboratory = Laboratory::for_one(options)?;
    // The first of each does not count: memory that is used for the first time may be slow.
    push(&laboratory, options, true)?;
    let mut patience = Patience::of(options.patience);
    let mut streams = CHUNKS.map(|chunk| (chunk, Vec::new()));
    let mut pushes = GOALS.map(|(page_check, goal)| (page_check, goal, Vec::new()));
    for _ in 0..options.repeats {
        for (chunk, goodputs) in &mut streams {
            let (bytes, sockets) = (options.bytes(), options.sockets());
            let transfer = Transfer { bytes, chunk: *chunk, sockets };
            goodputs.push(transfer.run(&mut patience)?.goodput);
        }
        for (page_check, _, goodputs) in &mut pushes {
            patience.await_quiet()?;
            goodputs.push(push(&laboratory, options, *page_check)?);
        }
    }
    laboratory.end()?;
    println!("\npost-copy's push of {} MiB against a plain stream, in GB/s", options.size);
    for (chunk, goodputs) in &streams {
        let (middle, each) = (median(goodputs), listed(goodputs));
        println!("  plain stream, {:4} KiB a write: {middle:.2} (each: {each})", chunk / 1024);
    }
    let best = |of: fn(&[f64]) -> f64| {
        streams.iter().map(|(_, goodputs)| of(goodputs)).fold(0.0, f64::max)
    };
    for (page_check, goal, goodputs) in &pushes {
        let (middle, each) = (median(goodputs), listed(goodputs));
        let checks = if *page_check { "with checksums" } else { "without checksums" };
        println!("  push {checks}: {middle:.2} (each: {each})");
        let (medians, fastest) = (middle / best(median), largest(goodputs) / best(largest));
        println!("      of the stream's own best: {medians:.2} by medians, {fastest:.2} by the");
        println!(
            "      fastest, which others and the machine's host slowed least; wanted {goal:.2}"
        );
    }
    Ok(())
}
