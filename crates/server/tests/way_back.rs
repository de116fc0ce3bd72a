//! Links that break after the hand-over: the migration pauses, both sides find each other again, and
//! nothing is lost.

mod common;

use common::{
    Cable, Fleet, TIME_SCALE, WARMUP, check_completed, check_history, connections, create_with,
    creation, destination_report, moving, parameters, plane_guest, source_report, spec, start,
};
use lazycopy_guest::{GuestSpec, reference_run};
use lazycopy_link::LinkSpec;
use lazycopy_migration::{EventKind, MigrationParameters, Outcome, Scheme};
use lazycopy_protocol::control::{MigrationId, PeerEnd, ServerCommand, SideEnded, VmPhase, Watch};
use lazycopy_units::{Duration, Rate};
use std::sync::Arc;

/// Slow enough that a test can act in the middle of a migration: a page takes 25 ms.
const SLOW_TIME_SCALE: u64 = TIME_SCALE / 10;

/// Longer than any test lasts.
const LONG: Duration = Duration::from_secs(3_600);

/// A guest that moves from `a` to `b` over a cable.
struct Scene {
    fleet: Fleet,
    cable: Cable,
}

impl Scene {
    /// Over a modelled link.
    async fn modelled(parameters: &MigrationParameters, recover_within: Duration) -> Self {
        let mut fleet = Fleet::start().await;
        let cable = Cable::to(&fleet.b.hello.address.clone()).await;
        fleet.a.done(create_with("g", spec(6), |it| it.time_scale = SLOW_TIME_SCALE)).await;
        fleet.a.done(start("g")).await;
        let migrate = fleet.migration_with(1, "g", parameters, |it| {
            it.destination_address = cable.address.clone();
            it.recover_within = recover_within;
            it.watch = Watch::All;
        });
        fleet.a.done(migrate).await;
        Scene { fleet, cable }
    }

    /// Over an unlimited one, with real memory.
    async fn unlimited(spec: &GuestSpec, parameters: &MigrationParameters) -> Self {
        let mut fleet = Fleet::start().await;
        let cable = Cable::to(&fleet.b.hello.address.clone()).await;
        fleet.a.done(creation("g", spec)).await;
        fleet.a.done(start("g")).await;
        let migrate = fleet.migration_with(1, "g", parameters, |it| {
            it.link = LinkSpec::Unlimited(connections(2));
            it.destination_address = cable.address.clone();
            it.recover_within = LONG;
            it.watch = Watch::All;
        });
        fleet.a.done(migrate).await;
        Scene { fleet, cable }
    }

    /// Cuts the cable, and mends it when the source knows.
    async fn cut_and_mend(&mut self) {
        self.cable.cut_all();
        self.fleet.a.event(|kind| matches!(kind, EventKind::Paused { .. })).await;
        self.cable.mend();
    }
}

fn ten(scheme: Scheme) -> MigrationParameters {
    MigrationParameters { measured_accesses: 10, ..parameters(scheme) }
}

