//! How the values of many runs are spread: boxes with the single runs, and below them the share
//! of runs up to each value.

use crate::figure::{Figure, SMALL};
use crate::measure::{meaning, quantity};
use crate::quantity::{Unit, counted, fixed};
use crate::scale::{Scale, tick_decimals};
use crate::style::SERIES;
use crate::svg::{Anchor, Drawing, text_width};
use lazycopy_results::{Measure, Quantiles};

/// The values of one scheme or contender.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub label: String,
    pub series: usize,
    pub values: Vec<f64>,
}

const WIDTH: f64 = SMALL;
const TOP: f64 = 40.0;
const ROW: f64 = 38.0;
const SHARES_HEIGHT: f64 = 130.0;
const GAP: f64 = 14.0;

/// Up to so many runs each has a point; more would be a blot.
const SINGLE_POINTS: usize = 200;

/// Steps of a curve of shares: more cannot be told apart at this size.
const MOST_STEPS: usize = 400;

/// Draws a metric's values; `None` where no group has any.
pub(crate) fn distribution(name: &str, measure: Measure, groups: &[Group]) -> Option<Figure> {
    let all = groups.iter().flat_map(|group| group.values.iter().copied());
    let (low, high) = extent(all)?;
    let unit = quantity(measure).unit(high.abs().max(low.abs()));
    let left = 34.0 + groups.iter().map(|group| text_width(&group.label)).fold(0.0, f64::max);
    let bottom = TOP + groups.len() as f64 * ROW + GAP + SHARES_HEIGHT;
    let scale =
        Scale::linear(padded(low / unit.divisor, high / unit.divisor), (left, WIDTH - 20.0));
    let mut drawing = Drawing::new(WIDTH, bottom + 46.0);
    drawing.text("title", (12.0, 22.0), Anchor::Start, &crate::run::capitalized(measure.label()));
    axis(&mut drawing, scale, (TOP, bottom), &axis_label(measure, unit), left);
    for (index, group) in groups.iter().enumerate() {
        row(&mut drawing, scale, unit, group, TOP + (index as f64 + 0.5) * ROW, left);
    }
    shares(&mut drawing, scale, unit, groups, (bottom - SHARES_HEIGHT, bottom), left);
    let points = match groups.iter().all(|group| group.values.len() <= SINGLE_POINTS) {
        true => "Each point a run; b",
        false => "B",
    };
    let caption = format!(
        "{} {points}ox: the middle half of the runs, its line the median, whiskers from the least \
         to the greatest. Below: the share of runs up to each value.",
        meaning(measure)
    );
    let title = format!("Distribution of {}", measure.label());
    Some(Figure::new(name, &title, caption, drawing))
}

/// The axis' name with its unit.
pub(crate) fn axis_label(measure: Measure, unit: Unit) -> String {
    if unit.name.is_empty() {
        measure.label().to_owned()
    } else {
        format!("{} ({})", measure.label(), unit.name)
    }
}

/// The least and the greatest value.
pub(crate) fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |extent, value| match extent {
        None => Some((value, value)),
        Some((low, high)) => Some((low.min(value), high.max(value))),
    })
}

/// From zero, unless the values lie so close together that nothing could be told apart; with a
/// margin.
fn padded(low: f64, high: f64) -> (f64, f64) {
    let (low, high) = match low > 0.0 && high - low > 0.0 && high - low < 0.25 * high {
        true => (low, high),
        false => (low.min(0.0), high.max(0.0)),
    };
    if low == high {
        return (0.0, 1.0);
    }
    let margin = (high - low) * 0.04;
    (if low == 0.0 { 0.0 } else { low - margin }, high + margin)
}

/// Grid, ticks and name of a horizontal axis.
pub(crate) fn axis(
    drawing: &mut Drawing,
    scale: Scale,
    (top, bottom): (f64, f64),
    label: &str,
    left: f64,
) {
    let ticks = scale.ticks(6);
    let decimals = tick_decimals(&ticks);
    for tick in ticks {
        let x = scale.place(tick);
        drawing.line("gridline", (x, top), (x, bottom));
        let text = fixed(tick, decimals).replace('-', "\u{2212}");
        drawing.text("tick", (x, bottom + 17.0), Anchor::Middle, &text);
    }
    drawing.line("axis", (left, bottom), (drawing.width() - 20.0, bottom));
    let middle = (left + drawing.width() - 20.0) / 2.0;
    drawing.text("label", (middle, bottom + 37.0), Anchor::Middle, label);
}

/// The name of a group at the left, with its mark.
pub(crate) fn group_label(drawing: &mut Drawing, group: &Group, y: f64, left: f64) {
    drawing.point(group.series, "sign", (left - 12.0, y), 5.0, "");
    drawing.text("label", (left - 24.0, y + 4.5), Anchor::End, &group.label);
}

