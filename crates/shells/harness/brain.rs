//! What the manager, its users and its operator say to the servers, decided outside of the
//! simulated hosts.

use super::book::{Book, Shown};
use super::case::ShellCase;
use super::fault::Moment;
use super::links::{host, other};
use super::manager::{Heard, Numbered};
use lazycopy_migration::{Outcome, Side};
use lazycopy_protocol::control::{
    CreateVm, ExpectMigration, FromServer, MAX_SHOWN_PAGES, MigrationId, MigrationKey, Pause,
    PeerEnd, ServerCommand, ServerReply, SideEnded, SideReport, StartMigration, Watch,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// The guest.
const VM: &str = "g";

/// Its migration.
const MIGRATION: MigrationId = MigrationId(1);

/// What both servers prove to each other.
const KEY: [u8; 32] = [7; 32];

/// A server is asked so often what the guest does.
const LOOKS: Duration = Duration::from_millis(100);

/// What a command is for.
#[derive(Clone, Debug, PartialEq)]
enum Errand {
    /// A step on the way to the migration.
    Step,
    /// The migration itself.
    Migrate,
    /// To see the guest.
    Look { asked_at: Duration },
    /// A user's cancel.
    Cancel,
    /// An operator's reclaim.
    Reclaim,
    /// Its answer changes nothing.
    Other,
}

/// A server, seen by the manager.
#[derive(Default)]
struct Server {
    /// Where other servers reach it.
    address: String,
    commands: Option<UnboundedSender<Numbered>>,
    /// What was asked and not answered: asked again over every new connection.
    unanswered: BTreeMap<u64, (ServerCommand, Errand)>,
    looks_at: Duration,
}

/// The manager's mind.
pub(crate) struct Brain<'a> {
    case: &'a ShellCase,
    pub(crate) book: Book,
    heard: UnboundedReceiver<Heard>,
    servers: BTreeMap<Side, Server>,
    steps: VecDeque<Side>,
    /// The step that is to be taken when the one before is done.
    may_step: bool,
    last_command: u64,
    /// The source waits for an operator since then, with that pause.
    resting: Option<(Duration, Pause)>,
    /// What is told of one side's end, to the other: when.
    told: Vec<(Duration, Side, PeerEnd)>,
}

fn side_of(server: &str) -> Side {
    match server == host(Side::Source) {
        true => Side::Source,
        false => Side::Destination,
    }
}

impl<'a> Brain<'a> {
    pub(crate) fn new(case: &'a ShellCase, heard: UnboundedReceiver<Heard>) -> Self {
        use Side::{Destination, Source};
        Brain {
            case,
            book: Book::new(case),
            heard,
            servers: [Source, Destination].map(|side| (side, Server::default())).into(),
            steps: [Source, Source, Destination, Source].into(),
            may_step: true,
            last_command: 0,
            resting: None,
            told: Vec::new(),
        }
    }

    fn server(&mut self, side: Side) -> &mut Server {
        self.servers.entry(side).or_default()
    }

    fn ask(&mut self, side: Side, command: ServerCommand, errand: Errand) {
        self.last_command += 1;
        let id = self.last_command;
        let server = self.server(side);
        if let Some(commands) = &server.commands {
            // If the connection is just being lost, it is asked again over the next one.
            let _ = commands.send((id, command.clone()));
        }
        server.unanswered.insert(id, (command, errand));
    }

    /// Hears what there is to hear, and says what is to be said.
    pub(crate) fn think(&mut self, now: Duration) {
        while let Ok(heard) = self.heard.try_recv() {
            match heard {
                Heard::Attached { hello, commands } => {
                    let side = side_of(&hello.name);
                    self.book.tell(now, format!("{side:?} introduces itself"));
                    let server = self.server(side);
                    server.address = hello.address;
                    for (id, (command, _)) in &server.unanswered {
                        let _ = commands.send((*id, command.clone()));
                    }
                    server.commands = Some(commands);
                }
                Heard::Said { server, message } => self.hear(now, side_of(&server), message),
            }
        }
        self.step(now);
        self.look(now);
        self.operate(now);
        self.tell_of_ends(now);
    }

    fn hear(&mut self, now: Duration, side: Side, message: FromServer) {
        match message {
            FromServer::Reply { id, result } => {
                if let Some((_, errand)) = self.server(side).unanswered.remove(&id) {
                    self.answered(now, side, errand, result);
                }
            }
            FromServer::Event { event, .. } => self.book.note(now, &event),
            FromServer::MigrationEnded(ended) => {
                if !self.book.ended.contains_key(&side) {
                    self.learns_of_end(now, side, how(&ended));
                    self.book.end(now, *ended);
                }
            }
            FromServer::LinkState { side, pause, .. } => {
                let word = match &pause {
                    None => "its link is whole again".to_owned(),
                    Some(Pause { reason, until_unix_ms: Some(_), .. }) => {
                        format!("waits: {reason}")
                    }
                    Some(Pause { reason, .. }) => format!("waits for a word: {reason}"),
                };
                self.book.tell(now, format!("{side:?}: {word}"));
                if side == Side::Source {
                    let rests = pause.filter(|pause| pause.until_unix_ms.is_none());
                    self.resting = rests.map(|pause| (now, pause));
                }
            }
            FromServer::VmFailed { reason, .. } => {
                self.book.blame(now, "no-panic", format!("{side:?}: {reason}"));
            }
            FromServer::Progress { .. } | FromServer::Heartbeat => {}
        }
    }

