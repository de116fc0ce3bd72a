//! What a guest is created from.

use crate::state::KeptScenario;
use lazycopy_guest::GuestSpec;
use lazycopy_protocol::control::CreateVm;
use lazycopy_scenario::{Draft, Preset, SHIPPED, Scenario, ScenarioError, did_you_mean};
use std::path::{Path, PathBuf};

/// A guest's scenario and seed. As long as the manager has it, it knows the guest's whole history:
/// what the guest would have done without migrations.
#[derive(Clone, Debug)]
pub struct Definition {
    draft: Draft,
    scenario: Scenario,
    spec: GuestSpec,
    preset: Option<Preset>,
    /// As it outlives the manager.
    kept: Option<KeptScenario>,
}

/// The directory into which recorded programs that are part of the program are unpacked: guests
/// read them from there, also after the manager has ended.
pub fn recordings_directory() -> PathBuf {
    std::env::temp_dir().join("lazycopy-recordings")
}

/// A draft from a scenario file, or from a scenario that is part of the program, by its name.
///
/// # Errors
/// When there is neither, or it cannot be read.
pub fn draft(scenario: &str) -> Result<Draft, ScenarioError> {
    let path = Path::new(scenario);
    let is_shipped = SHIPPED.iter().any(|shipped| shipped.name == scenario);
    // Results may well lie in a directory of that name.
    if is_shipped && !path.is_file() {
        return Draft::shipped(scenario, &recordings_directory());
    }
    if path.exists() {
        return Draft::open(path);
    }
    Err(ScenarioError::Unknown {
        name: scenario.to_owned(),
        what: "file and no shipped scenario",
        meant: did_you_mean(scenario, SHIPPED.iter().map(|shipped| shipped.name)),
        known: SHIPPED.iter().map(|shipped| shipped.name).collect::<Vec<_>>().join(", "),
    })
}

impl Definition {
    /// A guest from a scenario file or the name of a shipped scenario, with other values for some
    /// keys (`KEY=VALUE`). Its seed is the scenario's.
    ///
    /// # Errors
    /// What is wrong with the scenario.
    pub fn read(scenario: &str, set: &[String]) -> Result<Definition, ScenarioError> {
        let preset = scenario.parse().ok();
        let draft = set.iter().try_fold(draft(scenario)?, |draft, set| draft.set(set))?;
        let scenario = draft.clone().finish()?;
        let seed = scenario.seed;
        Definition::new(draft, scenario, seed, preset)
    }

    /// The guest of a scenario's run with that seed. `draft` is what the scenario was made of,
    /// `preset` the preset that was asked for.
    ///
    /// # Errors
    /// When the scenario has several guests at once: processes move each guest by itself.
    pub fn new(
        draft: Draft,
        mut scenario: Scenario,
        seed: u64,
        preset: Option<Preset>,
    ) -> Result<Definition, ScenarioError> {
        scenario.ensure_single_guest()?;
        scenario.seed = seed;
        let spec = scenario.guest_spec(seed);
        let kept = KeptScenario::of(&scenario);
        Ok(Definition { draft, scenario, spec, preset, kept })
    }

    /// The guest whose definition an earlier life of the manager has kept.
    ///
    /// # Errors
    /// When it is damaged.
    pub(crate) fn restored(
        kept: KeptScenario,
        preset: Option<String>,
    ) -> Result<Definition, ScenarioError> {
        let (draft, scenario) = kept.read()?;
        let (seed, preset) = (scenario.seed, preset.and_then(|preset| preset.parse().ok()));
        Definition::new(draft, scenario, seed, preset)
    }

    /// As it outlives the manager; absent where a file's name is no text.
    pub(crate) fn kept(&self) -> Option<&KeptScenario> {
        self.kept.as_ref()
    }

    /// The guest.
    pub fn spec(&self) -> &GuestSpec {
        &self.spec
    }

    /// The scenario; its seed is the guest's.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The preset that was asked for.
    pub fn preset(&self) -> Option<Preset> {
        self.preset
    }

    /// The message that creates the guest.
    pub fn create_vm(&self, vm: &str) -> CreateVm {
        CreateVm {
            vm: vm.to_owned(),
            spec: self.spec.clone(),
            time_scale: self.scenario.time_scale,
            disk_latency: self.scenario.disk.latency_source,
            warmup_accesses: self.scenario.warmup(self.spec.seed),
            real_memory: self.scenario.link.is_unlimited(),
        }
    }

    /// The scenario of a migration of the guest, with other values for some keys of the
    /// migration. A recorded program is read once more, for its size.
    ///
    /// # Errors
    /// What is wrong with these values.
    pub fn for_migration(&self, set: &[String]) -> Result<Scenario, ScenarioError> {
        if set.is_empty() {
            return Ok(self.scenario.clone());
        }
        let draft = set.iter().try_fold(self.draft.clone(), |draft, set| draft.set(set))?;
        let mut scenario = draft.finish()?;
        scenario.seed = self.spec.seed;
        Ok(scenario)
    }
}

/// Whether a key may differ from one migration of a guest to the next.
pub fn is_of_migration(key: &str) -> bool {
    key.starts_with("migration.")
        || key.starts_with("link.")
        || ["disk.latency_destination", "measured_accesses"].contains(&key)
}
