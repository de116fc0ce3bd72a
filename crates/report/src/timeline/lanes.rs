//! The strips of a timeline: where the guest is and what blocks it, and what is on the link.

use super::{COLUMNS, DISK, LEFT, Plot, REMOTE, RIGHT, columns, nanos};
use crate::history::{Fault, History, Transmission};
use crate::quantity::{Quantity, counted};
use crate::svg::{Anchor, text_width};
use lazycopy_migration::{Cause, FaultEnd};

/// Height of the guest's strip.
pub(super) const GUEST_HEIGHT: f64 = 26.0;

/// Height of a lane, and the gap to the next.
pub(super) const LANE_HEIGHT: f64 = 18.0;
pub(super) const LANE_GAP: f64 = 6.0;

/// Up to so many of a kind each has a mark of its own; of more, those that touch on the paper are
/// drawn as one.
pub(super) const SINGLE_MARKS: usize = 1_500;

/// Up to so many, a hair is left between marks that touch, so that they can be counted.
const HAIR_MARKS: usize = 300;

const CAUSES: [(Cause, &str, usize); 4] = [
    (Cause::Round, "in rounds", 4),
    (Cause::Background, "background", 0),
    (Cause::Forward, "forward", 1),
    (Cause::Demand, "on demand", 3),
];

/// The lanes that carried something, the context's first.
pub(super) fn lanes(history: &History) -> Vec<Option<Cause>> {
    let used = |cause: Option<Cause>| {
        history.transmissions.iter().any(|sent| sent.page.map(|page| page.1) == cause)
    };
    let causes = CAUSES.iter().map(|(cause, ..)| Some(*cause));
    std::iter::once(None).chain(causes).filter(|cause| used(*cause)).collect()
}

impl Plot<'_> {
    /// Where the guest runs, and its stalls.
    pub(super) fn guest(&mut self, top: f64) {
        let history = self.history;
        self.drawing.text("label", (LEFT - 8.0, top + 17.5), Anchor::End, "the guest");
        let time = self.time;
        let place = |at| time.clamped(nanos(at));
        let suspended = history.suspended.map_or(RIGHT, place);
        let again = history.resumed.or(history.returned.filter(|_| history.suspended.is_some()));
        let resumed = again.map_or(RIGHT, place);
        let side = if history.resumed.is_some() { "at the destination" } else { "at the source" };
        let parts = [
            (LEFT, suspended, "fill faint s6", "at the source"),
            (suspended, resumed, "none", "nowhere: downtime"),
            (resumed, RIGHT, "fill faint s2", side),
        ];
        for (from, to, class, name) in parts {
            if to - from < 0.01 {
                continue;
            }
            let size = (to - from, GUEST_HEIGHT);
            self.drawing.rect(&format!("{class} whereabouts"), (from, top), size, name);
            if class == "none" {
                self.drawing.hatch("hatch", (from, top), size, 9.0);
            }
        }
        self.stalls(top);
        for (from, to, _, name) in parts {
            // Where a fault is, the name would hide it.
            let hidden = history.faults.iter().any(|fault| {
                let end = fault.end.map_or(RIGHT, |end| place(end.0));
                place(fault.begins) < from + text_width(name) + 12.0 && end > from
            });
            if to - from > text_width(name) + 12.0 && !hidden {
                let at = (from + 8.0, top + 17.5);
                self.drawing.text("value", at, Anchor::Start, name);
            }
        }
    }

    fn stalls(&mut self, top: f64) {
        let faults = &self.history.faults;
        if faults.len() > SINGLE_MARKS {
            return self.stall_columns(top);
        }
        for fault in faults {
            let (end, series, ended) = match fault.end {
                Some((at, FaultEnd::Remote)) => (nanos(at), REMOTE, "ended by a page"),
                Some((at, FaultEnd::Disk)) => (nanos(at), DISK, "ended by the disk"),
                None => (self.until, REMOTE, "not ended"),
            };
            let (from, to) = (self.time.clamped(nanos(fault.begins)), self.time.clamped(end));
            let blocked = Quantity::Time.figure(end - nanos(fault.begins));
            let note = format!("page {}: blocked for {blocked}, {ended}", fault.page);
            let size = ((to - from).max(1.0), GUEST_HEIGHT);
            self.drawing.rect(&format!("fill stall s{series}"), (from, top), size, &note);
        }
    }

    /// Where faults are too many to be seen one by one: how much of each column's time they take.
    fn stall_columns(&mut self, top: f64) {
        let width = (RIGHT - LEFT) / COLUMNS as f64;
        for (by, series) in [(FaultEnd::Remote, REMOTE), (FaultEnd::Disk, DISK)] {
            let ended = |fault: &&Fault| fault.end.is_some_and(|end| end.1 == by);
            let spans = self.history.faults.iter().filter(ended).filter_map(|fault| {
                let from = self.time.clamped(nanos(fault.begins));
                let to = self.time.clamped(nanos(fault.end?.0));
                Some((from, to, to - from))
            });
            let shares = columns(spans, COLUMNS);
            for (index, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
                let at = (LEFT + index as f64 * width, top);
                let class = format!("fill s{series}");
                let opacity = (share / width).min(1.0);
                self.drawing.tint(&class, at, (width, GUEST_HEIGHT), opacity, "");
            }
        }
    }

    pub(super) fn lane(&mut self, lane: Option<Cause>, y: f64) {
        let (label, class) = match CAUSES.iter().find(|(cause, ..)| Some(*cause) == lane) {
            Some((_, label, series)) => (*label, format!("fill page s{series}")),
            None => ("context", "fill context s6".to_owned()),
        };
        self.drawing.text("label", (LEFT - 8.0, y + 13.5), Anchor::End, label);
        self.drawing.rect("lane", (LEFT, y), (RIGHT - LEFT, LANE_HEIGHT), "");
        let of_lane = |sent: &&Transmission| sent.page.map(|page| page.1) == lane;
        let sent: Vec<&Transmission> = self.history.transmissions.iter().filter(of_lane).collect();
        for (from, to, note) in self.marks(&sent) {
            let size = ((to - from).max(1.2), LANE_HEIGHT);
            self.drawing.rect(&class, (from, y), size, &note);
        }
    }

    /// Marks of transmissions: one for each, or, where they are many, one for all that touch.
    fn marks(&self, sent: &[&Transmission]) -> Vec<(f64, f64, String)> {
        let single = sent.len() <= SINGLE_MARKS;
        let hair = if sent.len() <= HAIR_MARKS { 0.8 } else { 0.0 };
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
                _ => marks.push((from, to, 1, note(transmission))),
            }
        }
        marks.into_iter().map(|(from, to, _, note)| (from, to, note)).collect()
    }
}

fn note(sent: &Transmission) -> String {
    let what = match sent.page {
        Some((page, _)) => format!("page {page}"),
        None => "context".to_owned(),
    };
    let bytes = Quantity::Bytes.figure(sent.bytes as f64);
    format!("{what} ({bytes}), from {} to {}", sent.begins, sent.ends)
}
