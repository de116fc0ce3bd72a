//! Means and how far they can be trusted.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};
use std::collections::BTreeMap;

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
    /// the values to be drawn independently, and their mean to be about normal.
    pub interval: Option<(f64, f64)>,
}

impl Summary {
    /// Summarizes values; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Summary> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
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
}

/// The 97.5 % quantile of Student's t.
fn student_quantile(degrees_of_freedom: usize) -> f64 {
    StudentsT::new(0.0, 1.0, degrees_of_freedom as f64)
        .expect("there is at least one degree of freedom")
        .inverse_cdf(0.975)
}

/// Differences between two series that share their seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// Of the differences, first less second, one for each seed that both have.
    pub differences: Summary,
    /// Seeds at which the first is less.
    pub less: usize,
    /// Seeds at which both are equal.
    pub equal: usize,
    /// Seeds at which the first is more.
    pub more: usize,
}

impl Paired {
    /// Pairs two series by seed; `None` if they have no seed in common.
    pub fn of(first: &BTreeMap<u64, f64>, second: &BTreeMap<u64, f64>) -> Option<Paired> {
        let differences: Vec<f64> =
            first.iter().filter_map(|(seed, value)| Some(value - second.get(seed)?)).collect();
        let count = |wanted: fn(f64) -> bool| differences.iter().filter(|it| wanted(**it)).count();
        Some(Paired {
            differences: Summary::of(&differences)?,
            less: count(|difference| difference < 0.0),
            equal: count(|difference| difference == 0.0),
            more: count(|difference| difference > 0.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn students_quantiles_are_those_of_the_printed_tables() {
        for (degrees, expected) in [
            (1, 12.706_205),
            (2, 4.302_653),
            (4, 2.776_445),
            (9, 2.262_157),
            (29, 2.045_230),
            (99, 1.984_217),
        ] {
            let quantile = student_quantile(degrees);
            assert!((quantile - expected).abs() < 1e-5, "{degrees}: {quantile}");
        }
    }

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
        assert_eq!((one.mean, one.deviation, one.interval), (3.0, None, None));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn pairs_are_made_by_seed_and_what_has_no_partner_is_left_out() {
        let first = BTreeMap::from([(1, 10.0), (2, 10.0), (3, 9.0), (5, 100.0)]);
        let second = BTreeMap::from([(1, 12.0), (2, 9.0), (3, 9.0), (4, 0.0)]);
        let paired = Paired::of(&first, &second).unwrap();
        assert_eq!((paired.less, paired.equal, paired.more), (1, 1, 1));
        assert_eq!(paired.differences.count, 3);
        assert!((paired.differences.mean + 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(Paired::of(&first, &BTreeMap::new()), None);
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
    }
}
