//! Cases whose every instant is worked out by hand.

#[path = "common/paper.rs"]
mod paper;

use lazycopy_migration::{
    Answer, Cause, Event, EventKind, Fate, FaultEnd, MigrationParameters, PushOrder, Scheme, Side,
};
use lazycopy_simulation::{
    Exceeded, Limits, Migration, Options, Run, RunError, check_run, simulate, simulate_with,
};
use lazycopy_units::{Duration, Instant};
use paper::{CONTEXT, MS, guest, migration, round_trip};

/// The run, held to every invariant.
fn run(migration: &Migration) -> Run {
    let run = simulate(migration).unwrap();
    check_run(migration, &run).unwrap();
    run
}

/// The events that `choose` picks, with their instants in nanoseconds.
fn events<T>(run: &Run, choose: impl Fn(&EventKind) -> Option<T>) -> Vec<(u64, T)> {
    let pick = |event: &Event| Some((event.at.as_nanos(), choose(&event.kind)?));
    run.events.iter().filter_map(pick).collect()
}

fn sent(run: &Run) -> Vec<(u64, (u32, Cause))> {
    events(run, |kind| match kind {
        EventKind::PageSent { page, cause } => Some((page.0, *cause)),
        _ => None,
    })
}

fn faults_ended(run: &Run) -> Vec<(u64, (u32, FaultEnd, Duration))> {
    events(run, |kind| match kind {
        EventKind::FaultEnded { page, by, stalled } => Some((page.0, *by, *stalled)),
        _ => None,
    })
}

fn with(mut migration: Migration, change: impl Fn(&mut MigrationParameters)) -> Migration {
    change(&mut migration.parameters);
    migration
}

#[test]
fn post_copy_sends_the_context_first_and_then_the_pages_in_order() {
    let run = run(&round_trip(Scheme::PostCopy));
    let expected: Vec<_> = (0..20u32)
        .map(|page| (CONTEXT + u64::from(page) * 500 * MS, (page, Cause::Background)))
        .collect();
    assert_eq!(sent(&run), expected);
    assert_eq!(run.source.handover_at, Some(Instant::ZERO));
    let metrics = &run.metrics;
    assert_eq!(metrics.downtime_ns, Some(CONTEXT + 200 * MS));
    assert_eq!(metrics.total_migration_time_ns, Some(CONTEXT + 200 * MS + 20 * 500 * MS));
    assert_eq!(metrics.resume_time_ns, Some(10_000 * MS));
    assert_eq!(run.source.released_at.unwrap().as_nanos(), CONTEXT + 10_400 * MS);
    assert_eq!(metrics.bytes_transferred, 4_272 + 20 * 4_112);
    assert_eq!(metrics.bandwidth_peak, Some(paper::BANDWIDTH));
}

#[test]
fn a_request_for_a_page_on_its_way_sends_nothing_more() {
    let run = run(&round_trip(Scheme::PostCopy));
    let requests = events(&run, |kind| match kind {
        EventKind::PageRequested { page, answer } => Some((page.0, *answer)),
        _ => None,
    });
    // The guest touches page 0 on its resume; the page left when the context had, and arrives
    // half a second after the resume.
    assert_eq!(requests, [(CONTEXT + 400 * MS, (0, Answer::OnItsWay))]);
    let stalled = Duration::from_millis(500);
    assert_eq!(faults_ended(&run), [(CONTEXT + 700 * MS, (0, FaultEnd::Remote, stalled))]);
    assert_eq!((run.metrics.faults, run.metrics.pages_transferred), (1, 20));
    // One stall and nineteen think times.
    assert_eq!(run.metrics.measured_time_ns, Some(500 * MS + 19 * 970 * MS));
}

#[test]
fn a_demanded_page_overtakes_the_background() {
    let run = run(&with(round_trip(Scheme::PostCopy), |it| it.push_order = PushOrder::Mru));
    // Page 0 is asked for at 0.4 s after the context's end, while page 19 occupies the link; page
    // 1 is missed at 1.2 + 0.97 s, asked for at 2.37 s, and goes at 2.5 s.
    let first: Vec<(u64, (u32, Cause))> = sent(&run).into_iter().take(7).collect();
    let after_context = |ms| CONTEXT + ms * MS;
    use Cause::{Background, Demand};
    let expected = [
        (after_context(0), (19, Background)),
        (after_context(500), (0, Demand)),
        (after_context(1_000), (18, Background)),
        (after_context(1_500), (17, Background)),
        (after_context(2_000), (16, Background)),
        (after_context(2_500), (1, Demand)),
        (after_context(3_000), (15, Background)),
    ];
    assert_eq!(first, expected);
    let remote = |ms| (FaultEnd::Remote, Duration::from_millis(ms));
    let faults: Vec<_> = faults_ended(&run).into_iter().take(2).collect();
    let (first, second) = (remote(1_000), remote(1_030));
    let expected = [
        (after_context(1_200), (0, first.0, first.1)),
        (after_context(3_200), (1, second.0, second.1)),
    ];
    assert_eq!(faults, expected);
    assert_eq!(run.metrics.total_migration_time_ns, Some(after_context(10_200)));
}

