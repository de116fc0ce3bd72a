//! What a demonstration runs.

use super::DemoArguments;
use crate::definition::{Definition, draft};
use lazycopy_migration::Scheme;
use lazycopy_scenario::{Draft, Preset, ScenarioError};

/// The shipped scenario that runs a recorded program.
const RECORDED: &str = "recorded";

/// Migrations that run side by side at most, each over a modelled link of its own: beyond it two
/// cores are late, which would show as slip.
const MAX_SIDE_BY_SIDE: usize = 128;

/// What a demonstration runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One after another in the report.
    pub groups: Vec<Group>,
}

/// Runs that are compared with each other: one scenario, some schemes, some seeds.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they have in common.
    pub title: String,
    /// The runs.
    pub runs: Vec<PlannedRun>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// The guest's name.
    pub vm: String,
    /// What the guest is created from; the scheme is its scenario's.
    pub definition: Definition,
}

impl Plan {
    /// The plan for these arguments.
    ///
    /// # Errors
    /// What is wrong with a scenario.
    pub fn of(arguments: &DemoArguments) -> Result<Plan, ScenarioError> {
        let mut groups = Vec::new();
        match &arguments.scenario {
            Some(scenario) => {
                let title = match arguments.preset {
                    Some(preset) => format!("{scenario}, preset {preset}"),
                    None => scenario.clone(),
                };
                groups.push(Group::of(
                    "run",
                    title,
                    draft(scenario)?,
                    arguments.preset,
                    arguments,
                )?);
            }
            None => {
                let presets = arguments.preset.map_or(Preset::ALL.to_vec(), |preset| vec![preset]);
                for preset in presets {
                    let title = format!("The paper's scenario, preset {preset}");
                    let paper = draft(Preset::Paper.name())?;
                    groups.push(Group::of(preset.name(), title, paper, Some(preset), arguments)?);
                }
                let title = "A recorded program".to_owned();
                groups.push(Group::of(RECORDED, title, draft(RECORDED)?, None, arguments)?);
            }
        }
        Ok(Plan { groups })
    }

    /// The runs of all groups.
    pub fn runs(&self) -> impl Iterator<Item = &PlannedRun> {
        self.groups.iter().flat_map(|group| &group.runs)
    }

    /// Frames that each of the servers needs: the groups run one after another.
    pub fn frames(&self) -> u64 {
        self.groups.iter().map(Group::frames).max().unwrap_or(1)
    }
}

impl Group {
    /// How many of its runs may be under way at once. Where no link is modelled, migrations share
    /// sockets and processors, and each would be measured by what the others leave: one.
    pub fn at_once(&self) -> usize {
        let is_unlimited = |run: &PlannedRun| run.definition.scenario().link.is_unlimited();
        match self.runs.iter().any(is_unlimited) {
            true => 1,
            false => self.runs.len().clamp(1, MAX_SIDE_BY_SIDE),
        }
    }

    fn frames(&self) -> u64 {
        let largest = self.runs.iter().map(|run| run.definition.spec().frames).max().unwrap_or(1);
        u64::from(largest) * self.at_once() as u64
    }

    fn of(
        name: &str,
        title: String,
        draft: Draft,
        preset: Option<Preset>,
        arguments: &DemoArguments,
    ) -> Result<Group, ScenarioError> {
        let draft = match preset {
            Some(preset) => draft.preset(preset),
            None => draft,
        };
        let draft = arguments.set.iter().try_fold(draft, |draft, set| draft.set(set))?;
        let scenario = draft.clone().finish()?;
        let mut runs = Vec::new();
        for seed in scenario.seeds(arguments.seeds, "--seeds")? {
            for scheme in schemes(arguments) {
                let mut scenario = scenario.clone();
                scenario.migration.scheme = scheme;
                let vm = format!("{name}-{scheme}-seed{seed}");
                let definition = Definition::new(draft.clone(), scenario, seed, preset)?;
                runs.push(PlannedRun { vm, definition });
            }
        }
        Ok(Group { title, runs })
    }
}

/// The schemes that were asked for, each once.
fn schemes(arguments: &DemoArguments) -> impl Iterator<Item = Scheme> {
    Scheme::ALL.into_iter().filter(|scheme| arguments.scheme.contains(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_units::Duration;

    fn arguments() -> DemoArguments {
        DemoArguments {
            preset: None,
            scenario: None,
            seeds: 2,
            scheme: crate::demo::PAPER_SCHEMES.to_vec(),
            set: Vec::new(),
            quiet: true,
        }
    }

    #[test]
    fn without_arguments_both_presets_and_the_recorded_program_run_under_every_scheme() {
        let plan = Plan::of(&arguments()).unwrap();
        assert_eq!(plan.groups.len(), 3);
        for group in &plan.groups {
            assert_eq!(group.runs.len(), 6, "{}", group.title);
        }
        let latency =
            |group: usize| plan.groups[group].runs[0].definition.scenario().disk.latency_source;
        assert_eq!((latency(0), latency(1)), (Duration::ZERO, Duration::from_secs(11)));
    }

    #[test]
    fn each_run_has_a_name_and_a_seed_of_its_own_within_its_scheme() {
        let plan = Plan::of(&arguments()).unwrap();
        let names: std::collections::BTreeSet<&str> = plan.runs().map(|run| &*run.vm).collect();
        assert_eq!(names.len(), 18);
        let seeds: Vec<u64> =
            plan.groups[0].runs.iter().map(|run| run.definition.spec().seed).collect();
        assert_eq!(seeds, [1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn a_scenario_is_left_as_it_is_unless_a_preset_is_given() {
        let mut chosen = DemoArguments { scenario: Some("zipf".to_owned()), ..arguments() };
        let head_start = |arguments: &DemoArguments| {
            let plan = Plan::of(arguments).unwrap();
            assert_eq!(plan.groups.len(), 1);
            plan.groups[0].runs[0].definition.scenario().migration.head_start
        };
        chosen.set = vec!["migration.head_start=7".to_owned()];
        assert_eq!(head_start(&chosen), 7);
        (chosen.preset, chosen.set) = (Some(Preset::Fair), Vec::new());
        assert_eq!(head_start(&chosen), 0);
    }

    #[test]
    fn migrations_over_an_unlimited_link_run_one_at_a_time() {
        let unlimited = |set: &[&str]| DemoArguments {
            scenario: Some("unlimited".to_owned()),
            set: set.iter().map(|&set| set.to_owned()).collect(),
            ..arguments()
        };
        let at_once = |arguments: &DemoArguments| {
            let plan = Plan::of(arguments).unwrap();
            (plan.groups[0].at_once(), plan.frames())
        };
        assert_eq!(at_once(&unlimited(&[])), (1, 65_536));
        let set = ["link.bandwidth=1Gbit/s", "link.latency=1ms"];
        assert_eq!(at_once(&unlimited(&set)), (6, 6 * 65_536), "side by side over modelled ones");
    }

    #[test]
    fn a_typo_in_an_override_is_refused() {
        let wrong = DemoArguments { set: vec!["link.latenzy=1s".to_owned()], ..arguments() };
        assert!(Plan::of(&wrong).unwrap_err().to_string().contains("latency"));
    }
}
