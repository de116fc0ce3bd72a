//! A scripted manager, and servers that obey it, all in one process over loopback.

#![allow(dead_code, unused_imports)]

mod cable;
mod plane;
mod scenario;

pub use cable::*;
pub use plane::*;
pub use scenario::*;

use futures_util::{SinkExt, StreamExt};
use lazycopy_migration::{Event, EventKind, EventRun, MigrationParameters};
use lazycopy_protocol::control::{
    ExpectMigration, FirstFrame, FromServer, HostState, MAX_SHOWN_PAGES, MigrationId, MigrationKey,
    ServerCommand, ServerHello, ServerReply, SideEnded, StartMigration, ToServer, VmState,
};
use lazycopy_protocol::frame::JsonCodec;
use lazycopy_protocol::pace::{Pace, Paced};
use lazycopy_server::{ServerConfig, ServerError};
use lazycopy_transport::{Door, Purpose, answer};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration as WallDuration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::codec::Framed;

/// No test waits longer for anything; what is awaited comes far earlier, or never.
pub const PATIENCE: WallDuration = WallDuration::from_secs(30);

/// Frames of memory of a test's server.
pub const SERVER_FRAMES: u64 = 2_000;

/// What both servers of every migration prove here.
pub const KEY: [u8; 32] = [7; 32];

/// The number of the first command that tells a server what to expect; the others count down.
const FIRST_EXPECT_ID: u64 = u64::MAX;

/// A manager's end of a server's connection.
pub struct Attached {
    pub hello: ServerHello,
    wire: Arc<Mutex<Wire>>,
    next_id: u64,
}

/// The connection itself.
struct Wire {
    framed: Framed<TcpStream, JsonCodec<FromServer, ToServer>>,
    /// What came while something else was awaited.
    unasked: VecDeque<FromServer>,
    /// Commands that have told it what to expect.
    expects: u64,
}

/// The connections to servers, by where those listen for others.
static WIRES: LazyLock<std::sync::Mutex<BTreeMap<String, Weak<Mutex<Wire>>>>> =
    LazyLock::new(Default::default);

/// Who comes to `address` is carried on to `to`.
pub fn carried_on(address: &str, to: &str) {
    let mut wires = WIRES.lock().unwrap();
    let wire = wires[to].clone();
    wires.insert(address.to_owned(), wire);
}

/// Tells the server at `address`, if it is one, to expect a migration.
pub async fn expect(address: &str, migration: MigrationId, vm: &str, source: &str) {
    let wire = WIRES.lock().unwrap().get(address).and_then(Weak::upgrade);
    let Some(wire) = wire else { return };
    let (vm, source) = (vm.to_owned(), source.to_owned());
    let told = ExpectMigration { migration, vm, source, key: MigrationKey::new(KEY) };
    wire.lock().await.told(ServerCommand::Expect(told)).await;
}

impl Wire {
    async fn receive(&mut self) -> FromServer {
        timeout(PATIENCE, self.framed.next())
            .await
            .expect("the server said nothing")
            .expect("the server closed its connection")
            .expect("the server sent nonsense")
    }

    /// Sends a command and waits until it is done; what comes meanwhile is kept.
    async fn told(&mut self, command: ServerCommand) {
        let id = FIRST_EXPECT_ID - self.expects;
        self.expects += 1;
        self.framed.send(ToServer::Command { id, command }).await.unwrap();
        loop {
            match self.receive().await {
                FromServer::Reply { id: answered, result } if answered == id => {
                    return assert_eq!(result, Ok(ServerReply::Done));
                }
                other => self.unasked.push_back(other),
            }
        }
    }
}

/// Accepts a server's connection and reads its hello; the welcome is still to be given.
pub async fn accept(
    listener: &TcpListener,
) -> (ServerHello, Framed<TcpStream, JsonCodec<FromServer, ToServer>>) {
    let accepting = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let purpose = answer(&mut stream, None, &[], |_| Ok(None)).await.unwrap();
        assert_eq!(purpose, Purpose::Server);
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
    let (hello, framed) = accept(listener).await;
    Attached::welcome(hello, framed).await
}

impl Attached {
    pub async fn welcome(
        hello: ServerHello,
        framed: Framed<TcpStream, JsonCodec<FromServer, ToServer>>,
    ) -> Self {
        // Numbers of commands begin anew with each.
        static LIVES: AtomicU64 = AtomicU64::new(1);
        Attached::welcome_in(LIVES.fetch_add(1, Ordering::Relaxed), hello, framed).await
    }

    /// Welcomes it in that life of the manager.
    pub async fn welcome_in(
        life: u64,
        hello: ServerHello,
        mut framed: Framed<TcpStream, JsonCodec<FromServer, ToServer>>,
    ) -> Self {
        framed.send(ToServer::Welcome { life, pace: Pace::default() }).await.unwrap();
        let wire = Arc::new(Mutex::new(Wire { framed, unasked: VecDeque::new(), expects: 0 }));
        WIRES.lock().unwrap().insert(hello.address.clone(), Arc::downgrade(&wire));
        Attached { hello, wire, next_id: 0 }
    }

    pub async fn receive(&mut self) -> FromServer {
        self.wire.lock().await.receive().await
    }

