//! How fast the rounds may send.

use crate::parameters::{MigrationParameters, RoundParameters, StopRule};
use lazycopy_units::{Duration, Instant, Rate};

/// QEMU's rate limit gives each tenth of a second its share, which is sent as fast as the link
/// goes; its measured bandwidth is that of the last such window.
const WINDOW: Duration = Duration::from_millis(100);
const WINDOWS_PER_SEC: u64 = 10;

/// Lets messages go at a rate: paced one by one, or (QEMU) in a burst per window.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: Option<Rate>,
    maximum: Option<Rate>,
    in_windows: bool,
    allowed_at: Instant,
    window_began: Instant,
    window_bytes: u64,
    measured_rate: u64,
}

impl Limiter {
    pub(super) fn new(now: Instant, parameters: &MigrationParameters) -> Self {
        let RoundParameters { stop_rule, bandwidth_cap, minimum_rate, .. } = parameters.rounds;
        let capped = |rate: Rate| bandwidth_cap.map_or(rate, |cap| cap.min(rate));
        let rate = match stop_rule {
            StopRule::Clark => Some(capped(minimum_rate)),
            StopRule::Xen | StopRule::Qemu => bandwidth_cap,
        };
        Limiter {
            rate,
            maximum: bandwidth_cap,
            in_windows: stop_rule == StopRule::Qemu,
            allowed_at: now,
            window_began: now,
            window_bytes: 0,
            measured_rate: 0,
        }
    }

    /// The most that any round may take.
    pub(super) fn maximum(&self) -> Option<Rate> {
        self.maximum
    }

    pub(super) fn set_rate(&mut self, rate: Rate) {
        self.rate = Some(self.maximum.map_or(rate, |maximum| maximum.min(rate)));
    }

    pub(super) fn allowed_at(&self) -> Instant {
        self.allowed_at
    }

    /// Bytes per second of the last whole window; 0 before its end.
    pub(super) fn measured_rate(&self) -> u64 {
        self.measured_rate
    }

    /// The link is about to be used: a window that is over is measured.
    pub(super) fn look(&mut self, now: Instant) {
        let elapsed = now.saturating_since(self.window_began);
        if elapsed < WINDOW {
            return;
        }
        let nanos = u128::from(elapsed.as_nanos());
        self.measured_rate = u64::try_from(u128::from(self.window_bytes) * 1_000_000_000 / nanos)
            .unwrap_or(u64::MAX);
        self.window_began = now;
        self.window_bytes = 0;
    }

    /// A message of `bytes` bytes begins at `now`.
    pub(super) fn sent(&mut self, now: Instant, bytes: u64) {
        self.window_bytes += bytes;
        let Some(rate) = self.rate else { return };
        if !self.in_windows {
            self.allowed_at = now + rate.time_for(bytes);
        } else if self.window_bytes >= rate.bytes_per_sec() / WINDOWS_PER_SEC {
            self.allowed_at = self.window_began + WINDOW;
        }
    }
}
