//! A log of events in little space: a push of many pages is a few entries, not one for each page.

use crate::event::{Event, EventKind};
use lazycopy_units::{Duration, Instant, PageNumber};
use serde::{Deserialize, Serialize};

/// An event, or several that differ from it in page and instant alone: each is of the page after
/// the one before, and as long after it. Pages that are sent, and pages that arrive, make such
/// runs; any other event stands alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRun {
    /// The first.
    pub first: Event,
    /// How many they are, at least 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
    /// From one to the next; zero for one alone.
    #[serde(rename = "step_ns", default, skip_serializing_if = "is_zero")]
    pub step: Duration,
}

fn one() -> u32 {
    1
}

fn is_one(count: &u32) -> bool {
    *count == 1
}

fn is_zero(step: &Duration) -> bool {
    *step == Duration::ZERO
}

impl From<Event> for EventRun {
    fn from(first: Event) -> Self {
        EventRun { first, count: 1, step: Duration::ZERO }
    }
}

impl EventRun {
    /// The events one by one. Numbers that no log has, as a broken message may, saturate.
    pub fn events(self) -> impl Iterator<Item = Event> {
        (0..self.count).map(move |index| self.event(index))
    }

    fn event(&self, index: u32) -> Event {
        let mut event = self.first.clone();
        event.at = self.instant(index);
        if let Some(page) = page_of_run(&mut event.kind) {
            page.0 = page.0.saturating_add(index);
        }
        event
    }

    fn instant(&self, index: u32) -> Instant {
        let since = self.step.as_nanos().saturating_mul(index.into());
        self.first.at.saturating_add(Duration::from_nanos(since))
    }

    fn last_at(&self) -> Instant {
        self.instant(self.count - 1)
    }

    /// Takes in the events that came next, if they continue the run.
    fn extend(&mut self, next: &EventRun) -> bool {
        let last_at = self.last_at();
        let step = next.first.at.saturating_since(last_at);
        let goes_on = next.first.at >= last_at
            && (self.count == 1 || step == self.step)
            && (next.count == 1 || step == next.step);
        let Some(count) = self.count.checked_add(next.count).filter(|_| goes_on) else {
            return false;
        };
        let continues = self.first.side == next.first.side
            && page_after(&self.first.kind, &next.first.kind) == Some(self.count);
        if continues {
            (self.step, self.count) = (step, count);
        }
        continues
    }

    /// Cuts off what is later than `at`, if the run begins not later and ends later.
    fn split_after(&mut self, at: Instant) -> Option<EventRun> {
        if self.first.at > at || self.last_at() <= at {
            return None;
        }
        let until = at.saturating_since(self.first.at).as_nanos() / self.step.as_nanos();
        // Less than the count, since the last event is later.
        let kept = until as u32 + 1;
        let rest = EventRun { first: self.event(kept), count: self.count - kept, step: self.step };
        self.count = kept;
        Some(rest)
    }
}

/// How many pages after the page of the first event that of the next one is, where they are events
/// of which there may be a run, and differ in nothing else.
fn page_after(first: &EventKind, next: &EventKind) -> Option<u32> {
    let (first, next) = match (first, next) {
        (
            EventKind::PageSent { page: first, cause },
            EventKind::PageSent { page: next, cause: next_cause },
        ) if cause == next_cause => (first, next),
        (
            EventKind::PageArrived { page: first, cause, fate },
            EventKind::PageArrived { page: next, cause: next_cause, fate: next_fate },
        ) if cause == next_cause && fate == next_fate => (first, next),
        _ => return None,
    };
    next.0.checked_sub(first.0)
}

/// The page of an event of which there may be runs.
fn page_of_run(kind: &mut EventKind) -> Option<&mut PageNumber> {
    match kind {
        EventKind::PageSent { page, .. } | EventKind::PageArrived { page, .. } => Some(page),
        _ => None,
    }
}

/// The events of one side in the order of their instants, and of their recording where those are
/// equal.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    runs: Vec<EventRun>,
    events: u64,
}

impl EventLog {
    /// Adds events. They may be told late: accesses are, which come in runs of their own.
    pub fn record(&mut self, run: EventRun) {
        self.events += u64::from(run.count);
        if let Some(last) = self.runs.last_mut() {
            if last.extend(&run) {
                return;
            }
            if last.last_at() > run.first.at {
                return run.events().for_each(|event| self.insert(event));
            }
        }
        self.runs.push(run);
    }

    /// Puts an event behind those of its instant and before; a run that goes on is cut in two.
    fn insert(&mut self, event: Event) {
        let place = self.runs.partition_point(|run| run.first.at <= event.at);
        let before = place.checked_sub(1).and_then(|before| self.runs.get_mut(before));
        let rest = before.and_then(|run| run.split_after(event.at));
        self.runs.splice(place..place, std::iter::once(event.into()).chain(rest));
    }

    /// How many events there are.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many entries they take.
    pub fn entries(&self) -> usize {
        self.runs.len()
    }

    /// The entries.
    pub fn into_runs(self) -> Vec<EventRun> {
        self.runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Fate, Side};
    use crate::message::Cause;
    use proptest::prelude::*;

    fn event(at: u64, kind: EventKind) -> Event {
        Event { at: Instant::from_nanos(at), side: Side::Source, kind }
    }

