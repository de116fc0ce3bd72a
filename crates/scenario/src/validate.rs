//! What a scenario must keep to, and what is worth a warning.

use crate::cards::Crossed;
use crate::error::ScenarioError;
use crate::fleet::FleetScenario;
use crate::scenario::Scenario;
use crate::table::KeyProblem;
use lazycopy_guest::WorkloadSpec;
use lazycopy_link::LinkParameters;
use lazycopy_migration::{Context, StopRule};
use lazycopy_units::{Duration, PAGE_MESSAGE_BYTES, Rate};
use std::fmt;
use std::ops::Range;

/// Seconds of a year, as durations are written: 365.25 days.
const YEAR_SECS: u64 = 31_557_600;

/// The longest single duration: ten years. Model time ends after 584 years.
pub const MAX_SPAN: Duration = Duration::from_secs(10 * YEAR_SECS);

/// The longest that the warm-up, a round, the transfer of all frames, and the measured accesses
/// may take each, in the worst case: a hundred years, so that their sum stays below the 584 years
/// of model time.
pub const MAX_RUN_TIME: Duration = Duration::from_secs(100 * YEAR_SECS);

/// The most pages of a guest: 256 GiB, whose tables take a few GB on each server.
pub const MAX_GUEST_PAGES: u32 = 1 << 26;

/// The least latency in wall time at which scheduling noise stays well below it.
pub const LEAST_WALL_LATENCY: Duration = Duration::from_millis(2);

/// A guest that is throttled by 99 per cent, the most, takes so many times as long.
const MOST_STRETCH: u128 = 100;

/// TOML has no larger integers.
const MAX_INTEGER: u64 = i64::MAX as u64;

/// Something that a scenario may do, but that is seldom meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The key.
    pub key: &'static str,
    /// What is odd about it, and what would be better.
    pub problem: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

impl Scenario {
    /// Checks every rule that needs no file.
    ///
    /// # Errors
    /// The first key that breaks its rule.
    pub fn validate(&self) -> Result<(), ScenarioError> {
        self.check().map_err(|(key, problem)| ScenarioError::Invalid {
            name: self.name.clone(),
            key: key.to_owned(),
            problem,
        })
    }

    pub(crate) fn check(&self) -> Result<(), KeyProblem> {
        if self.time_scale == 0 {
            return Err(("time_scale", "it must be at least 1".to_owned()));
        }
        self.check_integers()?;
        self.check_spans()?;
        self.check_link()?;
        if self.guest.pages > MAX_GUEST_PAGES {
            let problem = format!("{} is above {MAX_GUEST_PAGES}", self.guest.pages);
            return Err(("guest.pages", problem));
        }
        self.guest_spec(self.seed).validate().map_err(|error| (error.key, error.problem))?;
        self.migration_parameters().validate().map_err(|error| (error.key, error.problem))?;
        if let (Some(fleet), Some(link)) = (&self.fleet, self.link.modelled()) {
            fleet.check(self.guest.pages, link.bandwidth)?;
        }
        self.check_run_time()
    }

    /// The seeds of so many runs, the scenario's first; `what` asked for them.
    ///
    /// # Errors
    /// When the last could not be written in a scenario.
    pub fn seeds(&self, count: u64, what: &str) -> Result<Range<u64>, ScenarioError> {
        // The end itself is no seed.
        match self.seed.checked_add(count) {
            Some(end) if end <= MAX_INTEGER + 1 => Ok(self.seed..end),
            _ => Err(ScenarioError::Invalid {
                name: self.name.clone(),
                key: what.to_owned(),
                problem: format!(
                    "{count} seeds from seed = {} on go beyond {MAX_INTEGER}; use fewer, or a \
                     smaller seed",
                    self.seed
                ),
            }),
        }
    }

    fn check_integers(&self) -> Result<(), KeyProblem> {
        let integers = [
            ("seed", Some(self.seed)),
            ("warmup_accesses", Some(self.warmup_accesses)),
            ("warmup_jitter", Some(self.warmup_jitter)),
            ("measured_accesses", Some(self.measured_accesses)),
            ("time_scale", Some(self.time_scale)),
            ("migration.head_start", Some(self.migration.head_start)),
            ("migration.max_lead", self.migration.max_lead),
        ];
        match integers.into_iter().find(|(_, value)| value.is_some_and(|it| it > MAX_INTEGER)) {
            Some((key, _)) => Err((key, format!("it is above {MAX_INTEGER}"))),
            None => Ok(()),
        }
    }

