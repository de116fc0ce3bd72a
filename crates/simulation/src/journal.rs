//! What is kept of the events of a run.

use lazycopy_guest::{MeanLead, ProgressRun};
use lazycopy_migration::{Event, EventKind, EventRun, Side};

/// The events of one migration, or as much of them as its metrics need.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    keeps_events: bool,
    events: Vec<Event>,
    lead: MeanLead,
}

impl Journal {
    pub(crate) fn new(keeps_events: bool) -> Self {
        Journal { keeps_events, events: Vec::new(), lead: MeanLead::default() }
    }

    /// Something happened.
    pub(crate) fn note(&mut self, run: EventRun) {
        if let EventKind::Progress { step, count } = run.first.kind {
            let progress = ProgressRun { first: run.first.at, step, count };
            match run.first.side {
                Side::Source => self.lead.forward(progress),
                Side::Destination => self.lead.following(progress),
            }
        }
        if self.keeps_events {
            self.events.extend(run.events());
        }
    }

    /// Nothing more happens at the source.
    pub(crate) fn end_source(&mut self) {
        self.lead.end_forward();
    }

    /// The mean lead of the forward context, if one ran.
    pub(crate) fn mean_lead(&mut self) -> Option<f64> {
        std::mem::take(&mut self.lead).mean()
    }

    /// The events by time, the source's first.
    pub(crate) fn into_events(mut self) -> Vec<Event> {
        self.events.sort_by_key(|event| (event.at, event.side));
        self.events
    }
}
