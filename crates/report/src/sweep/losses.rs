//! Where each contender is worse than the best of the others.

use super::Plan;
use super::axes::place;
use crate::measure::{SHOWN, quantity};
use crate::page::{Cell, Page};
use crate::quantity::counted;
use crate::run::capitalized;
use lazycopy_migration::Scheme;
use lazycopy_results::{CellMeasure, Extreme, Measure, Standing};

/// A contender loses a cell visibly where it has more than the best of the others by more.
const BOUND: f64 = 0.02;

/// Cells of a contender and measure in the page, the worst: a reader follows no more, and
/// `cells.csv` has them all.
const MOST_ROWS: usize = 20;

/// Tables and words on it; the last contender's first, since that is the one on trial.
pub(crate) fn losses(page: &mut Page, plan: &Plan) {
    let contenders = plan.analysis.contenders.len();
    if contenders < 2 {
        return;
    }
    page.section("Where each contender loses");
    page.remark(
        "Wins and losses count where the difference is beyond chance (Holm's correction over all \
         cells and pairs); the rest are cells where it is one of the best that cannot be told \
         apart. Worse by more than 2 %: its mean against the least mean of the others, whether \
         beyond chance or not.",
    );
    page.table(
        &[
            "measure",
            "contender",
            "wins",
            "ties",
            "loses",
            "not ranked",
            "worse by more than 2 %",
            "worst",
        ],
        &tallies(plan),
    );
    let last = contenders - 1;
    page.sentences(&on_trial(plan, last));
    for contender in std::iter::once(last).chain(0..last) {
        let (rows, left_out) = rows(plan, contender);
        let name = &plan.analysis.contenders[contender].name;
        if rows.is_empty() {
            page.remark(&format!("{} loses by more than 2 % in no cell.", capitalized(name)));
            continue;
        }
        page.begin_details(&format!(
            "{name}: where it is worse by more than 2 % ({})",
            counted((rows.len() + left_out) as u64, "line")
        ));
        let header = ["measure", "cell", name, "the best of the others", "more by", "so"];
        page.table(&header, &rows);
        if left_out > 0 {
            page.remark(&format!(
                "The worst {MOST_ROWS} of each measure; {left_out} more are in cells.csv."
            ));
        }
        page.end_details();
    }
}

fn tallies(plan: &Plan) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for measure in SHOWN {
        for tally in plan.analysis.tallies(measure) {
            let rivals = others(plan, tally.contender);
            let failures = plan.analysis.failures(measure, tally.contender, &rivals, BOUND);
            let worst = match tally.worst {
                Some(Extreme { cell, excess }) if excess > 0.0 => {
                    format!("{}: {}", excess_text(excess), plan.place_of(cell))
                }
                _ => "nowhere worse".to_owned(),
            };
            let count = |count: usize| Cell::Number(count.to_string());
            rows.push(vec![
                Cell::Text(measure.label().to_owned()),
                Cell::Text(plan.analysis.contenders[tally.contender].name.clone()),
                count(tally.wins),
                count(tally.ties),
                count(tally.losses),
                count(tally.unranked),
                count(failures.len()),
                Cell::Text(worst),
            ]);
        }
    }
    rows
}

/// The cells in which a contender is worse by more than the bound, the worst of each measure
/// first, and how many more there are.
fn rows(plan: &Plan, contender: usize) -> (Vec<Vec<Cell>>, usize) {
    let rivals = others(plan, contender);
    let (mut rows, mut left_out) = (Vec::new(), 0);
    for measure in SHOWN {
        let failures = plan.analysis.failures(measure, contender, &rivals, BOUND);
        left_out += failures.len().saturating_sub(MOST_ROWS);
        for failure in failures.into_iter().take(MOST_ROWS) {
            let cell = plan.analysis.cells.iter().find(|cell| cell.place.cell == failure.cell);
            let Some(cell) = cell else { continue };
            let Some(found) = cell.measure(measure) else { continue };
            let best = found.ranking.as_ref().and_then(|ranking| {
                ranking.order.iter().copied().find(|ranked| *ranked != contender)
            });
            rows.push(vec![
                Cell::Text(measure.label().to_owned()),
                Cell::Text(place(&plan.axes, &cell.place.axes)),
                Cell::Number(mean(found, measure, contender)),
                Cell::Text(best.map_or_else(String::new, |best| {
                    let name = &plan.analysis.contenders[best].name;
                    format!("{name}, {}", mean(found, measure, best))
                })),
                Cell::Number(excess_text(failure.excess)),
                Cell::Text(certainty(found, contender, best)),
            ]);
        }
    }
    (rows, left_out)
}

fn mean(found: &CellMeasure, measure: Measure, contender: usize) -> String {
    match found.figures[contender].summary {
        Some(summary) => quantity(measure).figure(summary.mean),
        None => "\u{2013}".to_owned(),
    }
}

fn certainty(found: &CellMeasure, contender: usize, best: Option<usize>) -> String {
    if !found.figures[contender].whole {
        return "not all runs completed".to_owned();
    }
    let difference = best.and_then(|best| found.difference(contender, best));
    match difference.map(|difference| (difference.standing, difference.corrected_p)) {
        Some((Standing::More, Some(p))) if p < 0.001 => "p < 0.001".to_owned(),
        Some((Standing::More, Some(p))) => format!("p = {p:.3}"),
        _ => "may be chance".to_owned(),
    }
}

fn excess_text(excess: f64) -> String {
    match excess {
        _ if excess.is_infinite() => "the best has none".to_owned(),
        10.0.. => format!("{:.0} times", 1.0 + excess),
        _ => format!("{:.1} %", excess * 100.0),
    }
}

fn others(plan: &Plan, contender: usize) -> Vec<usize> {
    (0..plan.analysis.contenders.len()).filter(|it| *it != contender).collect()
}

/// A contender that comes after post-copy and lazy-copy, held against the better of both: never
/// worse is what it aims at.
fn on_trial(plan: &Plan, contender: usize) -> Vec<String> {
    let first = |scheme: Scheme| {
        let mut contenders = plan.analysis.contenders.iter();
        contenders.position(|it| it.scheme == scheme && it.name == scheme.name())
    };
    let rivals = match (first(Scheme::PostCopy), first(Scheme::LazyCopy)) {
        (Some(post), Some(lazy)) if post != contender && lazy != contender => [post, lazy],
        _ => return Vec::new(),
    };
    let name = &plan.analysis.contenders[contender].name;
    let cells = plan.analysis.cells.len();
    let sentence = |measure: Measure| {
        if !plan.analysis.measures.contains(&measure) {
            return None;
        }
        let failures = plan.analysis.failures(measure, contender, &rivals, BOUND);
        let better = plan.analysis.cells.iter().filter(|cell| {
            let Some(found) = cell.measure(measure) else { return false };
            rivals.iter().all(|rival| {
                let difference = found.difference(contender, *rival);
                difference.is_some_and(|it| it.standing == Standing::Less)
            })
        });
        let worst = failures.first().map_or(String::new(), |worst| {
            format!(" (worst: {}, {})", excess_text(worst.excess), plan.place_of(worst.cell))
        });
        Some(format!(
            "{}, {name} against the better of post-copy and lazy-copy: worse by more than 2 % in \
             {} of {cells} cells{worst}; better than both beyond chance in {}.",
            capitalized(measure.label()),
            failures.len(),
            better.count()
        ))
    };
    SHOWN.into_iter().filter_map(sentence).collect()
}
