//! `policy set|show`.

use crate::definition::{Definition, is_of_migration};
use crate::fleet::{Policy, full_key};
use crate::grammar::{KeyValue, PolicyAction};
use crate::manager::Manager;
use crate::render::{table, table_or};
use crate::reply::{CommandError, Reply};
use serde_json::{Value, json};

impl Manager {
    pub(super) async fn policy_command(&self, action: PolicyAction) -> Result<Reply, CommandError> {
        match action {
            PolicyAction::Show => {}
            PolicyAction::Set { settings } => {
                let policy = changed(self.read(|state| state.fleet.policy.clone()), &settings)?;
                self.change(|state| state.fleet.set_policy(policy));
                self.kept().await;
            }
        }
        Ok(self.read(|state| show(&state.fleet.policy)))
    }
}

/// The policy with these settings, all of them or none. They are tried on the scenario `paper`, so
/// that a typo is refused at once and not by a later migration.
fn changed(mut policy: Policy, settings: &[KeyValue]) -> Result<Policy, CommandError> {
    for setting in settings {
        let key = full_key(&setting.key);
        if !is_of_migration(&key) {
            return Err(CommandError::NotOfMigration { key });
        }
        policy.set(&key, &setting.value);
    }
    Definition::read("paper", &policy.assignments())
        .map_err(|error| CommandError::Scenario(error.to_string()))?;
    Ok(policy)
}

fn show(policy: &Policy) -> Reply {
    let mut settings = table(&["key", "value"]);
    let mut json = serde_json::Map::new();
    for (key, value) in policy.settings() {
        settings.add_row([key, value]);
        json.insert(key.to_owned(), Value::from(value));
    }
    let text = table_or(settings, "Nothing is set: each migration goes by its guest's scenario.");
    Reply::new(text, json!({ "policy": json }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(texts: &[&str]) -> Vec<KeyValue> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_policy_is_set_as_a_whole_or_not_at_all() {
        let policy = changed(Policy::default(), &settings(&["scheme=post-copy"])).unwrap();
        assert_eq!(policy.assignments(), ["migration.scheme=post-copy"]);
        assert!(changed(policy.clone(), &settings(&["push_order=mru", "scheme=x"])).is_err());
        let policy = changed(policy, &settings(&["push_order=mru", "scheme=none"])).unwrap();
        assert_eq!(policy.assignments(), ["migration.push_order=mru"]);
    }

    #[test]
    fn a_typo_is_refused_with_the_names_that_there_are() {
        let error = changed(Policy::default(), &settings(&["head_strat=2"])).unwrap_err();
        assert!(error.to_string().contains("head_start"), "{error}");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let error = changed(Policy::default(), &settings(&["max_lead=1"])).unwrap_err();
        assert!(error.to_string().contains("head_start"), "{error}");
    }
}
