//! What the events of a migration say, in the order of a picture.

use lazycopy_migration::{Cause, Event, EventKind, FaultEnd, Side};
use lazycopy_units::{Duration, Instant, PAGE_MESSAGE_BYTES, PageNumber};
use std::collections::BTreeMap;

/// A message on the link.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transmission {
    /// The page and the lane that it left by; `None` for the context.
    pub page: Option<(PageNumber, Cause)>,
    pub bytes: u64,
    pub begins: Instant,
    pub ends: Instant,
}

/// The guest was blocked by a page fault of the migration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub page: PageNumber,
    pub begins: Instant,
    /// When it was over, and what ended it; `None` if nothing did.
    pub end: Option<(Instant, FaultEnd)>,
}

/// Accesses that a context completed at equal distances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stride {
    pub first: Instant,
    pub step: Duration,
    pub count: u64,
}

/// One migration.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// What stands out, in the order of time.
    pub milestones: Vec<(Instant, String)>,
    /// In the order in which they began.
    pub transmissions: Vec<Transmission>,
    /// In the order in which they began.
    pub faults: Vec<Fault>,
    /// Progress of the forward context, from the suspended guest's count on.
    pub forward: Vec<Stride>,
    /// Progress of the following context, from the same count on.
    pub following: Vec<Stride>,
    /// When a round of pre-copy began.
    pub rounds: Vec<Instant>,
    /// When the guest was suspended, for good.
    pub suspended: Option<Instant>,
    /// When it was resumed at the destination.
    pub resumed: Option<Instant>,
    /// When it went back to running at the source.
    pub returned: Option<Instant>,
    /// What the context's transmission gave: bytes per second.
    pub context_rate: Option<f64>,
    /// The last moment that belongs into a picture of the migration.
    pub ends: Instant,
}

impl History {
    pub fn of(events: &[Event]) -> History {
        let mut history = History::default();
        let mut reader = Reader::default();
        for event in events {
            history.take(event, &mut reader);
        }
        history.transmissions = reader.transmissions();
        history.context_rate = reader.context_rate();
        history.ends = history.last_moment();
        history
    }

    fn take(&mut self, event: &Event, reader: &mut Reader) {
        let at = event.at;
        if let Some(name) = milestone(&event.kind) {
            self.milestones.push((at, name));
        }
        match &event.kind {
            EventKind::RoundBegan { .. } => self.rounds.push(at),
            EventKind::Suspended { .. } => self.suspended = Some(at),
            EventKind::Resumed { .. } => self.resumed = Some(at),
            EventKind::Returned { .. } => self.returned = Some(at),
            EventKind::Handover { bytes } => reader.sent(at, *bytes, None),
            EventKind::ContextSent => reader.context_sent = Some(at),
            EventKind::ContextArrived => reader.context_arrived = Some(at),
            EventKind::PageSent { page, cause } => {
                reader.sent(at, PAGE_MESSAGE_BYTES, Some((*page, *cause)));
            }
            EventKind::PageArrived { page, .. } => {
                reader.arrivals.entry(*page).or_default().push(at);
            }
            EventKind::FaultBegan { page, .. } => {
                self.faults.push(Fault { page: *page, begins: at, end: None });
            }
            EventKind::FaultEnded { page, by, .. } => {
                let open = self.faults.iter_mut().rev();
                if let Some(fault) = open.take(1).find(|it| it.page == *page && it.end.is_none()) {
                    fault.end = Some((at, *by));
                }
            }
            EventKind::Progress { step, count } => {
                let stride = Stride { first: at, step: *step, count: *count };
                match event.side {
                    Side::Source => self.forward.push(stride),
                    Side::Destination => self.following.push(stride),
                }
            }
            _ => {}
        }
    }

    /// The end of the last fault, of the last transmission and of all that stands out but the end
    /// of the measured accesses, which may be far away.
    fn last_moment(&self) -> Instant {
        let faults = self.faults.iter().map(|fault| fault.end.map_or(fault.begins, |end| end.0));
        let sent = self.transmissions.iter().map(|sent| sent.ends);
        let moments = self.milestones.iter().map(|(at, _)| *at);
        faults.chain(sent).chain(moments).max().unwrap_or(Instant::ZERO)
    }
}

/// What is put together from events of both sides.
#[derive(Debug, Default)]
struct Reader {
    /// Their ends not known yet.
    sent: Vec<Transmission>,
    arrivals: BTreeMap<PageNumber, Vec<Instant>>,
    context_sent: Option<Instant>,
    context_arrived: Option<Instant>,
}

impl Reader {
    fn sent(&mut self, at: Instant, bytes: u64, page: Option<(PageNumber, Cause)>) {
        self.sent.push(Transmission { page, bytes, begins: at, ends: at });
    }

