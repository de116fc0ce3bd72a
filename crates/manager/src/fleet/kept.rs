//! What of the fleet is kept, and how it is made of what an earlier life of the manager has kept.

use super::{Ended, Fleet, Migration, Policy, Progress, Server, Side, Whereabouts};
use crate::definition::Definition;
use crate::past::PastRuns;
use crate::state::{Changes, End, KeptScenario, Key, Record, Records};
use lazycopy_migration::{Outcome, Verdict};
use lazycopy_protocol::control::MigrationId;
use lazycopy_results::RunRecord;
use lazycopy_scenario::ScenarioError;
use std::path::Path;
use std::sync::Arc;

/// Definitions of guests that no server brings that are kept: as many as a server may host. They
/// are of servers that are away, or died while the manager was; beyond it the first by name go.
const MAX_ABSENT: usize = 4_096;

/// A guest that is on no connected server, but may come back with its own.
#[derive(Clone, Debug)]
pub(super) struct Absent {
    pub definition: Arc<Definition>,
    pub server: String,
}

impl Fleet {
    /// What is new since this was last asked.
    pub(crate) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    pub(super) fn keep_server(&mut self, name: &str) {
        let record = self.servers.get(name).map(|server| Record::Server {
            pid: server.pid,
            here: server.here,
            draining: server.draining,
        });
        self.changes.insert(Key::Server(name.to_owned()), record);
    }

    pub(super) fn keep_guest(&mut self, vm: &str) {
        let here = self.vms.get(vm).and_then(|it| Some((it.definition.as_ref()?, &it.server)));
        let absent = || self.absent.get(vm).map(|it| (&it.definition, &it.server));
        let record = here.or_else(absent).and_then(|(definition, server)| {
            let preset = definition.preset().map(|preset| preset.name().to_owned());
            let scenario = definition.kept()?.clone();
            Some(Record::Guest { server: server.clone(), scenario, preset })
        });
        self.changes.insert(Key::Guest(vm.to_owned()), record);
    }

    pub(super) fn keep_migration(&mut self, id: MigrationId) {
        let record = self.migrations.get(&id).and_then(|migration| {
            Some(Record::Migration {
                vm: migration.vm.clone(),
                source: migration.source.clone(),
                destination: migration.destination.clone(),
                scenario: migration.kept.as_deref()?.clone(),
                began_unix_ms: migration.began_unix_ms,
                told: migration.told,
                end: migration.ended().map(End::from),
            })
        });
        self.changes.insert(Key::Migration(id), record);
    }

    pub(super) fn keep_numbers(&mut self) {
        let last_migration = self.last_migration;
        self.changes.insert(Key::Numbers, Some(Record::Numbers { last_migration }));
    }

    /// Changes the policy.
    pub fn set_policy(&mut self, policy: Policy) {
        self.changes.insert(Key::Policy, Some(Record::Policy(policy.clone().into_settings())));
        self.policy = policy;
    }

    /// A guest's definition stays although its server is away.
    pub(super) fn keep_absent(&mut self, vm: &str, server: &str, definition: Arc<Definition>) {
        if self.absent.len() == MAX_ABSENT
            && let Some((first, _)) = self.absent.pop_first()
        {
            self.keep_guest(&first);
        }
        let server = server.to_owned();
        self.absent.insert(vm.to_owned(), Absent { definition, server });
    }

    /// What a guest was created from, as far as it is known, also while its server is away.
    pub fn definition_of(&self, vm: &str) -> Option<Arc<Definition>> {
        let here = self.vms.get(vm).and_then(|vm| vm.definition.clone());
        here.or_else(|| self.absent.get(vm).map(|absent| Arc::clone(&absent.definition)))
    }

    /// The fleet as an earlier life of the manager has left it: its servers are awaited, and bring
    /// their guests along. `runs` are those that were found below `out`. Besides, what could not be
    /// made of the records, in words.
    pub(crate) fn restored(
        records: Records,
        runs: &mut PastRuns,
        out: &Path,
    ) -> (Fleet, Vec<String>) {
        let (mut fleet, mut problems) = (Fleet::default(), Vec::new());
        for (key, record) in records {
            let restored = fleet.restore(&key, record, runs, out);
            if let Err(error) = restored {
                problems.push(format!("of the kept state {key:?} is left out: {error}"));
            }
        }
        (fleet, problems)
    }

