//! The manager among servers that are tests: what it tells them, and what it makes of what they
//! say, true or not.

use futures_util::{SinkExt, StreamExt};
use lazycopy_guest::{GuestSpec, Registers, reference_run};
use lazycopy_manager::children::Launcher;
use lazycopy_manager::console::Console;
use lazycopy_manager::grammar::EventLevel;
use lazycopy_manager::{Manager, Settings};
use lazycopy_migration::{
    Cause, DestinationReport, Event, EventKind, EventRun, Fate, Outcome, PageCounts, Side,
    SourceReport, Verdict,
};
use lazycopy_protocol::control::{
    CreateVm, FirstFrame, FromServer, HostSnapshot, HostState, ServerCommand, ServerHello,
    ServerReply, SideEnded, SideReport, StartMigration, ToServer, VmSummary, Watch,
};
use lazycopy_protocol::frame::JsonCodec;
use lazycopy_protocol::pace::Pace;
use lazycopy_results::{load_events, load_run};
use lazycopy_transport::{Door, Purpose, knock};
use lazycopy_units::{Duration, Instant, PageNumber};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::codec::Framed;

/// A manager, and what it prints of itself.
struct Laboratory {
    manager: Manager,
    printed: mpsc::UnboundedReceiver<String>,
    out: TempDir,
}

impl Laboratory {
    async fn open() -> Laboratory {
        let out = TempDir::new().unwrap();
        let (print, printed) = mpsc::unbounded_channel();
        let settings = Settings {
            listen: "127.0.0.1:0".to_owned(),
            out: out.path().to_owned(),
            state: None,
            patience: std::time::Duration::ZERO,
            launcher: Launcher { program: PathBuf::from("none"), arguments: Vec::new() },
            level: EventLevel::Off,
            door: Door::default(),
        };
        let console = Console::new(move |text| drop(print.send(text.to_owned())));
        Laboratory { manager: Manager::start(settings, console).await.unwrap(), printed, out }
    }

    async fn expect(&mut self, part: &str) -> String {
        loop {
            let text = self.printed.recv().await.expect("the manager prints it");
            if text.contains(part) {
                return text;
            }
        }
    }

    /// Begins to carry out a command.
    fn command(&self, line: &str) -> tokio::task::JoinHandle<Result<String, String>> {
        let (manager, line) = (self.manager.clone(), line.to_owned());
        tokio::spawn(async move {
            let reply = manager.run_line(&line).await;
            reply.map(|reply| reply.text).map_err(|error| error.to_string())
        })
    }

    /// A guest on a fake server, and the message that created it.
    async fn guest(&self, server: &mut FakeServer, line: &str) -> CreateVm {
        let command = self.command(line);
        let (id, created) = server.command().await;
        let ServerCommand::CreateVm(created) = created else { panic!("{created:?}") };
        server.reply(id, Ok(ServerReply::Done)).await;
        command.await.unwrap().expect("the server has said yes");
        created
    }
}

/// A server that says what a test wants, and lets every migration be expected.
struct FakeServer {
    name: String,
    heard: mpsc::UnboundedReceiver<ToServer>,
    says: mpsc::UnboundedSender<Said>,
}

/// What a fake server says.
#[derive(Debug)]
enum Said {
    Message(Box<FromServer>),
    Nonsense(Vec<u8>),
}

/// A fake server's connection, until it is dropped.
async fn converse(
    mut connection: Framed<TcpStream, JsonCodec<ToServer, FromServer>>,
    hear: mpsc::UnboundedSender<ToServer>,
    mut to_say: mpsc::UnboundedReceiver<Said>,
) {
    loop {
        let said = tokio::select! {
            said = to_say.recv() => match said {
                Some(said) => said,
                None => return,
            },
            Some(Ok(message)) = connection.next() => match message {
                ToServer::Command { id, command: ServerCommand::Expect(_) } => {
                    Said::Message(Box::new(FromServer::Reply { id, result: Ok(ServerReply::Done) }))
                }
                ToServer::Heartbeat => Said::Message(Box::new(FromServer::Heartbeat)),
                message => {
                    let _ = hear.send(message);
                    continue;
                }
            },
        };
        match said {
            Said::Message(message) => connection.send(*message).await.unwrap(),
            Said::Nonsense(bytes) => connection.get_mut().write_all(&bytes).await.unwrap(),
        }
    }
}

