//! From values to places on the paper, and the ticks between.

/// How a range of values is laid out over a range of places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

/// The least power of ten apart from which a range is laid out by powers.
const LOGARITHMIC_FROM: f64 = 20.0;

impl Scale {
    /// Equal distances for equal differences. A range of no width is widened.
    pub fn linear((low, high): (f64, f64), (from, to): (f64, f64)) -> Scale {
        let (low, high) = if high > low {
            (low, high)
        } else {
            let reach = if low == 0.0 { 1.0 } else { low.abs() / 2.0 };
            (low - reach, low + reach)
        };
        Scale { low, high, from, to, logarithmic: false }
    }

    /// Equal distances for equal ratios where the values span more than a factor of twenty and
    /// all are above zero; else for equal differences.
    pub fn fitting((low, high): (f64, f64), places: (f64, f64)) -> Scale {
        if low > 0.0 && high / low > LOGARITHMIC_FROM {
            let (from, to) = places;
            return Scale { low: low.log10(), high: high.log10(), from, to, logarithmic: true };
        }
        Scale::linear((low, high), places)
    }

    /// The same places for values divided by that. Only for equal differences.
    pub fn in_units(&self, divisor: f64) -> Scale {
        Scale { low: self.low / divisor, high: self.high / divisor, ..*self }
    }

    /// Where a value stands; values beyond the range stand beyond the places.
    pub fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.log10() } else { value };
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Where a value stands, at the border if it is beyond the range.
    pub fn clamped(&self, value: f64) -> f64 {
        let (least, most) = (self.from.min(self.to), self.from.max(self.to));
        self.place(value).clamp(least, most)
    }

    /// Round values within the range, about `wanted` of them. Only for equal differences.
    pub fn ticks(&self, wanted: usize) -> Vec<f64> {
        let step = round_step((self.high - self.low) / wanted.max(1) as f64);
        let (first, last) = ((self.low / step).ceil(), (self.high / step + 1e-9).floor());
        (0..=(last - first).max(0.0) as usize).map(|n| (first + n as f64) * step).collect()
    }
}

/// The least of 1, 2, 5, 10, 20, 50 and so on that is not below the value.
pub(crate) fn round_step(value: f64) -> f64 {
    let power = 10f64.powi(value.log10().floor() as i32);
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= value * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// The digits after the point that tell neighbouring ticks apart.
pub(crate) fn tick_decimals(ticks: &[f64]) -> usize {
    let least = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    if least.is_finite() && least > 0.0 {
        (-least.log10().floor()).clamp(0.0, 9.0) as usize
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_range() {
        let scale = Scale::linear((0.0, 13.2), (0.0, 100.0));
        assert_eq!(scale.ticks(6), [0.0, 5.0, 10.0]);
        assert_eq!(
            Scale::linear((-3.0, 2.0), (0.0, 1.0)).ticks(5),
            [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0]
        );
        let ticks = Scale::linear((0.0, 0.9), (0.0, 1.0)).ticks(5);
        assert_eq!((ticks.len(), tick_decimals(&ticks)), (5, 1));
        assert_eq!(tick_decimals(&[0.0, 5.0]), 0);
    }

    #[test]
    fn a_range_of_no_width_has_its_value_in_the_middle() {
        for value in [0.0, 7.0, -2.0] {
            assert_eq!(Scale::linear((value, value), (0.0, 100.0)).place(value), 50.0);
        }
    }

    #[test]
    fn wide_ranges_are_laid_out_by_powers() {
        let scale = Scale::fitting((1.0, 10_000.0), (0.0, 100.0));
        assert!((scale.place(100.0) - 50.0).abs() < 1e-9);
        let scale = Scale::fitting((0.0, 8.0), (0.0, 100.0));
        assert!((scale.place(4.0) - 50.0).abs() < 1e-9);
    }
}