    fn check_spans(&self) -> Result<(), KeyProblem> {
        let instruction_time = match &self.guest.workload {
            WorkloadSpec::Trace { instruction_time, .. } => *instruction_time,
            _ => Duration::ZERO,
        };
        let mut spans = vec![
            ("guest.think_time", self.guest.think_time.unwrap_or(Duration::ZERO)),
            ("guest.workload.instruction_time", instruction_time),
            ("link.latency", self.link.latency()),
            ("disk.latency_source", self.disk.latency_source),
            ("disk.latency_destination", self.disk.latency_destination),
            ("migration.fault_penalty", self.migration.fault_penalty),
            ("migration.first_write_cost", self.migration.first_write_cost),
        ];
        for entry in self.fleet.iter().flat_map(|fleet| &fleet.moves) {
            spans.push(("fleet.moves.starts", entry.starts));
            spans.push(("fleet.moves.interval", entry.interval));
        }
        for entry in self.fleet.iter().flat_map(|fleet| &fleet.neighbours) {
            spans.push(("fleet.neighbours.on", entry.on));
            spans.push(("fleet.neighbours.off", entry.off));
            spans.push(("fleet.neighbours.begins", entry.begins));
        }
        match spans.into_iter().find(|(_, span)| *span > MAX_SPAN) {
            Some((key, span)) => Err((key, format!("{span} is longer than ten years"))),
            None => Ok(()),
        }
    }

    /// Bounds the run's time from above: every access a fault, every frame sent.
    fn check_run_time(&self) -> Result<(), KeyProblem> {
        let warmup = u128::from(self.warmup_accesses) + u128::from(self.warmup_jitter);
        let measured = u128::from(self.measured_accesses);
        let nanos = |span: Duration| u128::from(span.as_nanos());
        let (network, page) = self.slowest_transfer(PAGE_MESSAGE_BYTES);
        let frames = u128::from(self.guest.frames);
        let context = Context::bytes_for(self.migration.context_bytes, self.guest.frames as usize);
        let transfer = self.slowest_transfer(context).1.saturating_add(page.saturating_mul(frames));
        let fault = (nanos(self.disk.latency_source.max(self.disk.latency_destination))
            + nanos(self.migration.fault_penalty)
            + 3 * nanos(self.link.latency()))
        .saturating_add(page.saturating_mul(2));
        let bounds = [
            (network, transfer),
            self.first_round(),
            self.slowest_push(),
            self.slowest_access(),
            self.fleet.as_ref().map_or(("fleet.moves.starts", 0), FleetScenario::last_start),
            ("warmup_accesses", self.thinking(warmup)),
            (
                "measured_accesses",
                self.thinking(measured).saturating_add(measured.saturating_mul(fault)),
            ),
        ];
        let longest = nanos(MAX_RUN_TIME);
        match bounds.into_iter().find(|(_, bound)| *bound > longest) {
            Some((key, bound)) => Err((
                key,
                format!(
                    "with it a run may take {} years of model time, and 100 are allowed",
                    bound / nanos(Duration::from_secs(YEAR_SECS))
                ),
            )),
            None => Ok(()),
        }
    }

    /// What a round takes at most at the rate to which it is held, in nanoseconds, and the key that
    /// makes it so. Further rounds have bounds of their own, `max_rounds` and `max_time`.
    fn first_round(&self) -> (&'static str, u128) {
        let migration = &self.migration;
        let cap = migration.bandwidth_cap.map(|cap| (cap, "migration.bandwidth_cap"));
        let held = match migration.stop_rule {
            // Later ones are faster than the first.
            StopRule::Clark => {
                let first = (migration.minimum_rate, "migration.minimum_rate");
                Some(cap.map_or(first, |cap| cap.min(first)))
            }
            StopRule::Xen => cap,
            // At least a page goes in each tenth of a second.
            StopRule::Qemu => None,
        };
        match held.filter(|_| self.has_rounds()) {
            Some((rate, key)) => {
                let page = u128::from(rate.time_for(PAGE_MESSAGE_BYTES).as_nanos());
                (key, page.saturating_mul(u128::from(self.guest.frames)))
            }
            None => ("migration.bandwidth_cap", 0),
        }
    }