#[test]
fn a_page_that_is_not_in_source_memory_comes_from_the_disk() {
    let list = (0..20).chain(30..31).chain(0..20);
    let run = run(&migration(Scheme::PostCopy, guest(20, list)));
    let answers = events(&run, |kind| match kind {
        EventKind::PageRequested { page, answer } => Some((page.0, *answer)),
        _ => None,
    });
    assert_eq!(answers, [(CONTEXT + 400 * MS, (30, Answer::NotResident))]);
    // There and back again, and the disk.
    let stalled = Duration::from_millis(400 + 11_000);
    assert_eq!(faults_ended(&run), [(CONTEXT + 11_600 * MS, (30, FaultEnd::Disk, stalled))]);
    assert_eq!((run.metrics.faults_remote, run.metrics.faults_disk), (0, 1));
}

#[test]
fn a_fault_penalty_lengthens_every_fault_of_the_migration() {
    let penalty = Duration::from_millis(300);
    let run = run(&with(round_trip(Scheme::PostCopy), |it| it.fault_penalty = penalty));
    let stalled = Duration::from_millis(800);
    assert_eq!(faults_ended(&run), [(CONTEXT + 1_000 * MS, (0, FaultEnd::Remote, stalled))]);
}

#[test]
fn stop_and_copy_is_down_for_all_of_it() {
    let run = run(&round_trip(Scheme::StopAndCopy));
    let causes = sent(&run);
    assert_eq!(causes[0], (0, (0, Cause::Round)));
    assert_eq!(causes[19], (9_500 * MS, (19, Cause::Round)));
    assert_eq!(run.source.handover_at.unwrap().as_nanos(), 10_000 * MS);
    let down = 10_000 * MS + CONTEXT + 200 * MS;
    assert_eq!(run.metrics.downtime_ns, Some(down));
    assert_eq!(run.metrics.total_migration_time_ns, Some(down));
    assert_eq!(run.metrics.resume_time_ns, Some(0));
    assert_eq!((run.metrics.faults, run.metrics.pages_round), (0, 20));
    assert_eq!(run.metrics.measured_time_ns, Some(19 * 970 * MS));
}

#[test]
fn lazy_copy_resumes_the_guest_after_its_head_start() {
    let run = run(&with(round_trip(Scheme::LazyCopy), |it| it.head_start = 2));
    // The forward context goes on when the context has left, and has completed two accesses one
    // think time later; the notice takes the latency.
    assert_eq!(run.metrics.downtime_ns, Some(CONTEXT + 970 * MS + 200 * MS));
    // It touches page 0 at once, before the link chooses; the background is ahead from then on.
    let sent = sent(&run);
    assert_eq!(sent[0], (CONTEXT, (0, Cause::Forward)));
    assert!(sent[1..].iter().all(|(_, (_, cause))| *cause == Cause::Background), "{sent:?}");
    assert_eq!((run.metrics.faults, run.metrics.stall_time_ns), (0, 0));
    assert_eq!(run.metrics.total_migration_time_ns, Some(CONTEXT + 10_200 * MS));
    assert_eq!(run.metrics.forward_accuracy, Some(1.0));
    assert_eq!(run.metrics.measured_time_ns, run.metrics.reference_measured_time_ns);
    // It is released 10.4 s after it began: the first access, and ten think times.
    assert_eq!(run.source.forward_accesses, 11);
}

/// Two frames, pages 0 and 1 in them; pages 2 and 3 are next.
fn small() -> Migration {
    let mut migration = migration(Scheme::LazyCopy, guest(2, 0..4));
    migration.warmup_accesses = 2;
    migration
}

/// What a context with two pages on its list takes: ceil((4096 + 8 * 2 + 16) / 8224 s).
const SMALL_CONTEXT: u64 = 501_945_526;

#[test]
fn a_page_that_the_forward_context_evicts_unsent_is_dropped_and_told() {
    let run = run(&small());
    let after = |ms| SMALL_CONTEXT + ms * MS;
    let dropped = events(&run, |kind| match kind {
        EventKind::PageDropped { page } => Some(page.0),
        _ => None,
    });
    assert_eq!(dropped, [(after(0), 0)]);
    let told = events(&run, |kind| match kind {
        EventKind::PageNotResident { page } => Some(page.0),
        _ => None,
    });
    assert_eq!(told, [(after(200), 0)]);
    // Page 1 is sent before it is evicted; page 2 was loaded at once and goes first.
    let expected = [
        (after(0), (2, Cause::Forward)),
        (after(500), (1, Cause::Background)),
        (after(1_000), (3, Cause::Forward)),
    ];
    assert_eq!(sent(&run), expected);
    assert_eq!((run.metrics.pages_dropped, run.metrics.pages_transferred), (1, 3));
}

