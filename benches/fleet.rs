//! A fleet: ten servers, a thousand small guests that run, a hundred of them migrating at once
//! until each has moved, on this machine; meanwhile somebody asks the manager for its `status` all
//! the time. How long does the reply take (aim: the 99th percentile below 50 ms on two cores), and
//! what does it cost? It fails where a migration is not completed or its guest is not as in the
//! reference run.
//!
//! `cargo bench --bench fleet`, or with `-- --guests N --at-once N --servers N`.

mod laboratory;

use clap::Parser;
use laboratory::{Ctl, Laboratory, Process, load, megabytes, result};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The guest is the paper's, ten times as fast as it says; a migration takes one to two seconds of
/// wall time, and the link's latency 20 ms, far more than a socket's.
const SCENARIO: &str = "--set time_scale=10 --set measured_accesses=10 --set \
                        disk.latency_destination=1s --set guest.write_fraction=0.2";

/// Each guest is moved by one of these, in turn.
const SCHEMES: [&str; 3] = ["lazy-copy", "post-copy", "pre-copy"];

/// Commands under way at a time: the manager takes 64 from `ctl`.
const CALLERS: usize = 16;

/// The pause between a reply to `status` and the next question.
const PAUSE: Duration = Duration::from_millis(10);

/// The 99th percentile that is wanted.
const AIM: Duration = Duration::from_millis(50);

/// How long nothing may end before the benchmark gives up.
const SILENCE: Duration = Duration::from_secs(120);

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value_t = 10)]
    servers: usize,
    #[arg(long, default_value_t = 1_000)]
    guests: usize,
    #[arg(long, default_value_t = 100)]
    at_once: usize,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Does `work` for each number below `count`, several at a time.
fn for_each(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    work(number);
                }
            });
        }
    });
}

/// What asking for `status` gave.
#[derive(Default)]
struct Asked {
    replies: Vec<Duration>,
    bytes: usize,
    /// Migrations that ran, the most and in all replies.
    most_running: usize,
    running: usize,
    most_descriptors: BTreeMap<u32, usize>,
}

/// Asks for `status` until it is told to stop.
fn ask_for_status(ctl: &Ctl, stop: &AtomicBool, processes: &[Process]) -> Asked {
    let mut asked = Asked::default();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let reply = ctl.ask("status", true).expect("the manager answers");
        asked.replies.push(begun.elapsed());
        asked.bytes = asked.bytes.max(reply.output.len());
        let status: serde_json::Value = serde_json::from_str(&reply.output).expect("JSON");
        let running = status["migrations"].as_array().map_or(0, Vec::len);
        asked.running += running;
        asked.most_running = asked.most_running.max(running);
        // The processes in turn.
        if let Some(process) = processes.get(asked.replies.len() % processes.len().max(1)) {
            let most = asked.most_descriptors.entry(process.pid).or_default();
            *most = process.descriptors().max(*most);
        }
        std::thread::sleep(PAUSE);
    }
    asked
}

fn print_replies(what: &str, asked: &mut Asked) -> Duration {
    asked.replies.sort();
    let quantile = |share: f64| {
        let last = asked.replies.len().saturating_sub(1);
        asked.replies.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    };
    let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let (p50, p99, max) = (quantile(0.5), quantile(0.99), quantile(1.0));
    println!(
        "status {what}: p50 {}, p99 {}, max {} ({} replies of up to {} kB)",
        millis(p50),
        millis(p99),
        millis(max),
        asked.replies.len(),
        asked.bytes / 1000,
    );
    p99
}

/// Moves every guest to another server, so many at once. Gives what went wrong in words.
fn migrate_all(ctl: &Ctl, arguments: &Arguments, lines: &Receiver<String>) -> Vec<String> {
    let (permit, permits) = channel();
    (0..arguments.at_once).for_each(|_| permit.send(()).expect("it is read below"));
    let permits = Mutex::new(permits);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for_each(arguments.guests, |number| {
                let turn = permits.lock().map(|permits| permits.recv_timeout(SILENCE));
                if !matches!(turn, Ok(Ok(()))) {
                    return wrong.lock().expect("no panic").push("no migration ends".to_owned());
                }
                let scheme = SCHEMES[number % SCHEMES.len()];
                let to = (home(number, arguments) + 1 + number % (arguments.servers - 1))
                    % arguments.servers;
                let command = format!("migrate g{number} --to s{to} --scheme {scheme}");
                let reply = ctl.ask(&command, false).expect("the manager answers");
                if !reply.ok {
                    wrong.lock().expect("no panic").push(format!("{command}: {}", reply.output));
                    let _ = permit.send(());
                }
            });
        });
        let mut ended = 0;
        while ended + wrong.lock().expect("no panic").len() < arguments.guests {
            match lines.recv_timeout(SILENCE) {
                Ok(line) if line.starts_with("Migration ") && line.contains(" of \"") => {
                    ended += 1;
                    let _ = permit.send(());
                }
                // None of them hangs, however busy the machine is.
                Ok(line) if line.contains("does not answer") => {
                    println!("  a heartbeat has misfired: {line}");
                }
                Ok(_) => {}
                Err(_) => return wrong.lock().expect("no panic").push("it is silent".to_owned()),
            }
        }
    });
    wrong.into_inner().expect("no panic")
}

