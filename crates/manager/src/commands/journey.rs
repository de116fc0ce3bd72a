//! One guest's way to another server, among many that are moved at once.

use super::migrate::explicit_settings;
use crate::fleet::{Ended, Migration, Whereabouts, fair_share};
use crate::grammar::GangOptions;
use crate::manager::Manager;
use lazycopy_migration::Outcome;
use lazycopy_protocol::control::MigrationId;
use std::time::Instant;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Migrations of one guest by one command: a destination that fails may be that guest's bad luck,
/// two are a reason to look.
const MAX_ATTEMPTS: usize = 2;

/// Migrations of one command whose runs are not over, those whose sources are through included:
/// half of those whose events a server keeps until the manager has fetched them.
const MAX_OPEN_RUNS: usize = 512;

/// What the guests of one command have in common.
#[derive(Debug)]
pub(super) struct Gang {
    /// Settings over the guests' scenarios.
    pub settings: Vec<(String, String)>,
    /// How many share the link.
    pub sharers: u64,
    /// As many as may be on their way at once.
    turns: Semaphore,
    /// As many as may not be over.
    open_runs: Semaphore,
    /// Whether a guest whose migration fails may go elsewhere: to one of these servers, or any
    /// other where none is named.
    pub elsewhere: Option<Vec<String>>,
}

impl Gang {
    /// As many of `migrations` guests at once as the options allow, each with its share of the link.
    pub fn new(options: &GangOptions, migrations: usize, elsewhere: Option<Vec<String>>) -> Gang {
        let at_once = usize::from(options.parallel).min(migrations.max(1));
        Gang {
            settings: explicit_settings(options.scheme, &options.set),
            sharers: at_once as u64,
            turns: Semaphore::new(at_once),
            open_runs: Semaphore::new(MAX_OPEN_RUNS),
            elsewhere,
        }
    }
}

/// A guest, and where it is to go.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub vm: String,
    /// The server that it is to leave.
    pub from: String,
    /// Its place in the plan; one that is still under way has none.
    pub to: Option<String>,
}

/// One migration of a guest, or why there was none.
#[derive(Debug)]
pub(super) struct Attempt {
    pub to: String,
    pub began: Instant,
    /// When its source was through with it.
    pub through: Instant,
    /// Model time per wall time.
    pub time_scale: Option<u64>,
    /// Whether it went over a modelled link, of which it had a share.
    pub modelled: bool,
    pub result: Result<(MigrationId, Ended), String>,
}

impl Attempt {
    /// The migration, if there was one.
    pub fn migration(&self) -> Option<MigrationId> {
        self.result.as_ref().ok().map(|(id, _)| *id)
    }

    /// How it ended, if there was one.
    pub fn ended(&self) -> Option<&Ended> {
        self.result.as_ref().ok().map(|(_, ended)| ended)
    }

    fn outcome(&self) -> Option<Outcome> {
        self.ended().map(|ended| ended.verdict.outcome)
    }

    fn reason(&self) -> String {
        match &self.result {
            Ok((_, ended)) => format!("{}: {}", ended.verdict.outcome, ended.verdict.reason),
            Err(reason) => format!("to \"{}\": {reason}", self.to),
        }
    }
}

/// Where a guest is in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// On the server that it was moved to.
    Arrived { on: String },
    /// It has no memory, and is defined there now.
    Relocated { on: String },
    /// On another server, where another command has moved it.
    Elsewhere { on: String },
    /// Where it was.
    Remains { why: String },
    /// Nowhere.
    Gone { why: String },
}

/// A guest's way, from the plan to its end.
#[derive(Debug)]
pub(super) struct Journey {
    pub vm: String,
    pub from: String,
    pub attempts: Vec<Attempt>,
    pub fate: Fate,
}

impl Journey {
    /// A guest that is not migrated.
    pub fn without_attempt(vm: &str, from: &str, fate: Fate) -> Self {
        Journey { vm: vm.to_owned(), from: from.to_owned(), attempts: Vec::new(), fate }
    }

    /// What is wrong with it, in words, if anything is.
    pub fn failure(&self) -> Option<&str> {
        match &self.fate {
            Fate::Remains { why } | Fate::Gone { why } => Some(why),
            Fate::Arrived { .. } => self.attempts.last()?.ended()?.wrong.as_deref(),
            Fate::Relocated { .. } | Fate::Elsewhere { .. } => None,
        }
    }
}

/// The turns of a gang last as long as it does.
fn no_turn() -> Fate {
    Fate::Remains { why: "there are no turns any more".to_owned() }
}

impl Manager {
    /// Moves a guest as soon as it is its turn. Waits for a migration of it that runs already.
    pub(super) async fn travel(&self, gang: &Gang, errand: Errand) -> Journey {
        self.until(|state| {
            let settled = state.fleet.migration_of(&errand.vm).is_none();
            (settled || state.quitting).then_some(())
        })
        .await;
        let mut attempts = Vec::new();
        let fate = self.travel_on(gang, &errand, &mut attempts).await;
        self.change(|state| state.fleet.release_promise(&errand.vm));
        Journey { vm: errand.vm, from: errand.from, attempts, fate }
    }

