//! A soak: ten thousand migrations back and forth among servers, many at once, with cancels,
//! refusals, guests that are deleted and made anew, and now and then a server that is killed and
//! started again. Do memory, descriptors or processes grow? It fails where they do, where a guest
//! is not as in its reference run, and where a migration fails between servers that live.
//!
//! `cargo bench --bench soak`, or with `-- --migrations N --minutes N`: it stops at the first of
//! the two.

mod laboratory;

use clap::Parser;
use laboratory::sample::{Sample, compare};
use laboratory::{Ctl, Laboratory, Process, load};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The paper's guest, a thousand times as fast, and slow to think, so that guests that stay leave
/// the processor to those that move. A migration takes a quarter of a second of wall time or so.
const GUEST: &str = "--set time_scale=1000 --set guest.think_time=20s --set measured_accesses=10 \
                     --set link.latency=4s --set disk.latency_destination=1s --set \
                     guest.write_fraction=0.2";

/// A migration that lasts for a second, most of it before the hand-over.
const SLOW: &str = "--scheme stop-and-copy --set link.bandwidth=100B/s";

const SCHEMES: [&str; 5] =
    ["lazy-copy", "post-copy", "pre-copy", "stop-and-copy", "hybrid-lazy-copy"];

/// Servers that live throughout: theirs is the memory that must not grow.
const LASTING: u64 = 4;

/// Servers that are killed in turn.
const MORTAL: u64 = 2;

/// A server that no guest fits.
const SMALL: &str = "small";

/// Guests, and so migrations at once at most; the manager takes 64 commands of `ctl`.
const GUESTS: u64 = 40;

/// After so many migrations a guest is deleted and made anew: its history, which its reference run
/// repeats, stays short.
const LIFE: u64 = 40;

/// From one killing of a server to the next.
const KILL_EVERY: Duration = Duration::from_secs(5);

/// From one look at the processes to the next.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// From one line of figures to the next.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Migrations that are no part of the comparison: the manager remembers a thousand, and takes
/// memory until it does, and its allocator some more until blocks fit each other.
const UNTIL_FULL: f64 = 2_000.0;

/// Bytes per migration from which on memory is said to grow. Whatever a migration could leave
/// behind (a connection, a side's report, a log, a record) has thousands; what an allocator keeps
/// differs by some hundreds from one soak of ten thousand to the next.
const LEAK: f64 = 1_000.0;

/// Migrations without which nothing is said of memory.
const ENOUGH: u64 = 8_000;

/// How long connections may take to be parted from when all is over.
const FAREWELL: Duration = Duration::from_secs(15);

/// Things that went wrong that are printed.
const MOST_TOLD: usize = 20;

#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value_t = 10_000)]
    migrations: u64,
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Numbers that only look like chance (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % bound
    }
}

fn server_name(number: u64) -> String {
    match number < LASTING {
        true => format!("s{number}"),
        false => format!("mortal{}", number - LASTING),
    }
}

fn is_mortal(server: &str) -> bool {
    server.starts_with("mortal")
}

/// What came of everything.
#[derive(Default)]
struct Tally {
    outcomes: Mutex<BTreeMap<String, u64>>,
    wrong: Mutex<Vec<String>>,
    migrations: AtomicU64,
    kills: AtomicU64,
    over: AtomicBool,
}

impl Tally {
    fn count(&self, outcome: &str) {
        *self.outcomes.lock().expect("no panic").entry(outcome.to_owned()).or_default() += 1;
    }

    fn wrong(&self, what: String) {
        self.wrong.lock().expect("no panic").push(what);
    }

    fn migrations(&self) -> u64 {
        self.migrations.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Moves one guest about until all is over.
struct Mover<'a> {
    ctl: Ctl,
    tally: &'a Tally,
    dice: Dice,
    guest: String,
    /// Where the guest is; `None`: it has to be made first.
    server: Option<String>,
    age: u64,
}

impl Mover<'_> {
    fn run(&mut self) {
        while !self.tally.is_over() {
            match self.server.clone() {
                None => self.create(),
                Some(_) if self.age >= LIFE => self.delete(),
                Some(server) => match self.dice.below(100) {
                    0..5 => self.be_refused(&server),
                    5..15 => self.cancel(&server),
                    _ => self.migrate(&server),
                },
            }
        }
    }

    /// Sends a command; its JSON or its error.
    fn ask(&self, command: &str) -> Result<Value, String> {
        let reply = self.ctl.ask(command, true).expect("the manager answers");
        let json: Value = serde_json::from_str(&reply.output).expect("a reply in JSON");
        match reply.ok {
            true => Ok(json),
            false => Err(json["error"].as_str().unwrap_or_default().to_owned()),
        }
    }

