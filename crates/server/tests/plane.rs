//! Migrations over the page plane: real pages, as fast as the sockets go.

mod common;

use common::{Fleet, create_with, destination_report, parameters, source_report, start};
use lazycopy_guest::{GuestSpec, ResidentAtStart, WorkloadSpec, reference_run};
use lazycopy_link::{Compression, LinkSpec, PlaneParameters};
use lazycopy_migration::{Metrics, MigrationParameters, Outcome, PushOrder, Scheme};
use lazycopy_protocol::control::{
    CreateVm, MigrationId, PlaneCounts, ServerCommand, SideEnded, VmPhase,
};
use lazycopy_units::{Duration, PAGE_BYTES};
use std::sync::Arc;

const WARMUP: u64 = 500;

/// A guest whose pages all have a frame.
fn resident(seed: u64) -> GuestSpec {
    GuestSpec {
        seed,
        pages: 1_500,
        frames: 1_500,
        think_time: Duration::from_nanos(20_000),
        write_fraction: 0.3,
        whole_page_fraction: 0.1,
        zero_fraction: 0.2,
        compressible_fraction: 0.3,
        workload: WorkloadSpec::Zipf { exponent: 0.8 },
        resident_at_start: ResidentAtStart::All,
    }
}

/// A guest that pages.
fn paging(seed: u64) -> GuestSpec {
    GuestSpec { frames: 600, resident_at_start: ResidentAtStart::None, ..resident(seed) }
}

fn creation(vm: &str, spec: &GuestSpec) -> ServerCommand {
    create_with(vm, spec.clone(), |it: &mut CreateVm| {
        it.time_scale = 1;
        it.warmup_accesses = WARMUP;
        it.real_memory = true;
    })
}

fn moving(scheme: Scheme) -> MigrationParameters {
    let mut parameters = parameters(scheme);
    parameters.measured_accesses = 3_000;
    parameters.disk_latency_destination = Duration::from_nanos(100_000);
    parameters.disk_latency_source = Duration::from_nanos(20_000);
    parameters
}

fn plane(connections: u8, compression: Compression, page_check: bool) -> PlaneParameters {
    PlaneParameters { connections, compression, page_check, congestion: None }
}

/// Creates a guest, moves it from `a` to `b`, and deletes it there.
async fn move_once(
    fleet: &mut Fleet,
    number: u64,
    spec: &GuestSpec,
    parameters: &MigrationParameters,
    plane: &PlaneParameters,
) -> (SideEnded, SideEnded) {
    let vm = format!("g{number}");
    fleet.a.done(creation(&vm, spec)).await;
    fleet.a.done(start(&vm)).await;
    let migrate = fleet.migration_with(number, &vm, parameters, |it| {
        it.link = LinkSpec::Unlimited(plane.clone());
    });
    fleet.a.done(migrate).await;
    let ended = fleet.both_ended(number).await;
    assert_eq!(fleet.b.show(&vm).await.summary.phase, VmPhase::Running);
    fleet.b.done(ServerCommand::DeleteVm { vm, force: true }).await;
    ended
}

