//! When a context completed each of its accesses, in little space.

use lazycopy_units::{Duration, Instant};
use serde::{Deserialize, Serialize};

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
    fn last(&self) -> Instant {
        Instant::from_nanos(self.first.as_nanos() + self.step.as_nanos() * (self.count - 1))
    }
}

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
            if run.count == 1 || step == run.step {
                run.step = step;
                run.count += 1;
                return;
            }
        }
        self.runs.push(ProgressRun { first: at, step: Duration::ZERO, count: 1 });
    }

    /// The instants one by one.
    pub fn instants(&self) -> impl Iterator<Item = Instant> + '_ {
        self.runs.iter().flat_map(|run| {
            (0..run.count)
                .map(|i| Instant::from_nanos(run.first.as_nanos() + run.step.as_nanos() * i))
        })
    }

    /// The mean, over the accesses of this log (the forward context's), of their number so far
    /// less the number that `following` had completed by that instant; `None` without accesses.
    pub fn mean_lead_over(&self, following: &ProgressLog) -> Option<f64> {
        let mut behind = following.instants().peekable();
        let (mut count, mut followed, mut sum) = (0i128, 0i128, 0i128);
        for at in self.instants() {
            count += 1;
            while behind.next_if(|done| *done <= at).is_some() {
                followed += 1;
            }
            sum += count - followed;
        }
        (count > 0).then(|| sum as f64 / count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
