//! A measure over one axis: a line for each contender, with the confidence interval as a band.

use super::Plan;
use super::axes::{Axis, place};
use crate::distribution::{axis_label, extent};
use crate::figure::{Figure, SMALL};
use crate::legend::{self, Sign};
use crate::measure::{file_name, mean_text, meaning, quantity};
use crate::quantity::short_number;
use crate::run::capitalized;
use crate::scale::Scale;
use crate::style::SERIES;
use crate::svg::{Anchor, Drawing, text_width};
use lazycopy_results::{CellAnalysis, Measure, Summary};

const WIDTH: f64 = SMALL;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 40.0;
const HEIGHT: f64 = 230.0;

/// Draws it; `None` where no contender has a value anywhere.
pub(crate) fn lines(plan: &Plan, axis: &Axis, measure: Measure) -> Option<Figure> {
    let summaries = plan.analysis.cells.iter().flat_map(|cell| {
        let figures = cell.measure(measure).map(|found| &*found.figures).unwrap_or_default();
        figures.iter().filter_map(|figures| figures.summary)
    });
    let reach = summaries.flat_map(|summary| {
        let (low, high) = summary.interval.unwrap_or((summary.mean, summary.mean));
        [low, high]
    });
    // No measure is below zero, whatever the interval of a mean says.
    let (_, high) = extent(reach)?;
    let unit = quantity(measure).unit(high);
    let bottom = TOP + HEIGHT;
    let values = Scale::linear((0.0, high * 1.05), (bottom, TOP));
    let ticks = values.in_units(unit.divisor).ticks(5);
    let widest = ticks.iter().map(|tick| text_width(&short_number(*tick))).fold(0.0, f64::max);
    let left = 46.0 + widest;
    let columns = columns(axis, left);
    let legend: Vec<(Sign, String)> = (plan.analysis.contenders.iter().zip(&plan.colours))
        .map(|(contender, colour)| (Sign::Line(*colour), contender.name.clone()))
        .collect();
    let legend_top = bottom + 44.0;
    let height = legend_top + legend::height(&legend, left, RIGHT) + 8.0;
    let mut drawing = Drawing::new(WIDTH, height);
    let title = capitalized(measure.label());
    drawing.text("title", (14.0, 22.0), Anchor::Start, &title);
    for tick in ticks {
        let y = values.place(tick * unit.divisor);
        drawing.line("gridline", (left, y), (RIGHT, y));
        drawing.text("tick", (left - 8.0, y + 4.0), Anchor::End, &short_number(tick));
    }
    let label = axis_label(measure, unit);
    drawing.upright_text("label", (20.0, TOP + HEIGHT / 2.0), Anchor::Middle, &label);
    horizontal(&mut drawing, axis, &columns, (left, bottom));
    for contender in 0..plan.analysis.contenders.len() {
        curve(&mut drawing, plan, axis, measure, contender, &columns, values);
    }
    legend::draw(&mut drawing, &legend, (left, legend_top), RIGHT);
    let name = format!("lines-{}", file_name(measure));
    let title = format!("{title} over {}", axis.label);
    let caption = format!(
        "{} Means; the bands are their 95 % confidence intervals. Where a contender has no point, \
         none of its runs completed.",
        meaning(measure)
    );
    Some(Figure::new(&name, &title, caption, drawing))
}

/// Where each value of the axis stands: by its size where it is a number and they grow, else at
/// equal distances.
fn columns(axis: &Axis, left: f64) -> Vec<f64> {
    let places = (left + 14.0, RIGHT - 14.0);
    let growing = |numbers: &&Vec<f64>| numbers.windows(2).all(|two| two[0] < two[1]);
    match axis.numbers.as_ref().filter(growing) {
        Some(numbers) => {
            let scale = Scale::fitting((numbers[0], numbers[numbers.len() - 1]), places);
            numbers.iter().map(|number| scale.place(*number)).collect()
        }
        None => {
            let scale = Scale::linear((0.0, axis.ticks.len() as f64 - 1.0), places);
            (0..axis.ticks.len()).map(|index| scale.place(index as f64)).collect()
        }
    }
}

fn horizontal(drawing: &mut Drawing, axis: &Axis, columns: &[f64], (left, bottom): (f64, f64)) {
    drawing.line("axis", (left, bottom), (RIGHT, bottom));
    let mut free_from = 0.0;
    for (x, tick) in columns.iter().zip(&axis.ticks) {
        drawing.line("axis", (*x, bottom), (*x, bottom + 3.0));
        let half = text_width(tick) / 2.0;
        if x - half < free_from || x + half > WIDTH {
            continue;
        }
        free_from = x + half + 6.0;
        drawing.text("tick", (*x, bottom + 17.0), Anchor::Middle, tick);
    }
    let middle = (left + RIGHT) / 2.0;
    drawing.text("label", (middle, bottom + 36.0), Anchor::Middle, &axis.label);
}

fn curve(
    drawing: &mut Drawing,
    plan: &Plan,
    axis: &Axis,
    measure: Measure,
    contender: usize,
    columns: &[f64],
    values: Scale,
) {
    let series = plan.colours[contender];
    let class = series % SERIES;
    let name = &plan.analysis.contenders[contender].name;
    let mut points: Vec<(f64, Summary, &CellAnalysis)> = plan
        .analysis
        .cells
        .iter()
        .filter_map(|cell| {
            let x = columns[axis.index(&cell.place.axes)?];
            Some((x, cell.measure(measure)?.figures[contender].summary?, cell))
        })
        .collect();
    points.sort_by(|first, second| first.0.total_cmp(&second.0));
    let bound = |pick: fn((f64, f64)) -> f64| {
        move |(x, summary, _): &(f64, Summary, &CellAnalysis)| {
            let interval = summary.interval.unwrap_or((summary.mean, summary.mean));
            (*x, values.clamped(pick(interval)))
        }
    };
    let mut band: Vec<(f64, f64)> = points.iter().map(bound(|it| it.0)).collect();
    band.extend(points.iter().rev().map(bound(|it| it.1)));
    if points.len() > 1 {
        drawing.polygon(&format!("fill band s{class}"), &band, "");
        let means: Vec<(f64, f64)> =
            points.iter().map(|(x, summary, _)| (*x, values.place(summary.mean))).collect();
        drawing.polyline(&format!("curve s{class}"), &means, name);
    }
    for (x, summary, cell) in &points {
        let place = place(&plan.axes, &cell.place.axes);
        let note = format!("{name}, {place}: {}", mean_text(measure, Some(*summary)));
        drawing.point(series, "cell", (*x, values.place(summary.mean)), 3.4, &note);
    }
}
