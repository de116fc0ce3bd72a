//! The document as it is written: which keys there are, which may be absent.

use crate::fleet::FleetScenario;
use crate::link_table::LinkTable;
use crate::scenario::{DiskScenario, GuestScenario, MigrationScenario, Scenario};
use crate::{duration_text, workload_table};
use lazycopy_guest::{ResidentAtStart, TraceSummary, WorkloadSpec};
use lazycopy_migration::{Direction, PrePaging, PushOrder, RoundParameters, Scheme, StopRule};
use lazycopy_units::{Duration, Rate};
use serde::Deserialize;

/// The paper says nothing of the context's size: a page.
pub(crate) const DEFAULT_CONTEXT_BYTES: u64 = 4_096;

/// Long enough for a switch that restarts its ports, short enough for somebody who waits.
pub(crate) const DEFAULT_RECOVER_WITHIN: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScenarioTable {
    seed: u64,
    warmup_accesses: u64,
    #[serde(default)]
    warmup_jitter: u64,
    measured_accesses: u64,
    #[serde(default = "one")]
    time_scale: u64,
    pub(crate) guest: GuestTable,
    link: LinkTable,
    disk: DiskScenario,
    migration: MigrationTable,
    fleet: Option<FleetScenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuestTable {
    pages: Option<u32>,
    frames: Option<u32>,
    #[serde(default, with = "duration_text::optional")]
    think_time: Option<Duration>,
    #[serde(default)]
    write_fraction: f64,
    #[serde(default)]
    whole_page_fraction: f64,
    #[serde(default)]
    zero_fraction: f64,
    #[serde(default)]
    compressible_fraction: f64,
    #[serde(with = "workload_table")]
    pub(crate) workload: WorkloadSpec,
    #[serde(default)]
    resident_at_start: ResidentAtStart,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MigrationTable {
    scheme: Scheme,
    #[serde(default)]
    push_order: PushOrder,
    #[serde(default = "default_context_bytes")]
    context_bytes: u64,
    #[serde(default)]
    head_start: u64,
    max_lead: Option<u64>,
    #[serde(default, with = "duration_text")]
    fault_penalty: Duration,
    #[serde(default)]
    stop_rule: StopRule,
    #[serde(default, with = "duration_text::optional")]
    downtime_limit: Option<Duration>,
    bandwidth_cap: Option<Rate>,
    minimum_rate: Option<Rate>,
    hybrid_rounds: Option<u32>,
    max_rounds: Option<u32>,
    #[serde(default, with = "duration_text::optional")]
    max_time: Option<Duration>,
    #[serde(default)]
    auto_converge: bool,
    #[serde(default, with = "duration_text")]
    first_write_cost: Duration,
    #[serde(default)]
    keeps_pace: bool,
    #[serde(default)]
    burst_share_percent: u8,
    pivots: Option<u32>,
    #[serde(default)]
    direction: Direction,
    sticky_pivot: Option<bool>,
    #[serde(default)]
    whole_page_writes: bool,
    push_rate: Option<Rate>,
    #[serde(default)]
    checkpoint: bool,
    #[serde(default, with = "duration_text::optional")]
    recover_within: Option<Duration>,
}

impl MigrationTable {
    fn into_migration(self) -> MigrationScenario {
        let (rounds, pre_paging) = (RoundParameters::default(), PrePaging::default());
        MigrationScenario {
            scheme: self.scheme,
            push_order: self.push_order,
            context_bytes: self.context_bytes,
            head_start: self.head_start,
            max_lead: self.max_lead,
            fault_penalty: self.fault_penalty,
            stop_rule: self.stop_rule,
            downtime_limit: self.downtime_limit.unwrap_or(rounds.downtime_limit),
            bandwidth_cap: self.bandwidth_cap,
            minimum_rate: self.minimum_rate.unwrap_or(rounds.minimum_rate),
            hybrid_rounds: self.hybrid_rounds.unwrap_or(rounds.hybrid_rounds),
            max_rounds: self.max_rounds.unwrap_or(rounds.max_rounds),
            max_time: self.max_time,
            auto_converge: self.auto_converge,
            first_write_cost: self.first_write_cost,
            keeps_pace: self.keeps_pace,
            burst_share_percent: self.burst_share_percent,
            pivots: self.pivots.unwrap_or(pre_paging.pivots),
            direction: self.direction,
            sticky_pivot: self.sticky_pivot.unwrap_or(self.direction != Direction::Dual),
            whole_page_writes: self.whole_page_writes,
            push_rate: self.push_rate,
            checkpoint: self.checkpoint,
            recover_within: self.recover_within.unwrap_or(DEFAULT_RECOVER_WITHIN),
        }
    }
}

fn one() -> u64 {
    1
}

fn default_context_bytes() -> u64 {
    DEFAULT_CONTEXT_BYTES
}

/// A key, and what is wrong with it.
pub(crate) type KeyProblem = (&'static str, String);

impl ScenarioTable {
    /// The scenario, with what its recording says of it where it has one.
    pub(crate) fn into_scenario(
        self,
        name: &str,
        recording: Option<TraceSummary>,
    ) -> Result<Scenario, KeyProblem> {
        Ok(Scenario {
            name: name.to_owned(),
            seed: self.seed,
            warmup_accesses: self.warmup_accesses,
            warmup_jitter: self.warmup_jitter,
            measured_accesses: self.measured_accesses,
            time_scale: self.time_scale,
            guest: self.guest.into_guest(recording)?,
            link: self.link.into_link()?,
            disk: self.disk,
            migration: self.migration.into_migration(),
            fleet: self.fleet,
            recording,
        })
    }
}

impl GuestTable {
    fn into_guest(self, recording: Option<TraceSummary>) -> Result<GuestScenario, KeyProblem> {
        let pages = match (self.pages, recording) {
            (Some(pages), _) => pages,
            (None, Some(recording)) => recording.pages,
            (None, None) => {
                let problem = "it is missing; a workload of kind \"trace\" alone does without";
                return Err(("guest.pages", problem.to_owned()));
            }
        };
        let frames = match (self.frames, self.resident_at_start) {
            (Some(frames), _) => frames,
            (None, ResidentAtStart::All) => pages,
            (None, ResidentAtStart::None) => {
                let problem = "it is missing; resident_at_start = \"all\" alone does without";
                return Err(("guest.frames", problem.to_owned()));
            }
        };
        if self.think_time.is_none() && recording.is_none() {
            let problem = "it is missing; a workload of kind \"trace\" alone does without";
            return Err(("guest.think_time", problem.to_owned()));
        }
        Ok(GuestScenario {
            pages,
            frames,
            think_time: self.think_time,
            write_fraction: self.write_fraction,
            whole_page_fraction: self.whole_page_fraction,
            zero_fraction: self.zero_fraction,
            compressible_fraction: self.compressible_fraction,
            resident_at_start: self.resident_at_start,
            workload: self.workload,
        })
    }
}