    async fn travel_on(&self, gang: &Gang, errand: &Errand, attempts: &mut Vec<Attempt>) -> Fate {
        let mut planned = errand.to.clone();
        loop {
            let Ok(_open) = gang.open_runs.acquire().await else { return no_turn() };
            let Ok(turn) = gang.turns.acquire().await else { return no_turn() };
            if let Some(fate) = self.left(errand, attempts) {
                return fate;
            }
            let to = planned.take().filter(|to| gang.elsewhere.is_none() || self.is_open(to));
            let to = match to.map_or_else(|| self.another(gang, errand, attempts), Ok) {
                Ok(to) => to,
                Err(no_room) => {
                    let why = attempts.last().map_or(no_room, Attempt::reason);
                    return Fate::Remains { why };
                }
            };
            attempts.push(self.attempt(gang, &errand.vm, to, turn).await);
            if let Some(fate) = self.left(errand, attempts) {
                return fate;
            }
            let last = attempts.last();
            let hopeless = last.and_then(Attempt::outcome).is_some_and(|it| it != Outcome::Failed);
            if hopeless || attempts.len() == MAX_ATTEMPTS {
                return Fate::Remains { why: last.map(Attempt::reason).unwrap_or_default() };
            }
        }
    }

    /// What became of a guest that is no longer on the server that it is to leave.
    fn left(&self, errand: &Errand, attempts: &[Attempt]) -> Option<Fate> {
        let on = self.read(|state| Some(state.fleet.vm(&errand.vm).ok()?.server.clone()));
        let last = attempts.last();
        match on {
            Some(on) if on == errand.from => None,
            Some(on) => match last.is_some_and(|last| last.to == on && last.ended().is_some()) {
                true => Some(Fate::Arrived { on }),
                false => Some(Fate::Elsewhere { on }),
            },
            None => {
                let gone =
                    || "it is no more: it was deleted, or is gone with its server".to_owned();
                let is_lost = |last: &&Attempt| {
                    last.ended().is_some_and(|end| end.whereabouts == Whereabouts::Gone)
                };
                let why = last.filter(is_lost).map_or_else(gone, Attempt::reason);
                Some(Fate::Gone { why })
            }
        }
    }

    /// Whether a server takes guests: one of the plan may be gone since, or be draining.
    fn is_open(&self, server: &str) -> bool {
        self.read(|state| state.fleet.open_server(server).is_ok())
    }

    /// Another server for a guest that the plan has no place for, or that did not get there.
    fn another(
        &self,
        gang: &Gang,
        errand: &Errand,
        attempts: &[Attempt],
    ) -> Result<String, String> {
        let Some(named) = &gang.elsewhere else { return Err("it has one place to go".to_owned()) };
        let tried: Vec<String> = attempts.iter().map(|attempt| attempt.to.clone()).collect();
        self.read(|state| state.fleet.place_again(&errand.vm, named, &tried))
    }

    /// One migration, to the end of its run. The next one has its turn when the source is through.
    async fn attempt(
        &self,
        gang: &Gang,
        vm: &str,
        to: String,
        turn: SemaphorePermit<'_>,
    ) -> Attempt {
        let began = Instant::now();
        let begun = async {
            let mut scenario = self.migration_scenario(vm, &gang.settings).await?;
            scenario.link = fair_share(scenario.link, gang.sharers);
            let time_scale = scenario.time_scale;
            let modelled = scenario.link.modelled().is_some();
            Ok((self.begin_migration(vm, &to, scenario).await?, time_scale, modelled))
        };
        let begun: Result<_, crate::reply::CommandError> = begun.await;
        let (id, time_scale, modelled) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let (through, result) = (Instant::now(), Err(error.to_string()));
                return Attempt { to, began, through, time_scale: None, modelled: false, result };
            }
        };
        self.until_migration(id, |migration| migration.has_left_the_link().then_some(())).await;
        let through = Instant::now();
        drop(turn);
        let ended = self.until_migration(id, |migration| migration.ended().cloned()).await;
        self.change(|state| state.fleet.tell(id));
        let result = ended.map(|ended| (id, ended));
        let result = result.ok_or_else(|| "the manager is ending".to_owned());
        Attempt { to, began, through, time_scale: Some(time_scale), modelled, result }
    }

    /// Waits for something about a migration; `None` where the manager ends before.
    async fn until_migration<T>(
        &self,
        id: MigrationId,
        mut look: impl FnMut(&Migration) -> Option<T>,
    ) -> Option<T> {
        self.until(|state| match state.fleet.migration(id) {
            Some(migration) => match look(migration) {
                Some(found) => Some(Some(found)),
                None => state.quitting.then_some(None),
            },
            None => Some(None),
        })
        .await
    }
}
