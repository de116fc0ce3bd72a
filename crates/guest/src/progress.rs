//! When a context completed each of its accesses, in little space.

use lazycopy_units::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Accesses that were completed at equal distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressRun {
    /// When the first of them was completed.
    pub first: Instant,
    /// From one to the next.
    pub step: Duration,
    /// How many they are, at least 1.
    pub count: u64,
}

impl ProgressRun {
    /// The instants one by one.
    fn instants(self) -> impl Iterator<Item = Instant> {
        let (first, step) = (self.first.as_nanos(), self.step.as_nanos());
        (0..self.count).map(move |i| Instant::from_nanos(first + step * i))
    }

    fn last(&self) -> Instant {
        Instant::from_nanos(self.first.as_nanos() + self.step.as_nanos() * (self.count - 1))
    }
}

/// A run has at most so many accesses, so that even one that never changes its pace is told of now
/// and then.
const MOST_ACCESSES: u64 = 4_096;

/// A log with more runs than this hands the older ones over: it takes little room however long it
/// goes on.
const MOST_RUNS: usize = 64;

/// The instants at which a context completed its accesses, run-length coded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProgressLog {
    runs: Vec<ProgressRun>,
}

impl ProgressLog {
    /// A log of these runs, for instance read back from a file.
    pub fn from_runs(runs: Vec<ProgressRun>) -> Self {
        ProgressLog { runs }
    }

    /// The runs, in the order of time.
    pub fn runs(&self) -> &[ProgressRun] {
        &self.runs
    }

    /// One more access was completed at `at`, not before the last.
    #[inline]
    pub fn record(&mut self, at: Instant) {
        if let Some(run) = self.runs.last_mut() {
            let step = at - run.last();
            if run.count == 1 || step == run.step && run.count < MOST_ACCESSES {
                run.step = step;
                run.count += 1;
                return;
            }
        }
        self.runs.push(ProgressRun { first: at, step: Duration::ZERO, count: 1 });
    }

