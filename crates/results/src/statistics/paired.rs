//! Two series that share their seeds.

use super::signed_rank::SignedRank;
use super::summary::Summary;
use serde::Serialize;
use std::collections::BTreeMap;

/// Differences between two series that share their seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// Of the differences, first less second, one for each seed that both have.
    pub differences: Summary,
    /// The mean difference as a share of the second's mean over the same seeds: -0.02 is 2 % less.
    /// `None` where that mean is zero and the difference is not.
    pub relative: Option<f64>,
    /// Seeds at which the first is less.
    pub less: usize,
    /// Seeds at which both are equal.
    pub equal: usize,
    /// Seeds at which the first is more.
    pub more: usize,
    /// The p-value of the paired t test, two-sided: how often a mean difference as great would be
    /// seen if there were none; `None` for one seed. Where the difference is the same at each seed
    /// the test has no spread to go by, and this is `signed_rank_p`: how often all signs would
    /// agree by chance.
    pub p: Option<f64>,
    /// The p-value of Wilcoxon's signed-rank test, two-sided; it does not take the mean to be
    /// normal. Exact for up to 25 differences that are not zero.
    pub signed_rank_p: f64,
    /// Cohen's d of the differences: their mean in standard deviations. `None` for one seed, and
    /// where the difference is the same at each seed and not zero.
    pub effect: Option<f64>,
    /// The matched-pairs rank-biserial correlation: -1 where the first is less at each seed that
    /// shows a difference, 1 where it is more, 0 where it is as much the one as the other.
    pub rank_correlation: f64,
}

