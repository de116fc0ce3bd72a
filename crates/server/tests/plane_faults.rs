//! Sources that send over the page plane what they must not, or not all of it: each is refused by
//! name, nothing stays behind, and the server takes the next guest.

mod common;

use bytes::BytesMut;
use common::{
    Fleet, PAGES, PlayedSource, batch, connections, creation, destination_report, mark, moving,
    plane_guest, source_report, tell, urgent,
};
use futures_util::SinkExt;
use lazycopy_guest::{Registers, reference_run};
use lazycopy_link::LinkSpec;
use lazycopy_migration::{EventKind, Notice, Outcome, Scheme, Verdict};
use lazycopy_protocol::control::{MigrationId, ServerCommand, SideEnded};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::peer::PeerMessage;
use lazycopy_protocol::plane::{BatchKind, Encoding, PageEntry, checksum, content_hash};
use lazycopy_units::{Duration, Instant, PageNumber};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// The migration has failed at the destination for that reason, and left nothing behind.
async fn check_failed(fleet: &mut Fleet, number: u64, reason: &str) -> SideEnded {
    let ended = fleet.b.ended(MigrationId(number)).await;
    assert_eq!(ended.verdict.outcome, Outcome::Failed, "{:?}", ended.verdict);
    assert!(ended.verdict.reason.contains(reason), "{:?} not for {reason}", ended.verdict);
    let host = fleet.b.host().await;
    assert_eq!((host.vms.len(), host.frames_taken), (0, 0));
    ended
}

/// The server takes the next guest.
async fn check_next(fleet: &mut Fleet, number: u64) {
    let (vm, spec) = (format!("next-{number}"), plane_guest(number));
    fleet.a.done(creation(&vm, &spec)).await;
    let migrate = fleet.migration_with(number, &vm, &moving(Scheme::PostCopy), |it| {
        it.link = LinkSpec::Unlimited(connections(2));
    });
    fleet.a.done(migrate).await;
    let (source, destination) = fleet.both_ended(number).await;
    assert_eq!(source.verdict.outcome, Outcome::Completed, "{:?}", source.verdict);
    assert!(source_report(&source).released_at.is_some());
    check_digest(&destination, number);
}

/// The guest that came has seen what it would without a migration.
fn check_digest(destination: &SideEnded, seed: u64) {
    assert_eq!(destination.verdict.outcome, Outcome::Completed, "{:?}", destination.verdict);
    let report = destination_report(destination);
    let registers = report.ended_registers.unwrap();
    let spec = Arc::new(plane_guest(seed));
    let reference = reference_run(&spec, Duration::ZERO, 0, registers.accesses).unwrap();
    assert_eq!(registers.digest, reference.registers.digest);
    assert_eq!(report.ended_pages_digest, Some(reference.pages_digest));
}

type Page = (PageEntry, Vec<u8>);

/// A page whose content has been changed, with the checksum of what it is now.
fn changed((entry, mut body): Page, change: impl FnOnce(&mut Vec<u8>)) -> Page {
    change(&mut body);
    let checksum = checksum(entry.page, content_hash(&body));
    (PageEntry { checksum, ..entry }, body)
}

fn encoded((entry, _): Page, encoding: Encoding, body: &[u8]) -> Page {
    (PageEntry { encoding, body_bytes: body.len() as u16, ..entry }, body.to_vec())
}

