//! What a page costs each end, in instructions of its own program: repeatable whatever else the
//! machine does. Needs valgrind; the system's part, the copies above all, is not counted.

use crate::laboratory::{Laboratory, SERVERS};
use crate::moved::{Move, guest, link};
use crate::{MIB, Options};
use anyhow::{Context, Result};
use std::path::Path;

/// Two sizes of guests, in MiB: what differs between them is what pages cost. Both have more pages
/// than a snapshot of a guest lists.
const SIZES: [u16; 2] = [32, 64];

/// Instructions of each server that creates a guest, and moves it or not.
fn count(options: &Options, size: u16, page_check: bool, moves: bool) -> Result<[f64; 2]> {
    let options = Options { size, ..options.clone() };
    let counts = tempfile::tempdir()?;
    let laboratory = Laboratory::start_counted(1 << 20, counts.path())?;
    let mut migration = link(&options, page_check);
    migration.push("migration.push_order=address".to_owned());
    let what = Move {
        scheme: "post-copy",
        guest: guest(&options, "1s", 1),
        migration,
        bytes: options.bytes(),
    };
    if moves {
        laboratory.make(&what, &[])?;
    } else {
        laboratory.create(&what)?;
    }
    laboratory.end()?;
    let [source, destination] = SERVERS.map(|server| counted(counts.path(), server));
    Ok([source?, destination?])
}

/// The sum in what the tool wrote of a server.
fn counted(directory: &Path, server: &str) -> Result<f64> {
    let text = std::fs::read_to_string(directory.join(server))?;
    let summary = text.lines().find_map(|line| line.strip_prefix("summary: "));
    summary.and_then(|sum| sum.trim().parse().ok()).context("the tool wrote no summary")
}

/// Measures and prints.
pub fn report(options: &Options) -> Result<()> {
    println!("\ninstructions of the servers' own program for a page that is pushed (valgrind)");
    println!("  checksums    source  destination");
    for page_check in [true, false] {
        let mut costs = [0.0; 2];
        let [small, large] = SIZES;
        for (size, sign) in [(small, -1.0), (large, 1.0)] {
            let moved = count(options, size, page_check, true)?;
            let created = count(options, size, page_check, false)?;
            for (cost, (moved, created)) in costs.iter_mut().zip(moved.into_iter().zip(created)) {
                *cost += sign * (moved - created);
            }
        }
        let pages = f64::from(large - small) * MIB as f64 / 4096.0;
        let [source, destination] = costs.map(|cost| cost / pages);
        let checks = if page_check { "with" } else { "without" };
        println!("  {checks:9}  {source:8.0}  {destination:11.0}");
    }
    Ok(())
}