    fn create(&mut self) {
        let (guest, seed) = (&self.guest, self.dice.0 >> 33);
        let server = server_name(self.dice.0 % LASTING);
        let made = self.ask(&format!("vm create {guest} --on {server} {GUEST} --set seed={seed}"));
        let made = made.and_then(|_| self.ask(&format!("vm start {guest}")));
        match made {
            Ok(_) => (self.server, self.age) = (Some(server), 0),
            Err(error) => {
                self.tally.wrong(format!("{guest} was not made: {error}"));
                self.look_for_it();
            }
        }
    }

    fn delete(&mut self) {
        let deleted = self.ask(&format!("vm delete {} --force", self.guest));
        // It may have died with its server.
        if let (Err(error), Some(server)) = (deleted, &self.server)
            && !is_mortal(server)
        {
            self.tally.wrong(format!("{} was not deleted: {error}", self.guest));
        }
        self.server = None;
    }

    fn be_refused(&mut self, server: &str) {
        let to = [server, SMALL, "nowhere"][self.dice.below(3) as usize];
        let command = format!("migrate {} --to {to}", self.guest);
        match self.ask(&command) {
            Err(_) => self.tally.count("refused"),
            Ok(_) => self.tally.wrong(format!("{command} was not refused")),
        }
        self.look_for_it();
    }

    fn another_server(&mut self, server: &str) -> String {
        loop {
            let other = server_name(self.dice.below(LASTING + MORTAL));
            if other != server {
                return other;
            }
        }
    }

    fn migrate(&mut self, server: &str) {
        let to = self.another_server(server);
        let scheme = SCHEMES[self.dice.below(SCHEMES.len() as u64) as usize];
        let begun = format!("migrate {} --to {to} --scheme {scheme} --wait", self.guest);
        let ended = self.ask(&begun);
        self.judge(server, &to, ended);
    }

    fn cancel(&mut self, server: &str) {
        let to = self.another_server(server);
        let guest = self.guest.clone();
        match self.ask(&format!("migrate {guest} --to {to} {SLOW}")) {
            // It may come too late, and the servers may be dead.
            Ok(_) => drop(self.ask(&format!("migrate cancel {guest}"))),
            Err(error) => return self.judge(server, &to, Err(error)),
        }
        // Waiting tells how the migration ended, as `--wait` does.
        let ended = self.ask(&format!("wait {guest}"));
        self.judge(server, &to, ended.map(|all| all["results"][0].clone()));
    }

    /// What came of a migration, and whether it may have come so.
    fn judge(&mut self, from: &str, to: &str, ended: Result<Value, String>) {
        self.age += 1;
        let killed = is_mortal(from) || is_mortal(to);
        let outcome = match &ended {
            Ok(record) => {
                if record["digest_matches"] != true {
                    self.tally.wrong(format!("{}: {record}", self.guest));
                }
                "completed"
            }
            Err(error) => match error.split_once(" did not complete: ") {
                Some((_, verdict)) => verdict.split(':').next().unwrap_or_default(),
                None => "not begun",
            },
        };
        if outcome != "not begun" {
            self.tally.migrations.fetch_add(1, Ordering::Relaxed);
        }
        self.tally.count(outcome);
        match &ended {
            Ok(_) => self.server = Some(to.to_owned()),
            Err(error) => {
                if !killed && outcome != "cancelled" {
                    self.tally.wrong(format!("{} from {from} to {to}: {error}", self.guest));
                }
                self.look_for_it();
            }
        }
    }

