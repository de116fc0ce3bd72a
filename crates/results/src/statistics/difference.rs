//! A difference among others that are judged with it.

use super::{Paired, SIGNIFICANCE, holm};
use serde::Serialize;

/// How the first of two series stands against the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It has less, and the corrected p-value is below [`SIGNIFICANCE`].
    Less,
    /// It has more, and the corrected p-value is below [`SIGNIFICANCE`].
    More,
    /// The difference may be chance.
    NoDifference,
    /// There are fewer than two common seeds, or too few for a difference that is the same at each
    /// of them.
    Undecided,
}

/// A paired difference with its standing among all that are judged with it: its *family*.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The difference by itself.
    #[serde(flatten)]
    pub paired: Paired,
    /// Its p-value after Holm's correction over the family; `None` where it has none.
    pub corrected_p: Option<f64>,
    /// What follows.
    pub standing: Standing,
}

impl Standing {
    /// Its name in result files.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Less => "less",
            Standing::More => "more",
            Standing::NoDifference => "no_difference",
            Standing::Undecided => "undecided",
        }
    }
}

impl Difference {
    /// A difference that is judged alone: its p-value needs no correction.
    pub fn alone(paired: Paired) -> Difference {
        Difference { paired, corrected_p: paired.p, standing: standing(&paired, paired.p) }
    }

    /// Corrects the p-values of a family, whatever they were corrected for before.
    pub fn correct<'a>(family: impl IntoIterator<Item = &'a mut Difference>) {
        let mut family: Vec<&mut Difference> =
            family.into_iter().filter(|difference| difference.paired.p.is_some()).collect();
        let raw: Vec<f64> = family.iter().filter_map(|difference| difference.paired.p).collect();
        for (difference, corrected) in family.iter_mut().zip(holm(&raw)) {
            difference.corrected_p = Some(corrected);
            difference.standing = standing(&difference.paired, Some(corrected));
        }
    }

    /// The same with second less first.
    pub fn reversed(&self) -> Difference {
        let standing = match self.standing {
            Standing::Less => Standing::More,
            Standing::More => Standing::Less,
            same => same,
        };
        Difference { paired: self.paired.reversed(), standing, ..*self }
    }
}

fn standing(paired: &Paired, corrected_p: Option<f64>) -> Standing {
    match corrected_p {
        None => Standing::Undecided,
        Some(p) if p < SIGNIFICANCE && paired.differences.mean < 0.0 => Standing::Less,
        Some(p) if p < SIGNIFICANCE => Standing::More,
        Some(_) if paired.is_constant() => Standing::Undecided,
        Some(_) => Standing::NoDifference,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn apart(by: f64, seeds: u32) -> Difference {
        let pair = |seed: u32| (100.0 + by + f64::from(seed % 3), 100.0);
        Difference::alone(Paired::of((0..seeds).map(pair)).unwrap())
    }

    #[test]
    fn less_is_less_and_turned_round_more() {
        let less = apart(-9.0, 10);
        assert_eq!(less.standing, Standing::Less);
        assert_eq!(less.reversed().standing, Standing::More);
        assert_eq!(apart(9.0, 10).standing, Standing::More);
        assert_eq!(apart(-1.0, 3).standing, Standing::NoDifference);
        assert_eq!(apart(9.0, 1).standing, Standing::Undecided);
    }

    #[test]
    fn the_same_difference_at_a_few_seeds_decides_nothing_until_there_are_six() {
        let constant = |seeds| Difference::alone(Paired::of(vec![(1.0, 2.0); seeds]).unwrap());
        assert_eq!(constant(5).standing, Standing::Undecided);
        assert_eq!(constant(6).standing, Standing::Less);
        let equal = Difference::alone(Paired::of([(1.0, 1.0); 2]).unwrap());
        assert_eq!(equal.standing, Standing::NoDifference);
    }

    #[test]
    fn what_stands_alone_may_not_stand_among_many() {
        let mut family = vec![apart(-2.0, 4); 100];
        assert_eq!(family[0].standing, Standing::NoDifference);
        family.push(apart(-3.0, 4));
        assert_eq!(family[100].standing, Standing::Less);
        family.push(apart(5.0, 1));
        Difference::correct(&mut family);
        assert_eq!(family[100].standing, Standing::NoDifference);
        assert_eq!(
            family[100].corrected_p,
            Some(101.0 * family[100].paired.p.unwrap()).map(|p| p.min(1.0))
        );
        assert_eq!((family[101].corrected_p, family[101].standing), (None, Standing::Undecided));
    }

    proptest! {
        #[test]
        fn a_larger_family_never_makes_a_difference_more_certain(
            shifts in prop::collection::vec(-4.0..4.0f64, 1..30),
        ) {
            let alone: Vec<Difference> = shifts.iter().map(|by| apart(*by, 12)).collect();
            let mut together = alone.clone();
            Difference::correct(&mut together);
            for (alone, together) in alone.iter().zip(&together) {
                prop_assert!(alone.corrected_p <= together.corrected_p);
                prop_assert!(together.standing == alone.standing || together.standing == Standing::NoDifference);
            }
        }
    }
}
