//! A ratio over time in bounded space.

/// Points of a series, at most: as many as a picture of it shows.
const MAX_SAMPLES: usize = 240;

/// Two sums that grow, as seen at instants: what they grew by between two of them gives a ratio.
/// When there are too many, every other one is left out, and later ones are taken half as often.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    samples: Vec<Sample>,
    /// The least distance of two samples, in nanoseconds.
    width: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    at: u64,
    part: u64,
    whole: u64,
}

impl Series {
    /// At that instant, in nanoseconds, the sums were these. What is older than the last sample,
    /// or too close to it, is passed over.
    pub(crate) fn note(&mut self, at: u64, part: u64, whole: u64) {
        if let Some(last) = self.samples.last() {
            let too_early = at <= last.at || at - last.at < self.width;
            if too_early || part < last.part || whole <= last.whole {
                return;
            }
        }
        self.samples.push(Sample { at, part, whole });
        if self.samples.len() > MAX_SAMPLES {
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            let span = at - self.samples[0].at;
            self.width = 2 * span / MAX_SAMPLES as u64;
        }
    }

    /// Whether nothing was noted yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The instant of each sample but the first, and the ratio since the sample before it, times
    /// `scale`.
    pub(crate) fn points(&self, scale: f64) -> Vec<(u64, f64)> {
        let point = |pair: &[Sample]| {
            let (part, whole) = (pair[1].part - pair[0].part, pair[1].whole - pair[0].whole);
            (pair[1].at, scale * part as f64 / whole as f64)
        };
        self.samples.windows(2).map(point).collect()
    }

    /// The ratio over the last `samples` samples; `None` with fewer than two.
    pub(crate) fn recent(&self, samples: usize) -> Option<f64> {
        let first = &self.samples[self.samples.len().saturating_sub(samples.max(2))..];
        let (first, last) = (first.first()?, first.last()?);
        let whole = last.whole.checked_sub(first.whole).filter(|whole| *whole > 0)?;
        Some((last.part - first.part) as f64 / whole as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_stays_small_and_keeps_its_ratio() {
        let mut series = Series::default();
        for at in 0..100_000 {
            series.note(at, 3 * at, at);
        }
        let points = series.points(1.0);
        assert!((MAX_SAMPLES / 4..=MAX_SAMPLES).contains(&points.len()), "{}", points.len());
        assert!(points.iter().all(|(_, ratio)| *ratio == 3.0));
        assert!(points.is_sorted_by_key(|(at, _)| *at));
        assert!(points.last().unwrap().0 > 99_000, "the newest are not left out");
        assert_eq!(series.recent(8), Some(3.0));
    }

    #[test]
    fn what_is_out_of_order_or_shrinks_is_passed_over() {
        let mut series = Series::default();
        assert_eq!(series.recent(4), None);
        for (at, part) in [(10, 5), (20, 4), (15, 9), (10, 9), (30, 25)] {
            series.note(at, part, at);
        }
        assert_eq!(series.points(2.0), [(15, 2.0 * 4.0 / 5.0), (30, 2.0 * 16.0 / 15.0)]);
    }
}
