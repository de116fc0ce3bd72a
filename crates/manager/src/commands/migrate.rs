//! `migrate`, `migrate cancel`, `wait`.

use crate::connection::AskError;
use crate::definition::{Definition, is_of_migration};
use crate::fleet::{Ended, FleetError, Request, full_key};
use crate::grammar::{KeyValue, Migrate, MigrateAction};
use crate::manager::Manager;
use crate::render::run_table;
use crate::reply::{CommandError, Reply};
use lazycopy_migration::{Outcome, Scheme};
use lazycopy_protocol::control::{ExpectMigration, MigrationId, ServerCommand};
use lazycopy_scenario::Scenario;
use lazycopy_transport::new_migration_key;
use serde_json::{Value, json};
use std::sync::Arc;

impl Manager {
    pub(super) async fn migrate_command(&self, migrate: Migrate) -> Result<Reply, CommandError> {
        let Migrate { action, vm, to, scheme, set, wait } = migrate;
        if let Some(MigrateAction::Cancel { vm }) = action {
            return self.cancel(&vm).await;
        }
        // The grammar demands both where there is no action.
        let (vm, to) = (vm.unwrap_or_default(), to.unwrap_or_default());
        let id = self.migrate(&vm, &to, &explicit_settings(scheme, &set)).await?;
        if wait {
            return self.wait_for(id).await;
        }
        let json = self.read(|state| {
            let migration = state.fleet.migration(id);
            json!({
                "migration": id,
                "vm": vm,
                "source": migration.map(|migration| &migration.source),
                "destination": to,
                "parameters": migration.map(|migration| &migration.parameters),
            })
        });
        let scheme = json["parameters"]["scheme"].as_str().unwrap_or_default();
        let text = format!("Migration {} of \"{vm}\" to \"{to}\" runs: {scheme}.", id.0);
        Ok(Reply::new(text, json))
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
        let request = Request {
            vm: vm.to_owned(),
            destination: to.to_owned(),
            parameters: scenario.migration_parameters(),
            link: scenario.link(),
            scenario,
            watch: self.read(|state| {
                let pages = state.fleet.vm(vm).map_or(0, |vm| vm.pages);
                self.watch(state.level, pages)
            }),
            key: new_migration_key(),
        };
        let (message, expected, source, destination) =
            self.change(|state| -> Result<_, FleetError> {
                let scheme = request.parameters.scheme;
                let message = state.fleet.begin_migration(request)?;
                if let Some(hub) = self.hub() {
                    hub.began(message.migration, vm, to, scheme);
                }
                let source = state.fleet.vm(vm)?.server.clone();
                let expected = ExpectMigration {
                    migration: message.migration,
                    vm: vm.to_owned(),
                    source: source.clone(),
                    key: message.key.clone(),
                };
                let connection = |server: &str| {
                    let gone = || AskError::Gone { server: server.to_owned() };
                    state.connections.get(server).cloned().ok_or_else(gone)
                };
                Ok((message, expected, connection(&source), connection(to)))
            })?;
        let id = message.migration;
        let told = async {
            // Nobody is let in whom the manager has not told of.
            destination?.tell(ServerCommand::Expect(expected)).await?;
            source?.tell(ServerCommand::Migrate(Box::new(message))).await
        };
        if let Err(error) = told.await {
            self.change(|state| state.fleet.migration_refused(id));
            if let Some(hub) = self.hub() {
                hub.refused(id);
            }
            return Err(error.into());
        }
        Ok(id)
    }

    async fn cancel(&self, vm: &str) -> Result<Reply, CommandError> {
        let (id, source) = self.read(|state| {
            state.fleet.vm(vm)?;
            let (id, migration) = state
                .fleet
                .migration_of(vm)
                .ok_or_else(|| FleetError::NotMigrating { vm: vm.to_owned() })?;
            Ok::<_, FleetError>((id, migration.source.clone()))
        })?;
        self.connection(&source)?.tell(ServerCommand::CancelMigration { migration: id }).await?;
        Ok(Reply::message(format!(
            "Migration {} of \"{vm}\" is taken back; the guest stays on server \"{source}\".",
            id.0
        )))
    }

    /// Waits until a migration is over and its result is written.
    ///
    /// # Errors
    /// When it did not complete.
    pub async fn wait_for(&self, id: MigrationId) -> Result<Reply, CommandError> {
        let found = self.until(|state| match state.fleet.migration(id) {
            _ if state.quitting => Some(Err(CommandError::Ending)),
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