impl FakeServer {
    async fn introduce(laboratory: &mut Laboratory, name: &str) -> FakeServer {
        FakeServer::introduce_with(laboratory, name, Vec::new()).await
    }

    /// One that brings guests along.
    async fn introduce_with(
        laboratory: &mut Laboratory,
        name: &str,
        vms: Vec<VmSummary>,
    ) -> FakeServer {
        let mut stream = TcpStream::connect(laboratory.manager.address()).await.unwrap();
        knock(&mut stream, Purpose::Server, None, None, &[]).await.unwrap();
        let mut opening = Framed::new(stream, JsonCodec::<ToServer, FirstFrame>::new());
        let hello = ServerHello {
            version: "0".to_owned(),
            name: name.to_owned(),
            pid: 1,
            address: format!("{name}.example:1"),
            frames: 1_000,
            vms,
            sides: Vec::new(),
            pace: Pace::default(),
        };
        opening.send(FirstFrame::Server(hello)).await.unwrap();
        let mut connection = opening.map_codec(JsonCodec::retyped::<ToServer, FromServer>);
        let welcome = connection.next().await.unwrap().unwrap();
        assert!(matches!(welcome, ToServer::Welcome { .. }), "{welcome:?}");
        laboratory.expect(&format!("Server \"{name}\" is here")).await;
        let ((hear, heard), (says, to_say)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        tokio::spawn(converse(connection, hear, to_say));
        FakeServer { name: name.to_owned(), heard, says }
    }

    async fn command(&mut self) -> (u64, ServerCommand) {
        match self.heard.recv().await.expect("the manager is there") {
            ToServer::Command { id, command } => (id, command),
            other => panic!("{other:?}"),
        }
    }

    async fn say(&mut self, message: FromServer) {
        self.says.send(Said::Message(Box::new(message))).expect("it is connected");
    }

    async fn reply(&mut self, id: u64, result: Result<ServerReply, String>) {
        self.say(FromServer::Reply { id, result }).await;
    }

    /// Accepts a migration.
    async fn migrate(&mut self) -> StartMigration {
        let (id, command) = self.command().await;
        let ServerCommand::Migrate(start) = command else { panic!("{command:?}") };
        self.reply(id, Ok(ServerReply::Done)).await;
        *start
    }

    /// Ends its side of a migration, and lets the manager forget it.
    async fn end(&mut self, start: &StartMigration, outcome: Outcome, report: SideReport) {
        self.end_with(start, outcome, report, |_| ()).await;
    }

    /// The same with something else to say.
    async fn end_with(
        &mut self,
        start: &StartMigration,
        outcome: Outcome,
        report: SideReport,
        change: impl FnOnce(&mut SideEnded),
    ) {
        let host = HostState {
            server: self.name.clone(),
            frames: 1_000,
            frames_taken: 0,
            vms: Vec::new(),
        };
        let snapshot = HostSnapshot { host, guest: None };
        let mut ended = SideEnded {
            migration: start.migration,
            vm: start.vm.clone(),
            side: match report {
                SideReport::Source(_) => Side::Source,
                SideReport::Destination(_) => Side::Destination,
            },
            verdict: Verdict { outcome, reason: "the test says so".to_owned() },
            report,
            slip: Duration::from_millis(3),
            out_of_order: 0,
            before: snapshot.clone(),
            after: snapshot,
            events: 0,
            plane: None,
        };
        change(&mut ended);
        self.say(FromServer::MigrationEnded(Box::new(ended))).await;
    }

    /// Gives the piece of its events that is asked for, which begins with that entry.
    async fn tells(&mut self, first: u64, events: Vec<EventRun>, last: bool) {
        let (id, command) = self.command().await;
        assert!(
            matches!(command, ServerCommand::FetchEvents { from, .. } if from == first),
            "{command:?}"
        );
        self.reply(id, Ok(ServerReply::Events { events, last })).await;
    }

    async fn forgets(&mut self) {
        let (id, command) = self.command().await;
        assert!(matches!(command, ServerCommand::ForgetMigration { .. }), "{command:?}");
        self.reply(id, Ok(ServerReply::Done)).await;
    }
}

fn at(seconds: u64) -> Option<Instant> {
    Some(Instant::ZERO + Duration::from_secs(seconds))
}

/// What a source counts that sends twenty pages.
fn source_report() -> SideReport {
    SideReport::Source(SourceReport {
        requested_at: at(0),
        suspended_at: at(0),
        handover_at: at(0),
        released_at: at(12),
        sent: PageCounts { background: 20, ..PageCounts::default() },
        bytes: 86_512,
        ..SourceReport::default()
    })
}

/// What a destination counts whose guest has done `accesses` accesses since access 200, and has
/// the registers and pages of `spec`'s reference run then.
fn destination_report(spec: &GuestSpec, accesses: u64) -> DestinationReport {
    let spec = Arc::new(spec.clone());
    let run = |to| reference_run(&spec, Duration::ZERO, 200, to).unwrap();
    let (resumed, ended) = (run(200), run(200 + accesses));
    DestinationReport {
        resumed_at: at(1),
        completed_at: at(11),
        measured_at: at(100),
        ended_at: at(100),
        arrived: PageCounts { background: 20, ..PageCounts::default() },
        resumed_registers: Some(resumed.registers),
        measured_registers: Some(ended.registers),
        ended_registers: Some(ended.registers),
        ended_pages_digest: Some(ended.pages_digest),
        ..DestinationReport::default()
    }
}

/// A migration of the paper's guest from "a" to "b" whose destination reports what `report` makes
/// of the truth; what came of `migrate --wait`.
async fn migration(
    report: impl FnOnce(&mut DestinationReport),
) -> (Laboratory, Result<String, String>) {
    let mut laboratory = Laboratory::open().await;
    let mut a = FakeServer::introduce(&mut laboratory, "a").await;
    let mut b = FakeServer::introduce(&mut laboratory, "b").await;
    let created =
        laboratory.guest(&mut a, "vm create v --on a --set guest.write_fraction=0.5").await;
    assert_eq!((created.warmup_accesses, created.time_scale), (200, 50));
    assert!(!created.real_memory);
    let waited = laboratory.command("migrate v --to b --scheme post-copy --wait");
    let start = a.migrate().await;
    assert_eq!(start.destination_address, "b.example:1");
    a.end(&start, Outcome::Completed, source_report()).await;
    let mut truth = destination_report(&created.spec, 100);
    report(&mut truth);
    b.end(&start, Outcome::Completed, SideReport::Destination(truth)).await;
    tokio::join!(a.forgets(), b.forgets());
    let waited = waited.await.unwrap();
    (laboratory, waited)
}

#[tokio::test]
async fn a_guest_that_equals_its_reference_run_is_told_to() {
    let (laboratory, waited) = migration(|_| ()).await;
    waited.unwrap();
    let run = std::fs::read_dir(laboratory.out.path()).unwrap().next().unwrap().unwrap();
    let record = load_run(&run.path()).unwrap();
    assert_eq!(record.digest_matches, Some(true));
    assert_eq!(record.metrics.total_migration_time_ns, Some(11_000_000_000));
    assert!(record.metrics.reference_measured_time_ns.is_some());
    assert_eq!(record.slip_bound_ns, Some(200_000_000));
    assert_eq!((record.metrics.slip_ns, record.slip_exceeded), (Some(3_000_000), false));
    assert_eq!(record.plane, None);
    let text = std::fs::read_to_string(run.path().join("result.json")).unwrap();
    assert!(!text.contains("\"plane\""), "{text}");
}

fn page_event(side: Side, nanos: u64, kind: EventKind) -> Event {
    Event { at: Instant::from_nanos(nanos), side, kind }
}

#[tokio::test]
async fn the_events_of_both_sides_are_fetched_in_pieces_and_written_one_by_one() {
    let mut laboratory = Laboratory::open().await;
    let mut a = FakeServer::introduce(&mut laboratory, "a").await;
    let mut b = FakeServer::introduce(&mut laboratory, "b").await;
    laboratory.guest(&mut a, "vm create v --on a").await;
    let waited = laboratory.command("migrate v --to b --scheme post-copy --wait");
    let start = a.migrate().await;
    let sent = |nanos, page| {
        let cause = Cause::Background;
        page_event(Side::Source, nanos, EventKind::PageSent { page: PageNumber(page), cause })
    };
    let arrived = |nanos, page| {
        let (page, cause, fate) = (PageNumber(page), Cause::Background, Fate::Installed);
        page_event(Side::Destination, nanos, EventKind::PageArrived { page, cause, fate })
    };
    let run = |first, count| EventRun { first, count, step: Duration::from_nanos(10) };
    a.end_with(&start, Outcome::Failed, source_report(), |it| it.events = 4).await;
    let report = SideReport::Destination(DestinationReport::default());
    b.end_with(&start, Outcome::Failed, report, |it| it.events = 2).await;
    a.tells(0, vec![sent(5, 40).into(), run(sent(10, 3), 2)], false).await;
    a.tells(2, vec![sent(40, 9).into()], true).await;
    b.tells(0, vec![run(arrived(20, 40), 2)], true).await;
    tokio::join!(a.forgets(), b.forgets());
    waited.await.unwrap().expect_err("the sides say that it has failed");
    let run = std::fs::read_dir(laboratory.out.path()).unwrap().next().unwrap().unwrap();
    let expected =
        [sent(5, 40), sent(10, 3), sent(20, 4), arrived(20, 40), arrived(30, 41), sent(40, 9)];
    assert_eq!(load_events(&run.path()).unwrap(), expected);
}

#[tokio::test]
async fn a_guest_that_saw_something_else_than_its_reference_run_is_no_success() {
    let (laboratory, waited) = migration(|report| {
        let registers = report.ended_registers.unwrap();
        report.ended_registers = Some(Registers { digest: registers.digest ^ 1, ..registers });
    })
    .await;
    assert!(waited.unwrap_err().contains("the guest's digest is"));
    let run = std::fs::read_dir(laboratory.out.path()).unwrap().next().unwrap().unwrap();
    assert_eq!(load_run(&run.path()).unwrap().digest_matches, Some(false));
}

#[tokio::test]
async fn a_guest_with_another_page_than_its_reference_run_is_no_success() {
    let (_laboratory, waited) = migration(|report| {
        report.ended_pages_digest = report.ended_pages_digest.map(|digest| digest ^ 1);
    })
    .await;
    assert!(waited.unwrap_err().contains("the pages' digest is"));
}

#[tokio::test]
async fn sides_that_count_differently_are_no_success() {
    let (_laboratory, waited) = migration(|report| report.arrived.background = 19).await;
    assert!(waited.unwrap_err().contains("its parts do not add up"));
}

#[tokio::test]
async fn a_migration_that_the_source_refuses_never_was() {
    let mut laboratory = Laboratory::open().await;
    let mut a = FakeServer::introduce(&mut laboratory, "a").await;
    let _b = FakeServer::introduce(&mut laboratory, "b").await;
    laboratory.guest(&mut a, "vm create v --on a").await;
    for _ in 0..2 {
        let command = laboratory.command("migrate v --to b");
        let (id, _) = a.command().await;
        a.reply(id, Err("the destination does not answer".to_owned())).await;
        let refusal = command.await.unwrap().unwrap_err();
        assert_eq!(refusal, "server \"a\": the destination does not answer");
    }
}

#[tokio::test]
async fn a_guest_that_a_server_does_not_create_is_none() {
    let mut laboratory = Laboratory::open().await;
    let mut a = FakeServer::introduce(&mut laboratory, "a").await;
    let command = laboratory.command("vm create v --on a");
    let (id, _) = a.command().await;
    a.reply(id, Err("no memory".to_owned())).await;
    assert_eq!(command.await.unwrap().unwrap_err(), "server \"a\": no memory");
    laboratory.guest(&mut a, "vm create v --on a").await;
}

#[tokio::test]
async fn a_server_that_breaks_the_protocol_is_dropped_with_its_guests_and_nothing_else_is() {
    let mut laboratory = Laboratory::open().await;
    let mut a = FakeServer::introduce(&mut laboratory, "a").await;
    let mut b = FakeServer::introduce(&mut laboratory, "b").await;
    laboratory.guest(&mut a, "vm create v --on a").await;
    laboratory.guest(&mut b, "vm create w --on b").await;
    let show = laboratory.command("vm show v");
    a.command().await;
    a.says.send(Said::Nonsense(vec![0xff; 8])).expect("it is connected");
    laboratory.expect("the connection to server \"a\" broke: a frame of 4294967295 bytes").await;
    assert!(laboratory.expect("Server \"a\" is gone").await.contains("its guests with it: v"));
    assert_eq!(show.await.unwrap().unwrap_err(), "server \"a\" is gone");
    let start = laboratory.command("vm start w");
    let (id, _) = b.command().await;
    b.reply(id, Ok(ServerReply::Done)).await;
    start.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_a_server_says_of_migrations_that_never_were_is_not_believed() {
    let mut laboratory = Laboratory::open().await;
    let mut a = FakeServer::introduce(&mut laboratory, "a").await;
    laboratory.guest(&mut a, "vm create v --on a").await;
    let paper = lazycopy_scenario::Scenario::from_toml(lazycopy_scenario::SHIPPED[0].text, "paper");
    let paper = paper.unwrap();
    let start = StartMigration {
        migration: lazycopy_protocol::control::MigrationId(77),
        vm: "v".to_owned(),
        destination: "b".to_owned(),
        destination_address: String::new(),
        parameters: paper.migration_parameters(),
        link: paper.link(),
        watch: Watch::Off,
        key: lazycopy_protocol::control::MigrationKey::new([1; 32]),
        recover_within: Duration::from_secs(1),
    };
    a.end(&start, Outcome::Lost, source_report()).await;
    a.reply(12_345, Ok(ServerReply::Done)).await;
    let command = laboratory.command("vm start v");
    let (id, _) = a.command().await;
    a.reply(id, Ok(ServerReply::Done)).await;
    command.await.unwrap().expect("the guest is where it was");
    assert!(laboratory.command("results").await.unwrap().unwrap().contains("No migration"));
}

#[tokio::test]
async fn a_third_server_settles_neither_others_migrations_nor_their_guests() {
    let mut laboratory = Laboratory::open().await;
    let mut a = FakeServer::introduce(&mut laboratory, "a").await;
    let mut b = FakeServer::introduce(&mut laboratory, "b").await;
    let mut c = FakeServer::introduce(&mut laboratory, "c").await;
    let created = laboratory.guest(&mut a, "vm create v --on a").await;
    let waited = laboratory.command("migrate v --to b --scheme post-copy --wait");
    let start = a.migrate().await;
    let unknown = lazycopy_protocol::control::MigrationId(77);
    let never_was = StartMigration { migration: unknown, ..start.clone() };
    let destination = || SideReport::Destination(DestinationReport::default());
    for claimed in [&start, &never_was] {
        for (report, name) in [source_report(), destination()]
            .into_iter()
            .flat_map(|it| ["a", "b", "c"].map(|name| (it.clone(), name)))
        {
            // It says to have the guest, or that it is nowhere.
            for vms in [Vec::new(), vec![summary(&created)]] {
                let change = |it: &mut SideEnded| {
                    it.after.host.server = name.to_owned();
                    it.after.host.vms = vms;
                };
                c.end_with(claimed, Outcome::Lost, report.clone(), change).await;
            }
        }
    }
    c.say(FromServer::VmFailed { vm: "v".to_owned(), reason: "c says so".to_owned() }).await;
    // What it says is heard in its order: all of that was.
    laboratory.guest(&mut c, "vm create other --on c").await;
    a.end(&start, Outcome::Completed, source_report()).await;
    let truth = SideReport::Destination(destination_report(&created.spec, 100));
    b.end(&start, Outcome::Completed, truth).await;
    tokio::join!(a.forgets(), b.forgets());
    waited.await.unwrap().expect("it completed, and the guest is its reference run's");
    // The guest is at its destination, and there alone.
    let _back = laboratory.command("migrate v --to a");
    assert_eq!(b.migrate().await.vm, "v");
}

/// The guest, as a server that has it lists it.
fn summary(created: &CreateVm) -> VmSummary {
    VmSummary {
        vm: created.vm.clone(),
        phase: lazycopy_protocol::control::VmPhase::Running,
        pages: created.spec.pages,
        frames: created.spec.frames,
        accesses: 0,
        miss_ratio: None,
        recent_miss_ratio: None,
        real_memory: false,
    }
}

#[path = "fake_servers/gangs.rs"]
mod gangs;
#[path = "fake_servers/unlimited.rs"]
mod unlimited;
