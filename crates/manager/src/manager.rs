//! The running manager: its state, and who is told when it changes.

use crate::children::{Child, Launcher};
use crate::connection::{AskError, Connection};
use crate::console::Console;
use crate::feed;
use crate::fleet::{Fleet, FleetError, Loss};
use crate::grammar::EventLevel;
use crate::listener;
use crate::web::{Hub, WATCHED_PAGES, Web};
use lazycopy_protocol::control::{FromServer, MigrationId, ServerHello, VmPhase, Watch};
use lazycopy_transport::{Door, DoorError};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

/// What a manager is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where servers and `ctl` reach it: `host:port`; port 0 lets the system choose.
    pub listen: String,
    /// Where each run's directory goes.
    pub out: PathBuf,
    /// How servers are started.
    pub launcher: Launcher,
    /// Which events are printed at first.
    pub level: EventLevel,
    /// What it asks of whoever comes in.
    pub door: Door,
}

/// Why a manager cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process listens there.
    #[error(
        "{listen} is in use, perhaps by another manager; choose another address with --listen \
         (with port 0 the system chooses a free one)"
    )]
    InUse {
        /// The address.
        listen: String,
    },
    /// Who comes from elsewhere could not be told from others.
    #[error("--listen: {0}")]
    Door(#[from] DoorError),
    /// It is no address of this machine.
    #[error("cannot listen on {listen}: {problem}")]
    Unusable {
        /// The address.
        listen: String,
        /// What the system said.
        problem: std::io::Error,
    },
}

/// What changes. Its lock is held for a decision and never while waiting for anything.
#[derive(Debug)]
pub(crate) struct State {
    pub fleet: Fleet,
    pub connections: BTreeMap<String, Connection>,
    pub children: BTreeMap<String, Child>,
    /// Servers that were told to end: their going is no loss.
    pub stopping: BTreeSet<String>,
    pub level: EventLevel,
    pub quitting: bool,
    /// Commands of `ctl` whose reply is not written yet.
    pub unanswered: usize,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    address: SocketAddr,
    console: Console,
    state: Mutex<State>,
    changes: watch::Sender<()>,
    verifying: Semaphore,
    fetching: Semaphore,
    /// Absent without a page.
    web: OnceLock<Arc<Web>>,
}

/// Reference runs at a time: each keeps a core busy, and another is to be left for what still runs.
const VERIFYING_AT_ONCE: usize = 1;

/// Migrations whose events are fetched at a time: each takes a thread that writes and a few pieces
/// of its events, however many end at once.
const FETCHING_AT_ONCE: usize = 4;

/// How long the end waits for replies to be written.
const LAST_REPLIES: Duration = Duration::from_secs(2);

/// A running manager. Clones are handles to the same.
#[derive(Clone, Debug)]
pub struct Manager {
    shared: Arc<Shared>,
}

impl Manager {
    /// Starts a manager: from here on servers and `ctl` can connect.
    ///
    /// # Errors
    /// When it cannot listen where it should.
    pub async fn start(settings: Settings, console: Console) -> Result<Manager, StartError> {
        let listen = settings.listen.clone();
        let unusable = |problem: std::io::Error| match problem.kind() {
            std::io::ErrorKind::AddrInUse => StartError::InUse { listen: listen.clone() },
            _ => StartError::Unusable { listen: listen.clone(), problem },
        };
        for place in lookup_host(&settings.listen).await.map_err(unusable)? {
            settings.door.check(place)?;
        }
        let listener = TcpListener::bind(&settings.listen).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let state = State {
            fleet: Fleet::default(),
            connections: BTreeMap::new(),
            children: BTreeMap::new(),
            stopping: BTreeSet::new(),
            level: settings.level,
            quitting: false,
            unanswered: 0,
        };
        let (changes, _) = watch::channel(());
        let state = Mutex::new(state);
        let verifying = Semaphore::new(VERIFYING_AT_ONCE);
        let fetching = Semaphore::new(FETCHING_AT_ONCE);
        let web = OnceLock::new();
        let shared =
            Shared { settings, address, console, state, changes, verifying, fetching, web };
        let manager = Manager { shared: Arc::new(shared) };
        tokio::spawn(listener::accept_all(listener, manager.clone()));
        Ok(manager)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// What it was started with.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Prints something that no command asked for.
    pub fn notice(&self, text: &str) {
        self.shared.console.print(text);
    }

    /// Whether it was told to end.
    pub fn is_quitting(&self) -> bool {
        self.read(|state| state.quitting)
    }

    /// Where the live page is, where there is one.
    pub fn page_url(&self) -> Option<String> {
        self.web().map(Web::url)
    }

    /// The live page.
    pub(crate) fn web(&self) -> Option<&Web> {
        self.shared.web.get().map(|web| &**web)
    }

    /// What the live page is told of migrations.
    pub(crate) fn hub(&self) -> Option<&Hub> {
        self.web().map(|web| &web.hub)
    }

    /// From now on there is a live page, unless there was one.
    pub(crate) fn open_page(&self, web: Arc<Web>) -> Result<(), ()> {
        self.shared.web.set(web).map_err(drop)
    }

    /// Which events of a migration of a guest with so many pages are to be sent.
    pub(crate) fn watch(&self, level: EventLevel, pages: u32) -> Watch {
        let for_page = match self.web() {
            None => Watch::Off,
            Some(_) if pages <= WATCHED_PAGES => Watch::All,
            Some(_) => Watch::Milestones,
        };
        level.watch().max(for_page)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn to do a reference run.
    pub(crate) async fn turn_to_verify(&self) -> Option<SemaphorePermit<'_>> {
        self.shared.verifying.acquire().await.ok()
    }

    /// Waits for the turn to fetch a migration's events.
    pub(crate) async fn turn_to_fetch(&self) -> Option<SemaphorePermit<'_>> {
        self.shared.fetching.acquire().await.ok()
    }

