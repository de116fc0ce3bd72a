//! Whole migrations between two servers, over sockets and in scaled real time.

mod common;

use common::{
    Fleet, SERVER_FRAMES, WARMUP, check_completed, check_history, create, create_with,
    destination_report, parameters, source_report, spec, start,
};
use lazycopy_guest::{GuestSpec, Registers, WorkloadSpec, reference_run, summarize_trace};
use lazycopy_link::{LinkParameters, LinkSpec};
use lazycopy_migration::{Event, EventKind, Scheme, Side};
use lazycopy_protocol::control::{
    FromServer, MigrationId, ServerCommand, SideEnded, VmPhase, Watch,
};
use lazycopy_units::{Duration, Instant, Rate};
use std::path::PathBuf;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn a_created_guest_is_moved_at_the_end_of_its_warm_up_under_every_scheme() {
    let mut fleet = Fleet::start().await;
    for (number, scheme) in Scheme::ALL.into_iter().enumerate() {
        let (number, vm) = (number as u64, scheme.name());
        fleet.a.done(create(vm, number)).await;
        let migrate = fleet.migration(number, vm, &parameters(scheme));
        fleet.a.done(migrate).await;
        let (source, destination) = fleet.both_ended(number).await;
        check_completed(scheme, number, &source, &destination);
        assert_eq!(source.before.guest.as_ref().unwrap().registers.accesses, WARMUP);
        assert!(destination.before.guest.is_none());
        assert!(source.after.guest.is_none());
        assert_eq!(destination.after.host.vms.len(), number as usize + 1);
        assert_eq!(fleet.b.show(vm).await.summary.phase, VmPhase::Running);
    }
    assert!(fleet.a.host().await.vms.is_empty());
    assert_eq!(fleet.a.host().await.frames_taken, 0);
    let frames = u64::from(spec(0).frames) * Scheme::ALL.len() as u64;
    assert_eq!(fleet.b.host().await.frames_taken, frames);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_guest_goes_to_another_server_and_back_and_never_notices() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(create("g", 5)).await;
    fleet.a.done(start("g")).await;
    while fleet.a.show("g").await.summary.accesses < WARMUP + 3 {}
    fleet.a.done(fleet.migration(1, "g", &parameters(Scheme::LazyCopy))).await;
    let (source, destination) = fleet.both_ended(1).await;
    check_completed(Scheme::LazyCopy, 5, &source, &destination);
    assert!(source.before.guest.unwrap().registers.accesses >= WARMUP + 3);
    let here = fleet.b.show("g").await;
    check_history(spec(5), without_misses(here.snapshot.unwrap().registers));

    let back = fleet.migration_with(2, "g", &parameters(Scheme::PostCopy), |it| {
        it.destination = "a".to_owned();
        it.destination_address = fleet.a.hello.address.clone();
    });
    fleet.b.done(back).await;
    let source = fleet.b.ended(MigrationId(2)).await;
    let destination = fleet.a.ended(MigrationId(2)).await;
    check_completed(Scheme::PostCopy, 5, &source, &destination);
    let there = fleet.a.show("g").await;
    assert_eq!(there.summary.phase, VmPhase::Running);
    let accesses = there.summary.accesses;
    while fleet.a.show("g").await.summary.accesses == accesses {}
    let snapshot = fleet.a.show("g").await.snapshot.unwrap();
    check_history(spec(5), without_misses(snapshot.registers));
}

