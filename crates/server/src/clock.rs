//! Model time against wall time.

use lazycopy_units::Instant;
use std::time::{Duration as WallDuration, Instant as WallInstant};

/// The largest `time_scale`: with it, model time reaches for five hours of wall time, far beyond
/// any migration.
pub(crate) const MAX_TIME_SCALE: u64 = 1_000_000;

/// Maps wall time to model time: `scale` nanoseconds of model time per nanosecond since `zero`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModelClock {
    zero: WallInstant,
    scale: u64,
}

impl ModelClock {
    /// A clock that reads zero at `zero`, and before.
    pub(crate) fn from_zero(zero: WallInstant, scale: u64) -> Self {
        ModelClock { zero, scale: scale.max(1) }
    }

    /// A clock that reads `at` at the instant `wall`.
    pub(crate) fn reading(at: Instant, wall: WallInstant, scale: u64) -> Self {
        let clock = ModelClock::from_zero(wall, scale);
        let elapsed = WallDuration::from_nanos(at.as_nanos() / clock.scale);
        ModelClock { zero: wall.checked_sub(elapsed).unwrap_or(wall), ..clock }
    }

    /// Model time per wall time.
    pub(crate) fn scale(&self) -> u64 {
        self.scale
    }

    /// What it reads at the instant `wall`.
    pub(crate) fn at(&self, wall: WallInstant) -> Instant {
        let elapsed = wall.saturating_duration_since(self.zero).as_nanos();
        Instant::from_nanos(u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_mul(self.scale))
    }

    /// What it reads now.
    pub(crate) fn now(&self) -> Instant {
        self.at(WallInstant::now())
    }

    /// The first instant at which it reads `at` or later; `None` if wall time does not reach so
    /// far.
    pub(crate) fn wall(&self, at: Instant) -> Option<WallInstant> {
        self.zero.checked_add(WallDuration::from_nanos(at.as_nanos().div_ceil(self.scale)))
    }

    /// When the clock reads `at`.
    pub(crate) fn wake_at(&self, at: Instant) -> Wake {
        self.wall(at).map_or(Wake::Never, Wake::At)
    }
}

/// When a task is to go on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// As soon as others had their turn.
    Soon,
    /// At that instant.
    At(WallInstant),
    /// Not by itself.
    Never,
}

impl Wake {
    /// Waits for it.
    pub(crate) async fn wait(self) {
        match self {
            Wake::Soon => tokio::task::yield_now().await,
            Wake::At(wall) => tokio::time::sleep_until(wall.into()).await,
            Wake::Never => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_clock_reads_what_it_is_asked_to_wait_for() {
        let zero = WallInstant::now();
        let clock = ModelClock::from_zero(zero, 1_000);
        assert_eq!(
            clock.at(zero + WallDuration::from_millis(3)),
            Instant::from_nanos(3_000_000_000)
        );
        for nanos in [0, 1, 999, 1_000, 1_001, 123_456_789] {
            let at = Instant::from_nanos(nanos);
            let wall = clock.wall(at).unwrap();
            assert!(clock.at(wall) >= at);
            assert!(nanos == 0 || clock.at(wall - WallDuration::from_nanos(1)) < at);
        }
    }

    #[test]
    fn a_clock_can_be_set_to_any_reading() {
        let wall = WallInstant::now();
        let clock = ModelClock::reading(Instant::from_nanos(5_000), wall, 50);
        assert_eq!(clock.at(wall), Instant::from_nanos(5_000));
        assert_eq!(clock.at(wall + WallDuration::from_nanos(2)), Instant::from_nanos(5_100));
    }

    #[test]
    fn what_lies_beyond_the_reach_of_a_clock_saturates() {
        let zero = WallInstant::now();
        let clock = ModelClock::from_zero(zero, u64::MAX);
        assert_eq!(clock.at(zero + WallDuration::from_secs(9)), Instant::MAX);
    }
}
