//! Many guests moved at once, among servers that do what a test wants.

use super::{FakeServer, Laboratory, destination_report, source_report};
use lazycopy_guest::GuestSpec;
use lazycopy_migration::{Outcome, SourceReport};
use lazycopy_protocol::control::{
    HostState, ServerCommand, ServerReply, SideReport, StartMigration, ToServer,
};
use tokio::sync::mpsc;

/// The end of a side, to be told to the manager.
type Ending = (StartMigration, Outcome, SideReport);

/// A server that says yes to everything but migrations to one destination, and ends migrations
/// when the test says so.
struct Puppet {
    begun: mpsc::UnboundedReceiver<StartMigration>,
    endings: mpsc::UnboundedSender<Ending>,
    task: tokio::task::JoinHandle<()>,
}

impl Puppet {
    fn of(mut server: FakeServer, refused_destination: Option<&'static str>) -> Puppet {
        let (told, begun) = mpsc::unbounded_channel();
        let (endings, mut to_say) = mpsc::unbounded_channel::<Ending>();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some((start, outcome, report)) = to_say.recv() => {
                        server.end(&start, outcome, report).await;
                    }
                    message = server.heard.recv() => {
                        let Some(ToServer::Command { id, command }) = message else { return };
                        let answer = match command {
                            ServerCommand::Migrate(start)
                                if Some(&*start.destination) == refused_destination =>
                            {
                                Err("the destination does not answer".to_owned())
                            }
                            ServerCommand::Migrate(start) => {
                                told.send(*start).unwrap();
                                Ok(ServerReply::Done)
                            }
                            ServerCommand::ShowHost => Ok(ServerReply::Host(HostState {
                                server: server.name.clone(),
                                frames: 0,
                                frames_taken: 0,
                                vms: Vec::new(),
                            })),
                            _ => Ok(ServerReply::Done),
                        };
                        server.reply(id, answer).await;
                    }
                }
            }
        });
        Puppet { begun, endings, task }
    }

    async fn begun(&mut self) -> StartMigration {
        self.begun.recv().await.expect("a migration begins")
    }

    fn end(&self, start: &StartMigration, outcome: Outcome, report: SideReport) {
        self.endings.send((start.clone(), outcome, report)).unwrap();
    }

    /// The source's side of a migration that broke.
    fn fail(&self, start: &StartMigration, outcome: Outcome) {
        self.end(start, outcome, SideReport::Source(SourceReport::default()));
    }

    /// The destination's side of a migration that broke before its guest came.
    fn fail_to_receive(&self, start: &StartMigration) {
        self.end(start, Outcome::Failed, SideReport::Destination(Default::default()));
    }
}

/// "a" with so many of the paper's guests, "v1" and so on, and two empty servers "b" and "c".
struct Fleet {
    laboratory: Laboratory,
    spec: GuestSpec,
    a: Puppet,
    b: Puppet,
    c: Puppet,
}

impl Fleet {
    async fn open(guests: usize, refused_destination: Option<&'static str>) -> Fleet {
        let mut laboratory = Laboratory::open().await;
        let mut a = FakeServer::introduce(&mut laboratory, "a").await;
        let b = Puppet::of(FakeServer::introduce(&mut laboratory, "b").await, None);
        let c = Puppet::of(FakeServer::introduce(&mut laboratory, "c").await, None);
        let mut spec = None;
        for number in 1..=guests {
            let created = laboratory.guest(&mut a, &format!("vm create v{number} --on a")).await;
            spec = Some(created.spec);
        }
        let spec = spec.expect("there are guests");
        Fleet { laboratory, spec, a: Puppet::of(a, refused_destination), b, c }
    }

    fn complete(&self, start: &StartMigration) {
        let report = SideReport::Destination(destination_report(&self.spec, 100));
        let destination = if start.destination == "b" { &self.b } else { &self.c };
        self.a.end(start, Outcome::Completed, source_report());
        destination.end(start, Outcome::Completed, report);
    }

