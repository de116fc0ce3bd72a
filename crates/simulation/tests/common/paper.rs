//! The paper's guest and link, with workloads that are written out, so that times can be worked
//! out by hand: a page takes 0.5 s, the latency is 0.2 s, the think time 0.97 s.

use lazycopy_guest::{GuestSpec, ResidentAtStart, WorkloadSpec};
use lazycopy_link::LinkParameters;
use lazycopy_migration::{MigrationParameters, PushOrder, Scheme};
use lazycopy_simulation::Migration;
use lazycopy_units::{Duration, PageNumber, Rate};
use std::sync::Arc;

/// Two page messages a second.
pub const BANDWIDTH: u64 = 8_224;

/// What a context with twenty pages on its list takes: ceil((4096 + 8 * 20 + 16) / 8224 s).
pub const CONTEXT: u64 = 519_455_253;

pub const MS: u64 = 1_000_000;

/// A guest of 50 pages that reads this list, over and over.
pub fn guest(frames: u32, list: impl IntoIterator<Item = u32>) -> GuestSpec {
    GuestSpec {
        seed: 1,
        pages: 50,
        frames,
        think_time: Duration::from_millis(970),
        write_fraction: 0.0,
        whole_page_fraction: 0.0,
        zero_fraction: 0.0,
        compressible_fraction: 0.0,
        workload: WorkloadSpec::List { pages: list.into_iter().map(PageNumber).collect() },
        resident_at_start: ResidentAtStart::None,
    }
}

/// Twenty accesses warm it up; loads take nothing at the source, 11 s at the destination.
pub fn migration(scheme: Scheme, guest: GuestSpec) -> Migration {
    Migration {
        guest: Arc::new(guest),
        warmup_accesses: 20,
        parameters: MigrationParameters {
            scheme,
            push_order: PushOrder::Lru,
            context_bytes: 4_096,
            head_start: 0,
            max_lead: None,
            fault_penalty: Duration::ZERO,
            disk_latency_source: Duration::ZERO,
            disk_latency_destination: Duration::from_secs(11),
            measured_accesses: 20,
            rounds: Default::default(),
            pre_paging: Default::default(),
            whole_page_writes: false,
            push_rate: None,
            checkpoint: false,
        },
        link: LinkParameters {
            bandwidth: Rate::from_bytes_per_sec(BANDWIDTH).unwrap(),
            latency: Duration::from_millis(200),
        },
    }
}

/// A guest that has twenty pages in its twenty frames and goes round them: 0 is the least recent
/// one, and the next.
pub fn round_trip(scheme: Scheme) -> Migration {
    migration(scheme, guest(20, 0..20))
}
