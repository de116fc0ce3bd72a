//! The running manager: its state, and who is told when it changes.

use crate::children::{Child, Launcher};
use crate::connection::{AskError, Connection, Numbers};
use crate::console::Console;
use crate::feed;
use crate::fleet::{Fleet, FleetError};
use crate::grammar::EventLevel;
use crate::listener;
use crate::past::PastRuns;
use crate::picture::{Hub, Picture, WATCHED_PAGES};
use crate::presence::is_dead;
use crate::requests::Requests;
use crate::state::{Changes, Opened, StateError, Store};
use crate::web::Web;
use lazycopy_protocol::control::{FromServer, MigrationId, ServerHello, VmPhase, Watch};
use lazycopy_protocol::pace::Pace;
use lazycopy_results::RunRecord;
use lazycopy_transport::{Door, DoorError};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

/// What a manager is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where servers and `ctl` reach it: `host:port`; port 0 lets the system choose.
    pub listen: String,
    /// Where each run's directory goes.
    pub out: PathBuf,
    /// Where the state is kept; `None`: nothing outlives the manager.
    pub state: Option<PathBuf>,
    /// How long a server is waited for whose connection is lost;
    /// [`RETURN_DEADLINE`](crate::RETURN_DEADLINE) but for tests.
    pub patience: Duration,
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
    /// The state cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
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
    /// Requests of `ctl` that have names.
    pub requests: Requests,
}

impl State {
    /// Whether that is the connection to a server, and not an earlier one.
    pub(crate) fn is_current(&self, server: &str, connection: &Connection) -> bool {
        self.connections.get(server).is_some_and(|current| current.is(connection))
    }

    /// What is to be kept and is not yet.
    fn take_changes(&mut self) -> Changes {
        let mut changes = self.fleet.take_changes();
        changes.append(&mut self.requests.take_changes());
        changes
    }
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    address: SocketAddr,
    console: Console,
    numbers: Numbers,
    /// Absent where nothing outlives the manager.
    store: Option<Store>,
    /// Runs of earlier lives of which nothing else is known.
    past: BTreeMap<String, RunRecord>,
    state: Mutex<State>,
    changes: watch::Sender<()>,
    verifying: Semaphore,
    fetching: Semaphore,
    pacing: Semaphore,
    /// Absent until a page or a prompt wants it.
    picture: OnceLock<Arc<Picture>>,
    /// Absent without a page.
    web: OnceLock<Arc<Web>>,
}

/// Reference runs at a time: each keeps a core busy, and another is to be left for what still runs.
const VERIFYING_AT_ONCE: usize = 1;

/// Migrations whose events are fetched at a time: each takes a thread that writes and a few pieces
/// of its events, however many end at once.
const FETCHING_AT_ONCE: usize = 4;