    fn answered(
        &mut self,
        now: Duration,
        side: Side,
        errand: Errand,
        result: Result<ServerReply, String>,
    ) {
        match errand {
            Errand::Look { asked_at } => {
                let state = match result {
                    Ok(ServerReply::Vm(state)) => Some(*state),
                    _ => None,
                };
                self.book.show(now, side, Shown { asked_at, state });
            }
            Errand::Step => match result {
                Ok(_) => self.may_step = true,
                Err(reason) => self.book.blame(now, "no-panic", format!("setting up: {reason}")),
            },
            Errand::Migrate => {
                self.book.tell(now, format!("the command to migrate: {result:?}"));
                self.book.begun = Some(result.map(drop));
            }
            Errand::Cancel => {
                self.book.tell(now, format!("the command to cancel: {result:?}"));
                self.book.cancelled |= result.is_ok();
            }
            Errand::Reclaim => {
                self.book.tell(now, format!("the command to reclaim: {result:?}"));
                self.book.reclaimed |= result.is_ok();
            }
            Errand::Other => self.book.tell(now, format!("{side:?} answers {result:?}")),
        }
    }

    /// The next step on the way to the migration.
    fn step(&mut self, now: Duration) {
        let Some(side) = self.steps.front().copied().filter(|_| self.may_step) else { return };
        if self.servers.values().any(|server| server.commands.is_none()) {
            return;
        }
        self.may_step = false;
        self.steps.pop_front();
        let (command, errand) = match self.steps.len() {
            3 => (self.create(), Errand::Step),
            2 => (ServerCommand::StartVm { vm: VM.to_owned() }, Errand::Step),
            1 => (self.expect(), Errand::Step),
            _ => {
                self.book.tell(now, "the source is told to migrate");
                self.book.is_in(now, Moment::Agreeing);
                (self.migrate(), Errand::Migrate)
            }
        };
        self.ask(side, command, errand);
    }

    fn create(&self) -> ServerCommand {
        ServerCommand::CreateVm(CreateVm {
            vm: VM.to_owned(),
            spec: self.case.moved.guest.clone(),
            time_scale: 1,
            disk_latency: self.case.moved.parameters.disk_latency_source,
            warmup_accesses: self.case.moved.warmup_accesses,
            real_memory: false,
        })
    }

    fn expect(&self) -> ServerCommand {
        ServerCommand::Expect(ExpectMigration {
            migration: MIGRATION,
            vm: VM.to_owned(),
            source: host(Side::Source).to_owned(),
            key: MigrationKey::new(KEY),
        })
    }

    fn migrate(&mut self) -> ServerCommand {
        let within = u64::try_from(self.case.recover_within.as_nanos()).unwrap_or(u64::MAX);
        ServerCommand::Migrate(Box::new(StartMigration {
            migration: MIGRATION,
            vm: VM.to_owned(),
            destination: host(Side::Destination).to_owned(),
            destination_address: self.server(Side::Destination).address.clone(),
            parameters: self.case.moved.parameters.clone(),
            link: self.case.moved.link.into(),
            watch: Watch::Milestones,
            key: MigrationKey::new(KEY),
            recover_within: lazycopy_units::Duration::from_nanos(within),
        }))
    }

    /// Asks both servers what the guest does.
    fn look(&mut self, now: Duration) {
        for side in [Side::Source, Side::Destination] {
            let server = self.server(side);
            let looks = server.unanswered.values().any(|(_, it)| matches!(it, Errand::Look { .. }));
            if looks || server.commands.is_none() || now < server.looks_at {
                continue;
            }
            server.looks_at = now + LOOKS;
            let command = ServerCommand::ShowVm { vm: VM.to_owned(), limit: MAX_SHOWN_PAGES };
            self.ask(side, command, Errand::Look { asked_at: now });
        }
    }

    /// A source that rests is given a word.
    fn operate(&mut self, now: Duration) {
        let Some((since, pause)) = &mut self.resting else { return };
        if now < *since + self.case.operator_after {
            return;
        }
        // If it does not do, he tries again.
        *since = now + Duration::from_secs(1);
        match pause.reclaim {
            Some(Ok(_)) => self.reclaim(),
            _ => self.recover(),
        }
    }

