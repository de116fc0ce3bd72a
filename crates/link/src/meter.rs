//! How much a link carried, and how much at its busiest.

use crate::group::PARTS_PER_BYTE;
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
    /// In parts of a byte, so that rounding does not show a peak above the link's bandwidth.
    window_parts: u64,
    peak_parts: u64,
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
        self.record_parts(begins, ends, bytes, bytes.saturating_mul(PARTS_PER_BYTE));
    }

    /// As [`BandwidthMeter::record`], where what was carried is known to the part of a byte:
    /// `bytes` are those that it completed.
    pub(crate) fn record_parts(&mut self, begins: Instant, ends: Instant, bytes: u64, parts: u64) {
        self.bytes += bytes;
        let (begin, end, width) = (begins.as_nanos(), ends.as_nanos(), WINDOW.as_nanos());
        let (first, last) = (begin / width, end.saturating_sub(1).max(begin) / width);
        if first == last {
            return self.add(first, parts);
        }
        let span = end - begin;
        self.add(first, spread(parts, (first + 1) * width - begin, span));
        if last - first > 1 {
            // Windows that are covered whole carry the same: one of them stands for all.
            self.add(last - 1, spread(parts, width, span));
        }
        self.add(last, parts - spread(parts, last * width - begin, span));
    }

    fn add(&mut self, window: u64, parts: u64) {
        if window != self.window {
            self.window = window;
            self.window_parts = 0;
        }
        self.window_parts = self.window_parts.saturating_add(parts);
        self.peak_parts = self.peak_parts.max(self.window_parts);
    }

    /// Bytes carried in all.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes per second in the busiest tenth of a second: ten times its bytes, so that less than a
    /// tenth of a second of traffic shows a peak below its mean rate.
    pub fn peak_bytes_per_sec(&self) -> u64 {
        self.peak_parts.saturating_mul(WINDOWS_PER_SEC) / PARTS_PER_BYTE
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
    fn a_busy_link_peaks_at_its_bandwidth_and_not_above() {
        let mut meter = BandwidthMeter::default();
        let nanos = |nanos| Instant::from_nanos(nanos);
        meter.record(at(0), nanos(519_455_253), 4_272);
        for message in 0..20 {
            let begins = nanos(519_455_253 + message * 500_000_000);
            meter.record(begins, begins + Duration::from_millis(500), 4_112);
        }
        assert_eq!(meter.peak_bytes_per_sec(), 8_224);
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
