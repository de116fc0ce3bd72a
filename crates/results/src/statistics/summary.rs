//! The mean of a sample.

use super::SIGNIFICANCE;
use serde::Serialize;
use statrs::distribution::{Continuous, ContinuousCDF, StudentsT};

/// What a few measured values say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many they are, at least 1.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (of the sample, with count - 1); `None` for one value.
    pub deviation: Option<f64>,
    /// The 95 % confidence interval of the mean by Student's t; `None` for one value. It takes
    /// the values to be drawn independently, and their mean to be about normal. It has no width
    /// where all values are the same.
    pub interval: Option<(f64, f64)>,
}

impl Summary {
    /// Summarizes values; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Summary> {
        let first = *values.first()?;
        let count = values.len();
        // Taken from the first value, so that equal values have exactly no deviation.
        let mean = first + values.iter().map(|value| value - first).sum::<f64>() / count as f64;
        if count == 1 {
            return Some(Summary { count, mean, deviation: None, interval: None });
        }
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / (count - 1) as f64).sqrt();
        let reach = student_quantile(count - 1) * deviation / (count as f64).sqrt();
        Some(Summary {
            count,
            mean,
            deviation: Some(deviation),
            interval: Some((mean - reach, mean + reach)),
        })
    }

    /// The p-value of Student's t test that the mean is zero, two-sided; `None` for one value.
    /// Where the values do not spread the test has no answer: it is 1 for a mean of zero and 0 for
    /// any other.
    pub(super) fn student_p(&self) -> Option<f64> {
        let deviation = self.deviation?;
        if deviation == 0.0 {
            return Some(if self.mean == 0.0 { 1.0 } else { 0.0 });
        }
        let t = self.mean / (deviation / (self.count as f64).sqrt());
        Some((2.0 * student(self.count - 1).cdf(-t.abs())).min(1.0))
    }

    /// The same of the values with their signs turned round.
    pub(super) fn negated(&self) -> Summary {
        let interval = self.interval.map(|(low, high)| (-high, -low));
        Summary { mean: -self.mean, interval, ..*self }
    }
}

fn student(degrees_of_freedom: usize) -> StudentsT {
    StudentsT::new(0.0, 1.0, degrees_of_freedom as f64)
        .expect("there is at least one degree of freedom")
}

/// The quantile of Student's t that the interval reaches to.
fn student_quantile(degrees_of_freedom: usize) -> f64 {
    let (student, share) = (student(degrees_of_freedom), 1.0 - SIGNIFICANCE / 2.0);
    let rough = student.inverse_cdf(share);
    // A step of Newton's method: for many degrees of freedom six digits alone are right.
    rough - (student.cdf(rough) - share) / student.pdf(rough)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_summary_is_what_a_textbook_gives() {
        let summary = Summary::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!((summary.count, summary.mean), (8, 5.0));
        assert!((summary.deviation.unwrap() - 2.138_089_935).abs() < 1e-9);
        let (low, high) = summary.interval.unwrap();
        assert!((low - 3.212_512).abs() < 1e-5 && (high - 6.787_488).abs() < 1e-5, "{low} {high}");
    }

    #[test]
    fn one_value_has_no_spread_and_no_value_no_summary() {
        let one = Summary::of(&[3.0]).unwrap();
        assert_eq!(
            (one.mean, one.deviation, one.interval, one.student_p()),
            (3.0, None, None, None)
        );
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn values_that_are_all_the_same_have_exactly_no_spread() {
        let same = Summary::of(&[0.1; 1_000]).unwrap();
        assert_eq!((same.mean, same.deviation), (0.1, Some(0.0)));
        assert_eq!(same.interval, Some((0.1, 0.1)));
        assert_eq!(same.student_p(), Some(0.0));
        assert_eq!(Summary::of(&[0.0; 10]).unwrap().student_p(), Some(1.0));
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_mean_and_moves_with_the_values(
            values in prop::collection::vec(-1e6..1e6f64, 2..40), shift in -1e6..1e6f64,
        ) {
            let summary = Summary::of(&values).unwrap();
            let (low, high) = summary.interval.unwrap();
            prop_assert!(low <= summary.mean && summary.mean <= high);
            let moved: Vec<f64> = values.iter().map(|value| value + shift).collect();
            let moved = Summary::of(&moved).unwrap();
            prop_assert!((moved.mean - summary.mean - shift).abs() < 1e-6);
            prop_assert!((moved.deviation.unwrap() - summary.deviation.unwrap()).abs() < 1e-4);
        }

        #[test]
        fn the_interval_excludes_zero_exactly_where_the_test_finds_a_difference(
            values in prop::collection::vec(-1.0..2.0f64, 2..40),
        ) {
            let summary = Summary::of(&values).unwrap();
            let (low, high) = summary.interval.unwrap();
            let p = summary.student_p().unwrap();
            prop_assume!((p - SIGNIFICANCE).abs() > 1e-6);
            prop_assert_eq!(low > 0.0 || high < 0.0, p < SIGNIFICANCE);
        }
    }
}
