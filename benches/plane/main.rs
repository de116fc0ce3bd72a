//! What the page plane is held against, and what it does: each figure a ratio of one run, between
//! processes of their own over loopback.
//!
//! ```sh
//! cargo bench --bench plane                     # all of it
//! cargo bench --bench plane -- stream           # a plain stream from one process to another
//! cargo bench --bench plane -- roundtrip        # a bare request and its response
//! cargo bench --bench plane -- bulk             # the background push against the plain stream
//! cargo bench --bench plane -- demand           # remote faults against the bare round trip
//! cargo bench --bench plane -- memory           # bytes for each page besides the page
//! cargo bench --bench plane -- total            # whole migrations, for .ci/qemu
//! cargo bench --bench plane -- instructions     # of a page at each end, by valgrind
//! cargo bench --bench plane -- --size 256 ...   # quickly, with 256 MiB
//! ```
//!
//! The baselines know nothing of the product: blocking sockets, one thread each, a mapping as fresh
//! and as huge as a guest's. Whoever measures the product interleaves it with a baseline of the same
//! options, since a machine's speed changes from one minute to the next.

mod bulk;
mod children;
mod conditions;
mod demand;
mod figures;
mod instructions;
mod laboratory;
mod mapping;
mod memory;
mod moved;
mod roundtrip;
mod sockets;
mod stream;
mod total;

use anyhow::Result;
use children::Role;
use clap::{Args, Parser, Subcommand};
use sockets::SocketOptions;
use std::process::ExitCode;

/// Bytes in a MiB.
const MIB: usize = 1 << 20;

/// The page plane's benchmarks and their baselines.
#[derive(Parser)]
#[command(name = "plane", max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// What `cargo bench` adds to every benchmark's arguments
    #[arg(long, global = true, hide = true)]
    bench: bool,
    #[command(subcommand)]
    what: Option<What>,
}

/// What holds for every benchmark.
#[derive(Args, Clone, Debug)]
struct Options {
    /// Memory to move, in MiB; both ends hold as much
    #[arg(long, global = true, default_value_t = 4096, value_parser = clap::value_parser!(u16).range(1..))]
    size: u16,
    /// How often each is measured, turn and turn about
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: u16,
    /// TCP congestion control of each socket [default: reno where the system allows it, else the
    /// system's]
    #[arg(long, global = true)]
    congestion: Option<String>,
    /// Send and receive buffer of each socket, in KiB [default: the system's own tuning]
    #[arg(long, global = true, value_name = "KIB")]
    buffer: Option<usize>,
    /// How long to wait, in all, for moments at which others leave the processors alone, in seconds
    #[arg(long, global = true, default_value_t = 0)]
    patience: u32,
}

impl Options {
    fn sockets(&self) -> SocketOptions {
        let congestion = self.congestion.clone().or_else(sockets::reno_where_allowed);
        SocketOptions { congestion, buffer: self.buffer.map(|kib| kib * 1024) }
    }

    fn bytes(&self) -> usize {
        usize::from(self.size) * MIB
    }
}

#[derive(Subcommand)]
enum What {
    /// Goodput of a plain stream, at the better of 64 KiB and 1 MiB a write
    Stream,
    /// A bare request and its response, one at a time
    Roundtrip(roundtrip::RoundTripArguments),
    /// Goodput of the product's background push against a plain stream's
    Bulk,
    /// What a remote fault takes the product, idle against a bare round trip and under the push
    Demand,
    /// Bytes that each end needs for a page besides the page
    Memory,
    /// Total times of the product's migrations, a line each
    Total,
    /// Instructions for a page at each end, without the system's; needs valgrind
    Instructions,
    /// This program as a child of itself
    #[command(hide = true)]
    Child {
        /// What the child is to do, as JSON
        role: String,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Arguments { options, what, bench: _ }: Arguments) -> Result<()> {
    match what {
        Some(What::Child { role }) => children::play(&serde_json::from_str::<Role>(&role)?),
        Some(What::Stream) => {
            conditions::print();
            stream::report(&options)
        }
        Some(What::Roundtrip(arguments)) => {
            conditions::print();
            roundtrip::report(&options, &arguments)
        }
        Some(What::Bulk) => {
            conditions::print();
            bulk::report(&options)
        }
        Some(What::Demand) => {
            conditions::print();
            demand::report(&options)
        }
        Some(What::Memory) => {
            conditions::print();
            memory::report(&options)
        }
        Some(What::Total) => total::report(&options),
        Some(What::Instructions) => instructions::report(&options),
        None => {
            conditions::print();
            stream::report(&options)?;
            roundtrip::report(&options, &roundtrip::RoundTripArguments::default())?;
            bulk::report(&options)?;
            demand::report(&options)?;
            memory::report(&options)
        }
    }
}
