//! What the tasks of a server share, and how a command finds the task that carries it out.

use crate::ServerConfig;
use crate::answered::{Answered, Coming, RequestId};
use crate::connection::{Connection, Numbered};
use crate::expected::Expectations;
use crate::pool::Pool;
use crate::records::Records;
use crate::sides::Sides;
use crate::timer::Timer;
use crate::vm::{self, Action, Arriving, Definition, LinkAction, Request};
use lazycopy_guest::Guest;
use lazycopy_migration::{Event, EventRun, Outcome, Side};
use lazycopy_protocol::control::{
    FromServer, HostSnapshot, HostState, MAX_SHOWN_PAGES, MigrationId, Pause, ServerCommand,
    ServerHello, ServerReply, SideEnded, Transfer,
};
use lazycopy_protocol::pace::{MAX_SLOWER, Pace};
use lazycopy_protocol::peer::Offer;
use lazycopy_transport::Door;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::error;

/// Watched events that wait for the manager. Beyond it events are left out, for the watcher alone:
/// no machine waits for a manager that reads slowly.
const MAX_WAITING_EVENTS: usize = 8_192;

/// How long it is waited for guests to say that they go by another pace: those that are being set
/// up say so later, and go by it from their beginning on.
const PACED_DEADLINE: Duration = Duration::from_secs(2);

/// The answer to a command.
pub(crate) type Answer = Result<ServerReply, String>;

/// An answer that is there, or will come.
pub(crate) enum Dispatched {
    /// It is there.
    Now(Box<Answer>),
    /// A task carries the command out.
    Later(oneshot::Receiver<Answer>),
    /// It comes once, however often the command was sent.
    Shared(Coming),
    /// The process is to end.
    Shutdown,
}

/// What the tasks of a server share. No lock is held while anything is awaited.
pub(crate) struct Host {
    name: String,
    frames: u64,
    address: SocketAddr,
    advertise: Option<String>,
    pool: Mutex<Pool>,
    pace: Mutex<Pace>,
    records: Mutex<Records>,
    door: Door,
    expectations: Expectations,
    /// Guests that are about to come and await bulk connections, by source and migration.
    awaiting_bulk: Mutex<BTreeMap<(String, MigrationId), mpsc::Sender<Numbered>>>,
    sides: Mutex<Sides>,
    answered: Mutex<Answered>,
    reported: Notify,
    watched: mpsc::Sender<FromServer>,
    /// What guests are woken by.
    pub(crate) timer: Timer,
    tasks: Mutex<JoinSet<()>>,
    /// What serves connections that outlive the threads of their migrations.
    runtime: Handle,
    ended: watch::Sender<bool>,
}

/// Ends all tasks of a host when it is dropped.
pub(crate) struct EndTasks(pub(crate) Arc<Host>);

impl Drop for EndTasks {
    fn drop(&mut self) {
        self.0.ended.send_replace(true);
        lock(&self.0.tasks).abort_all();
    }
}

/// Bulk connections are awaited as long as this is kept.
pub(crate) struct AwaitsBulk {
    host: Arc<Host>,
    key: (String, MigrationId),
}

impl Drop for AwaitsBulk {
    fn drop(&mut self) {
        lock(&self.host.awaiting_bulk).remove(&self.key);
    }
}

