//! One run: the hosts, the faults, and the time.

use super::brain::Brain;
use super::case::{LATENCY, ShellCase};
use super::checkers::Violation;
use super::fault::{Moment, PlannedFault, ShellFault};
use super::links::{Links, MANAGER, host};
use super::manager;
use lazycopy_migration::{Outcome, Side};
use lazycopy_server::ServerConfig;
use lazycopy_transport::{Door, Token};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use turmoil::Sim;

/// So much time passes at once: no message is faster.
const TICK: Duration = Duration::from_millis(5);

/// When all is over the guest is watched for so long: it has to go on.
const AFTERMATH: Duration = Duration::from_secs(1);

/// Segments that a connection has under way at most.
const TCP_SEGMENTS: usize = 1_024;

/// Longer than any case lasts.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Frames of memory of a server.
const FRAMES: u64 = 2_000;

/// What came of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct ShellRun {
    /// How the migration ended, if it began.
    pub outcome: Option<Outcome>,
    /// What did not hold, if anything.
    pub violations: Vec<Violation>,
    /// The faults that took place: when, in which moment, what.
    pub hits: Vec<(Duration, Moment, ShellFault)>,
    /// Pauses that the source counted, and those that the destination did.
    pub pauses: [u64; 2],
    /// Whether an operator took the guest back.
    pub reclaimed: bool,
    /// How long it took, of simulated time.
    pub ended_at: Duration,
    /// What happened, a line each.
    pub story: Vec<String>,
}

struct World<'a> {
    case: &'a ShellCase,
    sim: Sim<'a>,
    brain: Brain<'a>,
    links: Links,
    planned: Vec<PlannedFault>,
    /// Processes that begin anew, and when.
    restarts: Vec<(Duration, Side)>,
    calm_since: Duration,
}

impl ShellCase {
    /// Runs the case, on this thread alone.
    pub fn run(&self) -> ShellRun {
        let mut world = World::new(self);
        let done = catch_unwind(AssertUnwindSafe(|| world.run()));
        let now = world.sim.elapsed();
        if let Err(panic) = done {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
            let problem = text.unwrap_or_else(|| "a panic without words".to_owned());
            world.brain.book.blame(now, "no-panic", problem);
        }
        let book = world.brain.book;
        let pauses = [Side::Source, Side::Destination].map(|side| {
            use lazycopy_protocol::control::SideReport;
            book.ended.get(&side).map_or(0, |ended| match &ended.report {
                SideReport::Source(report) => report.pauses,
                SideReport::Destination(report) => report.pauses,
            })
        });
        ShellRun {
            outcome: book.outcome(),
            violations: book.violations,
            hits: book.hits,
            pauses,
            reclaimed: book.reclaimed,
            ended_at: now,
            story: book.story,
        }
    }
}

impl<'a> World<'a> {
    fn new(case: &'a ShellCase) -> Self {
        let token = Token::of_text(&"5a".repeat(32)).expect("it is long enough");
        let door = Door::simulated(token);
        let mut sim = turmoil::Builder::new()
            .rng_seed(case.seed)
            .tick_duration(TICK)
            .simulation_duration(LONGEST)
            .min_message_latency(LATENCY.0)
            .max_message_latency(LATENCY.1)
            .tcp_capacity(TCP_SEGMENTS)
            .build();
        let (heard, hears) = unbounded_channel();
        let managers = door.clone();
        sim.host(MANAGER, move || manager::listen(managers.clone(), heard.clone()));
        let manager = format!("{}:{}", sim.lookup(MANAGER), manager::PORT);
        for side in [Side::Source, Side::Destination] {
            let config = ServerConfig {
                manager: manager.clone(),
                name: host(side).to_owned(),
                listen: ([0, 0, 0, 0], 0).into(),
                advertise: None,
                frames: FRAMES,
                door: door.clone(),
            };
            sim.host(host(side), move || {
                let config = config.clone();
                async { Ok(lazycopy_server::run(config, std::future::pending()).await?) }
            });
        }
        World {
            case,
            sim,
            brain: Brain::new(case, hears),
            links: Links::default(),
            planned: case.faults.clone(),
            restarts: Vec::new(),
            calm_since: Duration::ZERO,
        }
    }

