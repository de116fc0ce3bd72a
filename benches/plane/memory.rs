//! What each end of a migration needs besides the pages themselves.

use crate::Options;
use crate::bulk::push;
use crate::figures::{listed, median};
use crate::laboratory::{Laboratory, SERVERS};
use anyhow::Result;

/// Bytes besides the page that an end may need for each.
const GOAL: f64 = 16.0;

/// How many times larger the larger of the two guests is.
const RATIO: u16 = 4;

/// What each server held at most besides the guest's pages, new as it was before its first and only
/// migration: what an allocator keeps of earlier ones is not the migration's.
fn besides(options: &Options) -> Result<[f64; 2]> {
    let laboratory = Laboratory::for_one(options)?;
    push(&laboratory, options, true)?;
    let mut besides = [0.0; 2];
    for (besides, server) in besides.iter_mut().zip(SERVERS) {
        *besides = laboratory.resident(server)?.peak as f64 - options.bytes() as f64;
    }
    laboratory.end()?;
    Ok(besides)
}

/// Measures and prints: how much more a guest of so many times the pages takes, for each of these.
pub fn report(options: &Options) -> Result<()> {
    let small = Options { size: (options.size / RATIO).max(1), ..options.clone() };
    let further_pages = (options.bytes() - small.bytes()) as f64 / 4096.0;
    let mut per_page = [const { Vec::new() }; 2];
    for _ in 0..options.repeats {
        let (few, many) = (besides(&small)?, besides(options)?);
        for (figures, (few, many)) in per_page.iter_mut().zip(few.into_iter().zip(many)) {
            figures.push((many - few) / further_pages);
        }
    }
    println!(
        "\nbytes besides the page for each page, by the growth of the peaks of two servers' \
         processes\nfrom a guest of {} MiB to one of {} MiB; wanted: at most {GOAL}",
        small.size, options.size
    );
    for (server, figures) in ["source", "destination"].iter().zip(&per_page) {
        println!("  {server:11} {:.1} (each: {})", median(figures), listed(figures));
    }
    Ok(())
}