/// A task that panicked has been reported already; what it left behind is still sound, since
/// nothing panics between two changes that belong together.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    /// A host without guests that listens on `address`, and the watched events that its tasks
    /// will give.
    ///
    /// # Errors
    /// When the system gives no thread for the timer.
    pub(crate) fn new(
        config: &ServerConfig,
        address: SocketAddr,
    ) -> io::Result<(Arc<Self>, mpsc::Receiver<FromServer>)> {
        let (watched, events) = mpsc::channel(MAX_WAITING_EVENTS);
        let host = Host {
            name: config.name.clone(),
            frames: config.frames,
            address,
            advertise: config.advertise.clone(),
            pool: Mutex::new(Pool::new(config.name.clone(), config.frames)),
            pace: Mutex::default(),
            records: Mutex::default(),
            door: config.door.clone(),
            expectations: Expectations::default(),
            awaiting_bulk: Mutex::default(),
            sides: Mutex::default(),
            answered: Mutex::default(),
            reported: Notify::new(),
            watched,
            timer: Timer::start(config.door.network())?,
            tasks: Mutex::default(),
            runtime: Handle::current(),
            ended: watch::Sender::new(false),
        };
        Ok((Arc::new(host), events))
    }

    /// The server's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it asks of whoever comes in, and how it goes out.
    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    /// Migrations that this server is told to be the destination of.
    pub(crate) fn expectations(&self) -> &Expectations {
        &self.expectations
    }

    /// The accounts of the pool.
    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool> {
        lock(&self.pool)
    }

    /// How time goes here.
    pub(crate) fn pace(&self) -> Pace {
        *lock(&self.pace)
    }

    /// From now on time goes thus: each guest's task is told, and their answers are put together.
    ///
    /// # Errors
    /// In words, when no time goes so.
    pub(crate) fn set_pace(&self, pace: Pace) -> Result<oneshot::Receiver<Answer>, String> {
        if !pace.is_valid() {
            let slower = pace.slower;
            return Err(format!("time goes 1 to {MAX_SLOWER} times slower, not {slower} times"));
        }
        *lock(&self.pace) = pace;
        let asked: Vec<_> = {
            let pool = self.pool();
            let ask = |vm: &str| ask(&pool.entry(vm)?.requests, vm, Action::Pace);
            pool.names().into_iter().filter_map(|vm| ask(vm).ok()).collect()
        };
        let (reply, answer) = oneshot::channel();
        self.spawn(async move {
            let deadline = Instant::now() + PACED_DEADLINE;
            let mut migrations = Vec::new();
            for asked in asked {
                if let Ok(Ok(Ok(ServerReply::Paced { migrations: moved }))) =
                    timeout_at(deadline, asked).await
                {
                    migrations.extend(moved);
                }
            }
            let _ = reply.send(Ok(ServerReply::Paced { migrations }));
        });
        Ok(answer)
    }

    /// How the server introduces itself over a connection whose own end has the address `local`.
    pub(crate) fn hello(&self, local: SocketAddr) -> ServerHello {
        let mut reached_at = self.address;
        if reached_at.ip().is_unspecified() {
            reached_at.set_ip(local.ip());
        }
        ServerHello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.name.clone(),
            pid: std::process::id(),
            address: self.advertise.clone().unwrap_or_else(|| reached_at.to_string()),
            frames: self.frames,
            // Before the guests: what has ended meanwhile is at worst told to run still.
            sides: self.sides().held(),
            vms: self.pool().summaries(),
            pace: *lock(&self.pace),
        }
    }

    /// The sides of migrations here, and the reports.
    pub(crate) fn sides(&self) -> MutexGuard<'_, Sides> {
        lock(&self.sides)
    }

    /// The server and its pool.
    pub(crate) fn state(&self) -> HostState {
        let pool = self.pool();
        HostState {
            server: self.name.clone(),
            frames: self.frames,
            frames_taken: pool.taken(),
            vms: pool.summaries(),
        }
    }

    /// The server at this instant of a migration.
    pub(crate) fn snapshot(&self, guest: Option<&Guest>) -> HostSnapshot {
        let guest = guest.map(|guest| guest.snapshot(MAX_SHOWN_PAGES as usize));
        HostSnapshot { host: self.state(), guest }
    }

    /// Waits for the end of this server: what runs on a thread of its own must end by itself.
    pub(crate) async fn ended(&self) {
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Ends a connection in the background, as [`Connection::bid_farewell`].
    pub(crate) fn see_off(&self, connection: Connection) {
        self.runtime.spawn(async {
            if let Ok(connection) = connection.moved_here() {
                connection.bid_farewell().await;
            }
        });
    }

    /// A guest awaits so many bulk connections of that migration, until what this gives is dropped.
    pub(crate) fn await_bulk(
        self: &Arc<Self>,
        source: &str,
        migration: MigrationId,
        connections: usize,
    ) -> (mpsc::Receiver<Numbered>, AwaitsBulk) {
        let (sender, receiver) = mpsc::channel(connections.max(1));
        let key = (source.to_owned(), migration);
        if connections > 0 {
            lock(&self.awaiting_bulk).insert(key.clone(), sender);
        }
        (receiver, AwaitsBulk { host: Arc::clone(self), key })
    }

    /// The guest that awaits bulk connections of that migration.
    pub(crate) fn awaiting_bulk(
        &self,
        source: &str,
        migration: MigrationId,
    ) -> Option<mpsc::Sender<Numbered>> {
        lock(&self.awaiting_bulk).get(&(source.to_owned(), migration)).cloned()
    }

    /// Runs a task until it ends or the server does.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Runs a guest's task. One that panics takes its guest along, and nothing else.
    pub(crate) async fn supervise(self: Arc<Self>, vm: String, task: impl Future<Output = ()>) {
        use futures_util::FutureExt;
        if AssertUnwindSafe(task).catch_unwind().await.is_err() {
            error!(vm, "the guest's task ended by an error in this program");
            self.pool().remove(&vm);
            self.sides().withdraw_guest(&vm);
            let reason = "an error in the server's program; its log tells more".to_owned();
            self.report(FromServer::VmFailed { vm, reason });
        }
    }

    /// Tells the manager something that it must learn, now or when it is back.
    pub(crate) fn report(&self, report: FromServer) {
        self.sides().report(report);
        self.reported.notify_one();
    }

    /// Waits until there is a report that has not been sent over this connection.
    pub(crate) async fn await_report(&self) -> FromServer {
        loop {
            if let Some(report) = self.sides().unsent() {
                return report.clone();
            }
            self.reported.notified().await;
        }
    }

    /// Shows an event to the manager, if it is not too far behind.
    pub(crate) fn show_event(&self, migration: MigrationId, event: Event) {
        let _ = self.watched.try_send(FromServer::Event { migration, event });
    }

    /// Shows the manager how far a migration is, as [`Host::show_event`].
    pub(crate) fn show_progress(&self, migration: MigrationId, transfer: Transfer) {
        self.sides().progressed(migration, transfer);
        let _ = self.watched.try_send(FromServer::Progress { migration, transfer });
    }

    /// The link of a migration broke after the hand-over, or is whole again: the manager is told.
    pub(crate) fn link_changed(&self, migration: MigrationId, side: Side, pause: Option<Pause>) {
        self.sides().link_changed(migration, pause.clone());
        self.report(FromServer::LinkState { migration, side, pause });
    }

    /// A side of a migration has ended: its events can be fetched, and the manager is told.
    pub(crate) fn side_ended(&self, ended: SideEnded, events: Vec<EventRun>) {
        lock(&self.records).keep(ended.migration, events);
        self.report(FromServer::MigrationEnded(Box::new(ended)));
    }

    /// Lets a guest in that another server offers.
    ///
    /// # Errors
    /// In words, why not.
    pub(crate) fn admit_arriving(self: &Arc<Self>, offer: Offer) -> Result<Arriving, String> {
        let underway = self.expectations.begin(&offer.source, offer.migration, &offer.vm)?;
        let definition = Definition::of_offer(&offer)?;
        vm::admit_arriving(self, definition, offer, underway)
    }

    /// Carries a command out, or finds what came of it where it was sent before. Commands reach a
    /// guest's task in the order of these calls.
    pub(crate) fn carry_out(self: &Arc<Self>, id: RequestId, command: ServerCommand) -> Dispatched {
        if !command.changes_something() {
            return self.dispatch(command);
        }
        let mut answered = lock(&self.answered);
        if let Some(coming) = answered.find(id) {
            return Dispatched::Shared(coming);
        }
        let cancelled = match &command {
            ServerCommand::CancelMigration { migration } => Some(*migration),
            _ => None,
        };
        let (came, coming) = watch::channel(None);
        match self.dispatch(command) {
            Dispatched::Now(answer) => {
                came.send_replace(Some(*answer));
            }
            Dispatched::Later(answer) => {
                let host = Arc::clone(self);
                self.spawn(async move {
                    let answer = answer.await.unwrap_or_else(|_| match cancelled {
                        Some(migration) => host.has_ended(migration),
                        None => vanished(),
                    });
                    came.send_replace(Some(answer));
                });
            }
            decided => return decided,
        }
        answered.remember(id, coming.clone());
        Dispatched::Shared(coming)
    }

    /// Carries a command out, or hands it to the task that does.
    fn dispatch(self: &Arc<Self>, command: ServerCommand) -> Dispatched {
        let (vm, action) = match command {
            ServerCommand::CreateVm(create) => {
                return later(Definition::of_command(create).and_then(|it| vm::create(self, it)));
            }
            ServerCommand::ShowHost => return now(Ok(ServerReply::Host(self.state()))),
            ServerCommand::SetPace { pace } => return later(self.set_pace(pace)),
            ServerCommand::FetchEvents { migration, from } => {
                return now(lock(&self.records).fetch(migration, from));
            }
            ServerCommand::ForgetMigration { migration } => {
                self.sides().acknowledge(migration);
                lock(&self.records).forget(migration);
                return now(Ok(ServerReply::Done));
            }
            ServerCommand::Expect(told) => {
                self.expectations.expect(told);
                return now(Ok(ServerReply::Done));
            }
            ServerCommand::CancelMigration { migration } => return self.cancel(migration),
            ServerCommand::RecoverMigration { migration } => {
                return self.about_link(migration, LinkAction::TryNow, |ended| {
                    self.is_no_more(migration, ended)
                });
            }
            ServerCommand::ReclaimMigration { migration } => {
                // It is what was wished where it was taken back already.
                return self.about_link(migration, LinkAction::Reclaim, |ended| match ended {
                    Some(Outcome::Failed | Outcome::Cancelled) => Ok(ServerReply::Done),
                    ended => self.is_no_more(migration, ended),
                });
            }
            ServerCommand::PeerEnded { migration, how } => {
                return self
                    .about_link(migration, LinkAction::PeerEnded(how), |_| Ok(ServerReply::Done));
            }
            ServerCommand::Shutdown { force } => return self.shutdown(force),
            ServerCommand::StartVm { vm } => (vm, Action::Start),
            ServerCommand::SuspendVm { vm } => (vm, Action::Suspend),
            ServerCommand::ResumeVm { vm } => (vm, Action::Resume),
            ServerCommand::StopVm { vm } => (vm, Action::Stop),
            ServerCommand::DeleteVm { vm, force } => (vm, Action::Delete { force }),
            ServerCommand::ShowVm { vm, limit } => {
                (vm, Action::Show { limit: limit.min(MAX_SHOWN_PAGES) })
            }
            ServerCommand::Migrate(start) => (start.vm.clone(), Action::Migrate(start)),
        };
        let pool = self.pool();
        later(pool.entry(&vm).and_then(|entry| ask(&entry.requests, &vm, action)))
    }

    /// The source of a guest's migration has come back over that connection.
    ///
    /// # Errors
    /// In words, when the guest's task does not take it.
    pub(crate) fn comes_back(&self, vm: &str, connection: Connection) -> Result<(), String> {
        let action = Action::Link(LinkAction::CameBack(Box::new(connection)));
        ask(&self.pool().entry(vm)?.requests, vm, action).map(drop)
    }

    /// Hands what is about a migration's link to the side that runs here; `or` where none does.
    fn about_link(
        &self,
        migration: MigrationId,
        action: LinkAction,
        or: impl FnOnce(Option<Outcome>) -> Answer,
    ) -> Dispatched {
        let (vm, ended) = {
            let sides = self.sides();
            (sides.guest_of(migration).map(str::to_owned), sides.ended(migration))
        };
        let Some(vm) = vm else { return now(or(ended)) };
        let pool = self.pool();
        let asked = pool.entry(&vm).and_then(|it| ask(&it.requests, &vm, Action::Link(action)));
        later(asked)
    }

    /// What is about the broken link of a migration, of which no side runs here.
    fn is_no_more(&self, migration: MigrationId, ended: Option<Outcome>) -> Answer {
        let (number, name) = (migration.0, &self.name);
        Err(match ended {
            Some(outcome) => {
                format!("migration {number} has ended on server \"{name}\": {outcome}")
            }
            None => format!("no guest leaves server \"{name}\" by a migration {number}"),
        })
    }

    fn cancel(&self, migration: MigrationId) -> Dispatched {
        let leaving = self.sides().leaving_by(migration).map(str::to_owned);
        let Some(vm) = leaving else { return now(self.has_ended(migration)) };
        let pool = self.pool();
        let action = Action::Cancel { migration };
        later(pool.entry(&vm).and_then(|entry| ask(&entry.requests, &vm, action)))
    }

    /// What a migration is told that is to be taken back and does not run here: it is what was
    /// wished where it was taken back already.
    pub(crate) fn has_ended(&self, migration: MigrationId) -> Answer {
        let (number, name) = (migration.0, &self.name);
        match self.sides().ended(migration) {
            Some(Outcome::Cancelled) => Ok(ServerReply::Done),
            Some(outcome) => Err(format!(
                "migration {number} cannot be taken back: it has ended on server \"{name}\": {outcome}"
            )),
            None => Err(format!("no guest leaves server \"{name}\" by a migration {number}")),
        }
    }

    fn shutdown(&self, force: bool) -> Dispatched {
        let pool = self.pool();
        let guests = pool.names();
        if force || guests.is_empty() {
            return Dispatched::Shutdown;
        }
        now(Err(format!(
            "server \"{}\" has {} that would be lost ({}): delete or move them, or use force",
            self.name,
            if guests.len() == 1 {
                "a guest".to_owned()
            } else {
                format!("{} guests", guests.len())
            },
            shortened(&guests),
        )))
    }
}

/// The first few of some names.
fn shortened(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text.push_str(", ...");
    }
    text
}

fn now(answer: Answer) -> Dispatched {
    Dispatched::Now(Box::new(answer))
}

fn later(asked: Result<oneshot::Receiver<Answer>, String>) -> Dispatched {
    match asked {
        Ok(answer) => Dispatched::Later(answer),
        Err(reason) => now(Err(reason)),
    }
}

/// Puts an action into the queue of a guest's task.
fn ask(
    requests: &mpsc::Sender<Request>,
    vm: &str,
    action: Action,
) -> Result<oneshot::Receiver<Answer>, String> {
    let (reply, answer) = oneshot::channel();
    requests.try_send(Request { action, reply }).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => format!("guest \"{vm}\" is busy with other commands"),
        mpsc::error::TrySendError::Closed(_) => format!("guest \"{vm}\" is just being deleted"),
    })?;
    Ok(answer)
}

/// A guest's task ended before it answered.
pub(crate) fn vanished() -> Answer {
    Err("the guest ended before it could be done".to_owned())
}
