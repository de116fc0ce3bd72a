//! How fast the rounds may send.

use crate::parameters::{MigrationParameters, RoundParameters, StopRule};
use lazycopy_units::{Duration, Instant, Rate};

/// QEMU's rate limit gives each tenth of a second its share, which is sent as fast as the link
/// goes; its measured bandwidth is that of the last such window.
const WINDOW: Duration = Duration::from_millis(100);
const WINDOWS_PER_SEC: u64 = 10;
/// It looks up from sending after so long, even where the window's share is not spent.
const ITERATION: Duration = Duration::from_millis(50);

/// Lets messages go at a rate: paced one by one, or (QEMU) in a burst per window.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: Option<Rate>,
    maximum: Option<Rate>,
    in_windows: bool,
    allowed_at: Instant,
    window_began: Instant,
    window_bytes: u64,
    iteration_began: Instant,
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
            iteration_began: now,
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

    /// The link is about to be used: a window that is over is measured. Whether an iteration of
    /// QEMU's loop begins, the moments at which it compares what remains with its threshold.
    pub(super) fn look(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_since(self.window_began);
        let window_over = elapsed >= WINDOW;
        if window_over {
            let nanos = u128::from(elapsed.as_nanos());
            let rate = u128::from(self.window_bytes) * 1_000_000_000 / nanos;
            self.measured_rate = u64::try_from(rate).unwrap_or(u64::MAX);
            self.window_began = now;
            self.window_bytes = 0;
        }
        let begins = window_over || now.saturating_since(self.iteration_began) >= ITERATION;
        if begins {
            self.iteration_began = now;
        }
        begins
    }

    /// Whether a burst goes on: the next message may follow the one that begins at `now`.
    pub(super) fn is_in_burst(&self, now: Instant) -> bool {
        self.in_windows && self.allowed_at <= now
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::{PushOrder, Scheme};

    const MESSAGE: u64 = 4_112;

    fn limiter(cap: Option<u64>) -> Limiter {
        let rounds = RoundParameters {
            bandwidth_cap: cap.map(|rate| Rate::from_bytes_per_sec(rate).unwrap()),
            ..RoundParameters::default()
        };
        let parameters = MigrationParameters {
            scheme: Scheme::PreCopy,
            push_order: PushOrder::Lru,
            context_bytes: 0,
            head_start: 0,
            max_lead: None,
            fault_penalty: Duration::ZERO,
            disk_latency_source: Duration::ZERO,
            disk_latency_destination: Duration::ZERO,
            measured_accesses: 1,
            rounds,
            pre_paging: Default::default(),
            whole_page_writes: false,
        };
        Limiter::new(Instant::ZERO, &parameters)
    }

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_window_ends_with_the_message_that_spends_its_share() {
        let mut limiter = limiter(Some(100_000));
        for (message, in_burst) in [(0, true), (1, true), (2, false)] {
            assert!(!limiter.look(at(message)), "message {message}");
            limiter.sent(at(message), MESSAGE);
            assert_eq!(limiter.is_in_burst(at(message)), in_burst, "message {message}");
        }
        assert_eq!(limiter.allowed_at(), at(100));
        assert!(limiter.look(at(100)));
        assert_eq!(limiter.measured_rate(), 3 * MESSAGE * 10);
    }

    #[test]
    fn without_a_limit_an_iteration_begins_every_fifty_milliseconds_of_sending() {
        let mut limiter = limiter(None);
        let mut begun = Vec::new();
        for millis in (0..=200).step_by(10) {
            if limiter.look(at(millis)) {
                begun.push(millis);
            }
            limiter.sent(at(millis), MESSAGE);
        }
        assert_eq!(begun, [50, 100, 150, 200]);
        assert_eq!(limiter.measured_rate(), 10 * MESSAGE * 10);
    }
}
