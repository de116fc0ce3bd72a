//! Statistics against the reference figures of SciPy, NumPy and statsmodels, which
//! `reference/statistics.py` made.

use lazycopy_results::{Paired, Quantiles, SIGNIFICANCE, Summary, holm};
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

/// Numbers that are about normal with mean 0, the same in every run of the tests: each the sum of
/// twelve of SplitMix64's.
fn normal(state: &mut u64) -> f64 {
    let mut uniform = || {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

#[test]
fn an_interval_holds_the_true_mean_as_often_as_it_says() {
    let (mut state, samples) = (1, 4_000);
    for count in [3, 12, 40] {
        let holds = |_: &usize| {
            let values: Vec<f64> = (0..count).map(|_| 7.0 + normal(&mut state)).collect();
            let (low, high) = Summary::of(&values).unwrap().interval.unwrap();
            low <= 7.0 && 7.0 <= high
        };
        let share = (0..samples).filter(holds).count() as f64 / f64::from(samples as u32);
        assert!((share - 0.95).abs() < 0.012, "{share} of the intervals of {count} values");
    }
}

#[test]
fn without_a_difference_a_test_errs_as_often_as_its_level_and_holm_in_a_family_no_more() {
    let (mut state, families, members) = (2, 1_000, 10);
    let (mut student, mut signed_rank, mut family_wise) = (0, 0, 0);
    for _ in 0..families {
        let mut p_values = Vec::new();
        for _ in 0..members {
            let pairs = (0..30).map(|_| (normal(&mut state), normal(&mut state)));
            let paired = Paired::of(pairs.collect::<Vec<_>>()).unwrap();
            p_values.push(paired.p.unwrap());
            student += usize::from(paired.p.unwrap() < SIGNIFICANCE);
            signed_rank += usize::from(paired.signed_rank_p < SIGNIFICANCE);
        }
        family_wise += usize::from(holm(&p_values).iter().any(|p| *p < SIGNIFICANCE));
    }
    let tests = f64::from(families * members);
    for (name, errors) in [("t", student), ("signed-rank", signed_rank)] {
        let share = errors as f64 / tests;
        assert!((share - SIGNIFICANCE).abs() < 0.01, "{name}: {share}");
    }
    let share = family_wise as f64 / f64::from(families);
    assert!((0.02..0.07).contains(&share), "{share} of the families");
}
