//! The picture of one migration: progress, stalls, pages on the link, bandwidth, one below the
//! other over the same time.

use crate::figure::Figure;
use crate::history::{Fault, History, Stride, Transmission};
use crate::quantity::{Quantity, Unit, counted, fixed, short_number};
use crate::scale::{Scale, tick_decimals};
use crate::svg::{Anchor, Drawing, text_width};
use lazycopy_migration::{Cause, FaultEnd};
use lazycopy_units::Instant;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 118.0;
const RIGHT: f64 = WIDTH - 24.0;
const PROGRESS_HEIGHT: f64 = 190.0;
const LANE_HEIGHT: f64 = 18.0;
const LANE_GAP: f64 = 6.0;
const BANDWIDTH_HEIGHT: f64 = 90.0;
const GAP: f64 = 40.0;

/// Distance of the rows in which the moments' names stand.
const NAME_ROW: f64 = 17.0;

/// Up to so many of a kind each has a mark of its own; of more, those that touch on the paper are
/// drawn as one.
const SINGLE_MARKS: usize = 1_500;

/// Marks of a kind that are drawn as one where they touch lie in so many columns.
const COLUMNS: usize = 800;

/// Columns over which the bandwidth is averaged.
const BANDWIDTH_COLUMNS: usize = 160;

/// Accesses up to which progress is drawn step by step.
const SINGLE_STEPS: u64 = 400;

/// Names of moments with a line of their own; of more (a guest slowed down again and again) the
/// later ones are in the table alone.
const MOST_MOMENTS: usize = 14;

const CAUSES: [(Cause, &str, usize); 4] = [
    (Cause::Round, "in rounds", 4),
    (Cause::Background, "background", 0),
    (Cause::Forward, "forward", 1),
    (Cause::Demand, "on demand", 3),
];

/// Series of the contexts' progress.
const FORWARD: usize = 1;
const FOLLOWING: usize = 0;

/// Series of the faults, by what ended them.
const REMOTE: usize = 3;
const DISK: usize = 4;

struct Plot<'a> {
    history: &'a History,
    drawing: Drawing,
    time: Scale,
    unit: Unit,
    /// The nanosecond at the right border.
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
    let moments = Moments::of(history, Scale::linear((begin, until), (LEFT, RIGHT)));
    let lanes = lanes(history);
    let top = 64.0 + moments.rows as f64 * NAME_ROW;
    let lanes_top = top + PROGRESS_HEIGHT + GAP;
    let lanes_height = lanes.len() as f64 * (LANE_HEIGHT + LANE_GAP);
    let bandwidth_top = lanes_top + lanes_height + GAP - LANE_GAP;
    let bottom = bandwidth_top + BANDWIDTH_HEIGHT;
    let mut plot = Plot {
        history,
        drawing: Drawing::new(WIDTH, bottom + 48.0),
        time: Scale::linear((begin, until), (LEFT, RIGHT)),
        unit: Quantity::Time.unit(end - begin),
        until,
    };
    plot.drawing.text("title", (12.0, 22.0), Anchor::Start, title);
    plot.legend();
    plot.grid(top, bottom);
    plot.stalls(top);
    plot.moments(&moments, top, bottom);
    plot.progress(top);
    for (index, lane) in lanes.iter().enumerate() {
        plot.lane(*lane, lanes_top + index as f64 * (LANE_HEIGHT + LANE_GAP));
    }
    plot.bandwidth(bandwidth_top);
    Some(Figure::wide(name, title, plot.description(), plot.drawing))
}

fn nanos(at: Instant) -> f64 {
    at.as_nanos() as f64
}

/// The lanes that carried something, the context's first.
fn lanes(history: &History) -> Vec<Option<Cause>> {
    let used = |cause: Option<Cause>| {
        history.transmissions.iter().any(|sent| sent.page.map(|page| page.1) == cause)
    };
    let causes = CAUSES.iter().map(|(cause, ..)| Some(*cause));
    std::iter::once(None).chain(causes).filter(|cause| used(*cause)).collect()
}

/// Moments with their names, in rows so that no name covers another.
struct Moments {
    /// Place, row and name.
    placed: Vec<(f64, usize, String)>,
    rows: usize,
}

impl Moments {
    fn of(history: &History, time: Scale) -> Moments {
        let mut merged: Vec<(f64, String)> = Vec::new();
        for (at, name) in &history.milestones {
            let place = time.place(nanos(*at));
            match merged.last_mut() {
                Some((last, names)) if place - *last < 1.0 => {
                    names.push_str(", ");
                    names.push_str(name);
                }
                _ => merged.push((place, name.clone())),
            }
        }
        merged.truncate(MOST_MOMENTS);
        let mut free_from: Vec<f64> = Vec::new();
        let mut placed = Vec::new();
        for (place, name) in merged {
            let start = name_start(place, &name);
            let row = free_from.iter().position(|free| *free <= start).unwrap_or(free_from.len());
            if row == free_from.len() {
                free_from.push(0.0);
            }
            free_from[row] = start + text_width(&name) + 10.0;
            placed.push((place, row, name));
        }
        Moments { placed, rows: free_from.len() }
    }
}

