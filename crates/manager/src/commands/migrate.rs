//! `migrate`, `migrate cancel`, `wait`.

use crate::connection::{ANSWER_DEADLINE, AskError};
use crate::definition::{Definition, is_of_migration};
use crate::fleet::{Ended, FleetError, Request, full_key};
use crate::grammar::{KeyValue, Migrate, MigrateAction};
use crate::manager::Manager;
use crate::presence::unix_ms;
use crate::render::run_table;
use crate::reply::{CommandError, Reply};
use lazycopy_migration::{Outcome, Scheme};
use lazycopy_protocol::control::{ExpectMigration, MigrationId, ServerCommand, StartMigration};
use lazycopy_scenario::Scenario;
use lazycopy_transport::new_migration_key;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long `migrate cancel` waits for the source: it answers within a burst of its guest's
/// accesses, so that only one that hangs takes longer, which is said then.
const CANCEL_DEADLINE: Duration = Duration::from_secs(5);

impl Manager {
    pub(super) async fn migrate_command(&self, migrate: Migrate) -> Result<Reply, CommandError> {
        let Migrate { action, vm, to, scheme, set, wait } = migrate;
        match action {
            Some(MigrateAction::Cancel { vm }) => return self.cancel(&vm).await,
            Some(MigrateAction::Recover { vm }) => return self.recover(&vm).await,
            Some(MigrateAction::Reclaim { vm }) => return self.reclaim(&vm).await,
            None => {}
        }
        // The grammar demands both where there is no action.
        let (vm, to) = (vm.unwrap_or_default(), to.unwrap_or_default());
        let id = self.migrate(&vm, &to, &explicit_settings(scheme, &set)).await?;
        if wait {
            self.tell_of_standstill();
            return self.wait_for(id).await;
        }
        Ok(self.begun_reply(id))
    }

    /// What is said of a migration that has begun.
    pub(crate) fn begun_reply(&self, id: MigrationId) -> Reply {
        self.read(|state| {
            let Some(migration) = state.fleet.migration(id) else { return Reply::default() };
            let (vm, to) = (&migration.vm, &migration.destination);
            let json = json!({
                "migration": id,
                "vm": vm,
                "source": migration.source,
                "destination": to,
                "parameters": migration.parameters,
            });
            let scheme = migration.parameters.scheme;
            let text = format!("Migration {} of \"{vm}\" to \"{to}\" runs: {scheme}.", id.0);
            Reply::new(text, json)
        })
    }

    /// Begins a migration: the guest's scenario, the policy over it, and `settings` over both.
    ///
    /// # Errors
    /// When it cannot be, or the source or the destination refuses.
    pub async fn migrate(
        &self,
        vm: &str,
        to: &str,
        settings: &[(String, String)],
    ) -> Result<MigrationId, CommandError> {
        let scenario = self.migration_scenario(vm, settings).await?;
        self.begin_migration(vm, to, scenario).await
    }

    /// What a guest would migrate by: its scenario, the policy over it, `settings` over both.
    ///
    /// # Errors
    /// When there is no such guest, or a setting is wrong.
    pub(super) async fn migration_scenario(
        &self,
        vm: &str,
        settings: &[(String, String)],
    ) -> Result<Scenario, CommandError> {
        let (definition, real_memory, policy) = self.read(|state| {
            let guest = state.fleet.vm(vm)?;
            let (definition, real_memory) = (guest.definition.clone(), guest.real_memory);
            let policy: Vec<(String, String)> = state
                .fleet
                .policy
                .settings()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            Ok::<_, FleetError>((definition, real_memory, policy))
        })?;
        scenario_of(definition, real_memory, merged(policy, settings)?).await
    }

    /// Begins a migration by a scenario.
    ///
    /// # Errors
    /// When it cannot be, or the source or the destination refuses.
    pub(super) async fn begin_migration(
        &self,
        vm: &str,
        to: &str,
        scenario: Scenario,
    ) -> Result<MigrationId, CommandError> {
        let scenario = Arc::new(scenario);
        let source = self.read(|state| Some(state.fleet.vm(vm).ok()?.server.clone()));
        [source.as_deref(), Some(to)].into_iter().flatten().try_for_each(|it| self.answers(it))?;
        let request = Request {
            vm: vm.to_owned(),
            destination: to.to_owned(),
            parameters: scenario.migration_parameters(),
            link: scenario.link(),
            scenario,
            began_unix_ms: unix_ms(),
            watch: self.read(|state| {
                let pages = state.fleet.vm(vm).map_or(0, |vm| vm.pages);
                self.watch(state.level, pages)
            }),
            key: new_migration_key(),
        };
        let of_request = crate::requests::current();
        let (message, expected) = self.change(|state| -> Result<_, FleetError> {
            let scheme = request.parameters.scheme;
            let message = state.fleet.begin_migration(request)?;
            if let Some(name) = &of_request {
                state.requests.begins(name, message.migration);
            }
            if let Some(hub) = self.hub() {
                hub.began(message.migration, vm, to, scheme);
            }
            let expected = ExpectMigration {
                migration: message.migration,
                vm: vm.to_owned(),
                source: state.fleet.vm(vm)?.server.clone(),
                key: message.key.clone(),
            };
            Ok((message, expected))
        })?;
        let id = message.migration;
        // Should the manager end now, the next one knows what it has asked for.
        self.kept().await;
        // Whoever waits for this may go away: both are told all the same.
        let manager = self.clone();
        let told = tokio::spawn(async move { manager.tell_both(expected, message).await });
        told.await.map_err(|_| CommandError::Ending)??;
        Ok(id)
    }

