//! A guest in the pool: a task that alone holds its state, and what can be asked of it.
//!
//! ```text
//!            StartVm             SuspendVm, ResumeVm
//!  Idle ----------------> Ordinary <----+
//!   ^ |     StopVm         |  ^  |      |
//!   | |<-------------------+  |  +------+
//!   | |                       |
//!   | | Migrate       Migrate |   returned
//!   | +-------> Departing <---+<----------+
//!   |  refused    |  |  refused           |
//!   +-------------+  +----------> the source's side ---> Gone
//!
//!  the destination's side ---> Ordinary
//! ```

mod definition;
mod departing;
mod idle;
mod moving;
mod ordinary;
mod status;
mod warm_up;

pub(crate) use definition::{Definition, MOST_ACCESSES};
pub(crate) use departing::{check_link, check_parameters};
pub(crate) use status::Status;

use crate::connection::Connection;
use crate::expected::Underway;
use crate::host::{Answer, Host};
use crate::migration::{Arrivals, density};
use departing::Departing;
use idle::Idle;
use lazycopy_guest::{Guest, Memory};
use lazycopy_migration::Side;
use lazycopy_protocol::control::{
    FromServer, MigrationId, Moving, PeerEnd, ServerReply, StartMigration, VmPhase, VmState,
};
use lazycopy_protocol::peer::Offer;
use lazycopy_units::Instant;
use ordinary::Ordinary;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for a guest's task: a user's commands, one after the other.
const MAX_WAITING_REQUESTS: usize = 64;

/// What is asked of a guest.
#[derive(Debug)]
pub(crate) enum Action {
    /// Run.
    Start,
    /// Halt, keep the memory.
    Suspend,
    /// Go on.
    Resume,
    /// Halt, free the memory.
    Stop,
    /// Be forgotten.
    Delete {
        /// Even while it runs.
        force: bool,
    },
    /// Tell its state.
    Show {
        /// The most resident pages to list.
        limit: u32,
    },
    /// Move to another server.
    Migrate(Box<StartMigration>),
    /// Take the migration back.
    Cancel {
        /// Which.
        migration: MigrationId,
    },
    /// Something about the link of a migration that has broken, or may have.
    Link(LinkAction),
    /// Come to the pace of the server, and tell from when on a migration goes so.
    Pace,
}

/// What is about the broken link of a migration.
#[derive(Debug)]
pub(crate) enum LinkAction {
    /// The source has come back.
    CameBack(Box<Connection>),
    /// An operator wants the source to try at once.
    TryNow,
    /// An operator wants the guest back.
    Reclaim,
    /// The manager knows what became of the other side.
    PeerEnded(PeerEnd),
}

/// An action, and where its answer goes. Nobody may wait for it any more.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) action: Action,
    pub(crate) reply: oneshot::Sender<Answer>,
}

impl Request {
    /// Answers a request.
    pub(crate) fn answer(self, answer: Answer) {
        let _ = self.reply.send(answer);
    }

    /// Answers that the guest goes by the server's pace, and that no migration does.
    pub(crate) fn answer_paced(self) {
        self.answer(Ok(ServerReply::Paced { migrations: Vec::new() }));
    }
}

/// What is here of a guest, to be shown.
#[derive(Clone, Copy, Default)]
pub(crate) struct Here<'a> {
    /// The guest, where it is here as the guest.
    pub(crate) guest: Option<&'a Guest>,
    /// While it migrates: which side this is, and the model time.
    pub(crate) moving: Option<(Side, Instant)>,
    /// What is left of it after the hand-over.
    pub(crate) left: Option<&'a Guest>,
    /// The memory here, whatever it is of.
    pub(crate) memory: Option<&'a Memory>,
    /// Where pages have arrived.
    pub(crate) arrivals: Option<&'a Arrivals>,
}

/// What a guest's task does next.
enum Life {
    /// It does not run.
    Idle(Idle),
    /// It runs in scaled real time, or is suspended.
    Ordinary(Ordinary),
    /// It is about to leave for another server.
    Departing(Box<Departing>),
    /// It is not here any more.
    Gone,
}

/// A guest in the pool, as its task sees it.
pub(crate) struct Vm {
    pub(crate) host: Arc<Host>,
    pub(crate) definition: Definition,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) status: Arc<Status>,
}

/// A guest that another server offers; its frames are taken.
pub(crate) struct Arriving {
    vm: Vm,
    offer: Offer,
    underway: Underway,
}

/// Takes a new guest into the pool and opens it. The answer comes when that is done.
pub(crate) fn create(
    host: &Arc<Host>,
    definition: Definition,
) -> Result<oneshot::Receiver<Answer>, String> {
    let vm = admit(host, definition, VmPhase::Created)?;
    let (reply, answer) = oneshot::channel();
    let task = Arc::clone(host).supervise(vm.name().to_owned(), vm.open_and_live(reply));
    host.spawn(task);
    Ok(answer)
}

