//! Wilcoxon's signed-rank test (Wilcoxon 1945): are differences as much above zero as below?

use statrs::function::erf::erfc;
use std::f64::consts::SQRT_2;

/// Up to this many differences that are not zero the p-value is exact, ties included: each sign is
/// counted. Above, the normal approximation differs from it by less than anyone could use.
const EXACT: usize = 25;

/// What the test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SignedRank {
    /// The p-value, two-sided; 1 where every difference is zero.
    pub p: f64,
    /// The matched-pairs rank-biserial correlation (Kerby 2014): the ranks of the positive
    /// differences less those of the negative, as a share of all; 0 where every difference is
    /// zero.
    pub correlation: f64,
}

impl SignedRank {
    /// The test over some differences. Zeros are left out, as Wilcoxon did; ties share their mean
    /// rank.
    pub(super) fn of(differences: &[f64]) -> SignedRank {
        let mut differences: Vec<f64> =
            differences.iter().copied().filter(|difference| *difference != 0.0).collect();
        differences.sort_by(|first, second| first.abs().total_cmp(&second.abs()));
        let count = differences.len() as u64;
        if count == 0 {
            return SignedRank { p: 1.0, correlation: 0.0 };
        }
        let ranks = twice_the_ranks(&differences);
        let signed = ranks.iter().zip(&differences);
        let positive: u64 =
            signed.filter(|(_, difference)| **difference > 0.0).map(|(rank, _)| rank).sum();
        let whole = count * (count + 1);
        let p = if differences.len() <= EXACT {
            exact(&ranks, positive)
        } else {
            approximate(&ranks, positive)
        };
        SignedRank { p, correlation: (2.0 * positive as f64 - whole as f64) / whole as f64 }
    }
}

/// Twice the rank of each value by its size, so that the mean rank of ties is whole.
fn twice_the_ranks(sorted: &[f64]) -> Vec<u64> {
    let mut ranks = Vec::with_capacity(sorted.len());
    for ties in sorted.chunk_by(|first, second| first.abs() == second.abs()) {
        let (before, ties) = (ranks.len() as u64, ties.len() as u64);
        ranks.extend(std::iter::repeat_n(2 * before + ties + 1, ties as usize));
    }
    ranks
}

/// The share of all ways to draw the signs that give a sum at least as far out.
fn exact(ranks: &[u64], positive: u64) -> f64 {
    let whole: u64 = ranks.iter().sum();
    let mut ways = vec![0u64; whole as usize + 1];
    ways[0] = 1;
    let mut reached = 0;
    for rank in ranks.iter().map(|rank| *rank as usize) {
        for sum in (0..=reached).rev() {
            ways[sum + rank] += ways[sum];
        }
        reached += rank;
    }
    let nearer = positive.min(whole - positive) as usize;
    let below: u64 = ways[..=nearer].iter().sum();
    (2.0 * below as f64 / (1u64 << ranks.len()) as f64).min(1.0)
}

/// By the normal distribution, with the variance that the ties leave.
fn approximate(ranks: &[u64], positive: u64) -> f64 {
    // The sum of the squared ranks; `ranks` holds twice of each, and the sum of the positive ones
    // has a quarter of it as its variance.
    let squares: f64 = ranks.iter().map(|rank| (*rank as f64).powi(2)).sum();
    let whole: u64 = ranks.iter().sum();
    let z = (positive as f64 - whole as f64 / 2.0) / (squares / 4.0).sqrt();
    erfc(z.abs() / SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn differences_of_one_sign_leave_two_of_all_ways() {
        for count in 1..=EXACT {
            let found = SignedRank::of(&vec![3.0; count]);
            assert_eq!((found.p, found.correlation), (0.5f64.powi(count as i32 - 1), 1.0));
        }
    }

    #[test]
    fn without_a_difference_nothing_is_found() {
        for differences in [&[][..], &[0.0][..], &[0.0; 40][..]] {
            assert_eq!(SignedRank::of(differences), SignedRank { p: 1.0, correlation: 0.0 });
        }
    }

    proptest! {
        #[test]
        fn the_exact_figure_is_that_of_every_sign_tried(
            sizes in prop::collection::vec(1u32..6, 1..9), signs in any::<u16>(),
        ) {
            let with_signs = |signs: u16| -> Vec<f64> {
                let signed = |(bit, size): (usize, &u32)| {
                    if signs >> bit & 1 == 1 { -f64::from(*size) } else { f64::from(*size) }
                };
                sizes.iter().enumerate().map(signed).collect()
            };
            let found = SignedRank::of(&with_signs(signs));
            let all = 1u16 << sizes.len();
            let out = |signs| SignedRank::of(&with_signs(signs)).correlation.abs();
            let as_far = (0..all).filter(|signs| out(*signs) >= found.correlation.abs() - 1e-12);
            prop_assert!((found.p - as_far.count() as f64 / f64::from(all)).abs() < 1e-12);
        }

        #[test]
        fn the_approximation_is_near_the_exact_figure_where_it_takes_over(
            differences in prop::collection::vec(-1e3..1e3f64, EXACT),
        ) {
            let mut sorted = differences.clone();
            sorted.sort_by(|first, second| first.abs().total_cmp(&second.abs()));
            let ranks = twice_the_ranks(&sorted);
            let signed = ranks.iter().zip(&sorted);
            let positive = signed.filter(|(_, value)| **value > 0.0).map(|(rank, _)| rank).sum();
            let (exact, approximate) = (exact(&ranks, positive), approximate(&ranks, positive));
            prop_assert!((exact - approximate).abs() < 0.02, "{} {}", exact, approximate);
        }
    }
}