    fn sent(at: u64, page: u32) -> Event {
        event(at, EventKind::PageSent { page: PageNumber(page), cause: Cause::Background })
    }

    fn arrived(at: u64, page: u32, fate: Fate) -> Event {
        let cause = Cause::Background;
        event(at, EventKind::PageArrived { page: PageNumber(page), cause, fate })
    }

    fn progress(at: u64) -> Event {
        event(at, EventKind::Progress { step: Duration::from_nanos(2), count: 3 })
    }

    fn log(events: &[Event]) -> EventLog {
        let mut log = EventLog::default();
        events.iter().for_each(|event| log.record(event.clone().into()));
        log
    }

    fn run(first: Event, count: u32) -> EventRun {
        EventRun { first, count, step: Duration::ZERO }
    }

    fn expanded(log: EventLog) -> Vec<Event> {
        log.into_runs().into_iter().flat_map(EventRun::events).collect()
    }

    #[test]
    fn a_push_takes_one_entry_at_one_instant_and_at_equal_distances() {
        for step in [0, 41_120] {
            let pushed: Vec<Event> = (0..1_000).map(|i| sent(7 + step * i, i as u32)).collect();
            let log = log(&pushed);
            assert_eq!((log.entries(), log.events()), (1, 1_000));
            assert_eq!(expanded(log), pushed);
        }
    }

    #[test]
    fn what_happens_at_once_is_recorded_at_once() {
        let mut log = EventLog::default();
        for (first, count) in [(sent(5, 0), 3), (sent(5, 3), 1), (sent(5, 4), 2)] {
            log.record(run(first, count));
        }
        assert_eq!((log.entries(), log.events()), (1, 6));
        // At another instant, or of another page, it is another run.
        for (first, count) in [(sent(6, 6), 2), (sent(6, 9), 2), (sent(7, 11), 1), (sent(8, 12), 2)]
        {
            log.record(run(first, count));
        }
        log.record(run(sent(6, 20), 2));
        assert_eq!(log.events(), 15);
        let at = |at, pages: &[u32]| pages.iter().map(|page| sent(at, *page)).collect::<Vec<_>>();
        let expected = [
            at(5, &[0, 1, 2, 3, 4, 5]),
            at(6, &[6, 7, 9, 10, 20, 21]),
            at(7, &[11]),
            at(8, &[12, 13]),
        ];
        assert_eq!(expanded(log), expected.concat());
    }

    #[test]
    fn what_differs_in_more_than_its_page_is_not_joined() {
        let apart = [
            sent(1, 1),
            arrived(1, 2, Fate::Installed),
            arrived(1, 3, Fate::Duplicate),
            arrived(1, 5, Fate::Duplicate),
            event(1, EventKind::PageSent { page: PageNumber(6), cause: Cause::Demand }),
            event(1, EventKind::Missed { page: PageNumber(7) }),
            event(1, EventKind::Missed { page: PageNumber(8) }),
            sent(2, u32::MAX),
            sent(3, 0),
        ];
        assert_eq!(log(&apart).entries(), apart.len());
    }

    #[test]
    fn what_is_told_late_cuts_the_run_that_it_falls_into() {
        let log = log(&[sent(10, 0), sent(20, 1), sent(30, 2), sent(40, 3), progress(20)]);
        assert_eq!(log.entries(), 3);
        let expected = [sent(10, 0), sent(20, 1), progress(20), sent(30, 2), sent(40, 3)];
        assert_eq!(expanded(log), expected);
    }

    #[test]
    fn numbers_that_no_log_has_saturate() {
        let first = sent(u64::MAX - 1, u32::MAX - 1);
        let run = EventRun { first, count: 3, step: Duration::from_nanos(u64::MAX / 2) };
        assert_eq!(run.events().last(), Some(sent(u64::MAX, u32::MAX)));
    }

    fn any_event() -> impl Strategy<Value = (u64, u8)> {
        (0u64..12, 0u8..4)
    }

    proptest! {
        #[test]
        fn a_log_gives_back_what_it_took_sorted_by_instant(
            draws in proptest::collection::vec(any_event(), 0..60),
        ) {
            let (mut now, mut page) = (0, 0);
            let events: Vec<Event> = draws.iter().map(|(number, kind)| match kind {
                0 => progress(*number),
                1 => {
                    now += number;
                    sent(now, 100)
                }
                _ => {
                    (now, page) = (now + 2, page + 1);
                    sent(now, page)
                }
            }).collect();
            let mut sorted = events.clone();
            sorted.sort_by_key(|event| event.at);
            let log = log(&events);
            prop_assert_eq!(log.events(), events.len() as u64);
            prop_assert_eq!(expanded(log), sorted);
        }

        #[test]
        fn an_entry_survives_its_message(at: u64, page: u32, count in 1u32.., step: u64) {
            let step = if count == 1 { 0 } else { step };
            for first in [sent(at, page), progress(at)] {
                let run = EventRun { first, count, step: Duration::from_nanos(step) };
                let text = serde_json::to_string(&run).unwrap();
                prop_assert_eq!(serde_json::from_str::<EventRun>(&text).unwrap(), run);
            }
        }
    }
}