/// How far the clocks of two managers' machines may differ, in nanoseconds: a day.
const CLOCKS_DIFFER_NS: u64 = 86_400_000_000_000;

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
        let restored = Restored::open(&settings, &console).await?;
        let Restored { fleet, requests, past, store } = restored;
        let awaited: Vec<String> = fleet.servers().map(|(name, _)| name.to_owned()).collect();
        let state = State {
            fleet,
            requests,
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
        let pacing = Semaphore::new(1);
        let numbers = Numbers::of_life(life());
        let shared = Shared {
            settings,
            address,
            console,
            numbers,
            store,
            past,
            state,
            changes,
            verifying,
            fetching,
            pacing,
            picture: OnceLock::new(),
            web: OnceLock::new(),
        };
        let manager = Manager { shared: Arc::new(shared) };
        // What was found out while the state was read is kept, too.
        manager.change(|_| ());
        awaited.iter().for_each(|server| manager.await_server(server));
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

    /// What the picture is told of migrations.
    pub(crate) fn hub(&self) -> Option<&Hub> {
        self.shared.picture.get().map(|picture| &picture.hub)
    }

    /// The picture of the fleet. Migrations that run when it is opened are followed from then on.
    pub(crate) fn open_picture(&self) -> Arc<Picture> {
        self.read(|state| {
            let open = || {
                let picture = Picture::default();
                for (id, migration) in state.fleet.running() {
                    let scheme = migration.parameters.scheme;
                    picture.hub.began(id, &migration.vm, &migration.destination, scheme);
                    picture.hub.progressed(id, &migration.transfer);
                }
                Arc::new(picture)
            };
            Arc::clone(self.shared.picture.get_or_init(open))
        })
    }

    /// From now on there is a live page, unless there was one.
    pub(crate) fn open_page(&self, web: Arc<Web>) -> Result<(), ()> {
        self.shared.web.set(web).map_err(drop)
    }

    /// Which events of a migration of a guest with so many pages are to be sent.
    pub(crate) fn watch(&self, level: EventLevel, pages: u32) -> Watch {
        let for_picture = match self.hub() {
            None => Watch::Off,
            Some(_) if pages <= WATCHED_PAGES => Watch::All,
            Some(_) => Watch::Milestones,
        };
        level.watch().max(for_picture)
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

    /// Waits for the turn to change how time goes.
    pub(crate) async fn turn_to_pace(&self) -> Option<SemaphorePermit<'_>> {
        self.shared.pacing.acquire().await.ok()
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

    /// Changes the state and wakes whoever waits for a change. What of it outlives the manager is
    /// kept soon; [`Manager::kept`] waits for that.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let changes = state.take_changes();
        if let Some(store) = &self.shared.store {
            store.keep(changes);
        }
        drop(state);
        self.shared.changes.send_replace(());
        result
    }

    /// Waits until everything that has changed so far is kept, where anything is.
    pub(crate) async fn kept(&self) {
        if let Some(store) = &self.shared.store {
            store.kept().await;
        }
    }

    /// The numbers of its commands.
    pub(crate) fn numbers(&self) -> Numbers {
        self.shared.numbers.clone()
    }

    /// Runs of earlier lives of which nothing else is known, by name.
    pub(crate) fn past_runs(&self) -> &BTreeMap<String, RunRecord> {
        &self.shared.past
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

    /// The connection to a server that answers.
    pub(crate) fn connection(&self, server: &str) -> Result<Connection, AskError> {
        let connection = self.connection_to(server)?;
        match connection.silent_since() {
            None => Ok(connection),
            Some(since_unix_ms) => {
                Err(AskError::Silent { server: server.to_owned(), since_unix_ms })
            }
        }
    }

    /// The connection to a server, which may be silent.
    pub(crate) fn connection_to(&self, server: &str) -> Result<Connection, AskError> {
        self.read(|state| match state.connections.get(server) {
            Some(connection) => Ok(connection.clone()),
            None if state.fleet.servers().any(|(name, it)| name == server && it.awaited) => {
                Err(AskError::Away { server: server.to_owned() })
            }
            None => Err(AskError::Gone { server: server.to_owned() }),
        })
    }

    /// A server introduces itself over a connection.
    pub(crate) fn introduce(
        &self,
        mut hello: ServerHello,
        connection: &Connection,
        here: bool,
    ) -> Result<(), FleetError> {
        if hello.pace.revision > life().saturating_add(CLOCKS_DIFFER_NS) {
            // No manager has said that, and none could ever say otherwise.
            hello.pace = Pace::default();
        }
        let pid = hello.pid;
        let told: Vec<MigrationId> = hello.sides.iter().map(|it| it.migration).collect();
        let (name, vms) = (hello.name.clone(), hello.vms.len());
        let (address, frames) = (hello.address.clone(), hello.frames);
        let brings = if vms == 0 { String::new() } else { format!(" and brings {vms} guest(s)") };
        let met = self.change(|state| {
            let known = state.fleet.server(&name).ok().map(|server| server.pid);
            if known == Some(pid) {
                // The same process connects anew before its old connection was missed.
                if let Some(old) = state.connections.remove(&name) {
                    old.close();
                }
                state.fleet.server_away(&name);
            }
            state.fleet.check_hello(&hello)?;
            // Another process in its place: the one that was waited for has ended.
            let fleet = &mut state.fleet;
            let loss = fleet.awaits_another(&name, pid).then(|| {
                let known = fleet.servers().find(|(known, _)| *known == name);
                let is_dead = known.is_some_and(|(_, it)| is_dead(it, &hello.address));
                if is_dead { fleet.server_died(&name) } else { fleet.server_lost(&name) }
            });
            let meeting = fleet.introduce(hello)?;
            fleet.set_here(&name, here);
            connection.welcome(fleet.pace());
            state.connections.insert(name.clone(), connection.clone());
            // Printed before anybody who waits for it goes on.
            self.notice(&format!(
                "Server \"{name}\" is here: {address}, {frames} frames for guests{brings}."
            ));
            Ok::<_, FleetError>((loss, meeting))
        });
        let (loss, meeting) = met?;
        if let Some(hub) = self.hub() {
            let far = |id| self.read(|state| Some(state.fleet.migration(id)?.transfer));
            let far = told.into_iter().filter_map(|id| Some((id, far(id)?)));
            far.for_each(|(id, transfer)| hub.progressed(id, &transfer));
        }
        self.settle_loss(loss.unwrap_or_default());
        self.settle_meeting(meeting);
        Ok(())
    }

    /// A server says something that is no answer.
    pub(crate) fn hear(&self, server: &str, message: FromServer) {
        if !self.read(|state| state.fleet.is_its_own(server, &message)) {
            tracing::warn!(server, "it tells of what is not its own");
            return;
        }
        match message {
            FromServer::Reply { .. } | FromServer::Heartbeat => {}
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
            FromServer::LinkState { migration, side, pause } => {
                self.link_changed(migration, side, pause);
            }
            FromServer::MigrationEnded(ended) => {
                let id = ended.migration;
                let (decided, is_over) = self.change(|state| {
                    let decided = state.fleet.side_ended(*ended);
                    let known = state.fleet.migration(id);
                    (decided, known.is_some_and(|migration| migration.is_over()))
                });
                match is_over {
                    // The acknowledgement was lost.
                    true => self.acknowledge_again(server, id),
                    false => self.side_settled(id, decided),
                }
            }
            FromServer::VmFailed { vm, reason } => {
                self.change(|state| state.fleet.set_phase(&vm, VmPhase::Failed));
                self.notice(&format!("Guest \"{vm}\" on server \"{server}\" failed: {reason}"));
            }
        }
    }

    /// A side of a migration has reported or died.
    pub(crate) fn side_settled(&self, id: MigrationId, decided: bool) {
        self.tell_who_is_left(id);
        let manager = self.clone();
        if decided {
            tokio::spawn(async move { manager.conclude(id).await });
        } else {
            tokio::spawn(async move { manager.await_other_side(id).await });
        }
    }
}

/// A number that no other life of a manager has: nanoseconds since 1970.
fn life() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What a manager begins with.
struct Restored {
    fleet: Fleet,
    requests: Requests,
    past: BTreeMap<String, RunRecord>,
    store: Option<Store>,
}

impl Restored {
    /// Opens the state, where it is kept, and tells what of it cannot be read.
    async fn open(settings: &Settings, console: &Console) -> Result<Restored, StateError> {
        let Some(directory) = settings.state.clone() else {
            let (fleet, requests) = (Fleet::default(), Requests::default());
            return Ok(Restored { fleet, requests, past: BTreeMap::new(), store: None });
        };
        let (out, console) = (settings.out.clone(), console.clone());
        let read = move || {
            let Opened { store, records, damage } = Store::open(&directory, console.clone())?;
            let mut past = PastRuns::below(&out);
            let requests = Requests::restored(&records);
            let (fleet, problems) = Fleet::restored(records, &mut past, &out);
            let damage = damage.map(|damage| damage.to_string());
            let told = damage.into_iter().chain(problems).chain(std::mem::take(&mut past.problems));
            told.for_each(|problem| console.print(&problem));
            Ok(Restored { fleet, requests, past: past.left(), store: Some(store) })
        };
        let unusable = |problem: tokio::task::JoinError| StateError::Unusable {
            path: settings.out.clone(),
            problem: std::io::Error::other(problem),
        };
        tokio::task::spawn_blocking(read).await.map_err(unusable)?
    }
}