    /// Hands over the runs to which nothing will be added, where they are many or long.
    pub fn take_full(&mut self) -> Vec<ProgressRun> {
        let is_long = self.runs.first().is_some_and(|run| run.count == MOST_ACCESSES);
        match self.runs.len().checked_sub(1) {
            Some(closed) if closed >= MOST_RUNS || closed > 0 && is_long => {
                self.runs.drain(..closed).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The instants one by one.
    pub fn instants(&self) -> impl Iterator<Item = Instant> + '_ {
        self.runs.iter().flat_map(|run| run.instants())
    }

    /// The mean, over the accesses of this log (the forward context's), of their number so far
    /// less the number that `following` had completed by that instant; `None` without accesses.
    pub fn mean_lead_over(&self, following: &ProgressLog) -> Option<f64> {
        let mut lead = MeanLead::default();
        following.runs.iter().for_each(|run| lead.following(*run));
        self.runs.iter().for_each(|run| lead.forward(*run));
        lead.mean()
    }
}

/// [`ProgressLog::mean_lead_over`] of logs that come run by run, each in the order of time, without
/// keeping them.
#[derive(Clone, Debug, Default)]
pub struct MeanLead {
    /// What has not been counted yet.
    forward: VecDeque<ProgressRun>,
    following: VecDeque<ProgressRun>,
    forward_ended: bool,
    completed: i128,
    followed: i128,
    sum: i128,
}

impl MeanLead {
    /// A run of the forward context.
    pub fn forward(&mut self, run: ProgressRun) {
        self.forward.push_back(run);
        self.count_up_to_both();
    }

    /// A run of the following context.
    pub fn following(&mut self, run: ProgressRun) {
        if !(self.forward_ended && self.forward.is_empty()) {
            self.following.push_back(run);
            self.count_up_to_both();
        }
    }

    /// No run of the forward context will come any more.
    pub fn end_forward(&mut self) {
        self.forward_ended = true;
    }

    /// The mean; `None` without accesses of the forward context.
    pub fn mean(mut self) -> Option<f64> {
        while let Some(run) = self.forward.pop_front() {
            self.count(run);
        }
        (self.completed > 0).then(|| self.sum as f64 / self.completed as f64)
    }

    /// Counts the forward context's runs during which everything of the following one is known.
    fn count_up_to_both(&mut self) {
        while let (Some(run), Some(known)) = (self.forward.front(), self.following.back())
            && run.last() < known.last()
        {
            let run = *run;
            self.forward.pop_front();
            self.count(run);
        }
    }

    fn count(&mut self, run: ProgressRun) {
        for at in run.instants() {
            self.completed += 1;
            while let Some(following) = self.following.front_mut()
                && following.first <= at
            {
                self.followed += 1;
                following.first = following.first + following.step;
                following.count -= 1;
                if following.count == 0 {
                    self.following.pop_front();
                }
            }
            self.sum += self.completed - self.followed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(instants: &[u64]) -> ProgressLog {
        let mut log = ProgressLog::default();
        instants.iter().for_each(|at| log.record(Instant::from_nanos(*at)));
        log
    }

    #[test]
    fn equal_steps_take_one_run() {
        let steady = log(&[5, 8, 11, 14]);
        assert_eq!(steady.runs().len(), 1);
        let uneven = [1, 2, 3, 10, 20, 30, 31, 31, 31, 90];
        let nanos: Vec<u64> = log(&uneven).instants().map(Instant::as_nanos).collect();
        assert_eq!(nanos, uneven);
    }

    #[test]
    fn the_mean_lead_is_taken_at_each_forward_access() {
        let forward = log(&[0, 10, 20]);
        let following = log(&[10, 25]);
        assert_eq!(forward.mean_lead_over(&following), Some((1 + 1 + 2) as f64 / 3.0));
        assert_eq!(ProgressLog::default().mean_lead_over(&following), None);
    }

    proptest! {
        #[test]
        fn the_mean_lead_is_the_same_however_the_runs_come(
            forward in proptest::collection::vec(0u64..40, 0..300),
            following in proptest::collection::vec(0u64..40, 0..300),
            turns in proptest::collection::vec(any::<bool>(), 0..600),
        ) {
            let instants = |steps: &[u64]| -> Vec<u64> {
                steps.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect()
            };
            let (forward, following) = (instants(&forward), instants(&following));
            let sum: i64 = (1i64..)
                .zip(&forward)
                .map(|(count, at)| count - following.iter().filter(|done| *done <= at).count() as i64)
                .sum();
            let expected =
                (!forward.is_empty()).then(|| sum as f64 / forward.len() as f64);
            let (forward, following) = (log(&forward), log(&following));
            prop_assert_eq!(forward.mean_lead_over(&following), expected);
            let mut lead = MeanLead::default();
            let (mut forward, mut following) = (forward.runs.iter(), following.runs.iter());
            for turn in turns {
                match turn {
                    true => forward.next().into_iter().for_each(|run| lead.forward(*run)),
                    false => following.next().into_iter().for_each(|run| lead.following(*run)),
                }
            }
            forward.for_each(|run| lead.forward(*run));
            lead.end_forward();
            following.for_each(|run| lead.following(*run));
            prop_assert_eq!(lead.mean(), expected);
        }
    }

    #[test]
    fn a_log_that_goes_on_hands_over_what_is_full() {
        let mut uneven = ProgressLog::default();
        let mut steady = ProgressLog::default();
        let (mut of_uneven, mut of_steady) = (Vec::new(), Vec::new());
        for n in 0..20_000u64 {
            uneven.record(Instant::from_nanos(n * n));
            steady.record(Instant::from_nanos(n));
            of_uneven.extend(uneven.take_full());
            of_steady.extend(steady.take_full());
            assert!(uneven.runs.len() <= MOST_RUNS && steady.runs.len() <= 2);
        }
        of_uneven.extend(uneven.runs);
        of_steady.extend(steady.runs);
        assert!(
            ProgressLog::from_runs(of_uneven)
                .instants()
                .map(Instant::as_nanos)
                .eq((0..20_000).map(|n| n * n))
        );
        assert!(ProgressLog::from_runs(of_steady).instants().map(Instant::as_nanos).eq(0..20_000));
    }
}