/// A name begins at its line, or ends at it where it would leave the paper.
fn name_start(place: f64, name: &str) -> f64 {
    let width = text_width(name) + 4.0;
    if place + width > WIDTH - 6.0 { place - width } else { place }
}

impl Plot<'_> {
    fn legend(&mut self) {
        let mut x = LEFT;
        let y = 44.0;
        let mut entry = |class: &str, is_line: bool, text: &str| {
            if is_line {
                self.drawing.line(class, (x, y - 4.0), (x + 22.0, y - 4.0));
            } else {
                self.drawing.rect(class, (x, y - 11.0), (22.0, 13.0), "");
            }
            self.drawing.text("label", (x + 28.0, y), Anchor::Start, text);
            x += 28.0 + text_width(text) + 26.0;
        };
        if !self.history.following.is_empty() {
            entry(&format!("curve s{FOLLOWING}"), true, "the guest (following context)");
        }
        if !self.history.forward.is_empty() {
            entry(&format!("curve ahead s{FORWARD}"), true, "forward context");
        }
        let ended = |by| self.history.faults.iter().any(|it| it.end.is_some_and(|end| end.1 == by));
        if ended(FaultEnd::Remote) {
            entry(&format!("fill stall s{REMOTE}"), false, "stall, ended by a page");
        }
        if ended(FaultEnd::Disk) {
            entry(&format!("fill stall s{DISK}"), false, "stall, ended by the disk");
        }
    }

    fn grid(&mut self, top: f64, bottom: f64) {
        let ticks = self.in_units().ticks(8);
        let decimals = tick_decimals(&ticks);
        for tick in ticks {
            let x = self.in_units().place(tick);
            self.drawing.line("gridline", (x, top), (x, bottom));
            self.drawing.text("tick", (x, bottom + 18.0), Anchor::Middle, &fixed(tick, decimals));
        }
        let label = format!("model time ({})", self.unit.name);
        let middle = (LEFT + RIGHT) / 2.0;
        self.drawing.text("label", (middle, bottom + 38.0), Anchor::Middle, &label);
    }

    /// The axis of time in its unit.
    fn in_units(&self) -> Scale {
        let begin = self.history.milestones.first().map_or(0.0, |(at, _)| nanos(*at));
        let divisor = self.unit.divisor;
        Scale::linear((begin / divisor, self.until / divisor), (LEFT, RIGHT))
    }

    fn figure(&self, nanos: f64) -> String {
        Quantity::Time.figure(nanos)
    }

    fn moments(&mut self, moments: &Moments, top: f64, bottom: f64) {
        for (place, row, name) in &moments.placed {
            let y = top - 8.0 - (moments.rows - 1 - row) as f64 * NAME_ROW;
            self.drawing.line("moment", (*place, y - 11.0), (*place, bottom));
            let start = name_start(*place, name) + 4.0;
            self.drawing.text("tick name", (start, y), Anchor::Start, name);
        }
    }

    fn stalls(&mut self, top: f64) {
        let faults = &self.history.faults;
        if faults.len() > SINGLE_MARKS {
            return self.stall_columns(top);
        }
        for fault in faults {
            let (end, series, ended) = match fault.end {
                Some((at, FaultEnd::Remote)) => (nanos(at), REMOTE, "a page from the source"),
                Some((at, FaultEnd::Disk)) => (nanos(at), DISK, "a load from the disk"),
                None => (self.until, REMOTE, "nothing"),
            };
            let (from, to) = (self.time.clamped(nanos(fault.begins)), self.time.clamped(end));
            let note = format!(
                "page {}: blocked for {}, ended by {ended}",
                fault.page,
                self.figure(end - nanos(fault.begins))
            );
            let size = ((to - from).max(1.0), PROGRESS_HEIGHT);
            self.drawing.rect(&format!("fill stall s{series}"), (from, top), size, &note);
        }
    }

    /// Where faults are too many to be seen one by one: how much of each column's time they take.
    fn stall_columns(&mut self, top: f64) {
        let width = (RIGHT - LEFT) / COLUMNS as f64;
        for (by, series) in [(FaultEnd::Remote, REMOTE), (FaultEnd::Disk, DISK)] {
            let ended = |fault: &&Fault| fault.end.is_some_and(|end| end.1 == by);
            let spans = self.history.faults.iter().filter(ended).filter_map(|fault| {
                let end = self.time.clamped(nanos(fault.end?.0));
                Some((self.time.clamped(nanos(fault.begins)), end, 1.0))
            });
            let shares = columns(spans, COLUMNS);
            for (index, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
                let at = (LEFT + index as f64 * width, top);
                let opacity = 0.6 * (share / width).min(1.0);
                let class = format!("fill s{series}");
                self.drawing.tint(&class, at, (width, PROGRESS_HEIGHT), opacity, "");
            }
        }
    }

    fn progress(&mut self, top: f64) {
        let bottom = top + PROGRESS_HEIGHT;
        self.upright("accesses completed", top, PROGRESS_HEIGHT);
        self.drawing.rect("frame", (LEFT, top), (RIGHT - LEFT, PROGRESS_HEIGHT), "");
        let forward = self.curve(&self.history.forward);
        let following = self.curve(&self.history.following);
        let counts = forward.iter().chain(&following).map(|point| point.1);
        let most = counts.fold(0.0, f64::max);
        if most == 0.0 {
            let (x, y) = ((LEFT + RIGHT) / 2.0, top + PROGRESS_HEIGHT / 2.0);
            let text = match self.history.resumed {
                Some(_) => "no progress was logged while the migration lasted",
                None => "the guest was not resumed at the destination",
            };
            return self.drawing.text("tick", (x, y), Anchor::Middle, text);
        }
        let scale = Scale::linear((0.0, most * 1.05), (bottom, top));
        self.value_ticks(scale, 5, 1.0);
        for (points, class) in [
            (following, format!("curve s{FOLLOWING}")),
            (forward, format!("curve ahead s{FORWARD}")),
        ] {
            let points: Vec<_> =
                points.into_iter().map(|(x, count)| (x, scale.place(count))).collect();
            if !points.is_empty() {
                self.drawing.polyline(&class, &points, "");
            }
        }
    }

    /// Places and counts of a context's accesses: each of them where they are few, else the first
    /// and the last of each stride, no denser than the columns.
    fn curve(&self, strides: &[Stride]) -> Vec<(f64, f64)> {
        let Some(first) = strides.first() else { return Vec::new() };
        let mut points = vec![(self.time.clamped(nanos(first.first)), 0.0)];
        let total: u64 = strides.iter().map(|stride| stride.count).sum();
        let mut count = 0u64;
        for stride in strides {
            if nanos(stride.first) > self.until {
                break;
            }
            let (from, step) = (nanos(stride.first), stride.step.as_nanos() as f64);
            let within = match step {
                0.0 => stride.count,
                step => stride.count.min(((self.until - from) / step).floor() as u64 + 1),
            };
            if within <= SINGLE_STEPS
                && total.min(within) <= SINGLE_STEPS
                && strides.len() < COLUMNS
            {
                for number in 0..within {
                    let x = self.time.place(from + number as f64 * step);
                    points.push((x, (count + number) as f64));
                    points.push((x, (count + number + 1) as f64));
                }
            } else {
                let last = from + within.saturating_sub(1) as f64 * step;
                points.push((self.time.place(from), (count + 1) as f64));
                points.push((self.time.place(last), (count + within) as f64));
            }
            count += within;
            if within < stride.count {
                points.push((RIGHT, count as f64));
            }
        }
        thinned(points)
    }

    fn lane(&mut self, lane: Option<Cause>, y: f64) {
        let (label, class) = match CAUSES.iter().find(|(cause, ..)| Some(*cause) == lane) {
            Some((_, label, series)) => (*label, format!("fill page s{series}")),
            None => ("context", "flow context".to_owned()),
        };
        self.drawing.text("label", (LEFT - 8.0, y + 13.5), Anchor::End, label);
        self.drawing.rect("lane", (LEFT, y), (RIGHT - LEFT, LANE_HEIGHT), "");
        let of_lane = |sent: &&Transmission| sent.page.map(|page| page.1) == lane;
        let sent: Vec<&Transmission> = self.history.transmissions.iter().filter(of_lane).collect();
        let marks = self.merged(&sent);
        for (from, to, note) in marks {
            let size = ((to - from).max(1.2), LANE_HEIGHT);
            self.drawing.rect(&class, (from, y), size, &note);
        }
    }

    /// Marks of transmissions: one for each, or, where they are many, one for all that touch.
    fn merged(&self, sent: &[&Transmission]) -> Vec<(f64, f64, String)> {
        let single = sent.len() <= SINGLE_MARKS;
        // A hair between neighbours, so that they can be told apart.
        let hair = if single && sent.len() < 300 { 0.8 } else { 0.0 };
        let mut marks: Vec<(f64, f64, u64, String)> = Vec::new();
        for transmission in sent {
            let from = self.time.clamped(nanos(transmission.begins));
            let to = self.time.clamped(nanos(transmission.ends)) - hair;
            match marks.last_mut() {
                Some(last) if !single && from - last.1 < 0.5 => {
                    last.1 = last.1.max(to);
                    last.2 += 1;
                    last.3 = counted(last.2, "message");
                }
                _ => marks.push((from, to, 1, self.sent_note(transmission))),
            }
        }
        marks.into_iter().map(|(from, to, _, note)| (from, to, note)).collect()
    }

    fn sent_note(&self, sent: &Transmission) -> String {
        let what = match sent.page {
            Some((page, _)) => format!("page {page}"),
            None => "context".to_owned(),
        };
        let bytes = Quantity::Bytes.figure(sent.bytes as f64);
        format!(
            "{what} ({bytes}), {} to {}",
            self.figure(nanos(sent.begins)),
            self.figure(nanos(sent.ends))
        )
    }

    fn bandwidth(&mut self, top: f64) {
        let bottom = top + BANDWIDTH_HEIGHT;
        self.drawing.rect("frame", (LEFT, top), (RIGHT - LEFT, BANDWIDTH_HEIGHT), "");
        let spans = self.history.transmissions.iter().map(|sent| {
            let (from, to) =
                (self.time.clamped(nanos(sent.begins)), self.time.clamped(nanos(sent.ends)));
            (from, to, sent.bytes as f64)
        });
        let bytes = columns_of_weight(spans, BANDWIDTH_COLUMNS);
        let begin = self.history.milestones.first().map_or(0.0, |(at, _)| nanos(*at));
        let seconds = (self.until - begin) / 1e9 / BANDWIDTH_COLUMNS as f64;
        let rates: Vec<f64> = bytes.iter().map(|bytes| bytes / seconds).collect();
        let most = rates.iter().copied().fold(self.history.context_rate.unwrap_or(0.0), f64::max);
        if most == 0.0 {
            return;
        }
        let unit = Quantity::Rate.unit(most);
        let scale = Scale::linear((0.0, most * 1.12), (bottom, top));
        self.upright(&format!("on the link ({})", unit.name), top, BANDWIDTH_HEIGHT);
        self.value_ticks(scale, 3, unit.divisor);
        let width = (RIGHT - LEFT) / BANDWIDTH_COLUMNS as f64;
        let mut outline = vec![(LEFT, bottom)];
        for (index, rate) in rates.iter().enumerate() {
            let (x, y) = (LEFT + index as f64 * width, scale.place(*rate));
            outline.extend([(x, y), (x + width, y)]);
        }
        outline.push((RIGHT, bottom));
        self.drawing.polygon("flow", &outline, "");
        if let Some(rate) = self.history.context_rate {
            let y = scale.place(rate);
            let note = format!("the context's: {}", Quantity::Rate.figure(rate));
            self.drawing.polyline("capacity", &[(LEFT, y), (RIGHT, y)], &note);
        }
    }

    fn value_ticks(&mut self, scale: Scale, wanted: usize, divisor: f64) {
        let ticks = scale.ticks(wanted);
        for tick in ticks {
            let y = scale.place(tick);
            self.drawing.line("gridline", (LEFT, y), (RIGHT, y));
            let label = short_number(tick / divisor);
            self.drawing.text("tick", (LEFT - 8.0, y + 4.0), Anchor::End, &label);
        }
    }

    fn upright(&mut self, label: &str, top: f64, height: f64) {
        self.drawing.upright_text("label", (22.0, top + height / 2.0), Anchor::Middle, label);
    }

    fn description(&self) -> String {
        let pages = self.history.transmissions.iter().filter(|sent| sent.page.is_some()).count();
        format!(
            "Over model time: accesses that each context completed, {} that blocked the guest, {} on \
             the link by the lane that they left by, and the bytes per second on the link.",
            counted(self.history.faults.len() as u64, "fault"),
            counted(pages as u64, "page")
        )
    }
}

/// How much of each column the spans cover, in places.
fn columns(spans: impl Iterator<Item = (f64, f64, f64)>, count: usize) -> Vec<f64> {
    let weighed = spans.map(|(from, to, _)| (from, to, to - from));
    columns_of_weight(weighed, count)
}

/// The weight of spans, spread evenly over each, by column; of no width: in one column.
fn columns_of_weight(spans: impl Iterator<Item = (f64, f64, f64)>, count: usize) -> Vec<f64> {
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

/// The curve without points that nobody can tell from their neighbours.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= 4 * COLUMNS {
        return points;
    }
    let mut kept: Vec<(f64, f64)> = Vec::new();
    let last = points.len() - 1;
    for (index, point) in points.into_iter().enumerate() {
        if index == last || kept.last().is_none_or(|last| point.0 - last.0 >= 0.5) {
            kept.push(point);
        }
    }
    kept
}