impl Paired {
    /// Compares pairs, the first and the second series' value at each seed; `None` if there are
    /// none.
    pub fn of(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Paired> {
        let pairs: Vec<(f64, f64)> = pairs.into_iter().collect();
        let differences: Vec<f64> = pairs.iter().map(|(first, second)| first - second).collect();
        let count = |wanted: fn(f64) -> bool| differences.iter().filter(|it| wanted(**it)).count();
        let second = pairs.iter().map(|(_, second)| second).sum::<f64>() / pairs.len() as f64;
        let summary = Summary::of(&differences)?;
        let signed_rank = SignedRank::of(&differences);
        let p = match summary.deviation {
            Some(0.0) => Some(signed_rank.p),
            _ => summary.student_p(),
        };
        Some(Paired {
            differences: summary,
            relative: ratio(summary.mean, second),
            less: count(|difference| difference < 0.0),
            equal: count(|difference| difference == 0.0),
            more: count(|difference| difference > 0.0),
            p,
            signed_rank_p: signed_rank.p,
            effect: summary.deviation.and_then(|deviation| ratio(summary.mean, deviation)),
            rank_correlation: signed_rank.correlation,
        })
    }

    /// Compares two series, the value at each seed; what has no partner is left out. `None` if no
    /// seed is common.
    pub fn by_seed(first: &BTreeMap<u64, f64>, second: &BTreeMap<u64, f64>) -> Option<Paired> {
        Paired::of(first.iter().filter_map(|(seed, value)| Some((*value, *second.get(seed)?))))
    }

    /// The same with second less first.
    pub fn reversed(&self) -> Paired {
        // With a and b the two means: (a - b) / b = r, so (b - a) / a = -r / (1 + r).
        let relative = match self.relative {
            Some(relative) => ratio(-relative, 1.0 + relative),
            None => Some(-1.0),
        };
        Paired {
            differences: self.differences.negated(),
            relative,
            less: self.more,
            more: self.less,
            effect: self.effect.map(|effect| -effect),
            rank_correlation: -self.rank_correlation,
            ..*self
        }
    }

    /// Whether the difference is the same at each seed and not zero.
    pub(crate) fn is_constant(&self) -> bool {
        self.differences.deviation == Some(0.0) && self.differences.mean != 0.0
    }
}

/// A ratio, 0 where there is nothing to divide, `None` where nothing divides something.
pub(crate) fn ratio(part: f64, whole: f64) -> Option<f64> {
    match (part == 0.0, whole == 0.0) {
        (true, _) => Some(0.0),
        (false, true) => None,
        (false, false) => Some(part / whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(first: f64, second: f64) -> bool {
        (first - second).abs() <= 1e-9 * first.abs().max(second.abs()).max(1.0)
    }

    #[test]
    fn nothing_paired_says_nothing_and_one_pair_has_no_p_value() {
        assert_eq!(Paired::of([]), None);
        let one = Paired::of([(2.0, 4.0)]).unwrap();
        assert_eq!((one.differences.mean, one.relative, one.less), (-2.0, Some(-0.5), 1));
        assert_eq!((one.p, one.effect, one.signed_rank_p), (None, None, 1.0));
    }

    #[test]
    fn pairs_are_made_by_seed_and_what_has_no_partner_is_left_out() {
        let first = BTreeMap::from([(1, 10.0), (2, 10.0), (3, 9.0), (5, 100.0)]);
        let second = BTreeMap::from([(1, 12.0), (2, 9.0), (3, 9.0), (4, 0.0)]);
        let paired = Paired::by_seed(&first, &second).unwrap();
        assert_eq!((paired.less, paired.equal, paired.more), (1, 1, 1));
        assert_eq!(paired.differences.count, 3);
        assert!((paired.differences.mean + 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(Paired::by_seed(&first, &BTreeMap::new()), None);
    }

    #[test]
    fn series_that_are_equal_everywhere_are_certainly_not_told_apart() {
        let equal = Paired::of([(1.0, 1.0), (2.0, 2.0), (0.0, 0.0)]).unwrap();
        assert_eq!((equal.p, equal.signed_rank_p), (Some(1.0), 1.0));
        assert_eq!((equal.effect, equal.rank_correlation), (Some(0.0), 0.0));
        assert_eq!((equal.relative, equal.equal), (Some(0.0), 3));
        assert_eq!(Paired::of([(0.0, 0.0); 3]).unwrap().relative, Some(0.0));
    }

    #[test]
    fn a_difference_that_is_the_same_at_each_seed_is_no_more_certain_than_its_signs() {
        for (seeds, p) in [(2, 0.5), (5, 0.0625), (6, 0.03125)] {
            let constant =
                Paired::of((0..seeds).map(|seed| (f64::from(seed), f64::from(seed + 3))));
            let constant = constant.unwrap();
            assert!(constant.is_constant());
            assert_eq!((constant.p, constant.effect), (Some(p), None));
            assert_eq!(constant.rank_correlation, -1.0);
        }
    }

    #[test]
    fn a_share_of_nothing_is_no_number() {
        let from_nothing = Paired::of([(1.0, 0.0), (2.0, 0.0)]).unwrap();
        assert_eq!(from_nothing.relative, None);
        assert_eq!(from_nothing.reversed().relative, Some(-1.0));
        assert_eq!(from_nothing.reversed().reversed(), from_nothing);
    }

    proptest! {
        #[test]
        fn turned_round_it_says_the_same_of_the_other(
            pairs in prop::collection::vec((1.0..1e3f64, 1.0..1e3f64), 1..40),
        ) {
            let forth = Paired::of(pairs.iter().copied()).unwrap();
            let back = Paired::of(pairs.iter().map(|(first, second)| (*second, *first))).unwrap();
            let turned = forth.reversed();
            prop_assert!(close(back.differences.mean, turned.differences.mean));
            prop_assert!(close(back.relative.unwrap(), turned.relative.unwrap()));
            prop_assert_eq!((back.less, back.equal, back.more), (turned.less, turned.equal, turned.more));
            prop_assert!(close(back.p.unwrap_or(2.0), forth.p.unwrap_or(2.0)));
            prop_assert_eq!(back.signed_rank_p, forth.signed_rank_p);
            prop_assert!(close(back.effect.unwrap_or(0.0), turned.effect.unwrap_or(0.0)));
            prop_assert_eq!(back.rank_correlation, turned.rank_correlation);
            if let (Some(first), Some(second)) = (back.differences.interval, turned.differences.interval) {
                prop_assert!(close(first.0, second.0) && close(first.1, second.1));
            }
        }

        #[test]
        fn what_both_share_does_not_count(
            pairs in prop::collection::vec((0i32..1000, 0i32..1000), 2..40), shift in 0i32..1_000_000,
        ) {
            let plain = Paired::of(pairs.iter().map(|(a, b)| (f64::from(*a), f64::from(*b)))).unwrap();
            let shifted =
                pairs.iter().map(|(a, b)| (f64::from(a + shift), f64::from(b + shift)));
            let shifted = Paired::of(shifted).unwrap();
            prop_assert_eq!(Paired { relative: plain.relative, ..shifted }, plain);
        }

        #[test]
        fn p_values_are_shares_and_a_greater_shift_of_one_series_is_no_less_certain(
            pairs in prop::collection::vec((0.0..1.0f64, 0.0..1.0f64), 2..40), shift in 0.0..5.0f64,
        ) {
            let apart = |by: f64| Paired::of(pairs.iter().map(|(a, b)| (a + 1.0 + by, *b))).unwrap();
            let (near, far) = (apart(0.0), apart(shift));
            for found in [&near, &far] {
                prop_assert!((0.0..=1.0).contains(&found.p.unwrap()));
                prop_assert!((0.0..=1.0).contains(&found.signed_rank_p));
            }
            prop_assert!(far.p.unwrap() <= near.p.unwrap() + 1e-12);
        }
    }
}
