//! How much a link carried, and how much at its busiest.

use lazycopy_units::{Duration, Instant};

/// The span over which the peak is taken: a tenth of a second, counted from the beginning of time.
const WINDOW: Duration = Duration::from_millis(100);

const WINDOWS_PER_SEC: u64 = 10;

/// Adds up what a link carries and finds its busiest tenth of a second. A message's bytes are
/// spread evenly over the time that it occupies the link.
#[derive(Clone, Debug, Default)]
pub struct BandwidthMeter {
    bytes: u64,
    window: u64,
    window_bytes: u64,
    peak_bytes: u64,
}

impl BandwidthMeter {
    /// A message of `bytes` bytes occupied the link from `begins` to `ends`. Messages come in the
    /// order of time and do not overlap.
    pub fn record(&mut self, begins: Instant, ends: Instant, bytes: u64) {
        self.bytes += bytes;
        let (begin, end, width) = (begins.as_nanos(), ends.as_nanos(), WINDOW.as_nanos());
        let sent_by = |at: u64| -> u64 {
            let span = u128::from((end - begin).max(1));
            (u128::from(bytes) * u128::from(at - begin) / span) as u64
        };
        let (first, last) = (begin / width, end.saturating_sub(1).max(begin) / width);
        // Windows strictly between the first and the last are covered whole and carry the same
        // number of bytes but for rounding, so that one of them stands for all.
        let mut sent = 0;
        for window in [first, (first + 1).min(last), last.saturating_sub(1).max(first), last] {
            if window < self.window {
                continue;
            }
            let window_end = ((window + 1) * width).min(end);
            let window_begin = (window * width).max(begin);
            let upto = if window == last { bytes } else { sent_by(window_end) };
            sent = sent.max(sent_by(window_begin).min(bytes));
            if window != self.window {
                self.window = window;
                self.window_bytes = 0;
            }
            self.window_bytes += upto.saturating_sub(sent);
            sent = upto;
            self.peak_bytes = self.peak_bytes.max(self.window_bytes);
        }
    }

    /// Bytes carried in all.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes per second in the busiest tenth of a second.
    pub fn peak_bytes_per_sec(&self) -> u64 {
        self.peak_bytes * WINDOWS_PER_SEC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_long_message_peaks_at_the_rate_of_the_link() {
        let mut meter = BandwidthMeter::default();
        meter.record(at(0), at(500), 4_000);
        meter.record(at(500), at(1_000), 4_000);
        assert_eq!((meter.bytes(), meter.peak_bytes_per_sec()), (8_000, 8_000));
    }

    #[test]
    fn short_messages_add_up_within_their_window() {
        let mut meter = BandwidthMeter::default();
        meter.record(at(10), at(20), 100);
        meter.record(at(30), at(40), 100);
        meter.record(at(250), at(350), 300);
        assert_eq!(meter.peak_bytes_per_sec(), 2_000);
        meter.record(at(395), at(405), 100);
        assert_eq!((meter.bytes(), meter.peak_bytes_per_sec()), (600, 2_000));
    }
}
