//! A scripted manager, and servers that obey it, all in one process over loopback.

#![allow(dead_code)]

use futures_util::{SinkExt, StreamExt};
use lazycopy_guest::{GuestSpec, ResidentAtStart, WorkloadSpec};
use lazycopy_link::LinkParameters;
use lazycopy_migration::{
    DestinationReport, Event, MigrationParameters, PushOrder, Scheme, Side, SourceReport,
};
use lazycopy_protocol::control::{
    CreateVm, FirstFrame, FromServer, HostState, MAX_SHOWN_PAGES, MigrationId, ServerCommand,
    ServerHello, ServerReply, SideEnded, SideReport, StartMigration, ToServer, VmState,
};
use lazycopy_protocol::frame::JsonCodec;
use lazycopy_server::{ServerConfig, ServerError};
use lazycopy_units::{Duration, Rate};
use std::collections::VecDeque;
use std::time::Duration as WallDuration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::codec::Framed;

/// No test waits longer for anything; what is awaited comes far earlier, or never.
pub const PATIENCE: WallDuration = WallDuration::from_secs(30);

/// Frames of memory of a test's server.
pub const SERVER_FRAMES: u64 = 1_000;

/// A manager's end of a server's connection.
pub struct Attached {
    pub hello: ServerHello,
    framed: Framed<TcpStream, JsonCodec<FromServer, ToServer>>,
    next_id: u64,
    /// What came while something else was awaited.
    pub unasked: VecDeque<FromServer>,
}

/// Accepts a server's connection and reads its hello; the welcome is still to be given.
pub async fn accept(
    listener: &TcpListener,
) -> (ServerHello, Framed<TcpStream, JsonCodec<FromServer, ToServer>>) {
    let accepting = async {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut framed = Framed::new(stream, JsonCodec::<FirstFrame, ToServer>::new());
        let FirstFrame::Server(hello) = framed.next().await.unwrap().unwrap() else {
            panic!("a server introduced itself as something else");
        };
        (hello, framed.map_codec(JsonCodec::retyped::<FromServer, ToServer>))
    };
    timeout(PATIENCE, accepting).await.expect("no server came")
}

/// Accepts and welcomes a server.
pub async fn welcome(listener: &TcpListener) -> Attached {
    let (hello, mut framed) = accept(listener).await;
    framed.send(ToServer::Welcome).await.unwrap();
    Attached { hello, framed, next_id: 0, unasked: VecDeque::new() }
}

impl Attached {
    pub async fn receive(&mut self) -> FromServer {
        timeout(PATIENCE, self.framed.next())
            .await
            .expect("the server said nothing")
            .expect("the server closed its connection")
            .expect("the server sent nonsense")
    }

    /// Whether the server closes the connection.
    pub async fn is_closed(&mut self) -> bool {
        loop {
            match timeout(PATIENCE, self.framed.next()).await.expect("it stays open") {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return true,
            }
        }
    }

    pub async fn send(&mut self, command: ServerCommand) -> u64 {
        self.next_id += 1;
        self.framed.send(ToServer::Command { id: self.next_id, command }).await.unwrap();
        self.next_id
    }

    pub async fn answer(&mut self, id: u64) -> Result<ServerReply, String> {
        loop {
            match self.receive().await {
                FromServer::Reply { id: answered, result } if answered == id => return result,
                other => self.unasked.push_back(other),
            }
        }
    }

    /// Sends a command and waits for its answer.
    pub async fn ask(&mut self, command: ServerCommand) -> Result<ServerReply, String> {
        let id = self.send(command).await;
        self.answer(id).await
    }

    pub async fn done(&mut self, command: ServerCommand) {
        let answer = self.ask(command.clone()).await;
        assert_eq!(answer, Ok(ServerReply::Done), "{command:?}");
    }

    pub async fn refusal(&mut self, command: ServerCommand) -> String {
        self.ask(command.clone()).await.expect_err(&format!("{command:?} was carried out"))
    }

    pub async fn show(&mut self, vm: &str) -> VmState {
        let command = ServerCommand::ShowVm { vm: vm.to_owned(), limit: MAX_SHOWN_PAGES };
        match self.ask(command).await {
            Ok(ServerReply::Vm(state)) => state,
            other => panic!("vm show gave {other:?}"),
        }
    }

    pub async fn host(&mut self) -> HostState {
        match self.ask(ServerCommand::ShowHost).await {
            Ok(ServerReply::Host(state)) => state,
            other => panic!("show host gave {other:?}"),
        }
    }

    /// The next that the server says by itself.
    pub async fn unasked(&mut self) -> FromServer {
        match self.unasked.pop_front() {
            Some(message) => message,
            None => self.receive().await,
        }
    }