fn check_pauses(source: &SideEnded, pauses: u64) {
    let report = source_report(source);
    assert_eq!(report.pauses, pauses);
    assert!(report.paused_time > Duration::ZERO, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_breaks_after_the_hand_over_is_mended_by_the_two_sides_alone() {
    let schemes = [Scheme::PostCopy, Scheme::LazyCopy, Scheme::HybridPostCopy, Scheme::StopAndCopy];
    for scheme in schemes {
        let mut scene = Scene::modelled(&ten(scheme), LONG).await;
        scene.fleet.a.event(|kind| matches!(kind, EventKind::Handover { .. })).await;
        scene.cut_and_mend().await;
        let (source, destination) = scene.fleet.both_ended(1).await;
        check_completed(scheme, 6, &source, &destination);
        check_pauses(&source, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_a_broken_link_has_lost_are_sent_again() {
    for scheme in [Scheme::PostCopy, Scheme::LazyCopy] {
        let mut scene = Scene::modelled(&ten(scheme), LONG).await;
        scene.fleet.b.event(|kind| matches!(kind, EventKind::Resumed { .. })).await;
        scene.cut_and_mend().await;
        // A side that does not know of the first end of its pause has no second one.
        scene.fleet.a.event(|kind| matches!(kind, EventKind::Recovered)).await;
        scene.fleet.b.event(|kind| matches!(kind, EventKind::Recovered)).await;
        scene.cut_and_mend().await;
        let (source, destination) = scene.fleet.both_ended(1).await;
        check_completed(scheme, 6, &source, &destination);
        check_pauses(&source, 2);
        assert_eq!(destination_report(&destination).pauses, 2);
    }
}

/// A guest whose pages are nowhere else, pushed so slowly that a test can act meanwhile.
fn slowly(scheme: Scheme) -> MigrationParameters {
    MigrationParameters { push_rate: Rate::from_bytes_per_sec(200_000), ..moving(scheme) }
}

/// A guest that takes some time to want all its pages, too.
fn slow(seed: u64) -> GuestSpec {
    GuestSpec { think_time: Duration::from_millis(2), write_fraction: 1.0, ..plane_guest(seed) }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_pages_go_on_over_new_connections_and_none_is_wrong() {
    for (seed, scheme) in [(21, Scheme::PostCopy), (22, Scheme::LazyCopy)] {
        let spec = slow(seed);
        let mut scene = Scene::unlimited(&spec, &slowly(scheme)).await;
        scene.fleet.b.event(|kind| matches!(kind, EventKind::Resumed { .. })).await;
        scene.cut_and_mend().await;
        let (source, destination) = scene.fleet.both_ended(1).await;
        assert_eq!(source.verdict.outcome, Outcome::Completed, "{:?}", source.verdict);
        assert_eq!(destination.verdict.outcome, Outcome::Completed, "{:?}", destination.verdict);
        check_pauses(&source, 1);
        let report = destination_report(&destination);
        let accesses = report.ended_registers.unwrap().accesses;
        let reference = reference_run(&Arc::new(spec), Duration::ZERO, 0, accesses).unwrap();
        assert_eq!(report.ended_registers.unwrap().digest, reference.registers.digest);
        assert_eq!(report.ended_pages_digest, Some(reference.pages_digest));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_was_lost_on_an_unlimited_link_is_sent_again() {
    let spec = slow(24);
    let mut scene = Scene::unlimited(&spec, &slowly(Scheme::PostCopy)).await;
    scene.fleet.a.event(|kind| matches!(kind, EventKind::Handover { .. })).await;
    scene.cut_and_mend().await;
    let (source, destination) = scene.fleet.both_ended(1).await;
    assert_eq!(source.verdict.outcome, Outcome::Completed, "{:?}", source.verdict);
    let accesses = destination_report(&destination).ended_registers.unwrap().accesses;
    let reference = reference_run(&Arc::new(spec), Duration::ZERO, 0, accesses).unwrap();
    let report = destination_report(&destination);
    assert_eq!(report.ended_pages_digest, Some(reference.pages_digest));
}

fn recover() -> ServerCommand {
    ServerCommand::RecoverMigration { migration: MigrationId(1) }
}

fn reclaim() -> ServerCommand {
    ServerCommand::ReclaimMigration { migration: MigrationId(1) }
}

/// The context has come, and the destination waits for a head start that takes for ever.
async fn before_the_head_start(recover_within: Duration) -> Scene {
    let parameters = MigrationParameters {
        head_start: 1_000_000,
        push_rate: Rate::from_bytes_per_sec(1_000),
        ..ten(Scheme::LazyCopy)
    };
    let mut scene = Scene::modelled(&parameters, recover_within).await;
    scene.fleet.b.event(|kind| matches!(kind, EventKind::ContextArrived)).await;
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_never_ran_at_the_destination_is_taken_back_by_an_operators_word() {
    let mut scene = before_the_head_start(common::RECOVER_WITHIN).await;
    let refusal = scene.fleet.a.refusal(reclaim()).await;
    assert!(refusal.contains("within reach"), "{refusal}");
    let refusal = scene.fleet.a.refusal(recover()).await;
    assert!(refusal.contains("nothing to recover"), "{refusal}");
    scene.cable.cut_all();
    // The destination gives up and throws the guest away; the source waits for its operator.
    let destination = scene.fleet.b.ended(MigrationId(1)).await;
    assert_eq!(destination.verdict.outcome, Outcome::Failed, "{:?}", destination.verdict);
    let refusal = scene.fleet.a.refusal(recover()).await;
    assert!(refusal.contains("server \"b\""), "{refusal}");
    scene.fleet.a.done(reclaim()).await;
    scene.fleet.a.done(reclaim()).await;
    let source = scene.fleet.a.ended(MigrationId(1)).await;
    assert_eq!(source.verdict.outcome, Outcome::Failed, "{:?}", source.verdict);
    let shown = scene.fleet.a.show("g").await;
    assert_eq!(shown.summary.phase, VmPhase::Running);
    check_history(spec(6), shown.snapshot.unwrap().registers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_hears_of_a_guest_that_was_thrown_away_and_runs_it_again() {
    let mut scene = before_the_head_start(common::RECOVER_WITHIN).await;
    scene.cable.cut_all();
    scene.fleet.b.ended(MigrationId(1)).await;
    scene.cable.mend();
    // It may have heard of it by itself.
    let _ = scene.fleet.a.ask(recover()).await;
    let source = scene.fleet.a.ended(MigrationId(1)).await;
    assert_eq!(source.verdict.outcome, Outcome::Failed, "{:?}", source.verdict);
    assert_eq!(scene.fleet.a.show("g").await.summary.phase, VmPhase::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_ran_at_the_destination_is_not_taken_back() {
    let mut scene = Scene::modelled(&ten(Scheme::PostCopy), LONG).await;
    scene.fleet.b.event(|kind| matches!(kind, EventKind::Resumed { .. })).await;
    scene.cable.cut_all();
    scene.fleet.a.event(|kind| matches!(kind, EventKind::Paused { .. })).await;
    let refusal = scene.fleet.a.refusal(reclaim()).await;
    assert!(refusal.contains("it may have run at the destination"), "{refusal}");
    let refusal = scene.fleet.a.refusal(recover()).await;
    assert!(refusal.contains("server \"b\""), "{refusal}");
    scene.cable.mend();
    scene.fleet.a.done(recover()).await;
    let (source, destination) = scene.fleet.both_ended(1).await;
    check_completed(Scheme::PostCopy, 6, &source, &destination);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_is_told_that_the_other_is_dead_waits_no_longer() {
    let ended = |how| ServerCommand::PeerEnded { migration: MigrationId(1), how };
    let mut scene = Scene::modelled(&ten(Scheme::PostCopy), LONG).await;
    scene.fleet.b.event(|kind| matches!(kind, EventKind::Resumed { .. })).await;
    scene.fleet.server_b.take().unwrap().kill().await;
    scene.fleet.a.done(ended(PeerEnd::Dead)).await;
    let source = scene.fleet.a.ended(MigrationId(1)).await;
    assert_eq!(source.verdict.outcome, Outcome::Lost, "{:?}", source.verdict);

    let mut scene = before_the_head_start(LONG).await;
    scene.fleet.server_b.take().unwrap().kill().await;
    scene.fleet.a.done(ended(PeerEnd::Dead)).await;
    scene.fleet.a.event(|kind| matches!(kind, EventKind::Paused { .. })).await;
    scene.fleet.a.done(reclaim()).await;
    let source = scene.fleet.a.ended(MigrationId(1)).await;
    assert_eq!(source.verdict.outcome, Outcome::Failed, "{:?}", source.verdict);

    let mut scene = Scene::modelled(&ten(Scheme::PostCopy), LONG).await;
    scene.fleet.b.event(|kind| matches!(kind, EventKind::Resumed { .. })).await;
    scene.fleet.server_a.take().unwrap().kill().await;
    scene.fleet.b.done(ended(PeerEnd::Dead)).await;
    let destination = scene.fleet.b.ended(MigrationId(1)).await;
    assert_eq!(destination.verdict.outcome, Outcome::Lost, "{:?}", destination.verdict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_dies_after_a_checkpoint_takes_nothing_along() {
    let parameters = MigrationParameters { checkpoint: true, ..ten(Scheme::PostCopy) };
    let mut scene = Scene::modelled(&parameters, common::RECOVER_WITHIN).await;
    scene.fleet.b.event(|kind| matches!(kind, EventKind::Resumed { .. })).await;
    scene.fleet.server_a.take().unwrap().kill().await;
    let destination = scene.fleet.b.ended(MigrationId(1)).await;
    assert_eq!(destination.verdict.outcome, Outcome::Completed, "{:?}", destination.verdict);
    let report = destination_report(&destination);
    assert!(report.left_on_disk > 0 && report.source_lost.is_some());
    let registers = report.ended_registers.unwrap();
    let reference =
        reference_run(&Arc::new(spec(6)), Duration::ZERO, WARMUP, registers.accesses).unwrap();
    assert_eq!(registers.digest, reference.registers.digest);
    assert_eq!(report.ended_pages_digest, Some(reference.pages_digest));
}
