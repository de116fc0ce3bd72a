//! What the tests move, and what must hold of every move.

use lazycopy_guest::{GuestSpec, Registers, ResidentAtStart, WorkloadSpec, reference_run};
use lazycopy_link::LinkParameters;
use lazycopy_migration::{
    DestinationReport, Metrics, MigrationParameters, Outcome, PushOrder, Scheme, Side, SourceReport,
};
use lazycopy_protocol::control::{
    CreateVm, MigrationId, MigrationKey, ServerCommand, SideEnded, SideReport, StartMigration,
    Watch,
};
use lazycopy_units::{Duration, Rate};
use std::sync::Arc;

pub fn source_report(ended: &SideEnded) -> &SourceReport {
    assert_eq!(ended.side, Side::Source);
    let SideReport::Source(report) = &ended.report else { panic!("{:?}", ended.report) };
    report
}

pub fn destination_report(ended: &SideEnded) -> &DestinationReport {
    assert_eq!(ended.side, Side::Destination);
    let SideReport::Destination(report) = &ended.report else { panic!("{:?}", ended.report) };
    report
}

/// The paper's guest, with writes.
pub fn spec(seed: u64) -> GuestSpec {
    GuestSpec {
        seed,
        pages: 50,
        frames: 20,
        think_time: Duration::from_millis(970),
        write_fraction: 0.3,
        whole_page_fraction: 0.0,
        zero_fraction: 0.0,
        compressible_fraction: 0.0,
        workload: WorkloadSpec::Queue { length: 100 },
        resident_at_start: ResidentAtStart::None,
    }
}

pub const WARMUP: u64 = 200;

/// How long a broken link is tried to be mended, of wall time: short, since most tests wait for the
/// end of it.
pub const RECOVER_WITHIN: Duration = Duration::from_millis(300);

/// Model time per wall time: a migration of the paper's scenario takes about two seconds.
pub const TIME_SCALE: u64 = 200;

pub fn create(vm: &str, seed: u64) -> ServerCommand {
    create_with(vm, spec(seed), |_| ())
}

/// The creation of a guest that differs from the usual.
pub fn create_with(vm: &str, spec: GuestSpec, change: impl FnOnce(&mut CreateVm)) -> ServerCommand {
    let mut create = CreateVm {
        vm: vm.to_owned(),
        spec,
        time_scale: TIME_SCALE,
        disk_latency: Duration::ZERO,
        warmup_accesses: WARMUP,
        real_memory: false,
    };
    change(&mut create);
    ServerCommand::CreateVm(create)
}

/// A migration to the server `b` at that address.
pub fn migration(
    number: u64,
    vm: &str,
    address: &str,
    parameters: &MigrationParameters,
) -> ServerCommand {
    ServerCommand::Migrate(Box::new(StartMigration {
        migration: MigrationId(number),
        vm: vm.to_owned(),
        destination: "b".to_owned(),
        destination_address: address.to_owned(),
        parameters: parameters.clone(),
        link: link().into(),
        watch: Watch::Off,
        key: MigrationKey::new(super::KEY),
        recover_within: RECOVER_WITHIN,
    }))
}

/// A link whose latency is 5 ms of wall time.
pub fn link() -> LinkParameters {
    LinkParameters {
        bandwidth: Rate::from_bytes_per_sec(8_224).unwrap(),
        latency: Duration::from_secs(1),
    }
}

pub fn parameters(scheme: Scheme) -> MigrationParameters {
    MigrationParameters {
        scheme,
        push_order: PushOrder::Lru,
        context_bytes: 4_096,
        head_start: 2,
        max_lead: None,
        fault_penalty: Duration::ZERO,
        disk_latency_source: Duration::ZERO,
        disk_latency_destination: Duration::from_secs(11),
        measured_accesses: 60,
        rounds: lazycopy_migration::RoundParameters::default(),
        pre_paging: lazycopy_migration::PrePaging::default(),
        whole_page_writes: false,
        push_rate: None,
        checkpoint: false,
    }
}

pub fn start(vm: &str) -> ServerCommand {
    ServerCommand::StartVm { vm: vm.to_owned() }
}

/// What a guest has seen equals what its reference run sees.
pub fn check_history(spec: GuestSpec, registers: Registers) {
    let reference =
        reference_run(&Arc::new(spec), Duration::ZERO, WARMUP, registers.accesses).unwrap();
    assert_eq!(registers, reference.registers);
}

/// What holds after every migration that was completed.
pub fn check_completed(scheme: Scheme, seed: u64, source: &SideEnded, destination: &SideEnded) {
    assert_eq!(source.verdict.outcome, Outcome::Completed, "{:?}", source.verdict);
    assert_eq!(destination.verdict.outcome, Outcome::Completed, "{:?}", destination.verdict);
    let (at_source, at_destination) = (source_report(source), destination_report(destination));
    let metrics =
        Metrics::from_reports(scheme, at_source, at_destination, destination.verdict.clone());
    metrics.check(at_source, at_destination).unwrap();
    let registers = at_destination.ended_registers.unwrap();
    let reference =
        reference_run(&Arc::new(spec(seed)), Duration::ZERO, WARMUP, registers.accesses).unwrap();
    assert_eq!(registers.digest, reference.registers.digest);
    assert_eq!(at_destination.ended_pages_digest, Some(reference.pages_digest));
}
