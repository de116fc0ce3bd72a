//! The scenario as the program uses it.

use crate::draft::Draft;
use crate::error::ScenarioError;
use crate::fleet::FleetScenario;
use crate::table::DEFAULT_RECOVER_WITHIN;
use crate::{duration_text, link_table, workload_table};
use chacha20::ChaCha8Rng;
use lazycopy_guest::{GuestSpec, ResidentAtStart, TraceSummary, WorkloadSpec};
use lazycopy_link::LinkSpec;
use lazycopy_migration::{
    Direction, MigrationParameters, PrePaging, PushOrder, RoundParameters, Scheme, StopRule,
};
use lazycopy_units::{Duration, Rate};
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The stream of random numbers from which the warm-up's jitter is drawn; 1 to 3 are the
/// guest's, 5 gives the seeds of a fleet's guests.
const JITTER_STREAM: u64 = 4;

/// Everything about a run but its seed. It serializes as the document is written: durations as
/// text with units (`"970ms"`), bandwidth as text (`"8224B/s"`), every default written out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    /// The file that it came from, or what the caller calls it. Not part of the document.
    #[serde(skip)]
    pub name: String,
    /// The seed of the first run; further runs take the numbers after it.
    pub seed: u64,
    /// Accesses that complete before the run's time begins.
    pub warmup_accesses: u64,
    /// The most accesses that a seed adds to the warm-up, so that seeds differ for workloads that
    /// draw nothing.
    pub warmup_jitter: u64,
    /// Accesses after the resume that the run measures.
    pub measured_accesses: u64,
    /// Model time per wall time in the processes: at 1000 a model second takes a millisecond.
    pub time_scale: u64,
    /// The guest.
    pub guest: GuestScenario,
    /// The link from the source to the destination, or none.
    #[serde(serialize_with = "link_table::serialize")]
    pub link: LinkSpec,
    /// What loads from the shared storage take.
    pub disk: DiskScenario,
    /// How the guest is moved.
    pub migration: MigrationScenario,
    /// Several guests at once, and their network; `None`: one guest over a link of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetScenario>,
    /// What a first pass over the recorded program found; `None` for other workloads. Not part of
    /// the document.
    #[serde(skip)]
    pub recording: Option<TraceSummary>,
}

/// The table `[guest]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GuestScenario {
    /// Pages that it can address; where the document leaves it out, those that the recorded
    /// program touches.
    pub pages: u32,
    /// Frames of its memory; where the document leaves it out, `pages`.
    pub frames: u32,
    /// From one access to the next; `None` for recorded programs, which have a clock of their own.
    #[serde(with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub think_time: Option<Duration>,
    /// Share of the accesses that write; recorded programs say it themselves.
    pub write_fraction: f64,
    /// Share of these writes that write the whole page.
    pub whole_page_fraction: f64,
    /// Share of the pages whose filler is zeros. Left out where it is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub zero_fraction: f64,
    /// Share of the pages that compress well, of which many are equal. Left out where it is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub compressible_fraction: f64,
    /// What memory holds when the warm-up begins.
    pub resident_at_start: ResidentAtStart,
    /// What it touches. The file of a recorded program is absolute.
    #[serde(with = "workload_table")]
    pub workload: WorkloadSpec,
}

fn is_zero(fraction: &f64) -> bool {
    *fraction == 0.0
}

/// The table `[disk]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskScenario {
    /// What a load takes at the source, and in ordinary paging.
    #[serde(with = "duration_text")]
    pub latency_source: Duration,
    /// What a load takes at the destination while the migration lasts.
    #[serde(with = "duration_text")]
    pub latency_destination: Duration,
}

/// The table `[migration]`; its keys are those of [`MigrationParameters`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MigrationScenario {
    /// How the guest is moved.
    pub scheme: Scheme,
    /// The order of the background push.
    pub push_order: PushOrder,
    /// Bytes of the context message besides residency list and header.
    pub context_bytes: u64,
    /// Accesses that the forward context completes before the destination resumes the guest.
    pub head_start: u64,
    /// The most accesses that the forward context may be ahead by; `None`: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lead: Option<u64>,
    /// What every fault of the migration takes besides.
    #[serde(with = "duration_text")]
    pub fault_penalty: Duration,
    /// When pre-copy's rounds end.
    pub stop_rule: StopRule,
    /// The downtime that the QEMU rule aims at.
    #[serde(with = "duration_text")]
    pub downtime_limit: Duration,
    /// The most that the rounds send per second; `None`: what the link gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_cap: Option<Rate>,
    /// The rate of the first round by the Clark rule, and the least of any.
    pub minimum_rate: Rate,
    /// Rounds of a hybrid scheme.
    pub hybrid_rounds: u32,
    /// The round in which pre-copy is given up as never converging.
    pub max_rounds: u32,
    /// When pre-copy is given up as never converging, after the request.
    #[serde(with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub max_time: Option<Duration>,
    /// Slow the guest down step by step where it dirties pages too fast.
    pub auto_converge: bool,
    /// What the first write to a page in each round costs the guest.
    #[serde(with = "duration_text")]
    pub first_write_cost: Duration,
    /// The guest keeps its pace by the clock: what a first write costs delays it only where the
    /// next access was due before.
    pub keeps_pace: bool,
    /// Share of the guest's processor that a burst of sending takes.
    pub burst_share_percent: u8,
    /// The most pivots of `push_order = "bubbling"` at once.
    pub pivots: u32,
    /// In which direction its bubbles grow.
    pub direction: Direction,
    /// One more pivot that is never replaced; absent: where a single direction needs it.
    pub sticky_pivot: bool,
    /// A page that the guest writes as a whole at the destination is exempt from transfer.
    pub whole_page_writes: bool,
    /// The most that the background push sends per second; `None`: what the link gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_rate: Option<Rate>,
    /// Write the dirty pages to the disk between suspension and hand-over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub checkpoint: bool,
    /// How long two servers try to mend a link that broke after the hand-over, in wall time.
    #[serde(with = "duration_text", skip_serializing_if = "is_recovered_by_default")]
    pub recover_within: Duration,
}