/// The single values as points, off the middle so that they hide each other less. The offsets
/// follow the golden section, which spreads any number of them evenly.
pub(crate) fn strip(drawing: &mut Drawing, scale: Scale, unit: Unit, group: &Group, y: f64) {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    if group.values.len() > SINGLE_POINTS {
        return;
    }
    for (index, value) in group.values.iter().enumerate() {
        let offset = ((index as f64 * GOLDEN).fract() - 0.5) * ROW * 0.6;
        let at = (scale.place(value / unit.divisor), y + offset);
        drawing.point(group.series, "run faint", at, 2.6, "");
    }
}

fn row(drawing: &mut Drawing, scale: Scale, unit: Unit, group: &Group, y: f64, left: f64) {
    group_label(drawing, group, y, left);
    strip(drawing, scale, unit, group, y);
    let Some(quantiles) = Quantiles::of(&group.values) else {
        return drawing.text("tick", (left + 8.0, y + 4.0), Anchor::Start, "no run counts");
    };
    let place = |value: f64| scale.place(value / unit.divisor);
    let (quarter, three_quarters) = (quantiles.lower_quartile, quantiles.upper_quartile);
    let median = quantiles.median;
    let class = group.series % SERIES;
    let note = format!(
        "{}: {}, median {}",
        group.label,
        counted(group.values.len() as u64, "run"),
        fixed(median / unit.divisor, 3)
    );
    drawing.line(&format!("whisker s{class}"), (place(quantiles.least), y), (place(quarter), y));
    drawing.line(
        &format!("whisker s{class}"),
        (place(three_quarters), y),
        (place(quantiles.greatest), y),
    );
    let (from, to) = (place(quarter), place(three_quarters));
    drawing.rect(
        &format!("boxed fill s{class}"),
        (from, y - 9.0),
        ((to - from).max(1.0), 18.0),
        &note,
    );
    drawing.line("mean", (place(median), y - 12.0), (place(median), y + 12.0));
}

/// The share of each group's runs up to each value.
fn shares(
    drawing: &mut Drawing,
    scale: Scale,
    unit: Unit,
    groups: &[Group],
    (top, bottom): (f64, f64),
    left: f64,
) {
    let height = Scale::linear((0.0, 1.0), (bottom, top + 6.0));
    for (share, text) in [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")] {
        let y = height.place(share);
        drawing.line("gridline", (left, y), (WIDTH - 20.0, y));
        drawing.text("tick", (left - 8.0, y + 4.0), Anchor::End, text);
    }
    for group in groups.iter().filter(|group| !group.values.is_empty()) {
        let mut sorted = group.values.clone();
        sorted.sort_by(f64::total_cmp);
        let mut points = vec![(left, height.place(0.0))];
        let mut below = 0.0;
        for (value, share) in steps(&sorted) {
            let x = scale.place(value / unit.divisor);
            points.extend([(x, height.place(below)), (x, height.place(share))]);
            below = share;
        }
        points.push((WIDTH - 20.0, height.place(1.0)));
        let class = format!("curve share s{}", group.series % SERIES);
        drawing.polyline(&class, &points, &group.label);
    }
}

/// Each different value with the share of values up to it; of very many, evenly chosen ones.
fn steps(sorted: &[f64]) -> Vec<(f64, f64)> {
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for (index, value) in sorted.iter().enumerate() {
        let share = (index + 1) as f64 / sorted.len() as f64;
        match steps.last_mut() {
            Some(last) if last.0 == *value => last.1 = share,
            _ => steps.push((*value, share)),
        }
    }
    let each = steps.len().div_ceil(MOST_STEPS).max(1);
    let last = steps.len() - 1;
    let chosen = steps.into_iter().enumerate();
    chosen.filter(|(index, _)| index % each == 0 || *index == last).map(|(_, step)| step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(label: &str, series: usize, values: &[f64]) -> Group {
        Group { label: label.to_owned(), series, values: values.to_vec() }
    }

    #[test]
    fn each_run_has_a_point_and_each_group_a_box_and_a_curve() {
        let groups = [group("a", 0, &[1e9, 2e9, 3e9]), group("b", 1, &[2e9, 2e9])];
        let file = distribution("total", Measure::TotalMigrationTime, &groups).unwrap().file();
        let count = |class: &str| file.matches(class).count();
        assert_eq!(count(" run faint\""), 5);
        assert_eq!((count("\"boxed fill"), count("\"curve share")), (2, 2));
        assert!(
            distribution("total", Measure::TotalMigrationTime, &[group("a", 0, &[])]).is_none()
        );
    }

    #[test]
    fn shares_end_at_one_however_many_values_there_are() {
        let values: Vec<f64> = (0..10_001).map(f64::from).collect();
        let steps = steps(&values);
        assert!(steps.len() <= MOST_STEPS + 1);
        assert_eq!(steps.last(), Some(&(10_000.0, 1.0)));
    }
}
