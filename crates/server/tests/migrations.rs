//! Whole migrations between two servers, over sockets and in scaled real time.

mod common;

use common::{Fleet, WARMUP, create, destination_report, parameters, source_report, spec, start};
use lazycopy_guest::reference_run;
use lazycopy_migration::{Metrics, Outcome, Scheme};
use lazycopy_protocol::control::{SideEnded, VmPhase};
use lazycopy_units::Duration;
use std::sync::Arc;

/// What holds after every completed migration.
fn check_completed(scheme: Scheme, seed: u64, source: &SideEnded, destination: &SideEnded) {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_created_guest_is_moved_at_the_end_of_its_warm_up_under_every_scheme() {
    let mut fleet = Fleet::start().await;
    for (number, scheme) in Scheme::ALL.into_iter().enumerate() {
        let (number, vm) = (number as u64, scheme.name());
        fleet.a.done(create(vm, number)).await;
        let migrate = fleet.migration(number, vm, &parameters(scheme));
        fleet.a.done(migrate).await;
        let (source, destination) = fleet.both_ended(number).await;
        check_completed(scheme, number, &source, &destination);
        assert_eq!(
            (source.out_of_order, destination.out_of_order),
            (0, 0),
            "slips {} and {}",
            source.slip,
            destination.slip
        );
        assert_eq!(source.before.guest.as_ref().unwrap().registers.accesses, WARMUP);
        assert!(destination.before.guest.is_none());
        assert!(source.after.guest.is_none());
        assert_eq!(destination.after.host.vms.len(), number as usize + 1);
        assert_eq!(fleet.b.show(vm).await.summary.phase, VmPhase::Running);
    }
    assert!(fleet.a.host().await.vms.is_empty());
    assert_eq!(fleet.a.host().await.frames_taken, 0);
}
