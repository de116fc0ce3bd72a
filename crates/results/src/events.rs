//! The events of both sides.

use lazycopy_guest::{ProgressLog, ProgressRun};
use lazycopy_migration::{Event, EventKind, Side};

/// The most accesses that a lead is computed over: more than a run of hours has, and a broken
/// file cannot keep the program busy for days.
const MAX_PROGRESS_ACCESSES: u64 = 1 << 34;

/// The events of both sides in one order: by instant, then the source's before the destination's,
/// then as each side gave them.
pub fn merge_events(source: Vec<Event>, destination: Vec<Event>) -> Vec<Event> {
    let mut events = source;
    events.extend(destination);
    events.sort_by_key(|event| (event.at, event.side));
    events
}

/// `forward_lead_mean`: the mean, over the forward context's accesses, of how many more it had
/// completed than the following context, from the progress that both sides logged. `None` without
/// a forward access, or where the logs are broken.
pub fn forward_lead_mean(events: &[Event]) -> Option<f64> {
    let forward = progress_of(events, Side::Source)?;
    let following = progress_of(events, Side::Destination)?;
    forward.mean_lead_over(&following)
}

fn progress_of(events: &[Event], side: Side) -> Option<ProgressLog> {
    let mut total = 0u64;
    let mut runs = Vec::new();
    for event in events.iter().filter(|event| event.side == side) {
        let EventKind::Progress { step, count } = event.kind else { continue };
        let length = step.as_nanos().checked_mul(count.checked_sub(1)?)?;
        event.at.as_nanos().checked_add(length)?;
        total = total.checked_add(count).filter(|total| *total <= MAX_PROGRESS_ACCESSES)?;
        runs.push(ProgressRun { first: event.at, step, count });
    }
    Some(ProgressLog::from_runs(runs))
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
        let merged = merge_events(source.clone(), destination.clone());
        let expected = [
            source[0].clone(),
            destination[0].clone(),
            source[1].clone(),
            source[2].clone(),
            destination[1].clone(),
        ];
        assert_eq!(merged, expected);
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