    /// What the background push takes at most at the rate to which it is held, in nanoseconds.
    fn slowest_push(&self) -> (&'static str, u128) {
        let page = self.migration.push_rate.map(|rate| rate.time_for(PAGE_MESSAGE_BYTES));
        let page = u128::from(page.unwrap_or_default().as_nanos());
        ("migration.push_rate", page.saturating_mul(u128::from(self.guest.frames)))
    }

    /// From an access to the next at most, while rounds slow the guest down: in nanoseconds, with
    /// the key that makes it so.
    fn slowest_access(&self) -> (&'static str, u128) {
        let migration = &self.migration;
        if !self.has_rounds() {
            return ("migration.first_write_cost", 0);
        }
        let is_throttled = migration.auto_converge || migration.burst_share_percent > 0;
        let stretch = if is_throttled { MOST_STRETCH } else { 1 };
        let cost = u128::from(migration.first_write_cost.as_nanos());
        let think = self.thinking(1);
        let bound = think.saturating_add(cost).saturating_mul(stretch);
        let key = match self.guest.workload {
            _ if cost > think => "migration.first_write_cost",
            WorkloadSpec::Trace { .. } => "guest.workload.instruction_time",
            _ => "guest.think_time",
        };
        (key, bound)
    }

    fn has_rounds(&self) -> bool {
        self.migration.scheme.parts().before_handover.has_rounds()
    }

    /// What a message takes at most, in nanoseconds, and the key that makes it so: on a card that
    /// all use at once that may cross it, each gets an equal share of it.
    fn slowest_transfer(&self, bytes: u64) -> (&'static str, u128) {
        let nanos = |rate: Rate| u128::from(rate.time_for(bytes).as_nanos());
        // What sockets take is not the model's time.
        let Some(link) = self.link.modelled() else { return ("link.bandwidth", 0) };
        let alone = nanos(link.bandwidth);
        let crossed = self.fleet.iter().flat_map(|fleet| fleet.crossed(link.bandwidth));
        let share = |crossed: Crossed| nanos(crossed.card) * u128::from(crossed.flows);
        let shared = crossed.map(share).max().unwrap_or(0);
        if shared > alone { ("fleet.card", shared) } else { ("link.bandwidth", alone) }
    }

    /// Think time of so many accesses, in nanoseconds, at most.
    fn thinking(&self, accesses: u128) -> u128 {
        let per_access = match (&self.guest.workload, self.recording) {
            (WorkloadSpec::Trace { instruction_time, .. }, Some(recording)) => {
                let lap = u128::from(recording.instructions)
                    .saturating_mul(u128::from(instruction_time.as_nanos()))
                    .max(u128::from(recording.accesses));
                let laps = accesses / u128::from(recording.accesses.max(1)) + 1;
                return lap.saturating_mul(laps);
            }
            (WorkloadSpec::Trace { .. }, None) => 0,
            _ => self.guest.think_time.unwrap_or(Duration::ZERO).as_nanos(),
        };
        u128::from(per_access).saturating_mul(accesses)
    }

    /// What is allowed but seldom meant, by key.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        warnings.extend(self.short_latency());
        if matches!(self.guest.workload, WorkloadSpec::Trace { .. }) {
            let unused = "a recorded program does not use it; leave it out";
            if self.guest.think_time.is_some() {
                let problem = unused.to_owned();
                warnings.push(Warning { key: "guest.think_time", problem });
            }
            if self.guest.write_fraction != 0.0 {
                let problem = unused.to_owned();
                warnings.push(Warning { key: "guest.write_fraction", problem });
            }
        }
        warnings
    }

    fn short_latency(&self) -> Option<Warning> {
        let LinkParameters { latency, .. } = self.link.modelled()?;
        let wall = Duration::from_nanos(latency.as_nanos() / self.time_scale.max(1));
        (wall < LEAST_WALL_LATENCY && self.fleet.is_none()).then(|| Warning {
            key: "link.latency",
            problem: format!(
                "at a time_scale of {} its {latency} take {wall} of wall time, less than \
                 {LEAST_WALL_LATENCY}: lateness of the processes may become a result; use a \
                 smaller time_scale or a longer latency",
                self.time_scale
            ),
        })
    }
}
