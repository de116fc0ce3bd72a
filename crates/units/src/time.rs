//! Instants and durations of model time.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A moment of model time: nanoseconds since the run's time began.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Instant(u64);

/// A span of model time in nanoseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Duration(u64);

impl Instant {
    /// The moment at which a run's time begins.
    pub const ZERO: Instant = Instant(0);
    /// Later than everything that happens.
    pub const MAX: Instant = Instant(u64::MAX);

    /// The moment `nanos` nanoseconds after time began.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// Nanoseconds since time began.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The span from `earlier` to this moment; zero if `earlier` is later.
    #[inline]
    pub const fn saturating_since(self, earlier: Instant) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// The moment `span` earlier; the beginning of time at the earliest.
    #[inline]
    pub const fn saturating_sub(self, span: Duration) -> Instant {
        Instant(self.0.saturating_sub(span.0))
    }

    /// The moment `span` later, or [`Instant::MAX`] where model time does not reach so far.
    #[inline]
    pub const fn saturating_add(self, span: Duration) -> Instant {
        Instant(self.0.saturating_add(span.0))
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);

    /// A span of `nanos` nanoseconds.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Duration(nanos)
    }

    /// A span of `millis` milliseconds.
    #[inline]
    pub const fn from_millis(millis: u64) -> Self {
        Duration(millis * 1_000_000)
    }

    /// A span of `secs` seconds.
    #[inline]
    pub const fn from_secs(secs: u64) -> Self {
        Duration(secs * 1_000_000_000)
    }

    /// The span in nanoseconds.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
}

/// # Panics
/// When the sum lies beyond the end of model time (584 years): scenarios are validated against it.
impl Add<Duration> for Instant {
    type Output = Instant;
    #[inline]
    fn add(self, span: Duration) -> Instant {
        Instant(self.0.checked_add(span.0).expect("model time overflowed"))
    }
}

/// # Panics
/// When the subtrahend is the later moment.
impl Sub<Instant> for Instant {
    type Output = Duration;
    #[inline]
    fn sub(self, earlier: Instant) -> Duration {
        Duration(self.0.checked_sub(earlier.0).expect("a span of model time is never negative"))
    }
}

/// # Panics
/// When the sum overflows.
impl Add for Duration {
    type Output = Duration;
    #[inline]
    fn add(self, other: Duration) -> Duration {
        Duration(self.0.checked_add(other.0).expect("a span of model time overflowed"))
    }
}

impl AddAssign for Duration {
    #[inline]
    fn add_assign(&mut self, other: Duration) {
        *self = *self + other;
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Duration(self.0).fmt(f)
    }
}

/// Prints with the largest unit that keeps the number at or above one: `11 s`, `970 ms`, `1.5 us`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, per_unit) = match self.0 {
            0 => return f.pad("0 s"),
            1_000_000_000.. => ("s", 1_000_000_000),
            1_000_000.. => ("ms", 1_000_000),
            1_000.. => ("us", 1_000),
            _ => ("ns", 1),
        };
        let (mut whole, mut thousandths) =
            (self.0 / per_unit, (self.0 % per_unit * 1000 + per_unit / 2) / per_unit);
        if thousandths == 1000 {
            (whole, thousandths) = (whole + 1, 0);
        }
        let text = if thousandths == 0 {
            format!("{whole} {unit}")
        } else {
            let fraction = format!("{thousandths:03}");
            format!("{whole}.{} {unit}", fraction.trim_end_matches('0'))
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_prints_in_its_natural_unit() {
        let shown = |nanos| Duration::from_nanos(nanos).to_string();
        assert_eq!(shown(0), "0 s");
        assert_eq!(shown(7), "7 ns");
        assert_eq!(shown(1_500), "1.5 us");
        assert_eq!(shown(970_000_000), "970 ms");
        assert_eq!(shown(11_000_000_000), "11 s");
        assert_eq!(shown(1_999_999_999), "2 s");
    }
}