    /// Tells the destination whom to let in, then the source to begin.
    ///
    /// # Errors
    /// When one of them refuses or does not answer.
    async fn tell_both(
        &self,
        expected: ExpectMigration,
        message: StartMigration,
    ) -> Result<(), AskError> {
        let (id, source, to) =
            (message.migration, expected.source.clone(), message.destination.clone());
        let settle = move |manager: &Manager, told: Result<(), AskError>| {
            if told.is_err() {
                manager.change(|state| state.fleet.migration_refused(id));
                if let Some(hub) = manager.hub() {
                    hub.refused(id);
                }
            }
            told
        };
        let expect = ServerCommand::Expect(expected);
        // Nobody is let in whom the manager has not told of.
        match self.have_done(&to, expect, ANSWER_DEADLINE, |_, told| told).await.flatten() {
            Ok(()) => {
                let migrate = ServerCommand::Migrate(Box::new(message));
                self.have_done(&source, migrate, ANSWER_DEADLINE, settle).await.flatten()
            }
            // The source knows nothing of it; what the destination expects, it forgets.
            Err(error) => settle(self, Err(error)),
        }
    }

    /// Whether a server answers, as far as it is connected.
    ///
    /// # Errors
    /// When it hangs.
    fn answers(&self, server: &str) -> Result<(), AskError> {
        match self.connection(server) {
            Err(silent @ AskError::Silent { .. }) => Err(silent),
            _ => Ok(()),
        }
    }

    /// Takes a guest's migration back. Bounded by [`CANCEL_DEADLINE`]; once it is taken back it is
    /// however often this is asked for.
    async fn cancel(&self, vm: &str) -> Result<Reply, CommandError> {
        let taken_back = |id: MigrationId, source: &str| {
            Reply::message(format!(
                "Migration {} of \"{vm}\" is taken back; the guest stays on server \"{source}\".",
                id.0
            ))
        };
        let running = self.change(|state| {
            let server = state.fleet.vm(vm)?.server.clone();
            let Some((id, migration)) = state.fleet.migration_of(vm) else {
                let before = state.fleet.taken_back(vm);
                return before.map(|id| Err((id, server))).ok_or(state.fleet.not_migrating(vm));
            };
            let source = migration.source.clone();
            if migration.pause().is_some() {
                return Err(FleetError::PausedAfterHandOver { vm: vm.to_owned(), id });
            }
            if migration.has_arrived() || migration.transfer.expected.is_some() {
                let to = migration.destination.clone();
                return Err(FleetError::HandedOver { vm: vm.to_owned(), to, id });
            }
            let again = migration.cancelling;
            state.fleet.cancelling(id);
            Ok(Ok((id, source, again)))
        })?;
        let (id, source, again) = match running {
            Ok(running) => running,
            Err((id, server)) => return Ok(taken_back(id, &server)),
        };
        let unanswered =
            |why: AskError| CommandError::CancelUnanswered { id, vm: vm.to_owned(), why };
        if again {
            // It has been told, and will see to it when it goes on.
            self.answers(&source).map_err(unanswered)?;
        }
        let cancel = ServerCommand::CancelMigration { migration: id };
        match self.have_done(&source, cancel, CANCEL_DEADLINE, |_, told| told).await {
            Ok(told) => told.map(|()| taken_back(id, &source)).map_err(CommandError::from),
            Err(why) => Err(unanswered(why)),
        }
    }

