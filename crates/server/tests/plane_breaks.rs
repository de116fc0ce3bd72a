//! What sources of the page plane do when their destination says what it must not, gives the guest
//! back, or loses a connection.

mod common;

use common::{
    Cable, Fleet, PATIENCE, Piece, PlayedDestination, PlayedSource, RunningServer, batch,
    connections, creation, hear, mark, moving, plane_guest, read_batch, start, tell, welcome,
};
use futures_util::future::join_all;
use lazycopy_guest::{GuestSpec, Registers, ResidentAtStart, reference_run};
use lazycopy_link::LinkSpec;
use lazycopy_migration::{EventKind, MigrationParameters, Outcome, PushOrder, Reply, Scheme};
use lazycopy_protocol::control::{MigrationId, ServerCommand, SideEnded, VmPhase, Watch};
use lazycopy_protocol::peer::PeerMessage;
use lazycopy_protocol::plane::BatchKind;
use lazycopy_server::ServerConfig;
use lazycopy_units::{Duration, Instant, Rate};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Asks `a` to move its guest there.
async fn move_to(
    fleet: &mut Fleet,
    address: &str,
    number: u64,
    parameters: &MigrationParameters,
    connections: u8,
) {
    let migrate = fleet.migration_with(number, "g", parameters, |it| {
        it.link = LinkSpec::Unlimited(self::connections(connections));
        it.destination_address = address.to_owned();
        it.watch = Watch::All;
    });
    fleet.a.send(migrate).await;
}

/// Rounds that never end: half a mebibyte per second, of pages that are written all the time.
fn never_done() -> MigrationParameters {
    let mut parameters = moving(Scheme::PreCopy);
    parameters.rounds.downtime_limit = Duration::from_nanos(1);
    parameters.rounds.bandwidth_cap = Rate::from_bytes_per_sec(1 << 19);
    parameters
}

async fn create(fleet: &mut Fleet, spec: &GuestSpec) {
    fleet.a.done(creation("g", spec)).await;
    fleet.a.done(start("g")).await;
}

/// The guest goes on at the source, and has missed nothing.
async fn check_stayed(fleet: &mut Fleet, spec: &GuestSpec) {
    let before = fleet.a.show("g").await.summary.accesses;
    let shown = loop {
        let shown = fleet.a.show("g").await;
        if shown.summary.accesses > before + 1_000 {
            break shown;
        }
    };
    assert_eq!(shown.summary.phase, VmPhase::Running);
    let Registers { accesses, digest, .. } = shown.snapshot.unwrap().registers;
    let reference = reference_run(&Arc::new(spec.clone()), Duration::ZERO, 0, accesses).unwrap();
    assert_eq!(digest, reference.registers.digest);
}

async fn check_failed(fleet: &mut Fleet, spec: &GuestSpec, number: u64, reason: &str) {
    let ended = fleet.a.ended(MigrationId(number)).await;
    assert_eq!(ended.verdict.outcome, Outcome::Failed, "{:?}", ended.verdict);
    assert!(ended.verdict.reason.contains(reason), "{:?} not for {reason}", ended.verdict);
    check_stayed(fleet, spec).await;
}

async fn check_lost(fleet: &mut Fleet, number: u64, reason: &str) -> SideEnded {
    let ended = fleet.a.ended(MigrationId(number)).await;
    assert_eq!(ended.verdict.outcome, Outcome::Lost, "{:?}", ended.verdict);
    assert!(ended.verdict.reason.contains(reason), "{:?} not for {reason}", ended.verdict);
    assert_eq!(fleet.a.host().await.frames_taken, 0);
    ended
}

/// A server with so many frames.
fn config(manager: &TcpListener, frames: u32) -> ServerConfig {
    ServerConfig {
        manager: manager.local_addr().unwrap().to_string(),
        name: "large".to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        frames: frames.into(),
        door: Default::default(),
    }
}

