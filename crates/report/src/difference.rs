//! Differences between contenders that share their seeds.

use crate::distribution::{Group, axis, extent, group_label, strip};
use crate::figure::{Figure, SMALL};
use crate::measure::quantity;
use crate::page::Cell;
use crate::quantity::{Unit, counted};
use crate::run::capitalized;
use crate::scale::Scale;
use crate::style::SERIES;
use crate::svg::{Anchor, Drawing, text_width};
use lazycopy_results::{Measure, Paired, Summary};
use std::collections::BTreeMap;

/// One contender against the baseline in one measure.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub label: String,
    pub series: usize,
    /// Contender less baseline, by seed.
    pub values: BTreeMap<u64, f64>,
    pub paired: Paired,
}

impl Difference {
    /// `None` where they have no seed in common.
    pub fn of(
        (label, series): (&str, usize),
        contender: &BTreeMap<u64, f64>,
        baseline: &BTreeMap<u64, f64>,
    ) -> Option<Difference> {
        let paired = Paired::by_seed(contender, baseline)?;
        let difference = |(seed, value): (&u64, &f64)| Some((*seed, value - baseline.get(seed)?));
        let values = contender.iter().filter_map(difference).collect();
        Some(Difference { label: label.to_owned(), series, values, paired })
    }
}

const WIDTH: f64 = SMALL;
const TOP: f64 = 40.0;
const ROW: f64 = 38.0;

/// Draws the differences of one measure; `None` without any that is not zero.
pub(crate) fn differences(
    name: &str,
    measure: Measure,
    baseline: &str,
    differences: &[Difference],
) -> Option<Figure> {
    let all = differences.iter().flat_map(|it| it.values.values().copied());
    let (low, high) = extent(all.chain([0.0])).filter(|(low, high)| low < high)?;
    let unit = quantity(measure).unit(high.max(-low));
    let left = 34.0 + differences.iter().map(|it| text_width(&it.label)).fold(0.0, f64::max);
    let bottom = TOP + differences.len() as f64 * ROW;
    let scale =
        Scale::linear(around(low / unit.divisor, high / unit.divisor), (left, WIDTH - 20.0));
    let mut drawing = Drawing::new(WIDTH, bottom + 46.0);
    let title = format!("{}: differences to {baseline}", capitalized(measure.label()));
    drawing.text("title", (12.0, 22.0), Anchor::Start, &title);
    let unit_name = if unit.name.is_empty() { String::new() } else { format!(" ({})", unit.name) };
    let label = format!("\u{2190} less than {baseline}{unit_name} more \u{2192}");
    axis(&mut drawing, scale, (TOP, bottom), &label, left);
    let zero = scale.place(0.0);
    drawing.line("zero", (zero, TOP - 4.0), (zero, bottom));
    for (index, difference) in differences.iter().enumerate() {
        row(&mut drawing, scale, unit, difference, TOP + (index as f64 + 0.5) * ROW, left);
    }
    let caption = format!(
        "Each point a seed: the contender's {} less {baseline}'s of the same seed. The bar: mean \
         and its 95 % confidence interval.",
        measure.label()
    );
    Some(Figure::new(name, &title, caption, drawing))
}

fn around(low: f64, high: f64) -> (f64, f64) {
    let margin = (high - low) * 0.06;
    (low - margin, high + margin)
}

fn row(
    drawing: &mut Drawing,
    scale: Scale,
    unit: Unit,
    difference: &Difference,
    y: f64,
    left: f64,
) {
    let values = difference.values.values().copied().collect();
    let group = Group { label: difference.label.clone(), series: difference.series, values };
    group_label(drawing, &group, y, left);
    strip(drawing, scale, unit, &group, y);
    let Summary { mean, interval, .. } = difference.paired.differences;
    let place = |value: f64| scale.clamped(value / unit.divisor);
    if let Some((low, high)) = interval {
        let class = format!("whisker interval s{}", difference.series % SERIES);
        drawing.line(&class, (place(low), y), (place(high), y));
    }
    drawing.line("mean", (place(mean), y - 10.0), (place(mean), y + 10.0));
}

/// A line of the table of differences.
pub(crate) fn table_row(measure: Measure, difference: &Difference) -> Vec<Cell> {
    let Paired { differences, less, equal, more, .. } = difference.paired;
    let signed = |value| quantity(measure).signed(value);
    let interval = match differences.interval {
        Some((low, high)) => format!("{} to {}", signed(low), signed(high)),
        None => "one seed alone".to_owned(),
    };
    vec![
        Cell::Text(measure.label().to_owned()),
        Cell::Text(difference.label.clone()),
        Cell::Number(signed(differences.mean)),
        Cell::Number(interval),
        Cell::Number(less.to_string()),
        Cell::Number(equal.to_string()),
        Cell::Number(more.to_string()),
        Cell::Text(verdict(&difference.paired)),
    ]
}

/// Whether the interval tells one from the other.
fn verdict(paired: &Paired) -> String {
    let seeds = counted(paired.differences.count as u64, "seed");
    match paired.differences.interval {
        _ if paired.less + paired.more == 0 => format!("equal at {seeds}"),
        Some((_, high)) if high < 0.0 => "less".to_owned(),
        Some((low, _)) if low > 0.0 => "more".to_owned(),
        _ => format!("not told apart by {seeds}"),
    }
}

/// The names of the columns of [`table_row`].
pub(crate) const TABLE_HEADER: [&str; 8] = [
    "measure",
    "contender",
    "mean difference",
    "95 % interval",
    "seeds less",
    "equal",
    "more",
    "so",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_common_seed_has_a_point_and_each_contender_a_mean_and_an_interval() {
        let baseline = BTreeMap::from([(1, 5e9), (2, 6e9), (3, 7e9)]);
        let contender = BTreeMap::from([(1, 4e9), (2, 6.5e9), (4, 1e9)]);
        let difference = Difference::of(("lazy-copy", 1), &contender, &baseline).unwrap();
        assert_eq!(difference.values, BTreeMap::from([(1, -1e9), (2, 0.5e9)]));
        let file = differences("d", Measure::TotalMigrationTime, "post-copy", &[difference])
            .unwrap()
            .file();
        assert_eq!(file.matches(" run faint\"").count(), 2);
        assert_eq!(file.matches("whisker interval").count(), 1);
        assert!(Difference::of(("a", 1), &contender, &BTreeMap::new()).is_none());
    }

    #[test]
    fn a_verdict_is_only_given_where_the_interval_leaves_no_doubt() {
        let paired = |values: &[f64]| {
            let zeros = (0..values.len() as u64).map(|seed| (seed, 0.0)).collect();
            let values = values.iter().enumerate().map(|(seed, it)| (seed as u64, *it)).collect();
            verdict(&Paired::by_seed(&values, &zeros).unwrap())
        };
        assert_eq!(paired(&[-2.0, -2.1, -1.9, -2.0]), "less");
        assert_eq!(paired(&[-5.0, 5.0, 1.0]), "not told apart by 3 seeds");
        assert_eq!(paired(&[0.0, 0.0]), "equal at 2 seeds");
    }
}