#[test]
fn a_forward_context_that_yields_spends_what_it_saves() {
    let adaptive = with(small(), |it| {
        it.scheme = Scheme::AdaptiveLazyCopy;
        it.disk_latency_destination = Duration::from_secs(1);
    });
    let run = run(&adaptive);
    let after = |ms| SMALL_CONTEXT + ms * MS;
    let withheld = events(&run, |kind| match kind {
        EventKind::PageWithheld { page } => Some(page.0),
        _ => None,
    });
    // Page 0 is dropped, so that page 2 may go; page 1 is sent when it is evicted for page 3.
    let expected = [(after(0), (2, Cause::Forward)), (after(500), (1, Cause::Background))];
    assert_eq!(sent(&run), expected);
    assert_eq!(withheld[0], (after(970), 3));
    assert_eq!((run.metrics.pages_dropped, run.metrics.pages_transferred), (1, 2));
}

#[test]
fn a_forward_context_that_yields_leaves_pages_to_a_disk_that_is_faster_than_the_link() {
    let on_the_link = |latency| {
        let adaptive = with(small(), |it| {
            it.scheme = Scheme::AdaptiveLazyCopy;
            it.disk_latency_destination = latency;
        });
        sent(&run(&adaptive)).iter().map(|(_, (page, _))| *page).collect::<Vec<u32>>()
    };
    // A page takes half a second on the link, twelve times 41.7 ms.
    assert_eq!(on_the_link(Duration::from_millis(41)), [1]);
    assert_eq!(on_the_link(Duration::from_millis(42)), [2, 1]);
}

#[test]
fn a_page_that_arrives_after_completion_is_late_and_nothing_else() {
    let run = run(&small());
    let after = |ms| SMALL_CONTEXT + ms * MS;
    // Complete when page 1 arrives; page 3 left before the source learned of it, which is the
    // last that the source does.
    assert_eq!(run.destination.completed_at.unwrap().as_nanos(), after(1_200));
    assert_eq!(run.source.released_at.unwrap().as_nanos(), after(1_400));
    let arrived = events(&run, |kind| match kind {
        EventKind::PageArrived { page, fate, .. } => Some((page.0, *fate)),
        _ => None,
    });
    let expected = [
        (after(700), (2, Fate::EndedFault)),
        (after(1_200), (1, Fate::Installed)),
        (after(1_700), (3, Fate::Late)),
    ];
    assert_eq!(arrived, expected);
    assert_eq!(run.destination.late, 1);
    // The guest missed page 3 at 0.7 + 0.97 s: ordinary paging by then, and no fault.
    assert_eq!(run.metrics.faults, 1);
}

#[test]
fn the_forward_context_waits_for_a_report_where_its_lead_is_bounded() {
    let mut migration = with(round_trip(Scheme::LazyCopy), |it| it.max_lead = Some(1));
    migration.link.latency = Duration::from_secs(2);
    let run = run(&migration);
    let progress: Vec<(u64, (Side, Duration, u64))> = run
        .events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Progress { step, count } => {
                Some((event.at.as_nanos(), (event.side, step, count)))
            }
            _ => None,
        })
        .filter(|(_, (side, ..))| *side == Side::Source)
        .collect();
    // Its second access was due at 0.97 s. The guest resumes at 2 s, completes its first access
    // when page 0 arrives at 2.5 s, and its report comes at 4.5 s; from then on the reports come
    // at the pace of the guest.
    let after = |ms| CONTEXT + ms * MS;
    assert_eq!(progress[0], (after(0), (Side::Source, Duration::from_millis(4_500), 2)));
    let (first, (_, step, _)) = progress[1];
    assert_eq!((first, step), (after(5_470), Duration::from_millis(970)));
}

#[test]
fn a_simulation_ends_at_its_limits() {
    let migration = round_trip(Scheme::LazyCopy);
    let until = |limits| simulate_with(&migration, &Options { limits, ..Options::default() });
    let second = Instant::ZERO + Duration::from_secs(1);
    let error = until(Limits { time: second, ..Limits::default() }).unwrap_err();
    assert_eq!(error, RunError::Exceeded(Exceeded::Time(second)));
    let error = until(Limits { actions: 10, ..Limits::default() }).unwrap_err();
    assert_eq!(error.to_string(), "the simulation was not over after 10 actions, its limit");
    assert!(until(Limits::default()).is_ok());
}
