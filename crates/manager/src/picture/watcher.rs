//! Asks servers what their guests are doing, while somebody looks.

use super::hub::Hub;
use super::snapshot::Snapshot;
use super::view::View;
use crate::manager::{Manager, State};
use lazycopy_protocol::control::{MigrationId, ServerCommand, ServerReply, VmState, VmSummary};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// The least time from one look to the next: nobody sees more.
pub(crate) const PERIOD: Duration = Duration::from_millis(100);

/// How long answers are waited for. What comes later is in the next picture.
const PATIENCE: Duration = Duration::from_millis(50);

/// The most frames of a guest whose pages are shown one by one; a larger one's density is.
pub(crate) const MAX_CELLS: u32 = 1_024;

/// Guests whose memory is shown, at most: those that were chosen first, then those that migrate,
/// then by name.
const SHOWN_GUESTS: usize = 16;

/// Cells of all of them, at most, so that a picture stays well below a megabyte.
const SHOWN_CELLS: u32 = 8 * MAX_CELLS;

/// What a server is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    /// Its pool.
    Host { server: String },
    /// A guest's memory, at most so many pages of it one by one, and the migration that moves it.
    Vm { server: String, vm: String, limit: u32, migration: Option<MigrationId> },
}

impl Question {
    fn server(&self) -> &str {
        match self {
            Question::Host { server } | Question::Vm { server, .. } => server,
        }
    }

    fn command(&self) -> ServerCommand {
        match self {
            Question::Host { .. } => ServerCommand::ShowHost,
            Question::Vm { vm, limit, .. } => {
                ServerCommand::ShowVm { vm: vm.clone(), limit: *limit }
            }
        }
    }
}

/// What servers have said last.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// By server and guest, as in its list.
    hosts: BTreeMap<String, BTreeMap<String, VmSummary>>,
    /// By server and guest, in full.
    vms: BTreeMap<(String, String), Box<VmState>>,
}

impl Answers {
    /// A guest as that server lists it.
    pub(crate) fn summary(&self, server: &str, vm: &str) -> Option<&VmSummary> {
        self.hosts.get(server)?.get(vm)
    }

    /// A guest as that server shows it.
    pub(crate) fn vm(&self, server: &str, vm: &str) -> Option<&VmState> {
        self.vms.get(&(server.to_owned(), vm.to_owned())).map(|state| &**state)
    }

    /// Forgets what is not asked any more.
    fn keep(&mut self, questions: &BTreeSet<Question>) {
        let is_asked = |wanted: &dyn Fn(&Question) -> bool| questions.iter().any(wanted);
        self.hosts.retain(|host, _| {
            is_asked(&|it| matches!(it, Question::Host { server } if server == host))
        });
        self.vms.retain(|(on, name), _| {
            is_asked(
                &|it| matches!(it, Question::Vm { server, vm, .. } if server == on && vm == name),
            )
        });
    }

    /// Takes an answer; what a server refuses to show is not there.
    pub(crate) fn take(&mut self, question: Question, reply: Option<ServerReply>) {
        match (question, reply) {
            (Question::Host { server }, Some(ServerReply::Host(host))) => {
                let vms = host.vms.into_iter().map(|summary| (summary.vm.clone(), summary));
                self.hosts.insert(server, vms.collect());
            }
            (Question::Host { server }, _) => {
                self.hosts.remove(&server);
            }
            (Question::Vm { server, vm, .. }, Some(ServerReply::Vm(state))) => {
                self.vms.insert((server, vm), state);
            }
            (Question::Vm { server, vm, .. }, _) => {
                self.vms.remove(&(server, vm));
            }
        }
    }
}

/// Keeps the picture of the fleet that the page is shown.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    answers: Answers,
    /// Questions that are not answered yet: a server that is slow is not asked again.
    open: BTreeSet<Question>,
    asking: JoinSet<(Question, Option<ServerReply>)>,
    looked: Option<Instant>,
}

impl Watcher {
    /// The picture as it is now, if there can be a new one already.
    pub(crate) async fn look(
        &mut self,
        manager: &Manager,
        hub: &Hub,
        picked: &[String],
    ) -> Option<Snapshot> {
        let now = Instant::now();
        if self.looked.is_some_and(|looked| now < looked + PERIOD) {
            return None;
        }
        self.looked = Some(now);
        let questions = manager.read(|state| questions(state, picked));
        self.answers.keep(&questions);
        for question in &questions {
            self.ask(manager, question);
        }
        while let Ok(Some(answered)) = timeout_at(now + PATIENCE, self.asking.join_next()).await {
            let Ok((question, reply)) = answered else { continue };
            self.open.remove(&question);
            if let (Question::Vm { server, migration, .. }, Some(ServerReply::Vm(state))) =
                (&question, &reply)
            {
                match migration {
                    Some(id) => hub.shown(*id, state),
                    None => hub.at_rest(server, state),
                }
            }
            if questions.contains(&question) {
                self.answers.take(question, reply);
            }
        }
        let results = &manager.settings().out;
        Some(manager.read(|state| {
            hub.look(|followed| {
                View { fleet: &state.fleet, followed, answers: &self.answers }.snapshot(results)
            })
        }))
    }

    fn ask(&mut self, manager: &Manager, question: &Question) {
        let Ok(connection) = manager.connection(question.server()) else { return };
        if self.open.insert(question.clone()) {
            let question = question.clone();
            self.asking.spawn(async move {
                let reply = connection.ask(question.command()).await.ok();
                (question, reply)
            });
        }
    }
}

/// What is to be asked of whom.
fn questions(state: &State, picked: &[String]) -> BTreeSet<Question> {
    let fleet = &state.fleet;
    let mut questions: BTreeSet<Question> =
        state.connections.keys().map(|server| Question::Host { server: server.clone() }).collect();
    let migrating = fleet.running().map(|(_, migration)| migration.vm.as_str());
    let resting = fleet.vms().map(|(name, _)| name);
    let resting = resting.filter(|name| fleet.migration_of(name).is_none());
    let picked = picked.iter().map(String::as_str).filter(|name| fleet.vm(name).is_ok());
    let mut shown = BTreeSet::new();
    let wanted = picked.chain(migrating).chain(resting).filter(|name| shown.insert(*name));
    let mut cells = SHOWN_CELLS;
    for name in wanted.take(SHOWN_GUESTS) {
        let Ok(vm) = fleet.vm(name) else { continue };
        let needed = vm.frames.min(MAX_CELLS);
        if needed > cells {
            break;
        }
        cells -= needed;
        // The list of a large memory costs its server time, and would not be shown.
        let limit = if vm.frames <= MAX_CELLS { MAX_CELLS } else { 0 };
        let migration = fleet.migration_of(name);
        let destination = migration.map(|(_, migration)| &migration.destination);
        for server in [Some(&vm.server), destination].into_iter().flatten() {
            let (server, vm) = (server.clone(), name.to_owned());
            let migration = migration.map(|(id, _)| id);
            questions.insert(Question::Vm { server, vm, limit, migration });
        }
    }
    questions
}
