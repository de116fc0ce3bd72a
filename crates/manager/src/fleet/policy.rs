//! The policy: how later migrations move their guest.

use std::collections::BTreeMap;

/// Keys of a scenario and the values that later migrations get instead of their guest's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    settings: BTreeMap<String, String>,
}

impl Policy {
    /// A policy with these settings, by their full keys.
    pub fn of(settings: BTreeMap<String, String>) -> Policy {
        Policy { settings }
    }

    /// What is set, by full key.
    pub fn into_settings(self) -> BTreeMap<String, String> {
        self.settings
    }

    /// What is set, by key.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The settings as `KEY=VALUE`.
    pub fn assignments(&self) -> Vec<String> {
        self.settings().map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// Sets a key; `none` takes it back.
    pub fn set(&mut self, key: &str, value: &str) {
        let key = full_key(key);
        match value {
            "none" => self.settings.remove(&key),
            value => self.settings.insert(key, value.to_owned()),
        };
    }
}

/// The scenario's key that a migration's key stands for: those of `[migration]` may be written
/// without their table.
pub fn full_key(key: &str) -> String {
    match key.contains('.') || key == "measured_accesses" {
        true => key.to_owned(),
        false => format!("migration.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_set_changed_and_taken_back() {
        let mut policy = Policy::default();
        policy.set("scheme", "post-copy");
        policy.set("migration.scheme", "lazy-copy");
        policy.set("link.latency", "1ms");
        assert_eq!(policy.assignments(), ["link.latency=1ms", "migration.scheme=lazy-copy"]);
        policy.set("scheme", "none");
        assert_eq!(policy.assignments(), ["link.latency=1ms"]);
    }
}
