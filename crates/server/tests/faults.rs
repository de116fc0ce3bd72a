//! Migrations that are taken back, and servers that die in the middle of one.

mod common;

use bytes::BytesMut;
use common::{
    Fleet, TIME_SCALE, WARMUP, check_completed, check_history, create_with, destination_report,
    parameters, source_report, spec, start,
};
use futures_util::{SinkExt, StreamExt};
use lazycopy_guest::{PageContents, WorkloadSpec};
use lazycopy_link::PlaneParameters;
use lazycopy_migration::{
    Cause, EventKind, MigrationParameters, Notice, Outcome, PageMessage, Scheme,
};
use lazycopy_protocol::control::{MigrationId, ServerCommand, VmPhase, Watch};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::pace::{MAX_SLOWER, Pace};
use lazycopy_protocol::page::encode_page;
use lazycopy_protocol::peer::{Offer, PeerMessage};
use lazycopy_units::{Duration, Instant, PageNumber};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Slow enough that a test can act in the middle of a migration: a page takes 25 ms.
const SLOW_TIME_SCALE: u64 = TIME_SCALE / 10;

const NUMBER: u64 = 1;

async fn begin(fleet: &mut Fleet, scheme: Scheme) {
    fleet.a.done(create_with("g", spec(6), |it| it.time_scale = SLOW_TIME_SCALE)).await;
    fleet.a.done(start("g")).await;
    let parameters = MigrationParameters { measured_accesses: 10, ..parameters(scheme) };
    let migrate = fleet.migration_with(NUMBER, "g", &parameters, |it| it.watch = Watch::All);
    fleet.a.done(migrate).await;
}

fn cancel() -> ServerCommand {
    ServerCommand::CancelMigration { migration: MigrationId(NUMBER) }
}

