//! The miss ratio, known at any time.

use std::collections::VecDeque;

/// How many of the last accesses the recent miss ratio looks at.
pub const RECENT_ACCESSES: u64 = 100;

/// Counts misses, since the start and over the last [`RECENT_ACCESSES`] accesses. A hit costs
/// nothing: only the indices of recent misses are kept.
#[derive(Clone, Debug, Default)]
pub struct MissRatio {
    misses: u64,
    recent: VecDeque<u64>,
}

impl MissRatio {
    /// A count that begins with `misses` misses, none of them recent.
    pub fn starting_with(misses: u64) -> Self {
        MissRatio { misses, recent: VecDeque::new() }
    }

    /// The access with this index missed.
    pub fn record_miss(&mut self, access: u64) {
        self.misses += 1;
        if self.recent.capacity() == 0 {
            // All that it will ever need: guests come by the thousand.
            self.recent.reserve_exact(RECENT_ACCESSES as usize + 1);
        }
        while self.recent.front().is_some_and(|first| first + RECENT_ACCESSES <= access) {
            self.recent.pop_front();
        }
        self.recent.push_back(access);
    }

    /// The last miss was taken back: its access was abandoned and will be taken again.
    pub fn retract_miss(&mut self) {
        self.misses -= 1;
        self.recent.pop_back();
    }

    /// Misses since the start.
    pub fn misses(&self) -> u64 {
        self.misses
    }

    /// Misses per access since the start, after `accesses` accesses; `None` before the first.
    pub fn since_start(&self, accesses: u64) -> Option<f64> {
        (accesses > 0).then(|| self.misses as f64 / accesses as f64)
    }

    /// Misses per access over the last accesses of `accesses`; `None` before the first.
    pub fn recent(&self, accesses: u64) -> Option<f64> {
        let window = accesses.min(RECENT_ACCESSES);
        let misses = self.recent.iter().filter(|miss| **miss + window >= accesses).count();
        (window > 0).then(|| misses as f64 / window as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recent_ratio_forgets_and_the_total_does_not() {
        let mut ratio = MissRatio::default();
        assert_eq!(ratio.recent(0), None);
        for access in 0..50 {
            ratio.record_miss(access);
        }
        assert_eq!((ratio.since_start(50), ratio.recent(50)), (Some(1.0), Some(1.0)));
        assert_eq!((ratio.since_start(100), ratio.recent(100)), (Some(0.5), Some(0.5)));
        assert_eq!((ratio.since_start(200), ratio.recent(200)), (Some(0.25), Some(0.0)));
        ratio.record_miss(200);
        ratio.retract_miss();
        assert_eq!(ratio.misses(), 50);
    }
}