    /// The link carries one message at a time, so that one ends when its delivery is a latency
    /// ahead, and before the next begins. The context tells the latency.
    fn transmissions(&mut self) -> Vec<Transmission> {
        let latency = match (self.context_sent, self.context_arrived) {
            (Some(sent), Some(arrived)) => arrived.saturating_since(sent),
            _ => Duration::ZERO,
        };
        self.sent.sort_by_key(|sent| sent.begins);
        let mut nth: BTreeMap<PageNumber, usize> = BTreeMap::new();
        let mut transmissions = Vec::with_capacity(self.sent.len());
        for (index, sent) in self.sent.iter().enumerate() {
            let begins = sent.begins;
            let delivered = match sent.page {
                None => self.context_sent,
                Some((page, _)) => {
                    let number = nth.entry(page).or_default();
                    *number += 1;
                    let arrivals = self.arrivals.get(&page);
                    let arrived = arrivals.and_then(|all| all.get(*number - 1));
                    arrived.map(|at| at.saturating_sub(latency))
                }
            };
            let next = self.sent.get(index + 1).map(|sent| sent.begins);
            let ends = match (delivered, next) {
                (Some(delivered), Some(next)) => delivered.min(next),
                (Some(ends), None) | (None, Some(ends)) => ends,
                (None, None) => begins,
            };
            transmissions.push(Transmission { ends: ends.max(begins), ..sent.clone() });
        }
        transmissions
    }

    fn context_rate(&self) -> Option<f64> {
        let context = self.sent.iter().find(|sent| sent.page.is_none())?;
        let nanos = self.context_sent?.saturating_since(context.begins).as_nanos();
        (nanos > 0).then(|| context.bytes as f64 * 1e9 / nanos as f64)
    }
}

/// What an event is called where it stands out.
fn milestone(kind: &EventKind) -> Option<String> {
    let name = match kind {
        EventKind::Requested => "requested",
        EventKind::Suspended { .. } => "suspended",
        EventKind::Handover { .. } => "hand-over",
        EventKind::ForwardResumed => "forward context runs",
        EventKind::HeadStartCompleted => "head start done",
        EventKind::Resumed { .. } => "resumed",
        EventKind::Completed => "complete",
        EventKind::Released => "freed at the source",
        EventKind::Checkpointed { .. } => "checkpoint",
        EventKind::Paused { .. } => "link lost",
        EventKind::Recovered => "recovered",
        EventKind::SourceLost { .. } => "on without the source",
        EventKind::ThrownAway { .. } => "thrown away",
        EventKind::Returned { .. } => "back at the source",
        EventKind::Lost { .. } => "lost",
        EventKind::Throttled { percent } => return Some(format!("slowed by {percent} %")),
        _ => return None,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_migration::Fate;

    fn event(at: u64, side: Side, kind: EventKind) -> Event {
        Event { at: Instant::from_nanos(at), side, kind }
    }

    fn sent(at: u64, page: u32) -> Event {
        let kind = EventKind::PageSent { page: PageNumber(page), cause: Cause::Background };
        event(at, Side::Source, kind)
    }

    fn arrived(at: u64, page: u32) -> Event {
        let (page, fate) = (PageNumber(page), Fate::Installed);
        let kind = EventKind::PageArrived { page, cause: Cause::Background, fate };
        event(at, Side::Destination, kind)
    }

    #[test]
    fn a_transmission_ends_a_latency_before_its_arrival_and_before_the_next() {
        let history = History::of(&[
            event(0, Side::Source, EventKind::Handover { bytes: 100 }),
            event(50, Side::Source, EventKind::ContextSent),
            sent(50, 7),
            event(70, Side::Destination, EventKind::ContextArrived),
            sent(100, 8),
            arrived(120, 7),
            arrived(155, 8),
        ]);
        let spans: Vec<(u64, u64)> = history
            .transmissions
            .iter()
            .map(|it| (it.begins.as_nanos(), it.ends.as_nanos()))
            .collect();
        assert_eq!(spans, [(0, 50), (50, 100), (100, 135)]);
        assert_eq!(history.context_rate, Some(2e9));
        assert_eq!(history.ends, Instant::from_nanos(135));
    }

    #[test]
    fn a_page_that_is_sent_again_has_each_time_its_own_arrival() {
        let history =
            History::of(&[sent(0, 7), arrived(10, 7), sent(20, 7), arrived(35, 7), sent(50, 9)]);
        let ends: Vec<u64> = history.transmissions.iter().map(|it| it.ends.as_nanos()).collect();
        assert_eq!(ends, [10, 35, 50], "what never arrived has no length");
    }

    #[test]
    fn a_fault_without_an_end_stays_open() {
        let page = PageNumber(3);
        let began = |at| event(at, Side::Destination, EventKind::FaultBegan { page, asked: true });
        let (by, stalled) = (FaultEnd::Disk, Duration::from_nanos(5));
        let ended = event(10, Side::Destination, EventKind::FaultEnded { page, by, stalled });
        let history = History::of(&[began(5), ended, began(20)]);
        let ends: Vec<_> = history.faults.iter().map(|fault| fault.end.is_some()).collect();
        assert_eq!(ends, [true, false]);
    }
}