/// The guest is at the source, runs there, and has missed nothing.
async fn check_returned(fleet: &mut Fleet) {
    let accesses = fleet.a.show("g").await.summary.accesses;
    let shown = loop {
        let shown = fleet.a.show("g").await;
        if shown.summary.accesses > accesses {
            break shown;
        }
    };
    assert_eq!(shown.summary.phase, VmPhase::Running);
    check_history(spec(6), shown.snapshot.unwrap().registers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_taken_back_before_the_hand_over_and_can_be_repeated() {
    let mut fleet = Fleet::start().await;
    begin(&mut fleet, Scheme::StopAndCopy).await;
    fleet.b.event(|kind| matches!(kind, EventKind::PageArrived { .. })).await;
    assert_eq!(fleet.a.show("g").await.summary.phase, VmPhase::MigratingOut);
    assert_eq!(fleet.b.show("g").await.summary.phase, VmPhase::MigratingIn);
    let suspend = ServerCommand::SuspendVm { vm: "g".to_owned() };
    assert!(fleet.a.refusal(suspend).await.contains("is migrating"));
    fleet.a.done(cancel()).await;
    let (source, destination) = fleet.both_ended(NUMBER).await;
    assert_eq!(source.verdict.outcome, Outcome::Cancelled);
    assert_eq!(destination.verdict, source.verdict);
    assert!(source_report(&source).handover_at.is_none());
    assert!(source.after.guest.is_some() && destination.after.guest.is_none());
    check_returned(&mut fleet).await;
    assert!(fleet.b.host().await.vms.is_empty());
    fleet.a.done(cancel()).await;

    fleet.a.done(fleet.migration(2, "g", &parameters(Scheme::PostCopy))).await;
    let (source, destination) = fleet.both_ended(2).await;
    check_completed(Scheme::PostCopy, 6, &source, &destination);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_cannot_be_taken_back_after_the_hand_over() {
    let mut fleet = Fleet::start().await;
    begin(&mut fleet, Scheme::LazyCopy).await;
    fleet.a.event(|kind| matches!(kind, EventKind::Handover { .. })).await;
    let refusal = fleet.a.refusal(cancel()).await;
    assert!(refusal.contains("was handed over"), "{refusal}");
    let (source, destination) = fleet.both_ended(NUMBER).await;
    check_completed(Scheme::LazyCopy, 6, &source, &destination);
    let nothing = ServerCommand::CancelMigration { migration: MigrationId(77) };
    assert!(fleet.a.refusal(nothing).await.contains("migration 77"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_dies_before_the_hand_over_leaves_the_guest_at_the_source() {
    let mut fleet = Fleet::start().await;
    begin(&mut fleet, Scheme::StopAndCopy).await;
    fleet.b.event(|kind| matches!(kind, EventKind::PageArrived { .. })).await;
    fleet.server_b.take().unwrap().kill().await;
    let source = fleet.a.ended(MigrationId(NUMBER)).await;
    assert_eq!(source.verdict.outcome, Outcome::Failed);
    assert!(source.verdict.reason.contains("destination was lost"), "{:?}", source.verdict);
    check_returned(&mut fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_dies_after_the_hand_over_takes_the_guest_along() {
    for scheme in [Scheme::PostCopy, Scheme::LazyCopy] {
        let mut fleet = Fleet::start().await;
        begin(&mut fleet, scheme).await;
        fleet.b.event(|kind| matches!(kind, EventKind::Resumed { .. })).await;
        fleet.server_b.take().unwrap().kill().await;
        let source = fleet.a.ended(MigrationId(NUMBER)).await;
        assert_eq!(source.verdict.outcome, Outcome::Lost);
        assert!(source.verdict.reason.contains("after the hand-over"), "{:?}", source.verdict);
        assert!(fleet.a.host().await.vms.is_empty(), "the source ran a guest that it had given");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_dies_before_the_hand_over_leaves_nothing_at_the_destination() {
    let mut fleet = Fleet::start().await;
    begin(&mut fleet, Scheme::StopAndCopy).await;
    fleet.b.event(|kind| matches!(kind, EventKind::PageArrived { .. })).await;
    fleet.server_a.take().unwrap().kill().await;
    let destination = fleet.b.ended(MigrationId(NUMBER)).await;
    assert_eq!(destination.verdict.outcome, Outcome::Failed);
    assert!(destination.verdict.reason.contains("source was lost"), "{:?}", destination.verdict);
    let host = fleet.b.host().await;
    assert_eq!((host.vms.len(), host.frames_taken), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_dies_while_pages_are_missing_makes_the_guest_lost() {
    let mut fleet = Fleet::start().await;
    begin(&mut fleet, Scheme::PostCopy).await;
    fleet.b.event(|kind| matches!(kind, EventKind::Resumed { .. })).await;
    fleet.server_a.take().unwrap().kill().await;
    let destination = fleet.b.ended(MigrationId(NUMBER)).await;
    assert_eq!(destination.verdict.outcome, Outcome::Lost);
    assert!(destination_report(&destination).lost.is_some());
    let host = fleet.b.host().await;
    assert_eq!((host.vms.len(), host.frames_taken), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_dies_after_the_completion_is_not_missed() {
    let mut fleet = Fleet::start().await;
    begin(&mut fleet, Scheme::StopAndCopy).await;
    fleet.b.event(|kind| matches!(kind, EventKind::Completed)).await;
    fleet.server_a.take().unwrap().kill().await;
    let destination = fleet.b.ended(MigrationId(NUMBER)).await;
    assert_eq!(destination.verdict.outcome, Outcome::Completed);
    assert!(destination_report(&destination).measured_at.is_some());
    assert_eq!(fleet.b.show("g").await.summary.phase, VmPhase::Running);
}

fn offer(pages: u32) -> Offer {
    let mut spec = spec(6);
    spec.pages = pages;
    Offer {
        migration: MigrationId(NUMBER),
        source: "scripted".to_owned(),
        vm: "g".to_owned(),
        spec,
        position: WARMUP,
        warmup_accesses: WARMUP,
        time_scale: TIME_SCALE,
        parameters: parameters(Scheme::StopAndCopy),
        link: common::link().into(),
        watch: Watch::Off,
        recover_within: common::RECOVER_WITHIN,
    }
}

/// A source that the test plays.
async fn play_source(fleet: &Fleet, offer: Offer) -> (common::Peer, PeerMessage) {
    common::offer(&fleet.b.hello.address, offer).await
}

async fn begin_now(peer: &mut common::Peer) {
    let begin = PeerMessage::Begin { zero_clock_ns: 0, uncertainty_ns: 0, pace: Pace::default() };
    peer.send(PeerFrame::Message(begin)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_offers_over_an_unlimited_link_is_looked_at_by_key() {
    let fleet = Fleet::start().await;
    let unlimited = |connections| PlaneParameters { connections, ..PlaneParameters::default() };
    for (connections, key) in [(17, "link.connections: 17"), (0, "link.connections: 0")] {
        let link = unlimited(connections).into();
        let offer = Offer { link, time_scale: 1, ..offer(50) };
        let (_peer, answer) = play_source(&fleet, offer).await;
        let PeerMessage::Refuse { reason } = answer else { panic!("{answer:?}") };
        assert!(reason.contains(key), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_a_wrong_byte_ends_the_migration_and_nothing_else() {
    let mut fleet = Fleet::start().await;
    for wrong in [0, 4_000] {
        let (mut peer, answer) = play_source(&fleet, offer(50)).await;
        assert_eq!(answer, PeerMessage::Accept);
        begin_now(&mut peer).await;
        let (page, stamp, cause) = (PageNumber(3), Some(9), Cause::Round);
        let page = PageMessage { page, count: 1, stamp, dirty: false, cause };
        let mut bytes = BytesMut::new();
        encode_page(&PageContents::of(&spec(6)), &page, Instant::ZERO, &mut bytes);
        peer.send(PeerFrame::Page(bytes.clone().freeze())).await.unwrap();
        bytes[wrong] ^= 1;
        peer.send(PeerFrame::Page(bytes.freeze())).await.unwrap();
        let destination = fleet.b.ended(MigrationId(NUMBER)).await;
        assert_eq!(destination.verdict.outcome, Outcome::Failed);
        assert_eq!(destination_report(&destination).arrived.round, 1);
        assert!(fleet.b.host().await.vms.is_empty());
    }
}

fn pace(clock_ns: u64, at: Instant, slower: u32) -> PeerMessage {
    let pace = Pace { slower, ..Pace::default() };
    PeerMessage::Pace { clock_ns, at, until: None, pace }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_reads_its_clock_to_the_source_as_often_as_it_is_asked() {
    let fleet = Fleet::start().await;
    let (mut peer, _) = play_source(&fleet, offer(50)).await;
    begin_now(&mut peer).await;
    let mut last = 0;
    for number in [3, 2, 2] {
        peer.send(PeerFrame::Message(PeerMessage::Ping { number })).await.unwrap();
        let answer = peer.next().await.unwrap().unwrap();
        let PeerFrame::Message(PeerMessage::Pong { number: answered, clock_ns }) = answer else {
            panic!("{answer:?}");
        };
        assert!(answered == number && clock_ns > last);
        last = clock_ns;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_must_not_say_ends_its_connection_and_frees_the_frames() {
    let mut fleet = Fleet::start().await;
    let notice = Notice::Dropped { page: PageNumber(50) };
    for message in [
        PeerMessage::Accept,
        PeerMessage::Pong { number: 1, clock_ns: 0 },
        PeerMessage::Notice { deliver_at: Instant::ZERO, notice },
        pace(1, Instant::MAX, 1),
        pace(u64::MAX, Instant::ZERO, 1),
        pace(1, Instant::ZERO, 0),
        pace(1, Instant::ZERO, MAX_SLOWER + 1),
    ] {
        let (mut peer, _) = play_source(&fleet, offer(50)).await;
        begin_now(&mut peer).await;
        peer.send(PeerFrame::Message(message)).await.unwrap();
        fleet.b.ended(MigrationId(NUMBER)).await;
        assert_eq!(fleet.b.host().await.frames_taken, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_makes_no_sense_is_refused_with_its_key() {
    let mut fleet = Fleet::start().await;
    let mut nonsense = offer(50);
    nonsense.parameters.measured_accesses = 0;
    let mut unreadable = offer(50);
    unreadable.spec.workload = WorkloadSpec::Trace {
        file: "/no/such/recording".into(),
        instruction_time: Duration::from_nanos(1),
    };
    for (offer, said) in [
        (nonsense, "measured_accesses"),
        (offer(10), "guest.frames"),
        (unreadable, "/no/such/recording"),
    ] {
        let (_, answer) = play_source(&fleet, offer).await;
        let PeerMessage::Refuse { reason } = answer else { panic!("{answer:?}") };
        assert!(reason.contains(said), "{reason}");
        assert_eq!(fleet.b.host().await.frames_taken, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_port_for_servers_closes_that_connection_alone() {
    let mut fleet = Fleet::start().await;
    begin(&mut fleet, Scheme::StopAndCopy).await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\xff\xff\xff\xff", b"\0\0\0\x04abcd"] {
        let mut stream = TcpStream::connect(&fleet.b.hello.address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut rest = Vec::new();
        let closed = timeout(common::PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the connection stays open after {garbage:?}");
        let refusal = String::from_utf8_lossy(&rest);
        assert!(refusal.contains("no beginning of a connection of lazycopy"), "{refusal}");
    }
    let (source, destination) = fleet.both_ended(NUMBER).await;
    check_completed(Scheme::StopAndCopy, 6, &source, &destination);
}

/// Connections that have yet to say what they are: so many a server keeps.
const STRANGERS: usize = 256;

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_keep_nobody_out() {
    let mut fleet = Fleet::start().await;
    let mut silent = Vec::new();
    for _ in 0..=STRANGERS {
        silent.push(TcpStream::connect(&fleet.b.hello.address).await.unwrap());
    }
    // The first has had to leave for the last.
    let closed = timeout(common::PATIENCE, silent[0].read(&mut [0])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    fleet.a.done(create_with("g", spec(6), |_| ())).await;
    fleet.a.done(fleet.migration(NUMBER, "g", &parameters(Scheme::PostCopy))).await;
    let (source, destination) = fleet.both_ended(NUMBER).await;
    check_completed(Scheme::PostCopy, 6, &source, &destination);
    drop(silent);
}
