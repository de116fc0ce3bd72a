//! Statistics against the reference figures of SciPy, NumPy and statsmodels, which
//! `reference/statistics.py` made.

use lazycopy_results::{Paired, Quantiles, Summary, holm};
use serde_json::Value;

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/statistics.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Equal to nine digits, also far out in a distribution's tail.
fn assert_close(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    let scale = found.abs().max(expected.abs());
    assert!((found - expected).abs() <= 1e-9 * scale, "{what}: {found}, not {expected}");
}

#[test]
fn means_deviations_and_their_intervals_are_scipys() {
    let reference = reference();
    for sample in reference["samples"].as_array().unwrap() {
        let summary = Summary::of(&numbers(&sample["first"])).unwrap();
        let name = sample["name"].as_str().unwrap();
        assert_close(summary.mean, &sample["first_mean"], name);
        assert_close(summary.deviation.unwrap(), &sample["first_deviation"], name);
        let (low, high) = summary.interval.unwrap();
        assert_close(low, &sample["first_interval"][0], name);
        assert_close(high, &sample["first_interval"][1], name);
    }
}

#[test]
fn students_quantiles_are_scipys_from_one_to_many_degrees() {
    let reference = reference();
    for case in reference["student_quantiles"].as_array().unwrap() {
        // A sample of 1, -1 and zeros has the mean 0, and the interval reaches the quantile times
        // its standard error.
        let degrees = case["degrees"].as_u64().unwrap() as usize;
        let mut values = vec![0.0; degrees + 1];
        (values[0], values[1]) = (1.0, -1.0);
        let summary = Summary::of(&values).unwrap();
        let error = summary.deviation.unwrap() / (summary.count as f64).sqrt();
        let quantile = (summary.interval.unwrap().1 - summary.mean) / error;
        assert_close(quantile, &case["quantile"], &format!("{degrees} degrees of freedom"));
    }
}

#[test]
fn quantiles_are_numpys() {
    let reference = reference();
    for sample in reference["samples"].as_array().unwrap() {
        let found = Quantiles::of(&numbers(&sample["first"])).unwrap();
        let found =
            [found.least, found.lower_quartile, found.median, found.upper_quartile, found.greatest];
        for (found, expected) in found.iter().zip(sample["first_quantiles"].as_array().unwrap()) {
            assert_close(*found, expected, sample["name"].as_str().unwrap());
        }
    }
}

#[test]
fn paired_differences_and_both_tests_are_scipys() {
    let reference = reference();
    for sample in reference["samples"].as_array().unwrap() {
        let (first, second) = (numbers(&sample["first"]), numbers(&sample["second"]));
        let paired = Paired::of(first.into_iter().zip(second)).unwrap();
        let name = sample["name"].as_str().unwrap();
        let (low, high) = paired.differences.interval.unwrap();
        for (found, field) in [
            (paired.differences.mean, "mean"),
            (paired.differences.deviation.unwrap(), "deviation"),
            (paired.p.unwrap(), "p"),
            (paired.signed_rank_p, "signed_rank_p"),
            (paired.effect.unwrap(), "effect"),
            (paired.rank_correlation, "rank_correlation"),
        ] {
            assert_close(found, &sample[field], &format!("{field} of {name}"));
        }
        assert_close(low, &sample["interval"][0], name);
        assert_close(high, &sample["interval"][1], name);
    }
}

#[test]
fn holms_correction_is_that_of_statsmodels() {
    let reference = reference();
    for case in reference["holm"].as_array().unwrap() {
        let corrected = holm(&numbers(&case["p"]));
        for (found, expected) in corrected.iter().zip(case["corrected"].as_array().unwrap()) {
            assert_close(*found, expected, "Holm");
        }
    }
}
