//! Links that are dead before anybody knows: the guest is not handed over to nobody.

mod common;

use common::{Fleet, Peer, PlayedDestination, creation, hear, moving, plane_guest, start, tell};
use lazycopy_guest::{GuestSpec, Registers, reference_run};
use lazycopy_link::LinkSpec;
use lazycopy_migration::{EventKind, MigrationParameters, Outcome, Scheme};
use lazycopy_protocol::control::{MigrationId, VmPhase, Watch};
use lazycopy_protocol::peer::PeerMessage;
use lazycopy_units::{Duration, Rate};
use std::sync::Arc;
use tokio::net::TcpStream;

/// Questions that go unanswered: two seconds of silence, when the round has long been over.
const QUESTIONS: u32 = 10;

/// One round that is over after 1.4 s, somewhat later than a source goes on by what it has heard.
fn one_round() -> MigrationParameters {
    let mut parameters = moving(Scheme::HybridPostCopy);
    parameters.rounds.hybrid_rounds = 1;
    parameters.rounds.bandwidth_cap = Rate::from_bytes_per_sec(188_000);
    parameters
}

/// A guest that writes nothing: what is dirty again is no part of a round.
fn guest(seed: u64) -> GuestSpec {
    GuestSpec { write_fraction: 0.0, ..plane_guest(seed) }
}

/// A guest whose round is over, and a destination that has not answered since it began.
async fn silent(fleet: &mut Fleet, seed: u64) -> (Peer, Vec<TcpStream>) {
    let destination = PlayedDestination::listen().await;
    fleet.a.done(creation("g", &guest(seed))).await;
    fleet.a.done(start("g")).await;
    let migrate = fleet.migration_with(1, "g", &one_round(), |it| {
        it.link = LinkSpec::Unlimited(common::connections(1));
        it.destination_address = destination.address.clone();
        it.watch = Watch::All;
    });
    fleet.a.send(migrate).await;
    let (mut control, bulk) = destination.welcome().await;
    for _ in 0..QUESTIONS {
        assert_eq!(hear(&mut control).await, Some(PeerMessage::AreYouThere));
    }
    (control, bulk)
}

/// The guest runs at the source, and has missed nothing.
async fn check_runs(fleet: &mut Fleet, seed: u64) {
    let before = fleet.a.show("g").await.summary.accesses;
    let shown = loop {
        let shown = fleet.a.show("g").await;
        if shown.summary.accesses > before + 1_000 {
            break shown;
        }
    };
    let Registers { accesses, digest, .. } = shown.snapshot.unwrap().registers;
    let spec = Arc::new(guest(seed));
    let reference = reference_run(&spec, Duration::ZERO, 0, accesses).unwrap();
    assert_eq!(digest, reference.registers.digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_not_handed_over_while_nothing_is_heard_of_its_destination() {
    let mut fleet = Fleet::start().await;
    let (mut control, _bulk) = silent(&mut fleet, 1).await;
    check_runs(&mut fleet, 1).await;
    tell(&mut control, PeerMessage::Here).await;
    loop {
        match hear(&mut control).await {
            Some(PeerMessage::AreYouThere) => tell(&mut control, PeerMessage::Here).await,
            Some(PeerMessage::Context(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    fleet.a.event(|kind| matches!(kind, EventKind::Handover { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_dead_all_the_time_leaves_the_guest_at_the_source() {
    let mut fleet = Fleet::start().await;
    drop(silent(&mut fleet, 2).await);
    let ended = fleet.a.ended(MigrationId(1)).await;
    assert_eq!(ended.verdict.outcome, Outcome::Failed, "{:?}", ended.verdict);
    assert_eq!(common::source_report(&ended).handover_at, None);
    check_runs(&mut fleet, 2).await;
    assert_eq!(fleet.a.show("g").await.summary.phase, VmPhase::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_asked_for_answers() {
    let fleet = Fleet::start().await;
    let mut source = common::PlayedSource::start(&fleet, 3, 1).await;
    for _ in 0..3 {
        tell(&mut source.control, PeerMessage::AreYouThere).await;
        assert_eq!(hear(&mut source.control).await, Some(PeerMessage::Here));
    }
}