    /// Whether the source has been told of all that the manager had to tell it until now.
    async fn source_is_up_to_date(&self) {
        self.laboratory.command("server show a").await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn so_many_migrate_at_once_as_are_allowed_each_with_its_share_of_the_link() {
    let mut fleet = Fleet::open(3, None).await;
    let evacuated = fleet.laboratory.command("server evacuate a --parallel 2 --to b");
    let (first, second) = (fleet.a.begun().await, fleet.a.begun().await);
    for start in [&first, &second] {
        assert_eq!(
            start.link.modelled().unwrap().bandwidth.to_string(),
            "4112B/s",
            "half of 8224B/s"
        );
    }
    fleet.source_is_up_to_date().await;
    assert!(fleet.a.begun.try_recv().is_err(), "a third one has to wait");
    // The destination's part, with the measured accesses, is not waited for.
    fleet.a.end(&first, Outcome::Completed, source_report());
    let third = fleet.a.begun().await;
    assert_eq!(third.link, first.link);
    let report = SideReport::Destination(destination_report(&fleet.spec, 100));
    fleet.b.end(&first, Outcome::Completed, report);
    fleet.complete(&second);
    fleet.complete(&third);
    let text = evacuated.await.unwrap().unwrap();
    assert!(text.contains("3 guests of server \"a\" moved: 3 of 3 migrations"), "{text}");
    assert!(
        text.contains("2 at once, each with 1/2 of its link; 60 pages, 259536 bytes"),
        "{text}"
    );
}

#[tokio::test]
async fn a_migration_that_fails_is_tried_once_more_with_another_server() {
    let mut fleet = Fleet::open(1, None).await;
    let evacuated = fleet.laboratory.command("server evacuate a");
    let first = fleet.a.begun().await;
    assert_eq!(
        (&*first.destination, first.link.modelled().unwrap().bandwidth.bytes_per_sec()),
        ("b", 8224)
    );
    fleet.a.fail(&first, Outcome::Failed);
    fleet.b.fail_to_receive(&first);
    let second = fleet.a.begun().await;
    assert_eq!(second.destination, "c");
    fleet.complete(&second);
    let text = evacuated.await.unwrap().unwrap();
    assert!(text.contains("after \"b\" failed") && text.contains("1 of 2 migrations"), "{text}");
    let settled = fleet.laboratory.command("wait").await.unwrap().unwrap();
    assert!(settled.contains("no migration to wait for"), "all of them were told of: {settled}");
}

#[tokio::test]
async fn a_guest_that_fails_twice_or_is_taken_back_remains_and_is_named() {
    let mut fleet = Fleet::open(2, None).await;
    let evacuated = fleet.laboratory.command("server evacuate a --parallel 1");
    for destination in ["b", "c"] {
        let start = fleet.a.begun().await;
        assert_eq!((&*start.vm, &*start.destination), ("v1", destination));
        fleet.a.fail(&start, Outcome::Failed);
        let receiver = if destination == "b" { &fleet.b } else { &fleet.c };
        receiver.fail_to_receive(&start);
        if destination == "b" {
            let other = fleet.a.begun().await;
            assert_eq!(other.vm, "v2", "a second try has to wait for its turn");
            fleet.a.fail(&other, Outcome::Cancelled);
            fleet.c.fail_to_receive(&other);
        }
    }
    let text = evacuated.await.unwrap().unwrap_err();
    assert!(text.starts_with("2 of 2 guests of server \"a\" were not moved"), "{text}");
    assert!(
        text.contains("\"v1\": failed: the test") && text.contains("\"v2\": cancelled"),
        "{text}"
    );
}

#[tokio::test]
async fn a_refusal_is_a_failure_of_its_destination_alone() {
    let mut fleet = Fleet::open(2, Some("b")).await;
    let evacuated = fleet.laboratory.command("server evacuate a");
    for _ in 0..2 {
        let start = fleet.a.begun().await;
        assert_eq!(start.destination, "c");
        fleet.complete(&start);
    }
    assert!(evacuated.await.unwrap().unwrap().contains("2 of 3 migrations"));
}

#[tokio::test]
async fn a_guest_that_is_lost_is_named_and_the_others_go_on() {
    let mut fleet = Fleet::open(2, None).await;
    let evacuated = fleet.laboratory.command("server evacuate a --parallel 2");
    let mut starts = [fleet.a.begun().await, fleet.a.begun().await];
    starts.sort_by(|one, other| one.vm.cmp(&other.vm));
    let [to_b, to_c] = starts;
    assert_eq!((&*to_b.destination, &*to_c.destination), ("b", "c"));
    fleet.b.task.abort();
    fleet.laboratory.expect("Server \"b\" is gone").await;
    fleet.a.end(&to_b, Outcome::Completed, source_report());
    fleet.complete(&to_c);
    let text = evacuated.await.unwrap().unwrap_err();
    assert!(
        text.starts_with("1 of 2 guests") && text.contains("\"v1\": lost: server \"b\""),
        "{text}"
    );
    let servers = fleet.laboratory.command("vm show v1").await.unwrap().unwrap_err();
    assert!(servers.contains("there is no guest \"v1\""), "{servers}");
}

#[tokio::test]
async fn a_guest_that_migrates_already_is_waited_for_and_moved_where_that_fails() {
    let mut fleet = Fleet::open(1, None).await;
    let migrating = fleet.laboratory.command("migrate v1 --to c");
    let own = fleet.a.begun().await;
    migrating.await.unwrap().unwrap();
    let drained = fleet.laboratory.command("server drain a");
    while !fleet.laboratory.command("server list").await.unwrap().unwrap().contains("draining") {}
    let refusal = fleet.laboratory.command("server evacuate a").await.unwrap().unwrap_err();
    assert!(refusal.contains("server \"a\" is being evacuated already"), "{refusal}");
    fleet.a.fail(&own, Outcome::Failed);
    fleet.c.fail_to_receive(&own);
    let start = fleet.a.begun().await;
    assert_eq!(start.destination, "b");
    fleet.complete(&start);
    let text = drained.await.unwrap().unwrap();
    assert!(text.ends_with("Server \"a\" takes no guests until: server undrain a"), "{text}");
}