    pub(crate) fn reclaim(&mut self) {
        let command = ServerCommand::ReclaimMigration { migration: MIGRATION };
        self.ask(Side::Source, command, Errand::Reclaim);
    }

    pub(crate) fn recover(&mut self) {
        let command = ServerCommand::RecoverMigration { migration: MIGRATION };
        self.ask(Side::Source, command, Errand::Other);
    }

    pub(crate) fn cancel(&mut self) {
        let command = ServerCommand::CancelMigration { migration: MIGRATION };
        self.ask(Side::Source, command, Errand::Cancel);
    }

    /// A process died: nothing of what it was asked will be answered.
    pub(crate) fn dies(&mut self, now: Duration, side: Side) {
        self.book.died.entry(side).or_insert(now);
        self.book.shown.remove(&side);
        let server = self.server(side);
        server.commands = None;
        server.unanswered.clear();
        if side == Side::Source && self.book.begun.is_none() {
            self.book.begun = Some(Err("its source died".to_owned()));
        }
        self.learns_of_end(now, side, Some(PeerEnd::Dead));
    }

    /// The manager learns that a side has ended: it tells the other, if it tells.
    fn learns_of_end(&mut self, now: Duration, side: Side, how: Option<PeerEnd>) {
        if let (Some(how), Some(after)) = (how, self.case.manager_tells) {
            self.told.push((now + after, other(side), how));
        }
    }

    fn tell_of_ends(&mut self, now: Duration) {
        let (due, rest) = self.told.drain(..).partition(|(at, _, _)| *at <= now);
        self.told = rest;
        let due: Vec<(Duration, Side, PeerEnd)> = due;
        for (_, side, how) in due {
            if !self.book.is_dead(side) && !self.book.ended.contains_key(&side) {
                self.book.tell(now, format!("{side:?} is told of the other's end: {how:?}"));
                let command = ServerCommand::PeerEnded { migration: MIGRATION, how };
                self.ask(side, command, Errand::Other);
            }
        }
    }

    /// Whether the migration has ended at that side, by what was shown since `calm`.
    fn has_ended_at(&self, side: Side, calm: Duration) -> bool {
        if self.book.is_dead(side) {
            return true;
        }
        let Some(shown) = self.book.shown.get(&side) else { return false };
        let moves = shown
            .state
            .as_ref()
            .is_some_and(|state| state.moving.is_some() || state.summary.phase.is_on_the_move());
        shown.asked_at > calm && !moves
    }

    /// Whether the migration has ended everywhere, and nobody owes a report.
    pub(crate) fn has_ended(&self, calm: Duration) -> bool {
        let both = [Side::Source, Side::Destination];
        let began = match &self.book.begun {
            None => return false,
            Some(began) => began.is_ok(),
        };
        both.iter().all(|side| self.has_ended_at(*side, calm))
            && (!began || both.iter().all(|side| self.has_reported(*side)))
    }

    /// Whether that side has reported, or never will: it is dead, or a destination that did not
    /// hear the source begin.
    fn has_reported(&self, side: Side) -> bool {
        let is_elsewhere = |ended: &SideEnded| ended.verdict.outcome != Outcome::Completed;
        let never_began = side == Side::Destination
            && !self.book.has_begun_there
            && self.book.ended.get(&Side::Source).is_some_and(is_elsewhere);
        self.book.is_dead(side) || self.book.ended.contains_key(&side) || never_began
    }

    /// Who is not through, for a story.
    pub(crate) fn what_is_left(&self) -> String {
        let both = [Side::Source, Side::Destination];
        let of = |side: Side| {
            let state = self.book.shown.get(&side).and_then(|it| it.state.as_ref());
            let phase = state.map(|state| state.summary.phase);
            let ended = self.book.ended.get(&side).map(|it| it.verdict.outcome);
            format!("{side:?}: guest {phase:?}, ended {ended:?}, dead {}", self.book.is_dead(side))
        };
        let begun = &self.book.begun;
        let rests = self.resting.is_some();
        format!("{}; begun {begun:?}, waits for a word: {rests}", both.map(of).join("; "))
    }
}

/// What the manager makes of a side's report.
fn how(ended: &SideEnded) -> Option<PeerEnd> {
    let reason = ended.verdict.reason.clone();
    match (&ended.report, ended.verdict.outcome) {
        (_, Outcome::Completed) => None,
        (_, Outcome::Lost) => Some(PeerEnd::Lost { reason }),
        (SideReport::Source(_), _) => Some(PeerEnd::Withdrawn { reason }),
        (SideReport::Destination(report), _) if report.resumed_at.is_none() => {
            Some(PeerEnd::ThrownAway { reason })
        }
        (SideReport::Destination(_), _) => None,
    }
}
