//! The picture of one migration: where the guest is and what blocks it, progress, messages on the
//! link by their lane, bandwidth, one below the other over the same time.

mod curves;
mod lanes;
mod moments;
#[cfg(test)]
mod tests;

use crate::figure::Figure;
use crate::history::History;
use crate::legend::{self, Sign};
use crate::quantity::{Quantity, counted, fixed};
use crate::scale::{Scale, tick_decimals};
use crate::svg::{Anchor, Drawing};
use curves::{BANDWIDTH_HEIGHT, PROGRESS_HEIGHT};
use lanes::{GUEST_HEIGHT, LANE_GAP, LANE_HEIGHT, lanes};
use lazycopy_migration::FaultEnd;
use lazycopy_units::Instant;
use moments::{Moments, NAME_ROW};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 118.0;
const RIGHT: f64 = WIDTH - 24.0;
const GAP: f64 = 26.0;

/// Columns of what is too dense to be drawn one by one.
const COLUMNS: usize = 800;

/// Series of the contexts' progress.
const FORWARD: usize = 1;
const FOLLOWING: usize = 2;

/// Series of the guest where it has arrived, and how opaque it is: stalls stand before it.
const ARRIVED: usize = 2;
const FAINT: f64 = 0.45;

/// Series of the faults, by what ended them.
const REMOTE: usize = 3;
const DISK: usize = 4;

struct Plot<'a> {
    history: &'a History,
    drawing: Drawing,
    time: Scale,
    /// The nanoseconds at the left and the right border.
    begin: f64,
    until: f64,
}

/// Draws it; `None` where nothing happened.
pub(crate) fn timeline(name: &str, title: &str, history: &History) -> Option<Figure> {
    if history.milestones.is_empty() && history.transmissions.is_empty() {
        return None;
    }
    let begin = history.milestones.first().map_or(0.0, |(at, _)| nanos(*at));
    let end = nanos(history.ends).max(begin + 1.0);
    let until = end + (end - begin) * 0.03;
    let time = Scale::linear((begin, until), (LEFT, RIGHT));
    let moments = Moments::of(history, time);
    let lanes = lanes(history);
    let has_progress = !history.forward.is_empty() || !history.following.is_empty();

    let top = 66.0 + moments.rows as f64 * NAME_ROW;
    let progress = top + GUEST_HEIGHT + GAP;
    let first_lane = progress + if has_progress { PROGRESS_HEIGHT + GAP } else { 0.0 };
    let bandwidth = first_lane + lanes.len() as f64 * (LANE_HEIGHT + LANE_GAP) + GAP - LANE_GAP;
    let bottom = bandwidth + BANDWIDTH_HEIGHT;

    let drawing = Drawing::new(WIDTH, bottom + 48.0);
    let mut plot = Plot { history, drawing, time, begin, until };
    plot.drawing.text("title", (12.0, 22.0), Anchor::Start, title);
    plot.legend();
    plot.time_axis(top, bottom);
    plot.moments(&moments, top, bottom);
    plot.guest(top);
    if has_progress {
        plot.progress(progress);
    }
    for (index, lane) in lanes.iter().enumerate() {
        plot.lane(*lane, first_lane + index as f64 * (LANE_HEIGHT + LANE_GAP));
    }
    plot.bandwidth(bandwidth);
    Some(Figure::wide(name, title, caption(history, has_progress), plot.drawing))
}

fn nanos(at: Instant) -> f64 {
    at.as_nanos() as f64
}

fn caption(history: &History, has_progress: bool) -> String {
    let pages = history.transmissions.iter().filter(|sent| sent.page.is_some()).count();
    let progress = match has_progress {
        true => " Below it the accesses that each context completed since the suspension.",
        false => "",
    };
    let capacity = match history.context_rate {
        Some(_) => " Dashed: the rate at which the context crossed it.",
        None => "",
    };
    format!(
        "Where the guest is, and {} that blocked it.{progress} Then {} on the link, by the lane \
         that they left by, and bytes per second.{capacity}",
        counted(history.faults.len() as u64, "page fault"),
        counted(pages as u64, "page")
    )
}

impl Plot<'_> {
    fn legend(&mut self) {
        let history = self.history;
        let ended = |by| history.faults.iter().any(|it| it.end.is_some_and(|end| end.1 == by));
        let mut entries = Vec::new();
        let mut entry = |sign: Sign, text: &str| entries.push((sign, text.to_owned()));
        if history.suspended.is_some() {
            entry(Sign::Hatched, "downtime");
        }
        if history.resumed.is_some() {
            entry(Sign::Fill(ARRIVED, FAINT), "at the destination");
        }
        if ended(FaultEnd::Remote) {
            entry(Sign::Fill(REMOTE, 1.0), "stall, ended by a page");
        }
        if ended(FaultEnd::Disk) {
            entry(Sign::Fill(DISK, 1.0), "stall, ended by the disk");
        }
        if !history.following.is_empty() {
            entry(Sign::Curve(FOLLOWING, ""), "the guest (following context)");
        }
        if !history.forward.is_empty() {
            entry(Sign::Curve(FORWARD, "ahead"), "forward context");
        }
        legend::draw(&mut self.drawing, &entries, (12.0, 30.0), RIGHT);
    }

    fn time_axis(&mut self, top: f64, bottom: f64) {
        let unit = Quantity::Time.unit(self.until - self.begin);
        let scale = self.time.in_units(unit.divisor);
        let ticks = scale.ticks(8);
        let decimals = tick_decimals(&ticks);
        for tick in ticks {
            let x = scale.place(tick);
            self.drawing.line("gridline", (x, top), (x, bottom));
            self.drawing.text("tick", (x, bottom + 18.0), Anchor::Middle, &fixed(tick, decimals));
        }
        let label = format!("model time ({})", unit.name);
        let middle = (LEFT + RIGHT) / 2.0;
        self.drawing.text("label", (middle, bottom + 38.0), Anchor::Middle, &label);
    }
}

/// The weight of spans (from, to, weight), spread evenly over each, by column; that of a span of
/// no width falls into one column.
fn columns(spans: impl Iterator<Item = (f64, f64, f64)>, count: usize) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    let width = (RIGHT - LEFT) / count as f64;
    let column = |place: f64| (((place - LEFT) / width).floor() as usize).min(count - 1);
    for (from, to, weight) in spans {
        let (first, last) = (column(from), column(to));
        if first == last {
            sums[first] += weight;
            continue;
        }
        for (index, sum) in sums.iter_mut().enumerate().take(last + 1).skip(first) {
            let (left, right) = (LEFT + index as f64 * width, LEFT + (index + 1) as f64 * width);
            let overlap = to.min(right) - from.max(left);
            *sum += weight * (overlap / (to - from)).max(0.0);
        }
    }
    sums
}