    /// Waits until a migration is over and its result is written.
    ///
    /// # Errors
    /// When it did not complete.
    pub async fn wait_for(&self, id: MigrationId) -> Result<Reply, CommandError> {
        let found = self.until(|state| match state.fleet.migration(id) {
            _ if state.quitting => Some(Err(CommandError::Ending)),
            Some(migration) if migration.awaits_a_word() => {
                let vm = migration.vm.clone();
                Some(Err(CommandError::AwaitsAWord { id, vm, server: migration.source.clone() }))
            }
            Some(migration) => Some(Ok(Some((migration.vm.clone(), migration.ended()?.clone())))),
            None => Some(Ok(None)),
        });
        let Some((vm, ended)) = found.await? else {
            let text = format!("Migration {} ended well, long ago; see its directory.", id.0);
            return Ok(Reply::new(text, json!({ "migration": id, "outcome": Value::Null })));
        };
        self.change(|state| state.fleet.tell(id));
        if ended.verdict.outcome != Outcome::Completed {
            return Err(CommandError::NotCompleted { id, vm, verdict: ended.verdict });
        }
        if let Some(what) = &ended.wrong {
            return Err(CommandError::WrongResult { id, vm, what: what.clone() });
        }
        let metrics = ended.record.as_ref().map(|record| run_table(&record.metrics));
        Ok(Reply::new(metrics.unwrap_or_default(), result_json(&ended)))
    }

    /// Waits for the migrations of one guest or of all that nobody has waited for yet.
    pub(super) async fn wait_command(&self, vm: Option<String>) -> Result<Reply, CommandError> {
        let ids: Vec<MigrationId> = self.read(|state| {
            let of_vm = |name: &str| vm.as_ref().is_none_or(|vm| vm == name);
            let untold = state.fleet.untold().filter(|(_, migration)| of_vm(&migration.vm));
            let ids: Vec<MigrationId> = untold.map(|(id, _)| id).collect();
            match &vm {
                // A guest that was lost is unknown, but its migration is not.
                Some(vm) if ids.is_empty() => state.fleet.vm(vm).map(|_| ids),
                _ => Ok(ids),
            }
        })?;
        if !ids.is_empty() {
            self.tell_of_standstill();
        }
        let mut failure = None;
        let (mut texts, mut results) = (Vec::new(), Vec::new());
        for id in &ids {
            match self.wait_for(*id).await {
                Ok(reply) => {
                    texts.push(reply.text);
                    results.push(reply.json);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            Some(error) => Err(error),
            None if ids.is_empty() => {
                Ok(Reply::new("There is no migration to wait for.", json!({ "results": [] })))
            }
            None => Ok(Reply::new(texts.join("\n"), json!({ "results": results }))),
        }
    }
}

/// A result for machines: the record, and where it was written.
pub(super) fn result_json(ended: &Ended) -> Value {
    let mut json = serde_json::to_value(&ended.record).unwrap_or_default();
    if let Value::Object(record) = &mut json {
        record.insert("directory".to_owned(), json!(ended.directory));
    }
    json
}

pub(super) fn explicit_settings(scheme: Option<Scheme>, set: &[KeyValue]) -> Vec<(String, String)> {
    let scheme = scheme.map(|scheme| ("migration.scheme".to_owned(), scheme.to_string()));
    let set = set.iter().map(|set| (full_key(&set.key), set.value.clone()));
    scheme.into_iter().chain(set).collect()
}

/// Policy and explicit settings as `KEY=VALUE`; the explicit ones win.
fn merged(
    policy: Vec<(String, String)>,
    explicit: &[(String, String)],
) -> Result<Vec<String>, CommandError> {
    if let Some((key, _)) = explicit.iter().find(|(key, _)| !is_of_migration(key)) {
        return Err(CommandError::NotOfMigration { key: key.clone() });
    }
    let overridden = |key: &str| explicit.iter().any(|(other, _)| other == key);
    let policy = policy.iter().filter(|(key, _)| !overridden(key));
    Ok(policy.chain(explicit).map(|(key, value)| format!("{key}={value}")).collect())
}

/// The scenario of a migration. A guest that this manager has not created migrates by the
/// scenario `paper`, or, where its memory is real, which no modelled link moves, by `unlimited`.
async fn scenario_of(
    definition: Option<Arc<Definition>>,
    real_memory: bool,
    set: Vec<String>,
) -> Result<Scenario, CommandError> {
    let made = tokio::task::spawn_blocking(move || match definition {
        Some(definition) => definition.for_migration(&set),
        None => Definition::read(if real_memory { "unlimited" } else { "paper" }, &set)
            .map(|definition| definition.scenario().clone()),
    });
    match made.await {
        Ok(scenario) => scenario.map_err(|error| CommandError::Scenario(error.to_string())),
        Err(error) => Err(CommandError::Scenario(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn explicit_settings_win_over_the_policy() {
        let policy = vec![pair("link.latency", "1ms"), pair("migration.scheme", "post-copy")];
        let explicit = [pair("migration.scheme", "lazy-copy")];
        let set = merged(policy, &explicit).unwrap();
        assert_eq!(set, ["link.latency=1ms", "migration.scheme=lazy-copy"]);
    }

    #[test]
    fn what_belongs_to_the_guest_cannot_be_set_for_a_migration() {
        let error = merged(Vec::new(), &[pair("guest.frames", "10")]).unwrap_err();
        assert!(error.to_string().contains("\"guest.frames\" belongs to the guest"), "{error}");
    }
}
