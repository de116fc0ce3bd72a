//! Presets: what the disks take, and the head start.

use crate::error::ScenarioError;
use crate::scenario::Scenario;
use crate::suggestion::did_you_mean;
use lazycopy_units::Duration;
use std::fmt;
use std::str::FromStr;

/// A set of values for `disk.latency_source`, `disk.latency_destination` and
/// `migration.head_start`. Every comparison that is published names its preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preset {
    /// The paper's listing: a load takes nothing at the source and 11 s at the destination, and
    /// the forward context is two accesses ahead before the guest resumes.
    Paper,
    /// 11 s on both sides and no head start: the same without the asymmetry from which part of
    /// lazy-copy's advantage comes.
    Fair,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Preset; 2] = [Preset::Paper, Preset::Fair];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Preset::Paper => "paper",
            Preset::Fair => "fair",
        }
    }

    /// The source's and the destination's disk latency, and the head start in accesses.
    const fn values(self) -> (Duration, Duration, u64) {
        match self {
            Preset::Paper => (Duration::ZERO, Duration::from_secs(11), 2),
            Preset::Fair => (Duration::from_secs(11), Duration::from_secs(11), 0),
        }
    }

    /// Sets the preset's three keys. The scenario may break a rule then (a `max_lead` below the
    /// head start): [`Scenario::validate`] tells.
    pub fn apply(self, scenario: &mut Scenario) {
        let (source, destination, head_start) = self.values();
        scenario.disk.latency_source = source;
        scenario.disk.latency_destination = destination;
        scenario.migration.head_start = head_start;
    }

    /// The same as entries of the document.
    pub(crate) fn entries(self) -> [(&'static str, toml::Value); 3] {
        let (source, destination, head_start) = self.values();
        let text = |span| toml::Value::String(crate::duration_text::print(span));
        [
            ("disk.latency_source", text(source)),
            ("disk.latency_destination", text(destination)),
            ("migration.head_start", toml::Value::Integer(head_start as i64)),
        ]
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Preset {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Preset, ScenarioError> {
        Preset::ALL.into_iter().find(|preset| preset.name() == text).ok_or_else(|| {
            ScenarioError::Unknown {
                name: text.to_owned(),
                what: "preset",
                meant: did_you_mean(text, Preset::ALL.map(Preset::name)),
                known: Preset::ALL.map(Preset::name).join(", "),
            }
        })
    }
}