/// The server that a guest is created on.
fn home(number: usize, arguments: &Arguments) -> usize {
    number / SCHEMES.len() % arguments.servers
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    println!(
        "{} servers, {} guests, {} migrations at once; {}",
        arguments.servers,
        arguments.guests,
        arguments.at_once,
        load()
    );
    let (laboratory, lines) = Laboratory::open();
    let ctl = laboratory.ctl();
    let servers: Vec<Process> =
        (0..arguments.servers).map(|number| ctl.start_server(&format!("s{number}"))).collect();
    let begun = Instant::now();
    for_each(arguments.guests, |number| {
        let on = home(number, &arguments);
        ctl.json(&format!("vm create g{number} --on s{on} {SCENARIO} --set seed={number}"));
        ctl.json(&format!("vm start g{number}"));
    });
    println!("guests created and running after {:.1} s", begun.elapsed().as_secs_f64());

    let mut processes = vec![laboratory.process()];
    processes.extend(&servers);
    let stop = Arc::new(AtomicBool::new(false));
    let watch = || {
        stop.store(false, Ordering::Relaxed);
        let (ctl, stop, processes) = (ctl.clone(), Arc::clone(&stop), processes.clone());
        std::thread::spawn(move || ask_for_status(&ctl, &stop, &processes))
    };
    let finish = |asking: std::thread::JoinHandle<Asked>| {
        stop.store(true, Ordering::Relaxed);
        asking.join().expect("no panic")
    };
    let asking = watch();
    std::thread::sleep(Duration::from_secs(2));
    print_replies("before any migration", &mut finish(asking));

    let before = laboratory.process().resident();
    let asking = watch();
    let begun = Instant::now();
    let mut wrong = migrate_all(&ctl, &arguments, &lines);
    let took = begun.elapsed();
    let mut asked = finish(asking);
    let p99 = print_replies("meanwhile", &mut asked);
    let verdict = if p99 < AIM { "below" } else { "NOT below" };
    println!("  p99 is {verdict} the aim of {} ms", AIM.as_millis());
    println!(
        "migrations: {} in {:.1} s, {:.1} a second; running at once: {:.0} in the mean, {} at most",
        arguments.guests,
        took.as_secs_f64(),
        arguments.guests as f64 / took.as_secs_f64(),
        asked.running as f64 / asked.replies.len().max(1) as f64,
        asked.most_running
    );

    let runs: Vec<_> = laboratory.runs().iter().map(|run| result(run)).collect();
    let right =
        |run: &&serde_json::Value| run["outcome"] == "completed" && run["digest_matches"] == true;
    let late = runs.iter().filter(|run| run["slip_exceeded"] == true).count();
    let right = runs.iter().filter(right).count();
    println!("  {right} of {} completed with the right digest, {late} marked as late", runs.len());
    if right != arguments.guests {
        wrong.push(format!("{right} of {} guests were moved as they should", arguments.guests));
    }
    let peaks: Vec<u64> = servers.iter().map(|server| server.peak_resident()).collect();
    println!(
        "peak memory: manager {} ({} before the migrations), servers {} at most, {} in all",
        megabytes(laboratory.process().peak_resident()),
        megabytes(before),
        megabytes(peaks.iter().copied().max().unwrap_or_default()),
        megabytes(peaks.iter().sum())
    );
    let most = |process: Process| asked.most_descriptors.get(&process.pid).copied().unwrap_or(0);
    println!(
        "open descriptors seen at most: manager {}, servers {}; now: manager {}, servers {}",
        most(laboratory.process()),
        servers.iter().map(|server| most(*server)).max().unwrap_or_default(),
        laboratory.process().descriptors(),
        servers.iter().map(|server| server.descriptors()).max().unwrap_or_default()
    );
    laboratory.end();
    wrong.iter().for_each(|wrong| eprintln!("wrong: {wrong}"));
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
