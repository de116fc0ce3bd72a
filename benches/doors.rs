//! Ten thousand connections that say nothing, or too little, or nonsense, at the manager's port,
//! and meanwhile somebody asks for its `status` and a guest moves. How long does a reply take, and
//! what does it cost? It fails where a command is not answered within ten seconds.
//!
//! `cargo bench --bench doors`, or with `-- --connections N`.

mod laboratory;

use clap::{Parser, ValueEnum};
use laboratory::{Laboratory, megabytes};
use lazycopy_transport::raise_descriptor_limit;
use std::io::Write;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Questions per kind of connection.
const QUESTIONS: usize = 200;

/// How long a reply may take.
const AT_MOST: Duration = Duration::from_secs(10);

/// File descriptors that the benchmark needs besides.
const BESIDES: u64 = 200;

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a connection does.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Manner {
    /// It says nothing.
    Idle,
    /// It says the beginning of a knock.
    Slow,
    /// It says something else.
    Nonsense,
}

fn open(address: &str, manner: Manner) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    // Who was turned away before it could say so is no failure.
    let _ = match manner {
        Manner::Idle => Ok(()),
        Manner::Slow => stream.write_all(&[0, 0, 1, 0, b'{']),
        Manner::Nonsense => stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"),
    };
    Ok(stream)
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn main() -> ExitCode {
    let Arguments { connections, .. } = Arguments::parse();
    let descriptors = raise_descriptor_limit().unwrap_or(1_024);
    if descriptors < connections as u64 + BESIDES {
        eprintln!(
            "the system lets this process have {descriptors} file descriptors: give fewer \
             --connections, or raise ulimit -Hn"
        );
        return ExitCode::FAILURE;
    }
    let mut failed = false;
    println!("{connections} connections; {QUESTIONS} times status, in ms");
    println!("manner     opened in  median     99 %  longest  resident  descriptors");
    for manner in Manner::value_variants() {
        let (laboratory, _lines) = Laboratory::open();
        let ctl = laboratory.ctl();
        for server in ["a", "b"] {
            ctl.start_server(server);
        }
        ctl.json("vm create v --on a --set time_scale=1000 --set link.latency=4s");
        let begun = Instant::now();
        let held: Result<Vec<TcpStream>, _> =
            (0..connections).map(|_| open(&laboratory.address, *manner)).collect();
        let held = held.expect("the system opens connections");
        let opened_in = begun.elapsed();
        ctl.json("migrate v --to b");
        let mut waits: Vec<Duration> = (0..QUESTIONS)
            .map(|_| {
                let asked = Instant::now();
                ctl.json("status");
                asked.elapsed()
            })
            .collect();
        ctl.json("wait v");
        waits.sort_unstable();
        let milliseconds = |wait: Duration| wait.as_secs_f64() * 1e3;
        println!(
            "{:9} {:8.0} ms {:7.1}  {:7.1}  {:7.1}  {:>8}  {:>11}",
            format!("{manner:?}").to_lowercase(),
            milliseconds(opened_in),
            milliseconds(quantile(&waits, 0.5)),
            milliseconds(quantile(&waits, 0.99)),
            milliseconds(quantile(&waits, 1.0)),
            megabytes(laboratory.process().peak_resident()),
            laboratory.process().descriptors(),
        );
        failed |= quantile(&waits, 1.0) > AT_MOST;
        drop(held);
        laboratory.end();
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
