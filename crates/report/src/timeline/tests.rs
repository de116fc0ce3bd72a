use super::*;
use lazycopy_migration::{Cause, Event, EventKind, FaultEnd, Side};
use lazycopy_units::{Duration, PageNumber};

fn event(at: u64, side: Side, kind: EventKind) -> Event {
    Event { at: Instant::from_nanos(at * 1_000_000), side, kind }
}

/// A migration with that many faults, each of them asked for and sent on demand.
fn faulting(faults: u32) -> History {
    let mut events = vec![
        event(0, Side::Source, EventKind::Requested),
        event(0, Side::Source, EventKind::Handover { bytes: 4_272 }),
        event(5, Side::Source, EventKind::ContextSent),
    ];
    for number in 0..faults {
        let page = PageNumber(number);
        let at = 10 + 10 * u64::from(number);
        let (by, stalled) = match number % 2 {
            0 => (FaultEnd::Remote, Duration::from_millis(5)),
            _ => (FaultEnd::Disk, Duration::from_millis(5)),
        };
        let began = EventKind::FaultBegan { page, asked: true };
        events.push(event(at, Side::Destination, began));
        let sent = EventKind::PageSent { page, cause: Cause::Demand };
        events.push(event(at + 1, Side::Source, sent));
        let ended = EventKind::FaultEnded { page, by, stalled };
        events.push(event(at + 5, Side::Destination, ended));
    }
    History::of(&events)
}

fn count(file: &str, class: &str) -> usize {
    file.matches(&format!("class=\"{class}\"")).count()
}

#[test]
fn each_fault_and_each_page_has_a_mark_of_its_own() {
    let file = timeline("timeline", "post-copy", &faulting(7)).unwrap().file();
    assert_eq!(count(&file, &format!("fill stall s{REMOTE}")), 4);
    assert_eq!(count(&file, &format!("fill stall s{DISK}")), 3);
    assert_eq!(count(&file, "fill page s3"), 7);
    assert_eq!(count(&file, "fill context s6"), 1);
    assert!(roxmltree::Document::parse(&file).is_ok());
}

#[test]
fn many_faults_are_drawn_by_columns() {
    let file = timeline("timeline", "post-copy", &faulting(20_000)).unwrap().file();
    assert_eq!(count(&file, &format!("fill stall s{REMOTE}")), 0);
    assert!(count(&file, &format!("fill s{REMOTE}")) <= COLUMNS);
    assert!(count(&file, "fill page s3") <= COLUMNS);
    assert!(file.len() < 400_000, "{} bytes", file.len());
}

#[test]
fn weights_are_spread_over_the_columns_that_they_cover() {
    let width = (RIGHT - LEFT) / 4.0;
    let spans = [(LEFT, LEFT + 2.0 * width, 6.0), (RIGHT, RIGHT, 1.0)];
    let sums = columns(spans.into_iter(), 4);
    assert!((sums[0] - 3.0).abs() < 1e-9 && (sums[1] - 3.0).abs() < 1e-9, "{sums:?}");
    assert_eq!(sums[2..], [0.0, 1.0]);
}

#[test]
fn nothing_is_drawn_of_nothing() {
    assert!(timeline("timeline", "post-copy", &History::of(&[])).is_none());
}
