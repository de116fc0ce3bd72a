//! What is kept of the events of a run.

use lazycopy_guest::{ProgressLog, ProgressRun};
use lazycopy_migration::{Event, EventKind, Side};

/// The events of one migration, or as much of them as its metrics need.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    keeps_events: bool,
    events: Vec<Event>,
    /// When the forward and the following context completed their accesses.
    forward: Vec<ProgressRun>,
    following: Vec<ProgressRun>,
}

impl Journal {
    pub(crate) fn new(keeps_events: bool) -> Self {
        Journal { keeps_events, events: Vec::new(), forward: Vec::new(), following: Vec::new() }
    }

    /// Something happened.
    pub(crate) fn note(&mut self, event: Event) {
        if let EventKind::Progress { step, count } = event.kind {
            let run = ProgressRun { first: event.at, step, count };
            match event.side {
                Side::Source => self.forward.push(run),
                Side::Destination => self.following.push(run),
            }
        }
        if self.keeps_events {
            self.events.push(event);
        }
    }

    /// The mean lead of the forward context, if one ran.
    pub(crate) fn mean_lead(&mut self) -> Option<f64> {
        let forward = ProgressLog::from_runs(std::mem::take(&mut self.forward));
        let following = ProgressLog::from_runs(std::mem::take(&mut self.following));
        forward.mean_lead_over(&following)
    }

    /// The events by time, the source's first.
    pub(crate) fn into_events(mut self) -> Vec<Event> {
        self.events.sort_by_key(|event| (event.at, event.side));
        self.events
    }
}
