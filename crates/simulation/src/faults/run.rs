//! One run of the fault simulation.

use super::case::FaultCase;
use super::checkers::Violation;
use super::world::{Hit, Tally, World};
use lazycopy_migration::{
    Destination, DestinationReport, Event, Outcome, Source, SourceReport, Verdict,
};
use lazycopy_units::Instant;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(super) const ENDS_IN_TIME: (&str, &str) =
    ("ends-in-time", "when faults have stopped, every migration ends within its bound");
pub(super) const NO_PANIC: (&str, &str) =
    ("no-panic", "no assertion of the machines fails, whatever happens around them");

/// Steps after which a run is taken for one that does not end: some hundred times what one takes.
const MOST_STEPS: u64 = 4_000_000;

/// What came of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRun {
    /// How the migration ended.
    pub verdict: Verdict,
    /// What did not hold, if anything: the run ends at the end of the step that broke it.
    pub violations: Vec<Violation>,
    /// The faults that took place.
    pub hits: Vec<Hit>,
    /// What else happened.
    pub tally: Tally,
    /// When the run was over.
    pub ended_at: Instant,
    /// What the source had counted, in the end or when its process died.
    pub source: SourceReport,
    /// What the destination had counted.
    pub destination: DestinationReport,
    /// Both machines' events, where they were asked for.
    pub events: Vec<Event>,
}

/// How a case is run.
#[derive(Clone, Copy, Debug)]
pub struct FaultOptions {
    /// Keep the events.
    pub events: bool,
    /// The connection tells packets that come twice from others. Where it does not, that rule is
    /// broken on purpose.
    pub filters_duplicates: bool,
    /// The destination acknowledges pages before the guest runs there. That is a rule broken on
    /// purpose, too: the source gives their memory up, and may have to take the guest back.
    pub acknowledges_early: bool,
}

impl Default for FaultOptions {
    /// No events, no broken rule.
    fn default() -> Self {
        FaultOptions { events: false, filters_duplicates: true, acknowledges_early: false }
    }
}

impl FaultCase {
    /// Runs the case.
    pub fn run(&self, options: &FaultOptions) -> FaultRun {
        self.run_with(options, |_, _| {})
    }

    /// Runs the case with machines that were changed before: with a rule broken on purpose.
    pub fn run_with(
        &self,
        options: &FaultOptions,
        prepare: impl FnOnce(&mut Source, &mut Destination),
    ) -> FaultRun {
        let simulated = catch_unwind(AssertUnwindSafe(|| self.simulate(options, prepare)));
        simulated.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
            let problem = text.unwrap_or_else(|| "a panic without words".to_owned());
            self.broken(Violation {
                checker: NO_PANIC.0,
                sentence: NO_PANIC.1,
                problem,
                at: Instant::ZERO,
            })
        })
    }

    fn broken(&self, violation: Violation) -> FaultRun {
        let reason = violation.problem.clone();
        FaultRun {
            verdict: Verdict { outcome: Outcome::Failed, reason },
            violations: vec![violation],
            hits: Vec::new(),
            tally: Tally::default(),
            ended_at: Instant::ZERO,
            source: SourceReport::default(),
            destination: DestinationReport::default(),
            events: Vec::new(),
        }
    }

    fn simulate(
        &self,
        options: &FaultOptions,
        prepare: impl FnOnce(&mut Source, &mut Destination),
    ) -> FaultRun {
        let world = World::new(self, options, prepare);
        let mut world = world.expect("a drawn guest is small, and needs no file");
        world.checkers.events = options.events.then(Vec::new);
        world.begin();
        let bound = self.bound();
        let mut steps = 0;
        while !world.has_ended() && world.checkers.violations.is_empty() {
            let stands_still = !world.step();
            steps += 1;
            let deadline = world.calm_from.saturating_add(bound);
            if stands_still || world.now > deadline || steps > MOST_STEPS {
                let why = if stands_still { "nothing happens any more" } else { "it goes on" };
                let problem = format!(
                    "at {} {why}; the last fault was over at {}, the bound is {bound}",
                    world.now, world.calm_from
                );
                world.checkers.blame(ENDS_IN_TIME.0, ENDS_IN_TIME.1, problem);
            }
        }
        world.finish()
    }
}

impl World<'_> {
    fn finish(mut self) -> FaultRun {
        let lost_late = self.lost_late();
        let is_over = self.checkers.violations.is_empty();
        let verdict = self.checkers.finish(&self.hosts, self.cancelled, lost_late, is_over);
        self.count();
        let (source, destination) = self.checkers.reports(&self.hosts);
        FaultRun {
            verdict,
            violations: std::mem::take(&mut self.checkers.violations),
            hits: self.hits,
            tally: self.tally,
            ended_at: self.now,
            source,
            destination,
            events: self.checkers.events.take().unwrap_or_default(),
        }
    }
}