    /// The end of a migration on this side; everything else that comes is passed over.
    pub async fn ended(&mut self, migration: MigrationId) -> SideEnded {
        loop {
            if let FromServer::MigrationEnded(ended) = self.unasked().await
                && ended.migration == migration
            {
                return *ended;
            }
        }
    }

    pub async fn events(&mut self, migration: MigrationId) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            let from = all.len() as u64;
            match self.ask(ServerCommand::FetchEvents { migration, from }).await {
                Ok(ServerReply::Events { events, last }) => {
                    all.extend(events);
                    if last {
                        return all;
                    }
                }
                other => panic!("fetching events gave {other:?}"),
            }
        }
    }
}

/// A server in this process.
pub struct RunningServer {
    shutdown: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<Result<(), ServerError>>,
}

impl RunningServer {
    pub fn start(manager: std::net::SocketAddr, name: &str) -> Self {
        let config = ServerConfig {
            manager: manager.to_string(),
            name: name.to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            frames: SERVER_FRAMES,
        };
        let (shutdown, told) = oneshot::channel();
        let task = tokio::spawn(lazycopy_server::run(config, async {
            let _ = told.await;
        }));
        RunningServer { shutdown: Some(shutdown), task }
    }

    /// Ends the server as its process would die: at once, its guests with it.
    pub async fn kill(mut self) {
        drop(self.shutdown.take());
        timeout(PATIENCE, self.task).await.expect("it did not end").unwrap().unwrap();
    }
}

/// Two servers, attached to a manager that the test plays.
pub struct Fleet {
    pub listener: TcpListener,
    pub a: Attached,
    pub b: Attached,
    pub server_a: RunningServer,
    pub server_b: RunningServer,
}

impl Fleet {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server_a = RunningServer::start(address, "a");
        let a = welcome(&listener).await;
        let server_b = RunningServer::start(address, "b");
        let b = welcome(&listener).await;
        Fleet { listener, a, b, server_a, server_b }
    }

    /// Asks for a guest's migration from `a` to `b`.
    pub fn migration(
        &self,
        number: u64,
        vm: &str,
        parameters: &MigrationParameters,
    ) -> ServerCommand {
        ServerCommand::Migrate(Box::new(StartMigration {
            migration: MigrationId(number),
            vm: vm.to_owned(),
            destination: "b".to_owned(),
            destination_address: self.b.hello.address.clone(),
            parameters: parameters.clone(),
            link: link(),
            watch_events: false,
        }))
    }

    /// Both ends of a migration: the source's, then the destination's.
    pub async fn both_ended(&mut self, number: u64) -> (SideEnded, SideEnded) {
        let migration = MigrationId(number);
        (self.a.ended(migration).await, self.b.ended(migration).await)
    }
}

pub fn source_report(ended: &SideEnded) -> &SourceReport {
    assert_eq!(ended.side, Side::Source);
    let SideReport::Source(report) = &ended.report else { panic!("{:?}", ended.report) };
    report
}

pub fn destination_report(ended: &SideEnded) -> &DestinationReport {
    assert_eq!(ended.side, Side::Destination);
    let SideReport::Destination(report) = &ended.report else { panic!("{:?}", ended.report) };
    report
}

/// The paper's guest, with writes.
pub fn spec(seed: u64) -> GuestSpec {
    GuestSpec {
        seed,
        pages: 50,
        frames: 20,
        think_time: Duration::from_millis(970),
        write_fraction: 0.3,
        workload: WorkloadSpec::Queue { length: 100 },
        resident_at_start: ResidentAtStart::None,
    }
}

pub const WARMUP: u64 = 200;

/// Model time per wall time: a migration of the paper's scenario takes about two seconds.
pub const TIME_SCALE: u64 = 200;

pub fn create(vm: &str, seed: u64) -> ServerCommand {
    ServerCommand::CreateVm(CreateVm {
        vm: vm.to_owned(),
        spec: spec(seed),
        time_scale: TIME_SCALE,
        disk_latency: Duration::ZERO,
        warmup_accesses: WARMUP,
    })
}

/// A link whose latency is 5 ms of wall time.
pub fn link() -> LinkParameters {
    LinkParameters {
        bandwidth: Rate::from_bytes_per_sec(8_224).unwrap(),
        latency: Duration::from_secs(1),
    }
}

pub fn parameters(scheme: Scheme) -> MigrationParameters {
    MigrationParameters {
        scheme,
        push_order: PushOrder::Lru,
        context_bytes: 4_096,
        head_start: 2,
        max_lead: None,
        fault_penalty: Duration::ZERO,
        disk_latency_source: Duration::ZERO,
        disk_latency_destination: Duration::from_secs(11),
        measured_accesses: 60,
    }
}

pub fn start(vm: &str) -> ServerCommand {
    ServerCommand::StartVm { vm: vm.to_owned() }
}