fn is_recovered_by_default(within: &Duration) -> bool {
    *within == DEFAULT_RECOVER_WITHIN
}

impl Scenario {
    /// The document that it would be read from, every default written out, without its seed, which
    /// may be larger than the numbers of a document.
    ///
    /// # Errors
    /// When a file's name is no text.
    pub fn document(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&Scenario { seed: 0, ..self.clone() })
    }

    /// Reads a scenario from a file. The file of a recorded program is relative to it.
    ///
    /// # Errors
    /// The first thing that is wrong, by file, line and key.
    pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
        Draft::open(path)?.finish()
    }

    /// Reads a scenario from text; `name` is what errors call it. The file of a recorded program
    /// is relative to the working directory.
    ///
    /// # Errors
    /// The first thing that is wrong, by line and key.
    pub fn from_toml(text: &str, name: &str) -> Result<Scenario, ScenarioError> {
        Draft::from_toml(text, name).finish()
    }

    /// The document, every default written out. Reading it back gives an equal scenario.
    ///
    /// # Panics
    /// When [`Scenario::validate`] refuses the scenario: TOML has no integers above 2^63.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a valid scenario can be written down")
    }

    /// The guest of the run with that seed.
    pub fn guest_spec(&self, seed: u64) -> GuestSpec {
        GuestSpec {
            seed,
            pages: self.guest.pages,
            frames: self.guest.frames,
            think_time: self.guest.think_time.unwrap_or(Duration::ZERO),
            write_fraction: self.guest.write_fraction,
            whole_page_fraction: self.guest.whole_page_fraction,
            zero_fraction: self.guest.zero_fraction,
            compressible_fraction: self.guest.compressible_fraction,
            workload: self.guest.workload.clone(),
            resident_at_start: self.guest.resident_at_start,
        }
    }

    /// Accesses of the warm-up of the run with that seed: `warmup_accesses` and a number from 0
    /// to `warmup_jitter`, drawn from the seed.
    pub fn warmup(&self, seed: u64) -> u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(JITTER_STREAM);
        let choices = u128::from(self.warmup_jitter) + 1;
        let jitter = (u128::from(rng.next_u64()) * choices) >> 64;
        self.warmup_accesses.saturating_add(jitter as u64)
    }

    /// The parameters of the migration.
    pub fn migration_parameters(&self) -> MigrationParameters {
        let migration = &self.migration;
        MigrationParameters {
            scheme: migration.scheme,
            push_order: migration.push_order,
            context_bytes: migration.context_bytes,
            head_start: migration.head_start,
            max_lead: migration.max_lead,
            fault_penalty: migration.fault_penalty,
            disk_latency_source: self.disk.latency_source,
            disk_latency_destination: self.disk.latency_destination,
            measured_accesses: self.measured_accesses,
            rounds: RoundParameters {
                stop_rule: migration.stop_rule,
                downtime_limit: migration.downtime_limit,
                bandwidth_cap: migration.bandwidth_cap,
                minimum_rate: migration.minimum_rate,
                hybrid_rounds: migration.hybrid_rounds,
                max_rounds: migration.max_rounds,
                max_time: migration.max_time,
                auto_converge: migration.auto_converge,
                first_write_cost: migration.first_write_cost,
                keeps_pace: migration.keeps_pace,
                burst_share_percent: migration.burst_share_percent,
            },
            pre_paging: PrePaging {
                pivots: migration.pivots,
                direction: migration.direction,
                sticky_pivot: migration.sticky_pivot,
            },
            whole_page_writes: migration.whole_page_writes,
            push_rate: migration.push_rate,
            checkpoint: migration.checkpoint,
        }
    }

    /// The link from the source to the destination, or none.
    pub fn link(&self) -> LinkSpec {
        self.link.clone()
    }
}