    /// After something that may have cost the guest: where is it?
    fn look_for_it(&mut self) {
        let shown = self.ask(&format!("vm show {}", self.guest));
        match shown {
            Ok(shown) => self.server = shown["server"].as_str().map(str::to_owned),
            // It is gone, or its server is and the manager has yet to learn it.
            Err(_) => {
                let _ = self.ask(&format!("vm delete {} --force", self.guest));
                self.server = None;
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// Kills the mortal servers in turn and starts them again.
fn kill_now_and_then(ctl: &Ctl, tally: &Tally, mut mortal: Vec<(String, Process)>) {
    let mut next = Instant::now() + KILL_EVERY;
    while !tally.is_over() {
        std::thread::sleep(Duration::from_millis(100));
        if Instant::now() < next {
            continue;
        }
        next += KILL_EVERY;
        let victim = tally.kills.fetch_add(1, Ordering::Relaxed) as usize % mortal.len();
        let (name, process) = &mut mortal[victim];
        kill(Pid::from_raw(process.pid as i32), Signal::SIGKILL).expect("it was started here");
        *process = loop {
            let reply = ctl.ask(&format!("server start {name}"), true).expect("it answers");
            let json: Value = serde_json::from_str(&reply.output).expect("a reply in JSON");
            match json["pid"].as_u64() {
                Some(pid) => break Process { pid: pid as u32 },
                // The manager has yet to learn that it is dead.
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    println!(
        "{} migrations or {} minutes; {GUESTS} guests on {} servers; {}",
        arguments.migrations,
        arguments.minutes,
        LASTING + MORTAL,
        load()
    );
    let (laboratory, lines) = Laboratory::open();
    std::thread::spawn(move || lines.into_iter().for_each(drop));
    let ctl = laboratory.ctl();
    let lasting: Vec<Process> =
        (0..LASTING).map(|number| ctl.start_server(&server_name(number))).collect();
    let mortal: Vec<(String, Process)> = (LASTING..LASTING + MORTAL)
        .map(|number| (server_name(number), ctl.start_server(&server_name(number))))
        .collect();
    ctl.json(&format!("server start {SMALL} --frames 10"));
    let tally = Tally::default();
    let at_rest = Sample::take(&laboratory, &lasting, tally.migrations());
    at_rest.print(Duration::ZERO);

    let begun = Instant::now();
    let mut samples = Vec::new();
    std::thread::scope(|scope| {
        for number in 0..GUESTS {
            let mut mover = Mover {
                ctl: ctl.clone(),
                tally: &tally,
                dice: Dice(arguments.seed << 32 | number << 16),
                guest: format!("g{number}"),
                server: None,
                age: 0,
            };
            scope.spawn(move || mover.run());
        }
        scope.spawn(|| kill_now_and_then(&ctl, &tally, mortal));
        let end = begun + Duration::from_secs(arguments.minutes * 60);
        let mut tell_at = begun + TELL_EVERY;
        while tally.migrations() < arguments.migrations && Instant::now() < end {
            std::thread::sleep(LOOK_EVERY);
            let sample = Sample::take(&laboratory, &lasting, tally.migrations());
            samples.push(sample);
            if Instant::now() >= tell_at {
                tell_at += TELL_EVERY;
                sample.print(begun.elapsed());
            }
            laboratory.clear_results();
        }
        tally.over.store(true, Ordering::Relaxed);
    });
    let took = begun.elapsed();

    let migrations = tally.migrations();
    let outcomes = tally.outcomes.lock().expect("no panic").clone();
    println!("{migrations} migrations in {:.0} s: {outcomes:?}", took.as_secs_f64());
    println!("servers killed and started again: {}", tally.kills.load(Ordering::Relaxed));
    let mut wrong = tally.wrong.lock().expect("no panic").clone();
    let mut grown = |what: &str, has_grown: bool| {
        if has_grown {
            wrong.push(format!("{what} has grown"));
        }
    };
    samples.retain(|sample| sample.migrations >= UNTIL_FULL);
    let memory = [
        compare("memory of the manager in MB", 1e6, &samples, |sample| sample.manager_memory),
        compare("memory of lasting servers in MB", 1e6, &samples, |sample| sample.servers_memory),
    ];
    match migrations >= ENOUGH {
        true => grown("memory", memory.iter().any(|slope| *slope >= LEAK)),
        false => println!("fewer than {ENOUGH} migrations do not tell whether memory grows"),
    }
    compare("processes", 1.0, &samples, |sample| sample.processes);
    compare("descriptors of the manager", 1.0, &samples, |sample| sample.manager_descriptors);
    compare("descriptors of lasting servers", 1.0, &samples, |it| it.servers_descriptors);
    let more = |after: &Sample| {
        after.manager_descriptors > at_rest.manager_descriptors
            || after.servers_descriptors > at_rest.servers_descriptors
            || after.processes > at_rest.processes
    };
    let quiet = Instant::now() + FAREWELL;
    let mut after = Sample::take(&laboratory, &lasting, tally.migrations());
    while more(&after) && Instant::now() < quiet {
        std::thread::sleep(Duration::from_millis(100));
        after = Sample::take(&laboratory, &lasting, tally.migrations());
    }
    println!("at rest, before and after:");
    at_rest.print(Duration::ZERO);
    after.print(took);
    grown("descriptors or processes at rest", more(&after));
    laboratory.end();
    println!("no process is left behind");
    wrong.iter().take(MOST_TOLD).for_each(|wrong| eprintln!("wrong: {wrong}"));
    if wrong.len() > MOST_TOLD {
        eprintln!("and {} more", wrong.len() - MOST_TOLD);
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