/// The guest saw and has what it would without the migration; the books are in order.
fn check(spec: &GuestSpec, scheme: Scheme, (source, destination): &(SideEnded, SideEnded)) {
    assert_eq!(source.verdict.outcome, Outcome::Completed, "{scheme}: {:?}", source.verdict);
    assert_eq!(destination.verdict.outcome, Outcome::Completed, "{:?}", destination.verdict);
    let (at_source, at_destination) = (source_report(source), destination_report(destination));
    let metrics =
        Metrics::from_reports(scheme, at_source, at_destination, destination.verdict.clone());
    metrics.check(at_source, at_destination).unwrap();
    let registers = at_destination.ended_registers.unwrap();
    let reference =
        reference_run(&Arc::new(spec.clone()), Duration::ZERO, WARMUP, registers.accesses).unwrap();
    assert_eq!(registers.digest, reference.registers.digest, "{scheme}");
    assert_eq!(at_destination.ended_pages_digest, Some(reference.pages_digest), "{scheme}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scheme_moves_real_pages_of_guests_that_page_and_of_those_that_do_not() {
    let mut fleet = Fleet::start().await;
    let mut number = 0;
    for scheme in Scheme::ALL {
        for (spec, connections) in [(resident(7), 1), (paging(8), 1), (resident(9), 3)] {
            number += 1;
            let plane = plane(connections, Compression::None, true);
            let ended = move_once(&mut fleet, number, &spec, &moving(scheme), &plane).await;
            check(&spec, scheme, &ended);
        }
    }
    assert_eq!(fleet.a.host().await.frames_taken, 0);
    assert_eq!(fleet.b.host().await.frames_taken, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_in_every_push_order() {
    let mut fleet = Fleet::start().await;
    let orders = [PushOrder::Mru, PushOrder::Address, PushOrder::Bubbling, PushOrder::Predicted];
    for (number, order) in (0..).zip(orders) {
        let mut parameters = moving(Scheme::PostCopy);
        parameters.push_order = order;
        let (spec, plane) = (resident(number), plane(2, Compression::None, true));
        let ended = move_once(&mut fleet, number, &spec, &parameters, &plane).await;
        check(&spec, Scheme::PostCopy, &ended);
    }
}

fn counts(ended: &(SideEnded, SideEnded)) -> &PlaneCounts {
    assert!(ended.1.plane.is_none(), "the destination counts nothing");
    ended.0.plane.as_ref().expect("the source counts")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_need_not_be_sent_as_it_is_is_not() {
    let mut fleet = Fleet::start().await;
    let all_pages = u64::from(resident(0).pages);
    let plain = GuestSpec { zero_fraction: 0.0, compressible_fraction: 0.0, ..resident(1) };
    // It writes in its warm-up, and hardly before it is moved, however long that takes.
    let think_time = Duration::from_millis(1);
    let mixed = GuestSpec { think_time, write_fraction: 0.6, ..resident(2) };
    let parameters = MigrationParameters { measured_accesses: 100, ..moving(Scheme::PostCopy) };

    let unchecked = plane(1, Compression::None, false);
    let ended = move_once(&mut fleet, 1, &plain, &parameters, &unchecked).await;
    check(&plain, Scheme::PostCopy, &ended);
    let whole = counts(&ended);
    assert_eq!(whole.body_bytes, all_pages * PAGE_BYTES);
    assert!(whole.bytes_sent > all_pages * (PAGE_BYTES + 16));
    assert!(whole.bytes_sent < all_pages * (PAGE_BYTES + 64));
    assert_eq!((whole.pages_zero, whole.pages_same, whole.pages_compressed), (0, 0, 0));
    assert!(!whole.congestion.is_empty());

    let checked = plane(1, Compression::None, true);
    let ended = move_once(&mut fleet, 2, &mixed, &parameters, &checked).await;
    check(&mixed, Scheme::PostCopy, &ended);
    let (zero, same) = (counts(&ended).pages_zero, counts(&ended).pages_same);
    // A good part of the pages has been written to since.
    assert!((all_pages / 10..all_pages / 3).contains(&zero), "{zero} pages of zeros");
    assert!((all_pages / 10..all_pages / 2).contains(&same), "{same} equal pages");
    assert_eq!(counts(&ended).pages_compressed, 0);

    let compressed = plane(1, Compression::Lz4, true);
    let ended = move_once(&mut fleet, 3, &mixed, &parameters, &compressed).await;
    check(&mixed, Scheme::PostCopy, &ended);
    assert!(counts(&ended).pages_compressed > 50, "{:?}", counts(&ended));
    assert!(counts(&ended).body_bytes < all_pages * PAGE_BYTES * 2 / 3, "{:?}", counts(&ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_migration_leaves_the_guest_and_its_pages_at_the_source() {
    let mut fleet = Fleet::start().await;
    let spec = GuestSpec { write_fraction: 1.0, ..resident(4) };
    fleet.a.done(creation("g", &spec)).await;
    fleet.a.done(start("g")).await;
    let mut parameters = moving(Scheme::PreCopy);
    parameters.rounds.downtime_limit = Duration::from_nanos(1);
    parameters.rounds.bandwidth_cap = lazycopy_units::Rate::from_bytes_per_sec(1_000_000);
    let plane = plane(1, Compression::None, true);
    let migrate = fleet.migration_with(1, "g", &parameters, |it| {
        it.link = LinkSpec::Unlimited(plane.clone());
    });
    fleet.a.done(migrate).await;
    fleet.a.done(ServerCommand::CancelMigration { migration: MigrationId(1) }).await;
    let (source, destination) = fleet.both_ended(1).await;
    assert_eq!(source.verdict.outcome, Outcome::Cancelled);
    assert_eq!(destination.verdict.outcome, Outcome::Cancelled, "{:?}", destination.verdict);
    // The second time it moves, and is what it would be without either.
    let migrate = fleet.migration_with(2, "g", &moving(Scheme::PostCopy), |it| {
        it.link = LinkSpec::Unlimited(plane);
    });
    fleet.a.done(migrate).await;
    let ended = fleet.both_ended(2).await;
    check(&spec, Scheme::PostCopy, &ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_and_a_link_of_different_kinds_are_refused() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(creation("real", &resident(1))).await;
    let refusal = fleet.a.refusal(fleet.migration(1, "real", &moving(Scheme::PostCopy))).await;
    assert!(refusal.contains("\"real\"") && refusal.contains("link.bandwidth"), "{refusal}");
    fleet.a.done(common::create("modelled", 1)).await;
    let migrate = fleet.migration_with(2, "modelled", &moving(Scheme::PostCopy), |it| {
        it.link = LinkSpec::Unlimited(plane(1, Compression::None, true));
    });
    let refusal = fleet.a.refusal(migrate).await;
    assert!(refusal.contains("\"modelled\"") && refusal.contains("unlimited"), "{refusal}");
    let migrate = fleet.migration_with(3, "real", &moving(Scheme::PostCopy), |it| {
        let none = Some("no-such-algorithm".to_owned());
        let plane = plane(1, Compression::None, true);
        it.link = LinkSpec::Unlimited(PlaneParameters { congestion: none, ..plane });
    });
    let refusal = fleet.a.refusal(migrate).await;
    assert!(refusal.contains("no-such-algorithm"), "{refusal}");
    fleet.a.done(start("real")).await;
}
