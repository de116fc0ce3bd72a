//! Total times of whole migrations, for comparison with a real hypervisor's: one line each, the
//! scheme and seconds.

use crate::Options;
use crate::laboratory::Laboratory;
use crate::moved::{Move, guest, link};
use anyhow::Result;

/// The schemes that are compared.
const SCHEMES: [&str; 2] = ["post-copy", "pre-copy"];

/// Measures and prints: each scheme in turn, as often as asked for.
pub fn report(options: &Options) -> Result<()> {
    let laboratory = Laboratory::for_one(options)?;
    for _ in 0..options.repeats {
        for scheme in SCHEMES {
            let mut migration = link(options, true);
            migration.push("migration.push_order=address".to_owned());
            // As idle as the hypervisor's guest.
            let what = Move {
                scheme,
                guest: guest(options, "100ms", 1),
                migration,
                bytes: options.bytes(),
            };
            let moved = laboratory.make(&what, &[])?;
            println!("{scheme} {:.4}", moved.figure("total_migration_time_ns")? / 1e9);
        }
    }
    laboratory.end()
}
