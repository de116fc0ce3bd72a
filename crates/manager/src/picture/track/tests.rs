use super::*;
use lazycopy_guest::Registers;
use lazycopy_units::{Duration, PageNumber};

fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn event(ms: u64, side: Side, kind: EventKind) -> Event {
    Event { at: at(ms), side, kind }
}

fn arrival(ms: u64, page: u32, cause: Cause) -> Event {
    let kind = EventKind::PageArrived { page: PageNumber(page), cause, fate: Fate::Installed };
    event(ms, Side::Destination, kind)
}

fn suspended(resident: u64) -> Event {
    let registers = Registers::default();
    event(0, Side::Source, EventKind::Suspended { registers, resident })
}

fn transfer(ms: u64, background: u64, expected: u64) -> Transfer {
    Transfer {
        arrived: PageCounts { background, ..PageCounts::default() },
        expected: Some(expected),
        bytes: background * PAGE_MESSAGE_BYTES,
        at: at(ms),
        ..Transfer::default()
    }
}

#[test]
fn progress_is_the_share_of_the_bytes_and_does_not_go_back_when_more_is_expected() {
    let mut track = Track::new(0);
    track.event(&suspended(20));
    for page in 0..10 {
        track.event(&arrival(u64::from(page) + 1, page, Cause::Background));
    }
    assert_eq!(track.progress(), 0.5);
    track.transfer(&transfer(11, 10, 100));
    assert_eq!((track.progress(), track.expected()), (0.5, Some(100)));
    track.transfer(&transfer(12, 70, 100));
    assert_eq!(track.progress(), 0.7);
}

#[test]
fn nothing_is_done_before_it_is_complete() {
    let mut track = Track::new(0);
    track.event(&event(0, Side::Source, EventKind::RoundBegan { round: 1, pages: 2 }));
    track.event(&arrival(1, 0, Cause::Round));
    track.event(&arrival(2, 1, Cause::Round));
    assert_eq!((track.progress(), track.phase()), (ALMOST, MigrationPhase::Rounds));
    track.event(&event(3, Side::Destination, EventKind::Completed));
    assert_eq!((track.progress(), track.phase()), (1.0, MigrationPhase::Measuring));
    assert_eq!(track.left_ns(), Some(0));
}

#[test]
fn time_left_is_what_is_missing_over_the_recent_rate() {
    let mut track = Track::new(0);
    track.transfer(&transfer(100, 10, 100));
    assert_eq!(track.left_ns(), None, "one sample has no rate");
    track.transfer(&transfer(200, 20, 100));
    let left = track.left_ns().unwrap();
    assert!(left.abs_diff(800_000_000) < 1_000, "{left}");
}

#[test]
fn events_and_reports_count_the_same_pages_once() {
    let mut track = Track::new(0);
    for page in 0..7 {
        track.event(&arrival(1, page, Cause::Background));
    }
    track.transfer(&transfer(2, 5, 20));
    assert_eq!(track.counts().arrived.background, 7);
    track.transfer(&transfer(3, 9, 20));
    assert_eq!(track.counts().arrived.background, 9);
    assert_eq!(track.counts().bytes, 9 * PAGE_MESSAGE_BYTES);
}

#[test]
fn a_page_is_the_guests_own_again_when_it_pages_by_itself() {
    let mut track = Track::new(0);
    track.event(&arrival(1, 3, Cause::Forward));
    let by = FaultEnd::Disk;
    let kind = EventKind::FaultEnded { page: PageNumber(4), by, stalled: Duration::from_millis(2) };
    track.event(&event(2, Side::Destination, kind));
    assert_eq!((track.cause(3), track.cause(4)), (CellCause::Forward, CellCause::Disk));
    assert_eq!((track.counts().faults_disk, track.counts().stall_ns), (1, 2_000_000));
    let missed = |side| event(3, side, EventKind::Missed { page: PageNumber(3) });
    track.event(&missed(Side::Source));
    assert_eq!(track.cause(3), CellCause::Forward, "the source's memory is another one");
    track.event(&missed(Side::Destination));
    assert_eq!(track.cause(3), CellCause::Own);
}

#[test]
fn steps_that_are_heard_late_do_not_turn_a_migration_back() {
    let mut track = Track::new(0);
    let registers = Registers::default();
    track.event(&event(5, Side::Destination, EventKind::Resumed { registers }));
    track.event(&suspended(3));
    assert_eq!(track.phase(), MigrationPhase::Pushing);
}

#[test]
fn a_guest_waits_from_the_beginning_of_a_fault_to_its_end() {
    let mut track = Track::new(0);
    let ended = |ms, page, stalled| {
        let (by, stalled) = (FaultEnd::Remote, Duration::from_millis(stalled));
        let kind = EventKind::FaultEnded { page: PageNumber(page), by, stalled };
        event(ms, Side::Destination, kind)
    };
    let began = |ms, page| {
        let kind = EventKind::FaultBegan { page: PageNumber(page), asked: true };
        event(ms, Side::Destination, kind)
    };
    track.event(&began(10, 3));
    track.event(&ended(14, 3, 4));
    assert_eq!((track.fault(), track.stall_ns()), (None, 4_000_000));
    track.event(&began(20, 5));
    track.reads(at(27));
    assert_eq!(track.fault(), Some(FaultView { page: 5, since_ns: 20_000_000 }));
    assert_eq!((track.counts().stall_ns, track.stall_ns()), (4_000_000, 11_000_000));
    // The destination counts its end before the event is heard of.
    track.transfer(&Transfer {
        stall: Duration::from_millis(11),
        at: at(27),
        ..transfer(27, 1, 2)
    });
    assert_eq!(track.stall_ns(), 11_000_000);
    track.end(Outcome::Lost, None);
    assert_eq!(track.fault(), None);
}

#[test]
fn the_link_carries_no_more_than_it_does_however_late_and_mixed_it_is_heard() {
    let mut track = Track::new(0);
    track.event(&suspended(20));
    track.event(&event(0, Side::Source, EventKind::Handover { bytes: 4_112 }));
    track.event(&event(500, Side::Source, EventKind::ContextSent));
    track.event(&event(1_000, Side::Destination, EventKind::ContextArrived));
    for page in 0..8 {
        let ms = 1_000 + 500 * u64::from(page + 1);
        // The source is heard of earlier than the destination.
        let kind = EventKind::PageSent { page: PageNumber(page), cause: Cause::Background };
        track.event(&event(ms + 1_400, Side::Source, kind));
        track.event(&arrival(ms, page, Cause::Background));
        track.transfer(&transfer(ms, u64::from(page) + 1, 20));
    }
    let peak = track.link().into_iter().map(|(_, rate)| rate).fold(0.0, f64::max);
    assert!((8_000.0..=8_224.1).contains(&peak), "{:?}", track.link());
}

#[test]
fn no_miss_ratio_is_above_one() {
    let mut track = Track::new(0);
    for (ms, accesses, misses) in [(0, 200, 100), (10, 202, 103)] {
        track.paged(at(ms), accesses, misses);
    }
    assert_eq!(track.misses(), [(10_000_000, 1.0)]);
}
