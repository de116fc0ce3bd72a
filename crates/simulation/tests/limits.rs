//! A simulation that goes on for too long ends with an error that says what to change.

use lazycopy_guest::{GuestSpec, ResidentAtStart, WorkloadSpec};
use lazycopy_link::LinkParameters;
use lazycopy_migration::{MigrationParameters, PushOrder, Scheme};
use lazycopy_simulation::{Exceeded, Limits, Migration, Options, RunError, simulate_with};
use lazycopy_units::{Duration, Rate};
use std::sync::Arc;

/// A guest that never misses and takes an access every nanosecond, over a link on which a page
/// takes half a second.
fn restless(scheme: Scheme) -> Migration {
    Migration {
        guest: Arc::new(GuestSpec {
            seed: 1,
            pages: 50,
            frames: 50,
            think_time: Duration::from_nanos(1),
            write_fraction: 1.0,
            whole_page_fraction: 0.0,
            zero_fraction: 0.0,
            compressible_fraction: 0.0,
            workload: WorkloadSpec::Sequential,
            resident_at_start: ResidentAtStart::All,
        }),
        warmup_accesses: 20,
        parameters: MigrationParameters {
            scheme,
            push_order: PushOrder::Lru,
            context_bytes: 4_096,
            head_start: 0,
            max_lead: None,
            fault_penalty: Duration::ZERO,
            disk_latency_source: Duration::ZERO,
            disk_latency_destination: Duration::ZERO,
            measured_accesses: 20,
            rounds: Default::default(),
            pre_paging: Default::default(),
            whole_page_writes: false,
            push_rate: None,
            checkpoint: false,
        },
        link: LinkParameters {
            bandwidth: Rate::from_bytes_per_sec(8_224).unwrap(),
            latency: Duration::from_millis(200),
        },
    }
}

fn run_within(migration: &Migration, accesses: u64, reference: bool) -> Result<u64, RunError> {
    let limits = Limits { accesses, ..Limits::default() };
    let options = Options { limits, reference, ..Options::metrics_only() };
    simulate_with(migration, &options)
        .map(|run| run.destination.ended_registers.map_or(0, |registers| registers.accesses))
}

const MILLION: u64 = 1_000_000;

#[track_caller]
fn assert_exceeded(migration: &Migration, accesses: u64) {
    let error = run_within(migration, accesses, false).unwrap_err();
    assert_eq!(error, RunError::Exceeded(Exceeded::Accesses(accesses)));
    let text = error.to_string();
    for key in ["warmup_accesses", "measured_accesses", "guest.think_time"] {
        assert!(text.contains(key), "{text}");
    }
}

#[test]
fn a_warm_up_that_would_last_for_minutes_is_not_begun() {
    let endless = Migration { warmup_accesses: u64::MAX, ..restless(Scheme::PostCopy) };
    assert_exceeded(&endless, Limits::default().accesses);
}

#[test]
fn a_guest_whose_accesses_all_hit_cannot_run_for_ever_while_rounds_are_sent() {
    assert_exceeded(&restless(Scheme::PreCopy), MILLION);
}

#[test]
fn a_forward_context_and_the_measured_accesses_count_too() {
    assert_exceeded(&restless(Scheme::LazyCopy), MILLION);
    let mut long = restless(Scheme::StopAndCopy);
    long.parameters.measured_accesses = u64::MAX / 2;
    assert_exceeded(&long, MILLION);
}

#[test]
fn the_last_access_that_is_allowed_is_taken() {
    // Twenty accesses warm the guest up, and twenty are measured.
    let migration = restless(Scheme::StopAndCopy);
    assert_eq!(run_within(&migration, 40, false), Ok(40));
    let error = RunError::Exceeded(Exceeded::Accesses(39));
    assert_eq!(run_within(&migration, 39, false), Err(error));
}

#[test]
fn the_reference_run_counts_as_much_as_it_takes() {
    // All forty again, in the reference run.
    let migration = restless(Scheme::StopAndCopy);
    assert_eq!(run_within(&migration, 80, true), Ok(40));
    let error = RunError::Exceeded(Exceeded::Accesses(79));
    assert_eq!(run_within(&migration, 79, true), Err(error));
}
