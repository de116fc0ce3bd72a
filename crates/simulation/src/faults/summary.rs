//! What many runs came to: which fault met which phase of which scheme, and how they ended.

use super::case::FaultCase;
use super::checkers::sentences;
use super::fault::{FAULT_KINDS, Phase};
use super::run::FaultRun;
use super::world::Tally;
use lazycopy_migration::{Outcome, Scheme};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Outcomes in the order of the table.
const OUTCOMES: [Outcome; 5] = [
    Outcome::Completed,
    Outcome::Cancelled,
    Outcome::Failed,
    Outcome::NeverConverges,
    Outcome::Lost,
];

/// Names of the checkers, and what each of them holds every run to.
pub fn fault_checkers() -> Vec<(&'static str, &'static str)> {
    sentences(&Arc::new(FaultCase::draw(0).guest))
}

/// Sums over many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultSummary {
    runs: u64,
    hits: BTreeMap<(Scheme, Phase), [u64; FAULT_KINDS.len()]>,
    outcomes: BTreeMap<(Scheme, Outcome), u64>,
    tally: Tally,
}

impl FaultSummary {
    /// One more run.
    pub fn add(&mut self, case: &FaultCase, run: &FaultRun) {
        let scheme = case.parameters.scheme;
        self.runs += 1;
        for phase in FaultCase::phases(&case.parameters) {
            self.hits.entry((scheme, phase)).or_default();
        }
        for hit in &run.hits {
            self.hits.entry((scheme, hit.phase)).or_default()[hit.fault.kind()] += 1;
        }
        *self.outcomes.entry((scheme, run.verdict.outcome)).or_default() += 1;
        self.tally.add(&run.tally);
    }

    /// How many runs there were.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Which fault met which phase of which scheme how often, those that met none included.
    pub fn hits(&self) -> impl Iterator<Item = (Scheme, Phase, &'static str, u64)> {
        self.hits.iter().flat_map(|((scheme, phase), counts)| {
            let named = FAULT_KINDS.into_iter().zip(counts);
            named.map(|(name, count)| (*scheme, *phase, name, *count))
        })
    }

    /// How the runs of each scheme ended, and how many did so.
    pub fn outcomes(&self) -> impl Iterator<Item = (Scheme, Outcome, u64)> {
        self.outcomes.iter().map(|((scheme, outcome), count)| (*scheme, *outcome, *count))
    }

    /// What happened in all of them.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What other runs came to, besides.
    pub fn merge(&mut self, other: &FaultSummary) {
        self.runs += other.runs;
        for (cell, counts) in &other.hits {
            let sums = self.hits.entry(*cell).or_default();
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        for (cell, count) in &other.outcomes {
            *self.outcomes.entry(*cell).or_default() += count;
        }
        self.tally.add(&other.tally);
    }

    /// Cells of the table that no run has hit.
    pub fn missing(&self) -> Vec<(Scheme, Phase, &'static str)> {
        let missing = self.hits().filter(|(.., count)| *count == 0);
        missing.map(|(scheme, phase, fault, _)| (scheme, phase, fault)).collect()
    }
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.recoveries += other.recoveries;
        self.pages_lost += other.pages_lost;
        self.without_source += other.without_source;
        self.reclaimed += other.reclaimed;
        self.reclaims_refused += other.reclaims_refused;
        self.duplicates_filtered += other.duplicates_filtered;
        self.pauses += other.pauses;
        self.runs += other.runs;
        self.runs_lost += other.runs_lost;
        self.pages_given_up += other.pages_given_up;
    }
}

impl fmt::Display for FaultSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Faults by scheme and phase ({} runs):", self.runs)?;
        for (number, name) in FAULT_KINDS.iter().enumerate() {
            writeln!(f, "  {} {name}", letter(number))?;
        }
        write!(f, "{:<19} {:<20}", "scheme", "phase")?;
        (0..FAULT_KINDS.len()).try_for_each(|number| write!(f, "{:>7}", letter(number)))?;
        writeln!(f)?;
        for ((scheme, phase), counts) in &self.hits {
            write!(f, "{scheme:<19} {:<20}", phase.name())?;
            counts.iter().try_for_each(|count| write!(f, "{count:>7}"))?;
            writeln!(f)?;
        }
        writeln!(f)?;
        write!(f, "{:<19}", "outcomes")?;
        OUTCOMES.iter().try_for_each(|outcome| write!(f, "{outcome:>17}"))?;
        writeln!(f)?;
        for scheme in Scheme::ALL {
            write!(f, "{scheme:<19}")?;
            for outcome in OUTCOMES {
                let count = self.outcomes.get(&(scheme, outcome)).copied().unwrap_or(0);
                write!(f, "{count:>17}")?;
            }
            writeln!(f)?;
        }
        let Tally { pauses, recoveries, pages_lost, without_source, .. } = self.tally;
        let Tally { reclaimed, reclaims_refused, duplicates_filtered, .. } = self.tally;
        let Tally { runs, runs_lost, pages_given_up, .. } = self.tally;
        writeln!(
            f,
            "\n{pauses} pauses, {recoveries} recoveries, {pages_lost} pages lost in flight, \
             {without_source} guests that went on without their source,\n{reclaimed} reclaimed by \
             an operator and {reclaims_refused} refused, {duplicates_filtered} control messages \
             that came twice,\n{runs} messages of several pages, {runs_lost} of them lost in \
             flight; {pages_given_up} pages whose memory the source gave up before the end"
        )
    }
}

fn letter(number: usize) -> char {
    (b'a' + number as u8) as char
}