    fn restore(
        &mut self,
        key: &Key,
        record: Record,
        runs: &mut PastRuns,
        out: &Path,
    ) -> Result<(), ScenarioError> {
        match (key, record) {
            (_, Record::Numbers { last_migration }) => {
                self.last_migration = self.last_migration.max(last_migration);
            }
            (_, Record::Policy(settings)) => self.policy = Policy::of(settings),
            (Key::Server(name), Record::Server { pid, here, draining }) => {
                self.servers.insert(name.clone(), Server::awaited(pid, here, draining));
            }
            (Key::Guest(vm), Record::Guest { server, scenario, preset }) => {
                let definition = Arc::new(Definition::restored(scenario, preset)?);
                self.absent.insert(vm.clone(), Absent { definition, server });
            }
            (Key::Migration(id), record @ Record::Migration { .. }) => {
                let mut migration = Migration::restored(record, runs, out)?;
                self.last_migration = self.last_migration.max(id.0);
                if !migration.is_over()
                    && let Some(run) = runs.claim(&migration)
                {
                    // It was written just before the manager ended.
                    let ended = ended_by(&run.1, out.join(run.0));
                    migration.end(ended);
                    self.migrations.insert(*id, migration);
                    self.keep_migration(*id);
                    return Ok(());
                }
                if !migration.is_over() {
                    self.moving.insert(migration.vm.clone(), *id);
                }
                self.migrations.insert(*id, migration);
            }
            _ => {}
        }
        Ok(())
    }
}

impl From<&Ended> for End {
    fn from(ended: &Ended) -> End {
        let run = ended.directory.as_ref().and_then(|path| path.file_name());
        End {
            verdict: ended.verdict.clone(),
            whereabouts: ended.whereabouts,
            run: run.map(|name| name.to_string_lossy().into_owned()),
            wrong: ended.wrong.clone(),
        }
    }
}

impl Migration {
    fn restored(
        record: Record,
        runs: &mut PastRuns,
        out: &Path,
    ) -> Result<Migration, ScenarioError> {
        let Record::Migration { vm, source, destination, scenario: kept, began_unix_ms, told, end } =
            record
        else {
            unreachable!("the caller has looked")
        };
        let (_, scenario) = kept.read()?;
        let progress = match end {
            None => Progress::awaited(),
            Some(End { verdict, whereabouts, run, wrong }) => {
                let record = run.as_ref().and_then(|run| runs.take(run)).map(Box::new);
                let directory = run.map(|run| out.join(run));
                Progress::Ended(Ended { verdict, whereabouts, record, directory, wrong })
            }
        };
        Ok(Migration {
            vm,
            source,
            destination,
            parameters: scenario.migration_parameters(),
            link: scenario.link(),
            scenario: Arc::new(scenario),
            kept: Some(Arc::new(kept)),
            began_unix_ms,
            progress,
            transfer: Default::default(),
            pauses: Default::default(),
            dead: Default::default(),
            started_anew: Default::default(),
            told,
            in_doubt: true,
            cancelling: false,
        })
    }
}

/// How a migration ended whose run is written.
fn ended_by(record: &RunRecord, directory: std::path::PathBuf) -> Ended {
    let verdict =
        Verdict { outcome: record.metrics.outcome, reason: record.metrics.reason.clone() };
    let whereabouts = match verdict.outcome {
        Outcome::Completed => Whereabouts::Destination,
        Outcome::Lost => Whereabouts::Gone,
        Outcome::Cancelled | Outcome::Failed | Outcome::NeverConverges => Whereabouts::Source,
    };
    let record = Some(Box::new(record.clone()));
    Ended { verdict, whereabouts, record, directory: Some(directory), wrong: None }
}

/// The scenario of a migration, as it is kept.
pub(super) fn kept(scenario: &lazycopy_scenario::Scenario) -> Option<Arc<KeptScenario>> {
    KeptScenario::of(scenario).map(Arc::new)
}

impl Migration {
    /// Whether its source, or its destination, is that server.
    pub(super) fn side_on(&self, server: &str) -> Option<Side> {
        match server {
            server if server == self.source => Some(Side::Source),
            server if server == self.destination => Some(Side::Destination),
            _ => None,
        }
    }
}
