//! The events of running migrations, as the paper's program prints them.

use crate::grammar::EventLevel;
use lazycopy_migration::{Answer, Cause, Event, EventKind, Fate, FaultEnd};

/// One line for an event, model time and guest in front; `None` where `level` is silent about it.
pub fn line(level: EventLevel, vm: &str, event: &Event) -> Option<String> {
    if !level.watch().shows(&event.kind) {
        return None;
    }
    let text = describe(&event.kind)?;
    let millis = event.at.as_nanos() / 1_000_000;
    Some(format!("[{:>5}.{:03} s] {vm}: {text}", millis / 1000, millis % 1000))
}

/// The words for an event.
fn describe(kind: &EventKind) -> Option<String> {
    use EventKind as Kind;
    let text = match kind {
        Kind::Requested => "Migration requested.".to_owned(),
        Kind::Suspended { registers, resident } => {
            format!(
                "Suspended at the source: pc {}, {resident} pages in memory.",
                registers.accesses
            )
        }
        Kind::RoundBegan { round, pages } => {
            format!("Round {round} begins: {pages} pages to send.")
        }
        Kind::Throttled { percent } => {
            format!("The guest is slowed down by {percent} %: it writes too fast.")
        }
        Kind::Handover { bytes } => {
            format!("Hand-over: the context ({bytes} bytes) leaves the source.")
        }
        Kind::ForwardResumed => "Resumed at the source as the forward context.".to_owned(),
        Kind::Resumed { registers } => {
            format!("Resumed at the destination: pc {}.", registers.accesses)
        }
        Kind::Checkpointed { pages, takes } => {
            format!("Checkpoint: {pages} dirty pages go to the disk in {takes}.")
        }
        Kind::Paused { reason } => format!("Paused: {reason}."),
        Kind::PageLost { page } => format!("Page{page} was lost on its way."),
        Kind::Recovered => "Recovered: the link is back.".to_owned(),
        Kind::SourceLost { reason, on_disk } => {
            format!("On without the source: {reason}; {on_disk} missing pages are on the disk.")
        }
        Kind::ThrownAway { reason } => format!("Thrown away, never resumed: {reason}."),
        Kind::Completed => "Migration complete.".to_owned(),
        Kind::Returned { reason } => format!("Back at the source: {reason}."),
        Kind::Lost { reason } => format!("Lost: {reason}."),
        Kind::Released => "Freed at the source.".to_owned(),
        Kind::Measured { registers } => {
            format!("The measured accesses are completed: pc {}.", registers.accesses)
        }
        Kind::PageSent { page, cause } => {
            format!("Page{page} is transferred ({}).", cause_name(*cause))
        }
        Kind::FaultBegan { page, .. } => format!("Page fault: Page{page} is required."),
        Kind::PageRequested { page, answer } => match answer {
            Answer::InSourceMemory => format!("PF Handle: Page{page} is in source memory!"),
            Answer::OnItsWay => {
                format!("PF Handle: Page{page} is in source memory! It is on its way already.")
            }
            Answer::NotResident => format!("PF Handle: Page{page} is not in source memory!"),
        },
        Kind::FaultEnded { page, by: FaultEnd::Disk, stalled } => {
            format!("PF Handle: Page{page} is loaded from disk! (waited {stalled})")
        }
        Kind::FaultEnded { page, by: FaultEnd::Remote, stalled } => {
            format!("PF Handle: Page{page} has come from the source! (waited {stalled})")
        }
        Kind::PageArrived { page, fate, .. } => match fate {
            Fate::Installed | Fate::EndedFault => return None,
            Fate::Discarded => format!("Page{page} is discarded: memory is full."),
            Fate::WrittenBack => format!("Page{page} goes to the disk: memory is full."),
            Fate::Duplicate => format!("Page{page} is a duplicate."),
            Fate::Late => format!("Page{page} came after completion."),
        },
        Kind::PageDropped { page } => {
            format!("Page{page} is dropped: the forward context evicted it.")
        }
        Kind::PageExempted { page } => {
            format!("Page{page} is not sent: the guest has overwritten it.")
        }
        Kind::Overwritten { page } => {
            format!("Page{page} is written as a whole, and not waited for.")
        }
        Kind::ForwardMissed { page } => {
            format!("Forward context: Page{page} is loaded from disk.")
        }
        Kind::JoinedForward { page } => format!("Forward context: Page{page} is needed soon."),
        Kind::ContextSent
        | Kind::HeadStartCompleted
        | Kind::PageWithdrawn { .. }
        | Kind::PageWithheld { .. }
        | Kind::ContextArrived
        | Kind::PageNotResident { .. }
        | Kind::Missed { .. }
        | Kind::Ended { .. }
        | Kind::Progress { .. } => return None,
    };
    Some(text)
}

fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Round => "before the hand-over",
        Cause::Background => "background",
        Cause::Forward => "forward context",
        Cause::Demand => "on demand",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_migration::Side;
    use lazycopy_units::{Instant, PageNumber};

    fn event(kind: EventKind) -> Event {
        Event { at: Instant::from_nanos(1_234_567_890), side: Side::Destination, kind }
    }

    #[test]
    fn a_fault_reads_as_in_the_papers_listing() {
        let page = PageNumber(17);
        let said = |kind| line(EventLevel::All, "v1", &event(kind)).unwrap();
        let began = EventKind::FaultBegan { page, asked: true };
        assert_eq!(said(began), "[    1.234 s] v1: Page fault: Page17 is required.");
        let requested = |answer| EventKind::PageRequested { page, answer };
        assert!(said(requested(Answer::InSourceMemory)).ends_with("Page17 is in source memory!"));
        assert!(said(requested(Answer::NotResident)).ends_with("Page17 is not in source memory!"));
    }

    #[test]
    fn a_level_silences_what_is_below_it() {
        let (page, milestone) = (PageNumber(1), event(EventKind::Completed));
        let detail = event(EventKind::PageSent { page, cause: Cause::Forward });
        assert_eq!(line(EventLevel::Off, "v1", &milestone), None);
        assert!(line(EventLevel::Milestones, "v1", &milestone).is_some());
        assert_eq!(line(EventLevel::Milestones, "v1", &detail), None);
        assert!(line(EventLevel::All, "v1", &detail).unwrap().contains("forward context"));
    }
}
