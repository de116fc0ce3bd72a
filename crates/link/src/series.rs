//! Bandwidth over time, in bounded space.

use crate::meter::spread;
use lazycopy_units::{Duration, Instant};

/// Buckets that a series has at most: more than a plot has columns to show.
const MAX_BUCKETS: u64 = 1024;

/// The width of a bucket, until the series has to be coarser.
const FINEST_BUCKET: Duration = Duration::from_millis(100);

/// How much was carried in each of equal spans of time, from the beginning of time on. The spans
/// are a tenth of a second as long as a thousand of them suffice, and double whenever they do not.
#[derive(Clone, Debug)]
pub struct BandwidthSeries {
    bucket: u64,
    bytes: Vec<u64>,
}

impl Default for BandwidthSeries {
    fn default() -> Self {
        BandwidthSeries { bucket: FINEST_BUCKET.as_nanos(), bytes: Vec::new() }
    }
}

impl BandwidthSeries {
    /// `bytes` bytes were carried, evenly, from `begins` to `ends`.
    pub fn record(&mut self, begins: Instant, ends: Instant, bytes: u64) {
        let (begin, end) = (begins.as_nanos(), ends.as_nanos());
        let last_nano = end.saturating_sub(1).max(begin);
        while last_nano / self.bucket >= MAX_BUCKETS {
            self.coarsen();
        }
        let (first, last) = (begin / self.bucket, last_nano / self.bucket);
        self.bytes.resize(self.bytes.len().max(last as usize + 1), 0);
        if first == last {
            self.bytes[first as usize] += bytes;
            return;
        }
        let span = u128::from(end - begin);
        let in_first = spread(bytes, (first + 1) * self.bucket - begin, end - begin);
        self.bytes[first as usize] += in_first;
        let mut left = bytes - in_first;
        // Spans that are covered whole carry the same but for a byte: what the division leaves
        // is carried on from one to the next.
        let product = u128::from(bytes) * u128::from(self.bucket);
        let (whole, rest) = ((product / span) as u64, product % span);
        let mut carried = 0;
        for in_bucket in &mut self.bytes[first as usize + 1..last as usize] {
            carried += rest;
            let one_more = carried >= span;
            carried -= if one_more { span } else { 0 };
            *in_bucket += whole + u64::from(one_more);
            left -= whole + u64::from(one_more);
        }
        self.bytes[last as usize] += left;
    }

    fn coarsen(&mut self) {
        self.bytes = self.bytes.chunks(2).map(|pair| pair.iter().sum()).collect();
        self.bucket = self.bucket.saturating_mul(2);
    }

    /// The length of each span.
    pub fn bucket(&self) -> Duration {
        Duration::from_nanos(self.bucket)
    }

    /// Bytes carried in each span, from the beginning of time on.
    pub fn bytes(&self) -> &[u64] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn bytes_fall_into_the_spans_in_which_they_were_carried() {
        let mut series = BandwidthSeries::default();
        series.record(at(50), at(250), 400);
        series.record(at(400), at(400), 7);
        assert_eq!(series.bytes(), [100, 200, 100, 0, 7]);
    }

    #[test]
    fn a_long_series_gets_coarser_and_loses_nothing() {
        let mut series = BandwidthSeries::default();
        for second in 0..1_000 {
            series.record(at(second * 1_000), at(second * 1_000 + 500), 10);
        }
        assert!(series.bytes().len() <= MAX_BUCKETS as usize);
        assert_eq!(series.bytes().iter().sum::<u64>(), 10_000);
        assert_eq!(series.bucket(), Duration::from_millis(1_600));
        series.record(at(0), Instant::from_nanos(u64::MAX), 5);
        assert_eq!(series.bytes().iter().sum::<u64>(), 10_005);
    }
}