async fn reply(control: &mut common::Peer, reply: Reply) {
    tell(control, PeerMessage::Reply { deliver_at: Instant::ZERO, reply }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sent_cannot_be_acknowledged() {
    let (mut fleet, spec) = (Fleet::start().await, plane_guest(1));
    let destination = PlayedDestination::listen().await;
    create(&mut fleet, &spec).await;
    for (number, (connection, reason)) in
        (1..).zip([(0, "of connection 0, 0 were sent"), (1, "9999 batches"), (9, "9, 0 were sent")])
    {
        move_to(&mut fleet, &destination.address, number, &never_done(), 1).await;
        let (mut control, _bulk) = destination.welcome().await;
        tell(&mut control, PeerMessage::Acknowledged { connection, batches: 9_999 }).await;
        check_failed(&mut fleet, &spec, number, reason).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_cannot_be_acknowledged_over_and_over() {
    let (mut fleet, spec) = (Fleet::start().await, plane_guest(1));
    let destination = PlayedDestination::listen().await;
    create(&mut fleet, &spec).await;
    move_to(&mut fleet, &destination.address, 1, &never_done(), 1).await;
    let (mut control, mut bulk) = destination.welcome().await;
    assert!(matches!(read_batch(&mut bulk[0], 0, spec.pages).await, Some(Piece::Pages(_))));
    let acknowledged = PeerMessage::Acknowledged { connection: 1, batches: 1 };
    tell(&mut control, acknowledged.clone()).await;
    tell(&mut control, acknowledged).await;
    check_failed(&mut fleet, &spec, 1, "acknowledged 1 batches of connection 1 again").await;
}

/// A copy of a page must not overtake an older one.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_sent_again_goes_over_the_same_connection() {
    // Each connection has a batch of them in every round.
    const CONNECTIONS: usize = 3;
    const PAGES: u32 = CONNECTIONS as u32 * 256;
    let mut fleet = Fleet::start().await;
    let spec = GuestSpec { pages: PAGES, frames: PAGES, write_fraction: 1.0, ..plane_guest(6) };
    let destination = PlayedDestination::listen().await;
    create(&mut fleet, &spec).await;
    let bandwidth_cap = Rate::from_bytes_per_sec(100 << 20);
    let mut parameters = never_done();
    parameters.rounds.bandwidth_cap = bandwidth_cap;
    move_to(&mut fleet, &destination.address, 1, &parameters, CONNECTIONS as u8).await;
    let (_control, mut bulk) = destination.welcome().await;
    let each = bulk.iter_mut().map(|stream| async move {
        let (mut came, mut all, mut number) = (BTreeSet::new(), 0, 0);
        // Until its share of the pages has come some times, or the rounds are over.
        while all < 4 * 256 {
            match read_batch(stream, number, PAGES).await.expect("the source left") {
                Piece::Pages(pages) => {
                    all += pages.len();
                    came.extend(pages);
                }
                Piece::Mark(_) => break,
            }
            number += 1;
        }
        (came, all)
    });
    let (came, all): (Vec<_>, Vec<_>) = join_all(each).await.into_iter().unzip();
    assert!(all.iter().sum::<usize>() > PAGES as usize, "some are sent again: {all:?}");
    let distinct: BTreeSet<_> = came.iter().flatten().collect();
    assert_eq!(came.iter().map(BTreeSet::len).sum::<usize>(), distinct.len(), "one went by two");
    assert!(came.iter().all(|pages| pages.len() > 128), "all connections are used");
}

/// Takes everything that is pushed after the context; how many batches of the connection.
async fn take_all(control: &mut common::Peer, bulk: &mut TcpStream, pages: u32) -> u64 {
    while !matches!(hear(control).await, Some(PeerMessage::Context(_))) {}
    let (mut number, mut missing) = (0, pages as usize);
    while missing > 0 {
        let piece = read_batch(bulk, number, pages).await;
        if let Piece::Pages(came) = piece.expect("the source left") {
            missing -= came.len();
        }
        number += 1;
    }
    number
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_given_back_has_all_its_pages() {
    let (mut fleet, spec) = (Fleet::start().await, plane_guest(2));
    let destination = PlayedDestination::listen().await;
    create(&mut fleet, &spec).await;
    move_to(&mut fleet, &destination.address, 1, &moving(Scheme::PostCopy), 1).await;
    let (mut control, mut bulk) = destination.welcome().await;
    let batches = take_all(&mut control, &mut bulk[0], spec.pages).await;
    reply(&mut control, Reply::ThrownAway { reason: "no such recording".to_owned() }).await;
    tell(&mut control, PeerMessage::Acknowledged { connection: 1, batches }).await;
    check_failed(&mut fleet, &spec, 1, "no such recording").await;
}

/// The source gives up what is acknowledged, and may get the guest back until it runs elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_acknowledged_before_the_guest_runs() {
    let fleet = Fleet::start().await;
    let mut source = PlayedSource::start(&fleet, 1, 1).await;
    let pages = source.all_pages();
    let batches: Vec<_> = pages.chunks(pages.len().div_ceil(16)).collect();
    assert!(batches.len() > 8);
    for (pages, number) in batches.iter().zip(0..) {
        source.send(1, &batch(number, pages)).await;
    }
    source.send(1, &mark(batches.len() as u64, BatchKind::Fence)).await;
    source.send_context().await;
    loop {
        match hear(&mut source.control).await.expect("the destination left early") {
            PeerMessage::Acknowledged { .. } => panic!("the guest could not be given back"),
            PeerMessage::Reply { reply: Reply::Complete, .. } => break,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_whose_pages_are_gone_is_not_taken_back() {
    let (mut fleet, spec) = (Fleet::start().await, plane_guest(3));
    let destination = PlayedDestination::listen().await;
    create(&mut fleet, &spec).await;
    move_to(&mut fleet, &destination.address, 1, &moving(Scheme::PostCopy), 1).await;
    let (mut control, mut bulk) = destination.welcome().await;
    let batches = take_all(&mut control, &mut bulk[0], spec.pages).await;
    tell(&mut control, PeerMessage::Acknowledged { connection: 1, batches }).await;
    reply(&mut control, Reply::ThrownAway { reason: "no such recording".to_owned() }).await;
    check_lost(&mut fleet, 1, "threw the guest away after it had acknowledged pages").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_beyond_all_bounds_harms_nobody() {
    let (mut fleet, spec) = (Fleet::start().await, plane_guest(4));
    let destination = PlayedDestination::listen().await;
    create(&mut fleet, &spec).await;
    let parameters = MigrationParameters { max_lead: Some(5), ..moving(Scheme::LazyCopy) };
    move_to(&mut fleet, &destination.address, 1, &parameters, 1).await;
    let (mut control, mut bulk) = destination.welcome().await;
    while !matches!(hear(&mut control).await, Some(PeerMessage::Context(_))) {}
    reply(&mut control, Reply::Progress { accesses: u64::MAX }).await;
    reply(&mut control, Reply::Complete).await;
    while read_batch_or_end(&mut bulk[0]).await {}
    let ended = fleet.a.ended(MigrationId(1)).await;
    assert_eq!(ended.verdict.outcome, Outcome::Completed, "{:?}", ended.verdict);
}

async fn read_batch_or_end(stream: &mut TcpStream) -> bool {
    use tokio::io::AsyncReadExt;
    let mut some = [0; 1 << 16];
    timeout(PATIENCE, stream.read(&mut some)).await.expect("it stays open").unwrap_or(0) > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_connection_that_is_cut_before_the_hand_over_leaves_the_guest_where_it_was() {
    for number in [1, 2] {
        let (mut fleet, spec) = (Fleet::start().await, plane_guest(7));
        create(&mut fleet, &spec).await;
        let cable = Cable::to(&fleet.b.hello.address.clone()).await;
        move_to(&mut fleet, &cable.address, number, &never_done(), 2).await;
        fleet.b.event(|kind| matches!(kind, EventKind::PageArrived { .. })).await;
        cable.cut(number as usize);
        check_failed(&mut fleet, &spec, number, "the destination was lost").await;
        let destination = fleet.b.ended(MigrationId(number)).await;
        assert_eq!(destination.verdict.outcome, Outcome::Failed, "{:?}", destination.verdict);
        assert_eq!(fleet.b.host().await.frames_taken, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_cut_after_the_hand_over_and_stays_so_takes_the_guest_along() {
    let (mut fleet, spec) = (Fleet::start().await, plane_guest(8));
    // What it has written is nowhere else, and it does not soon want all of it.
    let spec = GuestSpec { think_time: Duration::from_millis(5), write_fraction: 1.0, ..spec };
    create(&mut fleet, &spec).await;
    while fleet.a.show("g").await.summary.accesses < 50 {}
    let cable = Cable::to(&fleet.b.hello.address.clone()).await;
    let slowly = Rate::from_bytes_per_sec(40_000);
    let parameters = MigrationParameters { push_rate: slowly, ..moving(Scheme::PostCopy) };
    move_to(&mut fleet, &cable.address, 1, &parameters, 1).await;
    fleet.b.event(|kind| matches!(kind, EventKind::Resumed { .. })).await;
    cable.cut_all();
    check_lost(&mut fleet, 1, "the destination was lost").await;
    let destination = fleet.b.ended(MigrationId(1)).await;
    assert_eq!(destination.verdict.outcome, Outcome::Lost, "{:?}", destination.verdict);
    assert_eq!(fleet.b.host().await.frames_taken, 0);
}

/// Bytes that the system says are available, or there are in all.
fn memory(key: &str) -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = told.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn a_guest_that_is_larger_than_the_machines_memory_is_refused_with_both_figures() {
    // The largest guest that a server takes; of no use on a machine where even that one fits.
    let frames = 1 << 24;
    if memory("MemTotal:") >= u64::from(frames) << 12 {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _server = RunningServer::start_with(config(&listener, frames));
    let mut server = welcome(&listener).await;
    let spec = GuestSpec {
        pages: frames,
        frames,
        resident_at_start: ResidentAtStart::None,
        ..plane_guest(9)
    };
    let refusal = server.refusal(creation("g", &spec)).await;
    assert!(refusal.contains("\"g\" needs 65536 MiB of memory"), "{refusal}");
    assert!(refusal.contains(" MiB available"), "{refusal}");

    let mut offer = PlayedSource::offer(1, &spec, &connections(1));
    offer.parameters.scheme = Scheme::PostCopy;
    for (order, has) in [(PushOrder::Lru, " MiB available"), (PushOrder::Address, " MiB in all")] {
        offer.parameters.push_order = order;
        let (_peer, answer) = common::offer(&server.hello.address, offer.clone()).await;
        let PeerMessage::Refuse { reason } = answer else { panic!("{answer:?}") };
        assert!(reason.contains("needs 65536 MiB") && reason.contains(has), "{reason}");
    }
    assert_eq!(server.host().await.frames_taken, 0);
    let delete = ServerCommand::DeleteVm { vm: "g".to_owned(), force: true };
    assert!(server.refusal(delete).await.contains("has no guest"));
}
