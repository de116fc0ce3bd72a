//! Parameters that make no sense are refused by their key.

use lazycopy_migration::{MigrationParameters, PushOrder, RoundParameters, Scheme};
use lazycopy_units::Duration;

fn refusal(scheme: Scheme, rounds: RoundParameters) -> Option<String> {
    let parameters = MigrationParameters {
        scheme,
        push_order: PushOrder::Lru,
        context_bytes: 4_096,
        head_start: 0,
        max_lead: None,
        fault_penalty: Duration::ZERO,
        disk_latency_source: Duration::ZERO,
        disk_latency_destination: Duration::ZERO,
        measured_accesses: 1,
        rounds,
        pre_paging: Default::default(),
        whole_page_writes: false,
        push_rate: None,
        checkpoint: false,
    };
    parameters.validate().err().map(|error| error.to_string())
}

#[test]
fn a_bound_of_no_time_is_refused() {
    let bounded = |nanos| RoundParameters {
        max_time: Some(Duration::from_nanos(nanos)),
        ..RoundParameters::default()
    };
    let text = refusal(Scheme::PreCopy, bounded(0)).unwrap();
    assert_eq!(text, "migration.max_time: it must be at least 1ns");
    assert_eq!(refusal(Scheme::PreCopy, bounded(1)), None);
}

#[test]
fn a_hybrid_that_would_be_given_up_before_its_last_round_is_refused() {
    let rounds = |hybrid_rounds| RoundParameters {
        hybrid_rounds,
        max_rounds: 3,
        ..RoundParameters::default()
    };
    for scheme in [Scheme::HybridPostCopy, Scheme::HybridLazyCopy] {
        let text = refusal(scheme, rounds(4)).unwrap();
        let expected = "migration.hybrid_rounds: 4 is above migration.max_rounds, which is 3";
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(refusal(scheme, rounds(3)), None);
    }
    assert_eq!(refusal(Scheme::PreCopy, rounds(4)), None, "without effect there");
}
