//! Many tests at once.

/// Holm's correction (Holm 1979): p-values that can each be held against the level as if it were
/// the only one, in the given order. The chance that any true equality among them is called a
/// difference is then at most the level, however they depend on each other.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|first, second| p_values[*first].total_cmp(&p_values[*second]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut least = 0.0f64;
    for (rank, index) in order.into_iter().enumerate() {
        let left = (p_values.len() - rank) as f64;
        least = least.max((left * p_values[index]).min(1.0));
        corrected[index] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_test_alone_is_not_corrected() {
        assert_eq!(holm(&[0.03]), [0.03]);
        assert_eq!(holm(&[]), [] as [f64; 0]);
    }

    #[test]
    fn the_smallest_counts_for_all_and_the_others_for_those_left() {
        assert_eq!(holm(&[0.25, 0.01, 0.5, 0.02]), [0.5, 0.04, 0.5, 0.06]);
    }

    proptest! {
        #[test]
        fn corrected_values_keep_the_order_and_are_never_below_the_raw_ones(
            p_values in prop::collection::vec(0.0..=1.0f64, 1..60),
        ) {
            let corrected = holm(&p_values);
            for (raw, corrected) in p_values.iter().zip(&corrected) {
                prop_assert!(raw <= corrected && *corrected <= 1.0);
                prop_assert!(*corrected <= (raw * p_values.len() as f64).max(*raw), "not above Bonferroni's");
            }
            for (raw, by) in p_values.iter().zip(&corrected) {
                for (other, other_by) in p_values.iter().zip(&corrected) {
                    prop_assert!(raw > other || by <= other_by);
                }
            }
        }
    }
}
