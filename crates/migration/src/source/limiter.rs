//! How fast the rounds may send.

use crate::parameters::{MigrationParameters, RoundParameters, StopRule};
use lazycopy_units::{Duration, Instant, Rate};

/// QEMU's rate limit gives each tenth of a second its share, which is sent as fast as the link
/// goes; its measured bandwidth is that of the last such window.
const WINDOW: Duration = Duration::from_millis(100);
/// It looks up from sending after so long, even where the window's share is not spent.
const ITERATION: Duration = Duration::from_millis(50);

/// One byte at a rate of one byte per second takes so many of the units in which overdrafts are
/// kept, exactly.
const WORK_PER_BYTE: u128 = Duration::from_secs(1).as_nanos() as u128;

/// Lets messages go at a rate: paced one by one, or (QEMU) in a burst per window. The message that
/// spends a window's share is sent whole; QEMU forgets what it was above the share, here the next
/// windows have less by as much. So the rate holds on average, and where a share is less than a
/// message, too.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: Option<Rate>,
    cap: Option<Rate>,
    /// The fastest that a message went.
    fastest: Option<Rate>,
    /// The message on its way: since when, and its bytes.
    on_its_way: Option<(Instant, u64)>,
    in_windows: bool,
    allowed_at: Instant,
    window_began: Instant,
    window_bytes: u64,
    /// What earlier windows sent above their shares, in bytes times nanoseconds.
    overdraft: u128,
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
            cap: bandwidth_cap,
            fastest: None,
            on_its_way: None,
            in_windows: stop_rule == StopRule::Qemu,
            allowed_at: now,
            window_began: now,
            window_bytes: 0,
            overdraft: 0,
            iteration_began: now,
            measured_rate: 0,
        }
    }

    /// The most that any round may take: the cap, or else what the link gives. That is the fastest
    /// that a message went, since each goes as fast as the link lets it, however slow the round is;
    /// on a shared link the others were slowed down by its other users. `None` before the first.
    pub(super) fn maximum(&self) -> Option<Rate> {
        self.cap.or(self.fastest)
    }

    pub(super) fn set_rate(&mut self, rate: Rate) {
        self.rate = Some(self.maximum().map_or(rate, |maximum| maximum.min(rate)));
    }

    /// The message on its way has left the link at `now`.
    pub(super) fn transmitted(&mut self, now: Instant) {
        let Some((began, bytes)) = self.on_its_way.take() else { return };
        let nanos = u128::from(now.saturating_since(began).as_nanos());
        let rate = (u128::from(bytes) * 1_000_000_000).checked_div(nanos);
        let rate = rate.and_then(|rate| Rate::from_bytes_per_sec(u64::try_from(rate).ok()?));
        self.fastest = self.fastest.max(rate);
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
            self.overdraft = self.spent().saturating_sub(self.share_of(elapsed));
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
        self.on_its_way = Some((now, bytes));
        let Some(rate) = self.rate else { return };
        if !self.in_windows {
            self.allowed_at = now + rate.time_for(bytes);
            return;
        }
        let windows = self.spent() / self.share_of(WINDOW).max(1);
        if windows > 0 {
            let nanos = windows.saturating_mul(u128::from(WINDOW.as_nanos()));
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            self.allowed_at = self.window_began.saturating_add(Duration::from_nanos(nanos));
        }
    }

    /// What was sent in this window, and above their shares in those before.
    fn spent(&self) -> u128 {
        self.overdraft + u128::from(self.window_bytes) * WORK_PER_BYTE
    }

    /// What may be sent in a `span`.
    fn share_of(&self, span: Duration) -> u128 {
        self.rate.map_or(u128::MAX, |rate| {
            u128::from(rate.bytes_per_sec()) * u128::from(span.as_nanos())
        })
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
            push_rate: None,
            checkpoint: false,
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

    /// Sends for `seconds` as early as it may, over a link that takes no time.
    fn send_for(cap: u64, seconds: u64) -> u64 {
        let mut limiter = limiter(Some(cap));
        let (mut now, mut bytes) = (Instant::ZERO, 0);
        while now < at(seconds * 1_000) {
            limiter.look(now);
            limiter.sent(now, MESSAGE);
            bytes += MESSAGE;
            now = limiter.allowed_at().max(now);
        }
        bytes
    }

    #[test]
    fn on_average_no_more_is_sent_than_the_cap() {
        for cap in [1, 100, 4_112, 41_120, 100_000, 1_000_000] {
            let seconds = 10_000_000 / cap;
            let (sent, most) = (send_for(cap, seconds), cap * seconds);
            // The last window's share and overdraft are sent at its beginning.
            assert!(sent <= most + cap / 10 + MESSAGE, "{sent} of {most} at {cap}");
            assert!(sent + cap / 10 + MESSAGE >= most, "{sent} of {most} at {cap}");
        }
    }

    #[test]
    fn a_message_that_takes_several_windows_shares_takes_several_windows() {
        // A message per 250 ms: after two windows and three in turn.
        let mut limiter = limiter(Some(4 * MESSAGE));
        let mut began = Vec::new();
        let mut now = Instant::ZERO;
        for _ in 0..5 {
            limiter.look(now);
            limiter.sent(now, MESSAGE);
            began.push(now);
            now = limiter.allowed_at();
        }
        assert_eq!(began, [0, 200, 500, 700, 1_000].map(at));
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
