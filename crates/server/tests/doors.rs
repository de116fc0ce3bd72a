//! A migration is between two servers, and nobody else's business.

mod common;

use common::{
    Fleet, PLAYED, PlayedSource, connections, create_with, hear, parameters, plane_guest, spec,
    tell, through,
};
use lazycopy_guest::WorkloadSpec;
use lazycopy_migration::{Outcome, Scheme};
use lazycopy_protocol::control::{MigrationId, MigrationKey};
use lazycopy_protocol::peer::PeerMessage;
use lazycopy_transport::{PageLink, Purpose, knock};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// What a stranger without the key is told.
async fn refusal(address: &str, link: PageLink, number: u64, source: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (migration, source) = (MigrationId(number), source.to_owned());
    let purpose = Purpose::Pages { link, migration, source };
    let key = MigrationKey::new([8; 32]);
    knock(&mut stream, purpose, None, Some(&key), &[]).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_offer_and_does_not_spend_the_key() {
    let mut fleet = Fleet::start().await;
    let address = fleet.b.hello.address.clone();
    let told = refusal(&address, PageLink::Offer, 1, PLAYED).await;
    assert!(told.contains("is not expected here: the manager has to tell"), "{told}");
    let offer = PlayedSource::offer(1, &plane_guest(1), &connections(1));
    common::expect(&address, MigrationId(1), &offer.vm, PLAYED).await;
    let told = refusal(&address, PageLink::Offer, 1, PLAYED).await;
    assert!(told.contains("does not prove"), "{told}");
    let mut right = through(&address, PageLink::Offer, MigrationId(1), PLAYED).await.unwrap();
    tell(&mut right, PeerMessage::Offer(Box::new(offer))).await;
    assert_eq!(hear(&mut right).await, Some(PeerMessage::Accept));
    // The key has been good once.
    let again = through(&address, PageLink::Offer, MigrationId(1), PLAYED).await;
    assert!(again.unwrap_err().to_string().contains("is not expected here"));
    drop(right);
    while fleet.b.host().await.frames_taken > 0 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_one_guest_brings_no_other() {
    let mut fleet = Fleet::start().await;
    let address = fleet.b.hello.address.clone();
    common::expect(&address, MigrationId(1), "another", PLAYED).await;
    let offer = PlayedSource::offer(1, &plane_guest(1), &connections(1));
    let mut peer = through(&address, PageLink::Offer, MigrationId(1), PLAYED).await.unwrap();
    tell(&mut peer, PeerMessage::Offer(Box::new(offer))).await;
    let Some(PeerMessage::Refuse { reason }) = hear(&mut peer).await else { panic!("no refusal") };
    assert!(reason.contains("is of guest \"another\", not of guest \"played-1\""), "{reason}");
    assert_eq!(fleet.b.host().await.frames_taken, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_names_a_file_of_the_destination_is_told_nothing_of_what_is_in_it() {
    let fleet = Fleet::start().await;
    let address = &fleet.b.hello.address;
    let file = std::env::temp_dir().join(format!("no-recording-{}", std::process::id()));
    std::fs::write(&file, "root:secret:0\n").unwrap();
    let mut spec = plane_guest(1);
    spec.workload = WorkloadSpec::Trace { file: file.clone(), instruction_time: spec.think_time };
    let mut opened = PlayedSource::offer(1, &spec, &connections(1));
    opened.position = 1;
    let (_, answer) = common::offer(address, opened).await;
    std::fs::remove_file(&file).unwrap();
    let PeerMessage::Refuse { reason } = answer else { panic!("{answer:?}") };
    assert!(reason.contains("line 1: ") && !reason.contains("secret"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_send_pages_into_a_migration() {
    let fleet = Fleet::start().await;
    let address = fleet.b.hello.address.clone();
    let offer = PlayedSource::offer(1, &plane_guest(1), &connections(1));
    let mut source = PlayedSource::offer_to(&address, offer).await;
    let told = refusal(&address, PageLink::Bulk, 1, PLAYED).await;
    assert!(told.contains("does not prove"), "{told}");
    let told = refusal(&address, PageLink::Bulk, 1, "c").await;
    assert!(told.contains("no guest awaits bulk connections"), "{told}");
    assert_eq!(source.open_bulk(&address, 1).await, None, "the source itself still can");
}

/// Carries connections to `to`, and keeps what came over the first of them.
async fn tapped(to: String) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = listener.local_addr().unwrap().to_string();
    common::carried_on(&near, &to);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let tap = Arc::clone(&kept);
    tokio::spawn(async move {
        let (mut here, _) = listener.accept().await.unwrap();
        let mut there = TcpStream::connect(&to).await.unwrap();
        let ((mut from_here, mut to_here), (mut from_there, mut to_there)) =
            (here.split(), there.split());
        let there_and_kept = async {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(count) = from_here.read(&mut bytes).await
                && count > 0
            {
                tap.lock().await.extend_from_slice(&bytes[..count]);
                // It may leave before the last word.
                let _ = to_there.write_all(&bytes[..count]).await;
            }
            let _ = to_there.shutdown().await;
        };
        tokio::join!(there_and_kept, tokio::io::copy(&mut from_there, &mut to_here))
    });
    (near, kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_overheard_cannot_be_played_again() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(create_with("g", spec(6), |_| ())).await;
    let to = fleet.b.hello.address.clone();
    let (near, kept) = tapped(to.clone()).await;
    let migrate = fleet.migration_with(1, "g", &parameters(Scheme::StopAndCopy), |it| {
        it.destination_address = near;
    });
    fleet.a.done(migrate).await;
    let (source, _) = fleet.both_ended(1).await;
    assert_eq!(source.verdict.outcome, Outcome::Completed);
    let bytes = kept.lock().await.clone();
    assert!(bytes.len() > 1_000, "the guest was on it");
    // Even if the manager gave the same key to the same two for the same guest again.
    fleet
        .b
        .done(lazycopy_protocol::control::ServerCommand::DeleteVm {
            vm: "g".to_owned(),
            force: true,
        })
        .await;
    common::expect(&to, MigrationId(1), "g", "a").await;
    let mut stream = TcpStream::connect(&to).await.unwrap();
    let _ = stream.write_all(&bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("does not prove the cluster token and the migration key"), "{answer}");
    assert_eq!(fleet.b.host().await.frames_taken, 0);
}
