//! How a sample is spread.

use serde::Serialize;

/// Where the values of a sample lie, for what a mean hides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// The least value.
    pub least: f64,
    /// A quarter of the values is below.
    pub lower_quartile: f64,
    /// Half of the values is below.
    pub median: f64,
    /// A quarter of the values is above.
    pub upper_quartile: f64,
    /// The greatest value.
    pub greatest: f64,
}

impl Quantiles {
    /// Those of some values, interpolated between neighbours (type 7 of Hyndman and Fan 1996, as
    /// in NumPy and R); `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Quantiles> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Some(Quantiles {
            least: sorted[0],
            lower_quartile: at(0.25),
            median: at(0.5),
            upper_quartile: at(0.75),
            greatest: sorted[last],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_value_has_no_quantiles_and_one_is_each_of_them() {
        assert_eq!(Quantiles::of(&[]), None);
        let one = Quantiles::of(&[7.0]).unwrap();
        assert_eq!((one.least, one.lower_quartile, one.median), (7.0, 7.0, 7.0));
        assert_eq!((one.upper_quartile, one.greatest), (7.0, 7.0));
    }

    proptest! {
        #[test]
        fn quantiles_are_in_order_and_the_order_of_the_values_does_not_matter(
            values in prop::collection::vec(-1e9..1e9f64, 1..50),
        ) {
            let found = Quantiles::of(&values).unwrap();
            let five = [
                found.least, found.lower_quartile, found.median, found.upper_quartile, found.greatest,
            ];
            prop_assert!(five.is_sorted(), "{:?}", five);
            let reversed: Vec<f64> = values.iter().rev().copied().collect();
            prop_assert_eq!(Quantiles::of(&reversed), Some(found));
            let below = values.iter().filter(|value| **value < found.median).count();
            let above = values.iter().filter(|value| **value > found.median).count();
            prop_assert!(2 * below <= values.len() && 2 * above <= values.len());
        }
    }
}