    /// The bare connection, and what of it had been read ahead.
    pub fn into_stream(self) -> (TcpStream, bytes::BytesMut) {
        let wire = Arc::into_inner(self.wire).expect("nobody else uses it").into_inner();
        let parts = wire.framed.into_parts();
        (parts.io, parts.read_buf)
    }

    /// Whether the server closes the connection.
    pub async fn is_closed(&mut self) -> bool {
        let mut wire = self.wire.lock().await;
        loop {
            match timeout(PATIENCE, wire.framed.next()).await.expect("it stays open") {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return true,
            }
        }
    }

    pub async fn send(&mut self, command: ServerCommand) -> u64 {
        if let ServerCommand::Migrate(start) = &command {
            let source = &self.hello.name;
            expect(&start.destination_address, start.migration, &start.vm, source).await;
        }
        self.next_id += 1;
        let (id, mut wire) = (self.next_id, self.wire.lock().await);
        wire.framed.send(ToServer::Command { id, command }).await.unwrap();
        id
    }

    /// The next message that is looked for, among those that came before or are still to come.
    pub async fn find<T>(&mut self, looked_for: impl Fn(&FromServer) -> Option<T>) -> T {
        let (mut known, mut wire) = (0, self.wire.lock().await);
        loop {
            if known == wire.unasked.len() {
                let message = wire.receive().await;
                wire.unasked.push_back(message);
            }
            if let Some(found) = looked_for(&wire.unasked[known]) {
                wire.unasked.remove(known);
                return found;
            }
            known += 1;
        }
    }

    pub async fn answer(&mut self, id: u64) -> Result<ServerReply, String> {
        self.find(|message| match message {
            FromServer::Reply { id: answered, result } if *answered == id => Some(result.clone()),
            _ => None,
        })
        .await
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

    /// Waits until the commands that were sent are done, in whatever order.
    pub async fn all_done(&mut self, ids: Vec<u64>) {
        for id in ids {
            assert_eq!(self.answer(id).await, Ok(ServerReply::Done), "command {id}");
        }
    }

    /// Changes how time goes, and gives what the migrations that leave this server make of it.
    pub async fn set_pace(&mut self, pace: Pace) -> Vec<Paced> {
        match self.ask(ServerCommand::SetPace { pace }).await {
            Ok(ServerReply::Paced { migrations }) => migrations,
            other => panic!("another pace gave {other:?}"),
        }
    }

    pub async fn refusal(&mut self, command: ServerCommand) -> String {
        self.ask(command.clone()).await.expect_err(&format!("{command:?} was carried out"))
    }

    pub async fn show(&mut self, vm: &str) -> VmState {
        let command = ServerCommand::ShowVm { vm: vm.to_owned(), limit: MAX_SHOWN_PAGES };
        match self.ask(command).await {
            Ok(ServerReply::Vm(state)) => *state,
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
    pub async fn receive_unasked(&mut self) -> FromServer {
        self.find(|message| Some(message.clone())).await
    }

    /// The end of a migration on this side.
    pub async fn ended(&mut self, migration: MigrationId) -> SideEnded {
        self.find(|message| match message {
            FromServer::MigrationEnded(ended) if ended.migration == migration => {
                Some((**ended).clone())
            }
            _ => None,
        })
        .await
    }

    /// The first event of a watched migration that is looked for.
    pub async fn event(&mut self, looked_for: impl Fn(&EventKind) -> bool) -> Event {
        self.find(|message| match message {
            FromServer::Event { event, .. } if looked_for(&event.kind) => Some(event.clone()),
            _ => None,
        })
        .await
    }

    /// Why a guest failed.
    pub async fn failure(&mut self, failed: &str) -> String {
        self.find(|message| match message {
            FromServer::VmFailed { vm, reason } if vm == failed => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    pub async fn events(&mut self, migration: MigrationId) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            let from = all.len() as u64;
            match self.ask(ServerCommand::FetchEvents { migration, from }).await {
                Ok(ServerReply::Events { events, last }) => {
                    all.extend(events);
                    if last {
                        return all.into_iter().flat_map(EventRun::events).collect();
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
            door: Door::default(),
        };
        RunningServer::start_with(config)
    }

    pub fn start_with(config: ServerConfig) -> Self {
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
    pub server_a: Option<RunningServer>,
    pub server_b: Option<RunningServer>,
}

impl Fleet {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server_a = Some(RunningServer::start(address, "a"));
        let a = welcome(&listener).await;
        let server_b = Some(RunningServer::start(address, "b"));
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
        self.migration_with(number, vm, parameters, |_| ())
    }

    /// Asks for a migration that differs from the usual.
    pub fn migration_with(
        &self,
        number: u64,
        vm: &str,
        parameters: &MigrationParameters,
        change: impl FnOnce(&mut StartMigration),
    ) -> ServerCommand {
        let mut command = migration(number, vm, &self.b.hello.address, parameters);
        if let ServerCommand::Migrate(start) = &mut command {
            change(start);
        }
        command
    }

    /// Both ends of a migration: the source's, then the destination's.
    pub async fn both_ended(&mut self, number: u64) -> (SideEnded, SideEnded) {
        let migration = MigrationId(number);
        (self.a.ended(migration).await, self.b.ended(migration).await)
    }
}
