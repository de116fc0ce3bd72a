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

/// What of `bytes`, spread evenly over `span`, lies in a `part` of it.
pub(crate) fn spread(bytes: u64, part: u64, span: u64) -> u64 {
    match bytes.checked_mul(part) {
        Some(product) => product / span,
        None => (u128::from(bytes) * u128::from(part) / u128::from(span)) as u64,
    }
}

impl BandwidthMeter {
    /// A message of `bytes` bytes occupied the link from `begins` to `ends`. Messages come in the
    /// order of time and do not overlap.
    pub fn record(&mut self, begins: Instant, ends: Instant, bytes: u64) {
        self.bytes += bytes;
        let (begin, end, width) = (begins.as_nanos(), ends.as_nanos(), WINDOW.as_nanos());
        let (first, last) = (begin / width, end.saturating_sub(1).max(begin) / width);
        if first == last {
            return self.add(first, bytes);
        }
        let span = end - begin;
        self.add(first, spread(bytes, (first + 1) * width - begin, span));
        if last - first > 1 {
            // Windows that are covered whole carry the same: one of them stands for all.
            self.add(last - 1, spread(bytes, width, span));
        }
        self.add(last, bytes - spread(bytes, last * width - begin, span));
    }

    fn add(&mut self, window: u64, bytes: u64) {
        if window != self.window {
            self.window = window;
            self.window_bytes = 0;
        }
        self.window_bytes += bytes;
        self.peak_bytes = self.peak_bytes.max(self.window_bytes);
    }

    /// Bytes carried in all.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes per second in the busiest tenth of a second.
    pub fn peak_bytes_per_sec(&self) -> u64 {
        self.peak_bytes.saturating_mul(WINDOWS_PER_SEC)
    }

    /// Bytes per second over a span of that length; `None` for no time.
    pub fn mean_bytes_per_sec(&self, span: Duration) -> Option<u64> {
        let per_sec = u128::from(self.bytes) * u128::from(Duration::from_secs(1).as_nanos());
        u64::try_from(per_sec.checked_div(u128::from(span.as_nanos()))?).ok()
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
        assert_eq!(meter.mean_bytes_per_sec(Duration::from_secs(2)), Some(4_000));
        assert_eq!(meter.mean_bytes_per_sec(Duration::ZERO), None);
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
