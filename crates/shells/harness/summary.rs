//! What many runs came to.

use super::case::ShellCase;
use super::fault::{FAULT_KINDS, Moment};
use super::run::ShellRun;
use lazycopy_migration::{Outcome, Scheme};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Outcomes in the order of the table.
const OUTCOMES: [Outcome; 5] = [
    Outcome::Completed,
    Outcome::Cancelled,
    Outcome::Failed,
    Outcome::NeverConverges,
    Outcome::Lost,
];

/// Sums over many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShellSummary {
    runs: u64,
    hits: BTreeMap<Moment, [u64; FAULT_KINDS.len()]>,
    outcomes: BTreeMap<(Scheme, Option<Outcome>), u64>,
    pauses: u64,
    mended: u64,
    reclaimed: u64,
    simulated: Duration,
}

impl ShellSummary {
    /// One more run.
    pub fn add(&mut self, case: &ShellCase, run: &ShellRun) {
        self.runs += 1;
        for (_, moment, fault) in &run.hits {
            self.hits.entry(*moment).or_default()[fault.kind()] += 1;
        }
        let scheme = case.moved.parameters.scheme;
        *self.outcomes.entry((scheme, run.outcome)).or_default() += 1;
        self.pauses += run.pauses[0];
        let is_mended = run.pauses[0] > 0 && run.outcome == Some(Outcome::Completed);
        self.mended += u64::from(is_mended);
        self.reclaimed += u64::from(run.reclaimed);
        self.simulated += run.ended_at;
    }

    /// What others came to, besides.
    pub fn merge(&mut self, other: &ShellSummary) {
        self.runs += other.runs;
        for (moment, counts) in &other.hits {
            let sums = self.hits.entry(*moment).or_default();
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        for (cell, count) in &other.outcomes {
            *self.outcomes.entry(*cell).or_default() += count;
        }
        self.pauses += other.pauses;
        self.mended += other.mended;
        self.reclaimed += other.reclaimed;
        self.simulated += other.simulated;
    }
}

impl fmt::Display for ShellSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Faults by phase ({} runs):", self.runs)?;
        for (number, name) in FAULT_KINDS.iter().enumerate() {
            writeln!(f, "  {} {name}", letter(number))?;
        }
        write!(f, "{:<21}", "phase")?;
        (0..FAULT_KINDS.len()).try_for_each(|number| write!(f, "{:>6}", letter(number)))?;
        writeln!(f)?;
        for (moment, counts) in &self.hits {
            write!(f, "{:<21}", moment.name())?;
            counts.iter().try_for_each(|count| write!(f, "{count:>6}"))?;
            writeln!(f)?;
        }
        write!(f, "\n{:<19}", "outcomes")?;
        OUTCOMES.iter().try_for_each(|outcome| write!(f, "{outcome:>17}"))?;
        writeln!(f, "{:>17}", "never began")?;
        for scheme in Scheme::ALL {
            write!(f, "{scheme:<19}")?;
            for outcome in OUTCOMES.into_iter().map(Some).chain([None]) {
                let count = self.outcomes.get(&(scheme, outcome)).copied().unwrap_or(0);
                write!(f, "{count:>17}")?;
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "\n{} pauses, {} migrations completed after a pause, {} guests taken back by an \
             operator;\n{:.0} s of simulated time",
            self.pauses,
            self.mended,
            self.reclaimed,
            self.simulated.as_secs_f64()
        )
    }
}

fn letter(number: usize) -> char {
    (b'a' + number as u8) as char
}
