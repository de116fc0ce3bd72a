//! Managers that are late, die, come back, or talk nonsense.

mod common;

use common::{
    Attached, Fleet, PATIENCE, RunningServer, accept, create, create_with, parameters, spec, start,
    welcome,
};
use futures_util::SinkExt;
use lazycopy_migration::{Outcome, Scheme};
use lazycopy_protocol::control::{
    MigrationId, ServerCommand, ServerHello, ServerReply, ToServer, VmPhase,
};
use lazycopy_server::ServerError;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_introduces_itself() {
    let fleet = Fleet::start().await;
    let hello = &fleet.a.hello;
    assert_eq!(hello.name, "a");
    assert_eq!(hello.pid, std::process::id());
    assert_eq!(hello.frames, common::SERVER_FRAMES);
    let port = hello.address.strip_prefix("127.0.0.1:").unwrap().parse::<u16>().unwrap();
    assert_ne!(port, 0);
    assert!(hello.vms.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_start_before_its_manager() {
    // The port is taken, and nobody listens: a connection is refused at once, and tried again after
    // pauses.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = RunningServer::start(socket.local_addr().unwrap(), "early");
    tokio::task::yield_now().await;
    let listener = socket.listen(16).unwrap();
    let mut attached = welcome(&listener).await;
    assert_eq!(attached.host().await.server, "early");
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_refused_ends_with_the_managers_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = RunningServer::start(listener.local_addr().unwrap(), "twin");
    let (_, mut framed) = accept(&listener).await;
    let reason = "there is a server \"twin\" already".to_owned();
    framed.send(ToServer::Refused { reason: reason.clone() }).await.unwrap();
    let ended = timeout(PATIENCE, server.task).await.expect("it goes on").unwrap();
    let Err(ServerError::Refused { reason: told }) = ended else { panic!("{ended:?}") };
    assert_eq!(told, reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_survive_their_manager_and_reports_wait_for_the_next() {
    let Fleet { listener, mut a, b, server_a, server_b } = Fleet::start().await;
    let parameters = parameters(Scheme::LazyCopy);
    a.done(create("stays", 1)).await;
    a.done(start("stays")).await;
    a.done(create("moves", 2)).await;
    let move_it = common::migration(9, "moves", &b.hello.address, &parameters);
    a.done(move_it).await;
    drop((a, b));
    let gone = |hello: &ServerHello| hello.vms.iter().all(|it| it.vm != "moves");
    let mut a = welcome_when(&listener, |hello| hello.name == "a" && gone(hello)).await;
    let arrived = |hello: &ServerHello| {
        hello.vms.iter().any(|it| it.vm == "moves" && it.phase == VmPhase::Running)
    };
    let mut b = welcome_when(&listener, |hello| hello.name == "b" && arrived(hello)).await;
    assert!(a.hello.vms.iter().any(|it| it.vm == "stays" && it.phase == VmPhase::Running));
    for attached in [&mut a, &mut b] {
        let ended = attached.ended(MigrationId(9)).await;
        assert_eq!(ended.verdict.outcome, Outcome::Completed);
        assert_eq!(attached.events(MigrationId(9)).await.len() as u64, ended.events);
    }
    let accesses = a.show("stays").await.summary.accesses;
    while a.show("stays").await.summary.accesses == accesses {}
    assert_eq!(b.show("moves").await.summary.phase, VmPhase::Running);
    drop((server_a, server_b));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_migration_is_told_until_it_is_acknowledged() {
    let Fleet { listener, mut a, b, server_a, server_b } = Fleet::start().await;
    a.done(create("moves", 2)).await;
    let parameters = parameters(Scheme::PostCopy);
    a.done(common::migration(9, "moves", &b.hello.address, &parameters)).await;
    let migration = MigrationId(9);
    a.ended(migration).await;
    for _ in 0..2 {
        drop(a);
        a = welcome_when(&listener, |hello| hello.name == "a").await;
        let side = &a.hello.sides[0];
        assert_eq!((side.migration, &*side.vm, side.ended), (migration, "moves", true));
        assert_eq!(a.ended(migration).await.verdict.outcome, Outcome::Completed);
    }
    a.done(ServerCommand::ForgetMigration { migration }).await;
    drop(a);
    let a = welcome_when(&listener, |hello| hello.name == "a").await;
    assert_eq!(a.hello.sides, []);
    drop((b, server_a, server_b));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_sent_again_is_answered_again_and_not_done_twice() {
    let Fleet { listener, a, server_a, server_b, .. } = Fleet::start().await;
    drop(a);
    let welcome_in = async |life| loop {
        let (hello, framed) = accept(&listener).await;
        if hello.name == "a" {
            return Attached::welcome_in(life, hello, framed).await;
        }
    };
    let life = u64::MAX;
    for _ in 0..2 {
        // The first of its life each time, and so under the same number.
        let mut a = welcome_in(life).await;
        a.done(create("g", 1)).await;
    }
    let mut a = welcome_in(life - 1).await;
    assert!(a.refusal(create("g", 1)).await.contains("\"g\" already"));
    drop((server_a, server_b));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_hangs_is_left_and_tried_again() {
    let Fleet { listener, mut a, server_a, server_b, .. } = Fleet::start().await;
    a.done(create("g", 1)).await;
    // From here on it says nothing, and its connection stands.
    let again = welcome_when(&listener, |hello| hello.name == "a").await;
    assert_eq!(again.hello.vms.len(), 1);
    drop((a, server_a, server_b));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_talks_nonsense_is_left_and_tried_again() {
    let Fleet { listener, mut a, server_a, .. } = Fleet::start().await;
    a.done(create("g", 1)).await;
    for nonsense in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02hi"] {
        let (mut stream, rest) = a.into_stream();
        assert!(rest.is_empty());
        stream.write_all(nonsense).await.unwrap();
        a = welcome_when(&listener, |hello| hello.name == "a").await;
        assert_eq!(a.hello.vms.len(), 1);
    }
    drop(server_a);
}

/// Welcomes the first server that introduces itself as wanted, and turns all others away.
async fn welcome_when(
    listener: &TcpListener,
    is_wanted: impl Fn(&ServerHello) -> bool,
) -> Attached {
    loop {
        let (hello, framed) = accept(listener).await;
        if is_wanted(&hello) {
            return Attached::welcome(hello, framed).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_when_nothing_is_lost_or_when_it_must() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(create("g", 1)).await;
    let refusal = fleet.a.refusal(ServerCommand::Shutdown { force: false }).await;
    assert!(refusal.contains("(g)") && refusal.contains("force"), "{refusal}");
    fleet.a.done(ServerCommand::Shutdown { force: true }).await;
    assert!(fleet.a.is_closed().await);
    let ended = timeout(PATIENCE, fleet.server_a.take().unwrap().task).await.unwrap().unwrap();
    assert!(ended.is_ok());
    fleet.b.done(ServerCommand::Shutdown { force: false }).await;
    assert!(fleet.b.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_in_the_middle_of_an_endless_warm_up() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(create_with("g", spec(1), |it| it.warmup_accesses = u64::MAX)).await;
    fleet.a.send(start("g")).await;
    assert_eq!(fleet.a.host().await.vms.len(), 1);
    let id = fleet.a.send(ServerCommand::Shutdown { force: true }).await;
    assert_eq!(fleet.a.answer(id).await, Ok(ServerReply::Done));
    let ended = timeout(PATIENCE, fleet.server_a.take().unwrap().task).await.unwrap().unwrap();
    assert!(ended.is_ok());
}