    /// Waits until it is told to end, by whomever, and whoever waits for a reply has it.
    pub(crate) async fn told_to_quit(&self) {
        self.until(|state| state.quitting.then_some(())).await;
        let answered = self.until(|state| (state.unanswered == 0).then_some(()));
        let _ = tokio::time::timeout(LAST_REPLIES, answered).await;
    }

    /// Looks at the state.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state and wakes whoever waits for a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.shared.changes.send_replace(());
        result
    }

    /// Waits until `look` finds what it looks for.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let mut changes = self.shared.changes.subscribe();
        loop {
            if let Some(found) = self.read(&mut look) {
                return found;
            }
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    /// The connection to a server.
    pub(crate) fn connection(&self, server: &str) -> Result<Connection, AskError> {
        self.read(|state| state.connections.get(server).cloned())
            .ok_or_else(|| AskError::Gone { server: server.to_owned() })
    }

    /// A server introduces itself over a connection.
    pub(crate) fn introduce(
        &self,
        hello: ServerHello,
        connection: &Connection,
    ) -> Result<(), FleetError> {
        let (name, vms) = (hello.name.clone(), hello.vms.len());
        let (address, frames) = (hello.address.clone(), hello.frames);
        let brings = if vms == 0 { String::new() } else { format!(" and brings {vms} guest(s)") };
        self.change(|state| {
            state.fleet.introduce(hello)?;
            state.connections.insert(name.clone(), connection.clone());
            // Printed before anybody who waits for it goes on.
            self.notice(&format!(
                "Server \"{name}\" is here: {address}, {frames} frames for guests{brings}."
            ));
            Ok(())
        })
    }

    /// A server says something that is no answer.
    pub(crate) fn hear(&self, server: &str, message: FromServer) {
        match message {
            FromServer::Reply { .. } => {}
            FromServer::Event { migration, event } => {
                let (level, vm) = self.read(|state| {
                    let vm = state.fleet.migration(migration).map(|migration| migration.vm.clone());
                    (state.level, vm)
                });
                let vm = vm.unwrap_or_default();
                if let Some(hub) = self.hub() {
                    hub.saw(migration, &event);
                }
                if let Some(line) = feed::line(level, &vm, &event) {
                    self.notice(&line);
                }
            }
            FromServer::Progress { migration, transfer } => {
                // Nobody waits for it, so nobody is woken.
                self.lock().fleet.progressed(migration, transfer);
                if let Some(hub) = self.hub() {
                    hub.progressed(migration, &transfer);
                }
            }
            FromServer::MigrationEnded(ended) => {
                let id = ended.migration;
                let decided = self.change(|state| state.fleet.side_ended(*ended));
                self.side_settled(id, decided);
            }
            FromServer::VmFailed { vm, reason } => {
                self.change(|state| state.fleet.set_phase(&vm, VmPhase::Failed));
                self.notice(&format!("Guest \"{vm}\" on server \"{server}\" failed: {reason}"));
            }
        }
    }

    /// The connection to a server is gone.
    pub(crate) fn lost(&self, server: &str, connection: &Connection) {
        connection.close();
        let loss = self.change(|state| {
            if !state.connections.get(server).is_some_and(|current| current.is(connection)) {
                return None;
            }
            state.connections.remove(server);
            let loss = state.fleet.server_lost(server);
            if state.stopping.remove(server) {
                state.fleet.server_stopped(server);
                return Some((loss, true));
            }
            Some((loss, false))
        });
        let Some((loss, expected)) = loss else { return };
        if !expected {
            self.notice(&describe_loss(server, &loss));
        }
        for id in loss.concluded {
            self.side_settled(id, true);
        }
        for id in loss.halved {
            self.side_settled(id, false);
        }
    }

    /// A side of a migration has reported or died.
    fn side_settled(&self, id: MigrationId, decided: bool) {
        let manager = self.clone();
        if decided {
            tokio::spawn(async move { manager.conclude(id).await });
        } else {
            tokio::spawn(async move { manager.await_other_side(id).await });
        }
    }
}

fn describe_loss(server: &str, loss: &Loss) -> String {
    let mut text = format!("Server \"{server}\" is gone");
    if !loss.vms.is_empty() {
        text.push_str(&format!(", and its guests with it: {}", loss.vms.join(", ")));
    }
    let migrations: Vec<String> =
        loss.concluded.iter().chain(&loss.halved).map(|id| id.0.to_string()).collect();
    if !migrations.is_empty() {
        text.push_str(&format!("; it took part in migration {}", migrations.join(", ")));
    }
    text.push('.');
    text
}
