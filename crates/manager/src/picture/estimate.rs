//! How far a migration is, as it is shown: never backwards.

/// What was shown of a migration, so that what is shown next is not less.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Estimate {
    progress: f64,
    left_ns: Option<u64>,
}

impl Estimate {
    /// Takes a newer estimate: the share that has come, and the model time left, if known.
    pub(crate) fn take(&mut self, progress: f64, left_ns: Option<u64>) {
        self.progress = self.progress.max(progress.clamp(0.0, 1.0));
        self.left_ns = match (self.left_ns, left_ns) {
            (Some(before), Some(now)) => Some(before.min(now)),
            (before, now) => now.or(before),
        };
        if self.progress >= 1.0 {
            self.left_ns = Some(0);
        }
    }

    /// The share that has come.
    pub(crate) fn progress(&self) -> f64 {
        self.progress
    }

    /// The model time until nothing is missing, in nanoseconds, if it can be told.
    pub(crate) fn left_ns(&self) -> Option<u64> {
        self.left_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_share_nor_the_time_left_runs_backwards() {
        let mut shown = Estimate::default();
        let mut steps = Vec::new();
        for (progress, left) in
            [(0.0, None), (0.2, Some(90)), (0.1, Some(120)), (0.5, None), (0.6, Some(40))]
        {
            shown.take(progress, left);
            steps.push((shown.progress(), shown.left_ns()));
        }
        let expected =
            [(0.0, None), (0.2, Some(90)), (0.2, Some(90)), (0.5, Some(90)), (0.6, Some(40))];
        assert_eq!(steps, expected);
        shown.take(1.0, Some(7));
        assert_eq!((shown.progress(), shown.left_ns()), (1.0, Some(0)));
    }
}