/// Takes a guest into the pool that another server offers.
pub(crate) fn admit_arriving(
    host: &Arc<Host>,
    definition: Definition,
    offer: Offer,
    underway: Underway,
) -> Result<Arriving, String> {
    Ok(Arriving { vm: admit(host, definition, VmPhase::MigratingIn)?, offer, underway })
}

fn admit(host: &Arc<Host>, definition: Definition, phase: VmPhase) -> Result<Vm, String> {
    let (sender, requests) = mpsc::channel(MAX_WAITING_REQUESTS);
    let status = Arc::new(Status::new(definition.summary(phase, None)));
    let (vm, frames) = (&definition.vm, u64::from(definition.spec.frames));
    host.pool().admit(vm, frames, sender, Arc::clone(&status))?;
    Ok(Vm { host: Arc::clone(host), definition, requests, status })
}

impl Arriving {
    /// The guest's life here, from the handshake on.
    pub(crate) async fn live(self, connection: Connection) {
        let Arriving { vm, offer, underway } = self;
        let (host, name) = (Arc::clone(&vm.host), vm.name().to_owned());
        host.supervise(name, vm.arrive_and_live(connection, offer, underway)).await;
    }
}

impl Vm {
    fn name(&self) -> &str {
        &self.definition.vm
    }

    async fn open_and_live(self, reply: oneshot::Sender<Answer>) {
        match warm_up::open(&self.definition).await {
            Ok(guest) => {
                let _ = reply.send(Ok(ServerReply::Done));
                self.live(Life::Idle(Idle { phase: VmPhase::Created, guest: Some(guest) })).await;
            }
            Err(reason) => {
                self.host.pool().remove(self.name());
                let _ = reply.send(Err(reason));
            }
        }
    }

    async fn arrive_and_live(mut self, connection: Connection, offer: Offer, underway: Underway) {
        let life = self.arrive(connection, offer, underway).await;
        self.live(life).await;
    }

    async fn live(mut self, mut life: Life) {
        loop {
            life = match life {
                Life::Idle(idle) => self.idle(idle).await,
                Life::Ordinary(ordinary) => self.ordinary(ordinary).await,
                Life::Departing(departing) => self.depart(*departing).await,
                Life::Gone => break,
            };
        }
    }

    /// Tells the others what the guest is doing.
    pub(crate) fn publish(&self, phase: VmPhase, guest: Option<&Guest>) {
        self.status.publish(self.definition.summary(phase, guest));
    }

    fn show(&self, phase: VmPhase, guest: Option<&Guest>, limit: u32) -> Answer {
        let here = Here { guest, memory: guest.map(Guest::memory), ..Here::default() };
        self.show_here(phase, &here, limit)
    }

    /// Shows what is here of the guest, at most `limit` pages one by one.
    fn show_here(&self, phase: VmPhase, here: &Here<'_>, limit: u32) -> Answer {
        let (spec, limit) = (&self.definition.spec, limit as usize);
        let summary = self.definition.summary(phase, here.guest);
        self.status.publish(summary.clone());
        let moving = here.moving.map(|(side, at)| {
            let left = here.left.map(|left| left.snapshot(limit));
            Box::new(Moving { side, at, left })
        });
        let is_large = spec.frames as usize > limit;
        let memory = here.memory.filter(|_| is_large);
        Ok(ServerReply::Vm(Box::new(VmState {
            summary,
            spec: (**spec).clone(),
            snapshot: here.guest.map(|guest| guest.snapshot(limit)),
            moving,
            density: memory.map(|memory| Box::new(density(memory, spec.pages, here.arrivals))),
        })))
    }

    /// Forgets the guest. To be called before its deletion is confirmed.
    fn forget(&self) -> Life {
        self.host.pool().remove(self.name());
        Life::Gone
    }

    /// The guest's memory is freed, its definition stays.
    fn stopped(&self, phase: VmPhase) -> Life {
        self.host.pool().release_frames(self.name());
        Life::Idle(Idle { phase, guest: None })
    }

    /// The guest's workload has failed by itself.
    fn failed(&self, reason: String) -> Life {
        tracing::warn!(vm = self.name(), reason, "the guest failed and was stopped");
        let vm = self.name().to_owned();
        let life = self.stopped(VmPhase::Failed);
        self.publish(VmPhase::Failed, None);
        self.host.report(FromServer::VmFailed { vm, reason });
        life
    }

    /// An error: the guest is in no state for that.
    fn refusal(&self, state: &str, right: &str) -> Answer {
        Err(format!("guest \"{}\" {state}: {right}", self.name()))
    }
}