/// A migration changes what is a miss, and nothing else: the misses are the reference's.
fn without_misses(registers: Registers) -> Registers {
    let reference =
        reference_run(&Arc::new(spec(5)), Duration::ZERO, WARMUP, registers.accesses).unwrap();
    Registers { misses: reference.registers.misses, ..registers }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fast_guest_with_much_memory_is_moved_over_a_fast_link() {
    let mut fleet = Fleet::start().await;
    let fast = GuestSpec {
        pages: 4_000,
        frames: 1_500,
        think_time: Duration::from_nanos(20_000),
        workload: WorkloadSpec::Zipf { exponent: 1.0 },
        ..spec(9)
    };
    for (number, scheme) in Scheme::ALL.into_iter().enumerate() {
        let (number, vm) = (number as u64, scheme.name());
        let create = create_with(vm, fast.clone(), |it| {
            it.time_scale = 1;
            it.warmup_accesses = 50_000;
        });
        fleet.a.done(create).await;
        fleet.a.done(start(vm)).await;
        let mut parameters = parameters(scheme);
        parameters.disk_latency_source = Duration::from_nanos(500_000);
        parameters.disk_latency_destination = Duration::from_nanos(500_000);
        parameters.measured_accesses = 20_000;
        parameters.max_lead = Some(1_000);
        let migrate = fleet.migration_with(number, vm, &parameters, |it| {
            it.link = fast_link(50_000_000);
        });
        fleet.a.done(migrate).await;
        let (source, destination) = fleet.both_ended(number).await;
        check_end(&fast, &source, &destination);
        let delete = ServerCommand::DeleteVm { vm: vm.to_owned(), force: true };
        fleet.b.done(delete).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_program_is_moved_in_the_midst_of_its_second_lap() {
    let mut fleet = Fleet::start().await;
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../traces/sort-500-numbers.lackey.gz");
    let lap = summarize_trace(&file).unwrap();
    let recorded = GuestSpec {
        pages: lap.pages,
        frames: lap.pages,
        workload: WorkloadSpec::Trace { file, instruction_time: Duration::from_nanos(10_000) },
        ..spec(9)
    };
    let create = create_with("g", recorded.clone(), |it| {
        it.time_scale = 1;
        it.warmup_accesses = lap.accesses + 1_000;
    });
    fleet.a.done(create).await;
    fleet.a.done(start("g")).await;
    let mut parameters = parameters(Scheme::LazyCopy);
    parameters.measured_accesses = 5_000;
    let migrate = fleet.migration_with(1, "g", &parameters, |it| {
        it.link = fast_link(2_000_000);
    });
    fleet.a.done(migrate).await;
    let (source, destination) = fleet.both_ended(1).await;
    check_end(&recorded, &source, &destination);
}

fn fast_link(bytes_per_sec: u64) -> LinkSpec {
    let bandwidth = Rate::from_bytes_per_sec(bytes_per_sec).unwrap();
    LinkParameters { bandwidth, latency: Duration::from_millis(5) }.into()
}

/// What the guest has seen at the end is what its reference run sees.
fn check_end(spec: &GuestSpec, source: &SideEnded, destination: &SideEnded) {
    let (at_source, at_destination) = (source_report(source), destination_report(destination));
    let registers = at_destination.ended_registers.unwrap();
    let reference =
        reference_run(&Arc::new(spec.clone()), Duration::ZERO, 0, registers.accesses).unwrap();
    assert_eq!(registers.digest, reference.registers.digest);
    assert_eq!(at_destination.ended_pages_digest, Some(reference.pages_digest));
    assert_eq!(at_source.sent, at_destination.arrived);
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_events_come_before_the_end_and_are_those_that_are_fetched() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(create("g", 2)).await;
    let migrate = fleet.migration_with(4, "g", &parameters(Scheme::LazyCopy), |it| {
        it.watch = Watch::All;
    });
    fleet.a.done(migrate).await;
    let mut watched = Vec::new();
    let ended = loop {
        match fleet.a.receive_unasked().await {
            FromServer::Event { migration: MigrationId(4), event } => watched.push(event),
            FromServer::MigrationEnded(ended) => break ended,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ended.events, watched.len() as u64);
    let fetched: Vec<Event> = fleet.a.events(MigrationId(4)).await;
    watched.sort_by_key(|event: &Event| event.at);
    assert_eq!(fetched, watched);
    assert!(fetched.iter().all(|event| event.side == Side::Source));
    assert_eq!((fetched[0].at, &fetched[0].kind), (Instant::ZERO, &EventKind::Requested));
    assert!(fetched.iter().any(|event| matches!(event.kind, EventKind::Progress { .. })));
    fleet.a.done(ServerCommand::ForgetMigration { migration: MigrationId(4) }).await;
    let again = ServerCommand::FetchEvents { migration: MigrationId(4), from: 0 };
    assert!(fleet.a.refusal(again).await.contains("migration 4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_the_milestones_is_told_how_far_it_is_and_of_no_single_page() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(create("g", 2)).await;
    let migrate = fleet.migration_with(4, "g", &parameters(Scheme::PostCopy), |it| {
        it.watch = Watch::Milestones;
        // A tenth of the usual: the push takes a second of wall time.
        if let LinkSpec::Modelled(link) = &mut it.link {
            link.bandwidth = Rate::from_bytes_per_sec(822).unwrap();
        }
    });
    fleet.a.done(migrate).await;
    let (mut resumed, mut told) = (false, Vec::new());
    let ended = loop {
        match fleet.b.receive_unasked().await {
            FromServer::Event { migration: MigrationId(4), event } => {
                assert!(event.kind.is_milestone(), "{event:?}");
                resumed |= matches!(event.kind, EventKind::Resumed { .. });
            }
            FromServer::Progress { migration: MigrationId(4), transfer } => told.push(transfer),
            FromServer::MigrationEnded(ended) => break ended,
            other => panic!("{other:?}"),
        }
    };
    assert!(resumed);
    assert!(told.is_sorted_by_key(|transfer| (transfer.arrived.total(), transfer.bytes)));
    let last = told.last().expect("it took long enough to be told of");
    let report = destination_report(&ended);
    assert_eq!(last.expected, Some(report.arrived.total()));
    assert!(last.arrived.total() <= report.arrived.total());
    assert!(last.bytes >= last.arrived.total() * lazycopy_units::PAGE_MESSAGE_BYTES);
    assert!(ended.events > report.arrived.total(), "the single pages are in the result");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_cannot_leave_goes_on_as_before() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(create("g", 2)).await;
    fleet.a.done(create("stays", 2)).await;
    fleet.a.done(start("stays")).await;
    fleet.b.done(create("g", 1)).await;
    let post_copy = parameters(Scheme::PostCopy);
    let twin = fleet.a.refusal(fleet.migration(1, "g", &post_copy)).await;
    assert!(twin.contains("server \"b\"") && twin.contains("\"g\" already"), "{twin}");
    assert_eq!(fleet.a.show("g").await.summary.phase, VmPhase::Created);

    let large = create_with("large", GuestSpec { pages: 5_000, frames: 1_990, ..spec(1) }, |_| ());
    fleet.b.done(ServerCommand::DeleteVm { vm: "g".to_owned(), force: false }).await;
    fleet.b.done(large).await;
    let full = fleet.a.refusal(fleet.migration(2, "stays", &post_copy)).await;
    let free = format!("10 of its {SERVER_FRAMES} free");
    assert!(full.contains("20 frames") && full.contains(&free), "{full}");

    let itself = fleet.migration_with(3, "stays", &post_copy, |it| it.destination = "a".to_owned());
    assert!(fleet.a.refusal(itself).await.contains("on server \"a\" already"));
    let nowhere = fleet.migration_with(4, "stays", &post_copy, |it| {
        it.destination_address = "127.0.0.1:1".to_owned();
    });
    let nowhere = fleet.a.refusal(nowhere).await;
    assert!(nowhere.contains("\"b\" at 127.0.0.1:1"), "{nowhere}");

    let shown = fleet.a.show("stays").await;
    assert_eq!(shown.summary.phase, VmPhase::Running);
    check_history(spec(2), shown.snapshot.unwrap().registers);
    fleet.a.done(ServerCommand::SuspendVm { vm: "stays".to_owned() }).await;
    let suspended = fleet.a.refusal(fleet.migration(5, "stays", &post_copy)).await;
    assert!(suspended.contains("resume it first"), "{suspended}");
    assert_eq!(fleet.b.host().await.vms.len(), 1, "a guest that did not come left its place");
}