/// A second batch that is wrong, by what is wrong with it.
fn wrong_batches(source: &PlayedSource) -> Vec<(&'static str, BytesMut)> {
    let right = || source.page(3);
    let with = |change: &dyn Fn(&mut BytesMut)| {
        let mut bytes = batch(1, &[right()]);
        change(&mut bytes);
        bytes
    };
    let too_many: Vec<Page> = (0..257).map(|page| source.page(page % PAGES)).collect();
    let far = (PageEntry { page: PageNumber(PAGES), ..right().0 }, right().1);
    let swapped = (PageEntry { page: PageNumber(4), ..right().0 }, right().1);
    vec![
        ("the checksum of page 3 is", with(&|it| it[1_000] ^= 1)),
        ("the checksum of page 4 is", batch(1, &[swapped])),
        ("page 3 is torn", batch(1, &[changed(right(), |it| it[4_095] ^= 1)])),
        ("page 64 is not below the guest's 64 pages", batch(1, &[far])),
        ("batch 5 came where batch 1 was expected", batch(5, &[right()])),
        ("batch 0 came where batch 1 was expected", batch(0, &[right()])),
        ("a batch of 257 pages", batch(1, &too_many)),
        ("a batch of 0 pages", batch(1, &[])),
        (
            "a batch announces 4096 bytes and has 4095",
            with(&|it| it[4..6].copy_from_slice(&[255, 15])),
        ),
        (
            "a batch announces 4096 bytes and has 4097",
            with(&|it| it[4..6].copy_from_slice(&[1, 16])),
        ),
        ("the encoding of a page is 0 to 4, that of page 3 is 9", with(&|it| it[22] = 9)),
        ("cause and flags of page 3 are 0 to 7", with(&|it| it[23] = 64)),
        ("page 3 comes as Zero with a body of 4096 bytes", with(&|it| it[22] = 2)),
        (
            "page 3 is to equal content 7, 0 are kept",
            batch(1, &[encoded(right(), Encoding::Same, &7u16.to_le_bytes())]),
        ),
        (
            "the compressed content of page 3 makes no page",
            batch(1, &[encoded(right(), Encoding::Lz4, b"no such thing")]),
        ),
        ("a batch names page 3 twice", batch(1, &[right(), source.page(2), right()])),
        ("a batch names page 3 twice", batch(1, &[encoded(right(), Encoding::Zero, b""), right()])),
        ("a batch of pages begins with 0x51", BytesMut::from("GET / HTTP/1.1\r\nHost: b\r\n")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_batch_ends_its_migration_by_name_and_nothing_else() {
    let mut fleet = Fleet::start().await;
    let mut number = 0;
    let kinds = wrong_batches(&PlayedSource::start(&fleet, 1_000, 1).await).len();
    fleet.b.ended(MigrationId(1_000)).await;
    for kind in 0..kinds {
        for over_control in [false, true] {
            number += 1;
            let mut source = PlayedSource::start(&fleet, number, 1).await;
            let (reason, wrong) = wrong_batches(&source).swap_remove(kind);
            let right = batch(0, &[source.page(1)]);
            if !over_control {
                source.send(1, &right).await;
                source.send(1, &wrong).await;
            } else if reason.contains("begins with") {
                // Not even a frame.
                source.control.get_mut().write_all(&wrong).await.unwrap();
            } else {
                source.send_urgent(urgent(right)).await;
                source.send_urgent(urgent(wrong)).await;
            }
            let garbage = over_control && reason.contains("begins with");
            let reason = if garbage { "a frame of 1195725856 bytes" } else { reason };
            let ended = check_failed(&mut fleet, number, reason).await;
            let arrived = destination_report(&ended).arrived.round;
            assert_eq!(arrived, u64::from(!garbage), "{reason}");
        }
    }
    check_next(&mut fleet, number + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_dies_within_a_batch_leaves_nothing() {
    let mut fleet = Fleet::start().await;
    for (number, cut) in (1..).zip([1, 16, 20, 40, 5_000]) {
        let mut source = PlayedSource::start(&fleet, number, 1).await;
        let pages = [source.page(0), source.page(1)];
        source.send(1, &batch(0, &pages)[..cut]).await;
        drop(source);
        check_failed(&mut fleet, number, "the source was lost").await;
    }
    check_next(&mut fleet, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_taken_back_within_a_batch() {
    let mut fleet = Fleet::start().await;
    let mut source = PlayedSource::start(&fleet, 1, 1).await;
    let page = source.page(0);
    source.send(1, &batch(0, &[page])[..3_000]).await;
    let verdict = Verdict { outcome: Outcome::Cancelled, reason: "on second thoughts".to_owned() };
    tell(&mut source.control, PeerMessage::Withdrawn { verdict: verdict.clone() }).await;
    assert_eq!(fleet.b.ended(MigrationId(1)).await.verdict, verdict);
    assert_eq!(fleet.b.host().await.frames_taken, 0);
    check_next(&mut fleet, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_connection_that_dies_alone_ends_the_migration() {
    let mut fleet = Fleet::start().await;
    let mut source = PlayedSource::start(&fleet, 1, 2).await;
    source.bulk.pop();
    check_failed(&mut fleet, 1, "closed a bulk connection without a word").await;
}

/// The context waits for its fences. When the source dies meanwhile, the guest never came.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_dies_between_its_context_and_a_fence_leaves_nothing() {
    let mut fleet = Fleet::start().await;
    for number in 1..=2 {
        let mut source = PlayedSource::start(&fleet, number, 2).await;
        let all = batch(0, &source.all_pages());
        source.send(1, &all).await;
        source.send(1, &mark(1, BatchKind::Fence)).await;
        source.send_context().await;
        source.send(2, &all).await;
        drop(source);
        check_failed(&mut fleet, number, "the source was lost").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_after_a_last_word() {
    let mut fleet = Fleet::start().await;
    let mut source = PlayedSource::start(&fleet, 1, 1).await;
    let verdict = Verdict { outcome: Outcome::Cancelled, reason: "on second thoughts".to_owned() };
    tell(&mut source.control, PeerMessage::Withdrawn { verdict: verdict.clone() }).await;
    let notice = PeerMessage::Notice { deliver_at: Instant::ZERO, notice: Notice::HeadStart };
    // It may have closed the connection already.
    let _ = source.control.send(PeerFrame::Message(notice)).await;
    assert_eq!(fleet.b.ended(MigrationId(1)).await.verdict, verdict);

    for (number, with_context) in [(2, false), (3, true)] {
        let mut source = PlayedSource::start(&fleet, number, 1).await;
        if with_context {
            let outdated = source.all_pages();
            source.send(1, &batch(0, &outdated[1..])).await;
            source.send(1, &mark(1, BatchKind::Fence)).await;
            source.send_context().await;
            fleet.b.event(|kind| matches!(kind, EventKind::Resumed { .. })).await;
        }
        tell(&mut source.control, PeerMessage::Released).await;
        let ended = fleet.b.ended(MigrationId(number)).await;
        let outcome = if with_context { Outcome::Lost } else { Outcome::Failed };
        assert_eq!(ended.verdict.outcome, outcome, "{:?}", ended.verdict);
        assert!(ended.verdict.reason.contains("released a guest of which something is missing"));
        assert_eq!(fleet.b.host().await.frames_taken, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_cannot_be_ends_the_migration() {
    let mut fleet = Fleet::start().await;
    let mut source = PlayedSource::start(&fleet, 1, 1).await;
    source.send_registers(Registers { accesses: u64::MAX, ..Registers::default() }).await;
    check_failed(&mut fleet, 1, "the context's guest has 18446744073709551615 accesses").await;

    let mut source = PlayedSource::start(&fleet, 2, 1).await;
    let pages = source.all_pages();
    source.send(1, &batch(0, &pages)).await;
    source.send(1, &mark(1, BatchKind::Fence)).await;
    source.send_context().await;
    source.send_context_again().await;
    let ended = fleet.b.ended(MigrationId(2)).await;
    assert!(fleet.b.host().await.frames_taken <= u64::from(PAGES), "{:?}", ended.verdict);
}

/// On one connection a newer copy of a page comes while the machine has not marked the older one.
#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_page_that_come_close_together_do_not_mix() {
    let mut fleet = Fleet::start().await;
    let mut source = PlayedSource::start(&fleet, 1, 1).await;
    let (others, old) = ([source.page(9)], [source.page_with(3, 77)]);
    let all = batch(2, &source.all_pages());
    let mut together = batch(0, &others);
    together.extend_from_slice(&batch(1, &old));
    together.extend_from_slice(&all[..20_000]);
    source.send(1, &together).await;
    let third = PageNumber(3);
    fleet
        .b
        .event(|kind| matches!(kind, EventKind::PageArrived { page, .. } if *page == third))
        .await;
    source.send(1, &all[20_000..]).await;
    source.send(1, &mark(3, BatchKind::Fence)).await;
    source.send_context().await;
    source.release().await;
    check_digest(&fleet.b.ended(MigrationId(1)).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_begins_without_its_bulk_connections_leaves_nothing() {
    let mut fleet = Fleet::start().await;
    let address = fleet.b.hello.address.clone();
    for (number, opened) in [(1, 0), (2, 1)] {
        let offer = PlayedSource::offer(number, &plane_guest(1), &connections(2));
        let mut source = PlayedSource::offer_to(&address, offer).await;
        for _ in 0..opened {
            assert_eq!(source.open_bulk(&address, number).await, None);
        }
        source.begin().await;
        assert_eq!(common::hear(&mut source.control).await, None, "the connection is closed");
        while fleet.b.host().await.frames_taken > 0 {}
    }
    let delete = ServerCommand::DeleteVm { vm: "played-1".to_owned(), force: true };
    assert!(fleet.b.refusal(delete).await.contains("has no guest"));
    check_next(&mut fleet, 9).await;
}
