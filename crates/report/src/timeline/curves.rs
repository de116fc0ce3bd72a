//! The curves of a timeline: accesses of both contexts, and bytes on the link.

use super::{COLUMNS, FOLLOWING, FORWARD, LEFT, Plot, RIGHT, columns, nanos};
use crate::history::Stride;
use crate::quantity::{Quantity, short_number};
use crate::scale::Scale;
use crate::svg::Anchor;

pub(super) const PROGRESS_HEIGHT: f64 = 190.0;
pub(super) const BANDWIDTH_HEIGHT: f64 = 90.0;

/// Columns over which the bandwidth is averaged.
const BANDWIDTH_COLUMNS: usize = 160;

/// Accesses up to which progress is drawn step by step.
const SINGLE_STEPS: u64 = 400;

impl Plot<'_> {
    pub(super) fn progress(&mut self, top: f64) {
        let bottom = top + PROGRESS_HEIGHT;
        self.upright("accesses completed", top, PROGRESS_HEIGHT);
        self.drawing.rect("frame", (LEFT, top), (RIGHT - LEFT, PROGRESS_HEIGHT), "");
        let forward = self.curve(&self.history.forward);
        let following = self.curve(&self.history.following);
        let counts = forward.iter().chain(&following).map(|point| point.1);
        let most = counts.fold(1.0, f64::max);
        let scale = Scale::linear((0.0, most * 1.05), (bottom, top));
        self.value_ticks(scale, 5, 1.0);
        for (points, class) in [
            (following, format!("curve s{FOLLOWING}")),
            (forward, format!("curve ahead s{FORWARD}")),
        ] {
            if points.is_empty() {
                continue;
            }
            let points: Vec<_> =
                points.into_iter().map(|(x, count)| (x, scale.place(count))).collect();
            self.drawing.polyline(&class, &points, "");
        }
    }

    /// Places and counts of a context's accesses: each of them where they are few, else the first
    /// and the last of each stride, no denser than the columns.
    fn curve(&self, strides: &[Stride]) -> Vec<(f64, f64)> {
        let Some(first) = strides.first() else { return Vec::new() };
        let mut points = vec![(self.time.clamped(nanos(first.first)), 0.0)];
        let mut count = 0u64;
        for stride in strides {
            let within = self.within(stride);
            if within == 0 {
                break;
            }
            let (from, step) = (nanos(stride.first), stride.step.as_nanos() as f64);
            let place = |number: u64| self.time.place(from + number as f64 * step);
            if within <= SINGLE_STEPS && strides.len() < COLUMNS {
                for number in 0..within {
                    let steps = [(count + number) as f64, (count + number + 1) as f64];
                    points.extend(steps.map(|height| (place(number), height)));
                }
            } else {
                points.push((place(0), (count + 1) as f64));
                points.push((place(within - 1), (count + within) as f64));
            }
            count += within;
            if within < stride.count {
                points.push((RIGHT, count as f64));
            }
        }
        thinned(points)
    }

    /// How many of a stride's accesses lie on the paper.
    fn within(&self, stride: &Stride) -> u64 {
        let left = self.until - nanos(stride.first);
        match stride.step.as_nanos() {
            _ if left < 0.0 => 0,
            0 => stride.count,
            step => stride.count.min((left / step as f64) as u64 + 1),
        }
    }

    pub(super) fn bandwidth(&mut self, top: f64) {
        let bottom = top + BANDWIDTH_HEIGHT;
        self.drawing.rect("frame", (LEFT, top), (RIGHT - LEFT, BANDWIDTH_HEIGHT), "");
        let spans = self.history.transmissions.iter().map(|sent| {
            let places = [sent.begins, sent.ends].map(|at| self.time.clamped(nanos(at)));
            (places[0], places[1], sent.bytes as f64)
        });
        let bytes = columns(spans, BANDWIDTH_COLUMNS);
        let seconds = (self.until - self.begin) / 1e9 / BANDWIDTH_COLUMNS as f64;
        let rates: Vec<f64> = bytes.iter().map(|bytes| bytes / seconds).collect();
        let most = rates.iter().copied().fold(self.history.context_rate.unwrap_or(0.0), f64::max);
        if most == 0.0 {
            let middle = ((LEFT + RIGHT) / 2.0, top + BANDWIDTH_HEIGHT / 2.0);
            return self.drawing.text("tick", middle, Anchor::Middle, "nothing was sent");
        }
        let unit = Quantity::Rate.unit(most);
        let scale = Scale::linear((0.0, most * 1.12), (bottom, top));
        self.upright(&format!("link ({})", unit.name), top, BANDWIDTH_HEIGHT);
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
        for tick in scale.in_units(divisor).ticks(wanted) {
            let y = scale.place(tick * divisor);
            self.drawing.line("gridline", (LEFT, y), (RIGHT, y));
            self.drawing.text("tick", (LEFT - 8.0, y + 4.0), Anchor::End, &short_number(tick));
        }
    }

    fn upright(&mut self, label: &str, top: f64, height: f64) {
        self.drawing.upright_text("label", (22.0, top + height / 2.0), Anchor::Middle, label);
    }
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