    fn run(&mut self) {
        while self.brain.book.violations.is_empty() {
            let now = self.step();
            if !self.is_calm() {
                self.calm_since = now;
            }
            if self.is_calm() && self.brain.has_ended(self.calm_since) {
                break;
            }
            let bound = self.case.bound();
            if now > self.calm_since + bound {
                let problem = format!(
                    "it goes on at {now:?}; the last fault was over at {:?}, the bound is \
                     {bound:?}: {}",
                    self.calm_since,
                    self.brain.what_is_left()
                );
                self.brain.book.blame(now, "ends-in-time", problem);
            }
        }
        if self.brain.book.violations.is_empty() {
            self.finish();
        }
    }

    /// Watches the guest a little longer, and looks at what came of everything.
    fn finish(&mut self) {
        self.brain.book.accesses_at_end = self.brain.book.accesses();
        let end = self.sim.elapsed() + AFTERMATH;
        while self.sim.elapsed() < end && self.brain.book.violations.is_empty() {
            self.step();
        }
        let now = self.sim.elapsed();
        self.brain.book.finish(self.case, now);
    }

    fn step(&mut self) -> Duration {
        if let Err(error) = self.sim.step() {
            let now = self.sim.elapsed();
            self.brain.book.blame(now, "no-panic", format!("a server ended: {error}"));
        }
        let now = self.sim.elapsed();
        self.brain.think(now);
        self.links.tend(&self.sim, now);
        self.restart(now);
        self.strike(now);
        now
    }

    fn is_calm(&self) -> bool {
        self.links.are_calm() && self.restarts.is_empty() && !self.is_due_later()
    }

    /// Whether a fault is still to come of a moment that has begun.
    fn is_due_later(&self) -> bool {
        let book = &self.brain.book;
        self.planned.iter().any(|planned| book.began(planned.moment).is_some())
            && !self.brain.has_ended(Duration::ZERO)
    }

    fn restart(&mut self, now: Duration) {
        let due = self.restarts.extract_if(.., |(at, _)| *at <= now);
        for (_, side) in due.collect::<Vec<_>>() {
            self.brain.book.tell(now, format!("{side:?} begins anew"));
            self.sim.bounce(host(side));
        }
    }

    /// What is due of the moments that the migration is in goes wrong.
    fn strike(&mut self, now: Duration) {
        let book = &self.brain.book;
        let is_due = |it: &mut PlannedFault| {
            book.began(it.moment).is_some_and(|since| now >= since + it.after)
        };
        let due: Vec<PlannedFault> = self.planned.extract_if(.., is_due).collect();
        for planned in due {
            self.happen(now, planned.moment, planned.fault);
        }
    }

    fn happen(&mut self, now: Duration, moment: Moment, fault: ShellFault) {
        if fault.kills().is_some_and(|side| self.brain.book.is_dead(side)) {
            return;
        }
        self.brain.book.tell(now, format!("fault: {fault}"));
        self.brain.book.hits.push((now, moment, fault));
        match fault {
            ShellFault::Crash(side) | ShellFault::Restart(side, _) => {
                self.sim.crash(host(side));
                self.brain.dies(now, side);
                if let ShellFault::Restart(_, lasts) = fault {
                    self.restarts.push((now + lasts, side));
                }
            }
            ShellFault::Cut => Links::cut(&self.sim, &[Side::Source, Side::Destination]),
            ShellFault::CutAt(side) => Links::cut(&self.sim, &[side]),
            ShellFault::CutManager => Links::cut_manager(&self.sim),
            ShellFault::Cancel => self.brain.cancel(),
            ShellFault::Recover => self.brain.recover(),
            ShellFault::Reclaim => self.brain.reclaim(),
            of_the_network => self.links.strike(&self.sim, now, of_the_network),
        }
    }
}
