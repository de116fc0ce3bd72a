//! The events of both sides.

use lazycopy_guest::{MeanLead, ProgressRun};
use lazycopy_migration::{Event, EventKind, Scheme, Side};

/// The most accesses that a lead is computed over: more than a run of hours has, and a broken
/// file cannot keep the program busy for days.
const MAX_PROGRESS_ACCESSES: u64 = 1 << 34;

/// The events of both sides in one order: by instant, then the source's before the destination's,
/// then as each side gave them. Each side's are given in the order of their instants; of what is
/// given, no more than one event of each is held.
pub fn merge_events(
    source: impl Iterator<Item = Event>,
    destination: impl Iterator<Item = Event>,
) -> impl Iterator<Item = Event> {
    let (mut source, mut destination) = (source.peekable(), destination.peekable());
    std::iter::from_fn(move || match (source.peek(), destination.peek()) {
        (Some(first), Some(second)) if second.at < first.at => destination.next(),
        (None, _) => destination.next(),
        _ => source.next(),
    })
}

/// `forward_lead_mean`: the mean, over the forward context's accesses, of how many more it had
/// completed than the following context, from the progress that both sides logged.
#[derive(Clone, Debug)]
pub struct ForwardLead {
    /// `None`: the logs are broken.
    lead: Option<MeanLead>,
    source_accesses: u64,
    destination_accesses: u64,
}

impl ForwardLead {
    /// The lead in a migration by that scheme.
    pub fn of(scheme: Scheme) -> Self {
        let mut lead = MeanLead::default();
        if !scheme.parts().forward_context {
            lead.end_forward();
        }
        ForwardLead { lead: Some(lead), source_accesses: 0, destination_accesses: 0 }
    }

    /// Takes the next of both sides' events.
    pub fn note(&mut self, event: &Event) {
        match event.kind {
            EventKind::Progress { step, count } => {
                let run = ProgressRun { first: event.at, step, count };
                if self.add(event.side, run).is_none() {
                    self.lead = None;
                }
            }
            EventKind::Released | EventKind::Returned { .. } => {
                self.lead.iter_mut().for_each(MeanLead::end_forward);
            }
            _ => {}
        }
    }

    /// Adds a run, if it can be.
    fn add(&mut self, side: Side, run: ProgressRun) -> Option<()> {
        let length = run.step.as_nanos().checked_mul(run.count.max(1))?;
        run.first.as_nanos().checked_add(length)?;
        let total = match side {
            Side::Source => &mut self.source_accesses,
            Side::Destination => &mut self.destination_accesses,
        };
        *total = total.checked_add(run.count).filter(|total| *total <= MAX_PROGRESS_ACCESSES)?;
        if run.count == 0 {
            return None;
        }
        match side {
            Side::Source => self.lead.as_mut()?.forward(run),
            Side::Destination => self.lead.as_mut()?.following(run),
        }
        Some(())
    }

    /// The mean. `None` without a forward access, or where the logs are broken.
    pub fn mean(self) -> Option<f64> {
        self.lead?.mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_units::{Duration, Instant};

    fn event(at: u64, side: Side, kind: EventKind) -> Event {
        Event { at: Instant::from_nanos(at), side, kind }
    }

    fn progress(at: u64, side: Side, step: u64, count: u64) -> Event {
        event(at, side, EventKind::Progress { step: Duration::from_nanos(step), count })
    }

    #[test]
    fn events_are_merged_by_instant_then_side_then_as_given() {
        let source = vec![
            event(1, Side::Source, EventKind::Requested),
            event(5, Side::Source, EventKind::ContextSent),
            event(5, Side::Source, EventKind::ForwardResumed),
        ];
        let destination = vec![
            event(3, Side::Destination, EventKind::ContextArrived),
            event(5, Side::Destination, EventKind::Completed),
        ];
        let merged: Vec<Event> =
            merge_events(source.clone().into_iter(), destination.clone().into_iter()).collect();
        let expected = [
            source[0].clone(),
            destination[0].clone(),
            source[1].clone(),
            source[2].clone(),
            destination[1].clone(),
        ];
        assert_eq!(merged, expected);
    }

    fn forward_lead_mean(events: &[Event]) -> Option<f64> {
        let mut lead = ForwardLead::of(Scheme::LazyCopy);
        events.iter().for_each(|event| lead.note(event));
        lead.mean()
    }

    #[test]
    fn the_lead_is_taken_from_both_sides_progress() {
        let events = [
            progress(0, Side::Source, 10, 3),
            event(4, Side::Source, EventKind::ContextSent),
            progress(10, Side::Destination, 15, 2),
        ];
        assert_eq!(forward_lead_mean(&events), Some((1 + 1 + 2) as f64 / 3.0));
        assert_eq!(forward_lead_mean(&events[..2]), Some(2.0));
        assert_eq!(forward_lead_mean(&events[2..]), None, "nothing ran ahead");
    }

    #[test]
    fn a_broken_log_has_no_lead_and_keeps_nobody_busy() {
        for (at, step, count) in [(0, 0, 0), (1, u64::MAX, 2), (0, 1, u64::MAX), (5, 0, 1 << 40)] {
            assert_eq!(forward_lead_mean(&[progress(at, Side::Source, step, count)]), None);
        }
    }
}
