//! What the two machines do when the link between them breaks.

mod common;

use common::{Pair, parameters, spec};
use lazycopy_guest::Guest;
use lazycopy_migration::{
    DestinationInput, EventKind, Notice, Reclaim, RecoveryAnswer, Scheme, SourceInput,
    SourceRecovery,
};
use lazycopy_units::{Duration, PageNumber};

const AFTER_HANDOVER: [Scheme; 5] = [
    Scheme::PostCopy,
    Scheme::LazyCopy,
    Scheme::HybridPostCopy,
    Scheme::HybridLazyCopy,
    Scheme::AdaptiveLazyCopy,
];

fn lost() -> SourceInput {
    SourceInput::DestinationLost { reason: "given up".to_owned() }
}

fn source_lost(is_dead: bool) -> DestinationInput {
    DestinationInput::SourceLost { reason: "the source is gone".to_owned(), is_dead }
}

fn is_sent(kind: &EventKind) -> bool {
    matches!(kind, EventKind::PageSent { .. })
}

fn is_handover(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Handover { .. })
}

fn is_resumed(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Resumed { .. })
}

#[test]
fn a_link_that_breaks_before_the_hand_over_leaves_the_guest_at_the_source() {
    for scheme in [Scheme::StopAndCopy, Scheme::PreCopy, Scheme::HybridLazyCopy] {
        let mut pair = Pair::new(spec(0.5), parameters(scheme));
        pair.run_to(5, is_sent);
        pair.cut();
        assert!(pair.source_ended, "{scheme}");
        assert!(pair.source.guest().is_some_and(Guest::is_running), "{scheme}");
        pair.tell_destination(source_lost(false));
        assert!(pair.destination_ended && pair.destination.guest().is_none());
        let answer = pair.destination.answer_recovery();
        assert!(matches!(answer, RecoveryAnswer::ThrownAway { .. }), "{scheme}: {answer:?}");
        pair.assert_equals_reference();
    }
}

#[test]
fn a_migration_goes_on_wherever_its_link_breaks() {
    for scheme in Scheme::ALL {
        for steps in (0..400).step_by(7) {
            let mut pair = Pair::new(spec(0.4), parameters(scheme));
            pair.run_to(1, is_handover);
            for _ in 0..steps {
                pair.step();
            }
            if pair.source_ended {
                continue;
            }
            pair.cut();
            assert!(pair.source.is_paused());
            pair.wait(Duration::from_millis(30));
            pair.mend();
            pair.finish();
            pair.assert_completed();
        }
    }
}

#[test]
fn what_was_lost_in_flight_is_sent_again_and_counted() {
    let mut pair = Pair::new(spec(1.0), parameters(Scheme::PostCopy));
    pair.run_to(8, is_sent);
    pair.cut();
    let arrived = pair.destination.report().arrived.total();
    assert!(arrived < 8);
    pair.mend();
    pair.finish();
    let report = pair.source.report();
    assert_eq!(report.lost_in_flight.total(), 8 - arrived);
    assert_eq!(report.recovered, 8 - arrived);
    assert_eq!(report.sent.total(), 20 + 8 - arrived, "all else once");
    assert_eq!(report.pauses, 1);
    pair.assert_completed();
}

#[test]
fn a_context_that_was_lost_is_sent_again_with_what_it_says_of_lost_pages() {
    for scheme in Scheme::ALL {
        let mut pair = Pair::new(spec(0.6), parameters(scheme));
        pair.run_to(1, is_handover);
        // The last pages of the rounds are on their way, too.
        pair.cut();
        let RecoveryAnswer::Goes(answer) = pair.destination.answer_recovery() else {
            panic!("the destination has given up")
        };
        assert!(!answer.context_came && !answer.resumed);
        pair.mend();
        pair.finish();
        assert_eq!(pair.count(is_resumed), 1);
        pair.assert_completed();
    }
}

#[test]
fn the_guest_runs_on_while_the_link_is_broken_and_the_forward_context_stands_still() {
    let mut pair = Pair::new(spec(0.3), parameters(Scheme::LazyCopy));
    pair.run_to(1, is_resumed);
    pair.cut();
    let accesses = |guest: Option<&Guest>| guest.map(|guest| guest.registers().accesses);
    let (forward, following) = (accesses(pair.source.left()), accesses(pair.destination.guest()));
    pair.wait(Duration::from_millis(50));
    let later = accesses(pair.source.left());
    assert!(later <= forward.map(|accesses| accesses + 1), "{forward:?}, then {later:?}");
    assert!(accesses(pair.destination.guest()) > following);
    assert_eq!(pair.source.wants_link(), None);
    pair.mend();
    pair.finish();
    pair.assert_completed();
}

#[test]
fn a_link_may_break_while_the_recovery_is_on_its_way() {
    for scheme in AFTER_HANDOVER {
        let mut pair = Pair::new(spec(0.5), parameters(scheme));
        pair.run_to(1, |kind| matches!(kind, EventKind::ContextArrived));
        pair.cut();
        for steps in [0, 1, 2, 3, 5, 8] {
            pair.mend();
            for _ in 0..steps {
                pair.step();
            }
            pair.cut();
        }
        pair.mend();
        pair.finish();
        pair.assert_completed();
    }
}

#[test]
fn a_destination_that_had_everything_is_believed_when_its_word_was_lost() {
    let mut pair = Pair::new(spec(0.5), parameters(Scheme::PostCopy));
    pair.run_to(1, |kind| matches!(kind, EventKind::Completed));
    pair.cut();
    assert!(!pair.source_ended);
    pair.mend();
    pair.finish();
    pair.assert_completed();
}

#[test]
fn without_its_source_a_guest_goes_on_if_the_disk_has_what_is_missing() {
    let mut pair = Pair::new(spec(0.0), parameters(Scheme::PostCopy));
    pair.run_to(5, is_sent);
    pair.tell_destination(source_lost(true));
    let report = pair.destination.report();
    assert!(report.left_on_disk > 0 && report.completed_at.is_some(), "{report:?}");
    pair.run_until(|pair| pair.destination_ended);
    assert!(pair.destination.report().lost.is_none());
}

#[test]
fn without_its_source_a_guest_of_which_a_dirty_page_is_missing_is_lost() {
    let mut pair = Pair::new(spec(1.0), parameters(Scheme::PostCopy));
    pair.run_to(5, is_sent);
    pair.tell_destination(source_lost(true));
    let (_, reason) = pair.destination.report().lost.clone().expect("it is lost");
    assert!(reason.contains("pages that the disk has not"), "{reason}");
    assert!(pair.destination.guest().is_none());
    assert!(matches!(pair.destination.answer_recovery(), RecoveryAnswer::Lost { .. }));
}

#[test]
fn a_checkpoint_makes_the_guest_survive_its_source_at_the_price_of_downtime() {
    for scheme in Scheme::ALL {
        let writing = || spec(1.0);
        let mut plain = Pair::new(writing(), parameters(scheme));
        plain.finish();
        let with_checkpoint =
            lazycopy_migration::MigrationParameters { checkpoint: true, ..parameters(scheme) };
        let mut pair = Pair::new(writing(), with_checkpoint);
        pair.run_to(1, is_resumed);
        let report = pair.source.report();
        let dirty = report.checkpointed;
        assert!(dirty > 0, "{scheme}");
        let waited = report.handover_at.unwrap() - report.suspended_at.unwrap();
        assert!(waited >= Duration::from_millis(7 * dirty), "{scheme}: {waited}");
        assert_eq!(plain.source.report().checkpointed, 0);
        pair.cut();
        pair.tell_destination(source_lost(true));
        assert!(pair.destination.report().lost.is_none(), "{scheme}");
        pair.run_until(|pair| pair.destination_ended);
        // The source is dead: it is the destination's guest that counts.
        pair.tell_source(lost());
        pair.assert_equals_reference();
    }
}

#[test]
fn a_source_that_gives_the_destination_up_never_runs_the_guest_again() {
    for scheme in AFTER_HANDOVER {
        let mut pair = Pair::new(spec(0.5), parameters(scheme));
        pair.run_to(1, is_resumed);
        pair.cut();
        pair.tell_source(lost());
        assert!(pair.source_ended && pair.source.guest().is_none(), "{scheme}");
        let (_, reason) = pair.source.report().lost.clone().expect("it says so");
        assert_eq!(reason, "given up");
        let reclaim = SourceInput::Reclaimed { reason: "an operator".to_owned() };
        pair.tell_source(reclaim);
        assert!(pair.source.guest().is_none(), "{scheme}");
    }
}

#[test]
fn a_guest_whose_context_never_left_as_a_whole_is_an_operators_to_take_back() {
    let mut pair = Pair::new(spec(0.5), parameters(Scheme::PostCopy));
    pair.run_to(1, is_handover);
    assert!(matches!(pair.source.reclaim(), Reclaim::Refused(_)), "the link is up");
    pair.cut();
    assert!(matches!(pair.source.reclaim(), Reclaim::Safe(_)));
    pair.tell_source(SourceInput::Reclaimed { reason: "an operator".to_owned() });
    assert!(pair.source.guest().is_some_and(Guest::is_running));
    pair.tell_destination(DestinationInput::Withdrawn { reason: "an operator".to_owned() });
    assert!(pair.destination_ended && pair.destination.guest().is_none());
    pair.assert_equals_reference();
}

#[test]
fn a_following_context_that_waits_for_an_unannounced_head_start_can_be_taken_back() {
    let parameters =
        lazycopy_migration::MigrationParameters { head_start: 40, ..parameters(Scheme::LazyCopy) };
    let mut pair = Pair::new(spec(0.5), parameters);
    pair.run_to(1, |kind| matches!(kind, EventKind::ContextArrived));
    pair.run_to(4, is_sent);
    pair.cut();
    assert!(matches!(pair.source.reclaim(), Reclaim::Safe(_)));
    pair.tell_source(SourceInput::Reclaimed { reason: "an operator".to_owned() });
    assert!(pair.source.guest().is_some_and(Guest::is_running));
    // A destination that is told nothing does not resume it either.
    pair.wait(Duration::from_secs(1));
    pair.tell_destination(source_lost(false));
    assert!(pair.destination.guest().is_none() && pair.count(is_resumed) == 0);
    pair.assert_equals_reference();
}

#[test]
fn a_guest_that_may_have_run_at_the_destination_is_not_taken_back() {
    for scheme in AFTER_HANDOVER {
        let mut pair = Pair::new(spec(0.5), parameters(scheme));
        pair.run_to(1, is_resumed);
        pair.cut();
        assert!(matches!(pair.source.reclaim(), Reclaim::Refused(_)), "{scheme}");
        pair.tell_source(SourceInput::Reclaimed { reason: "an operator".to_owned() });
        assert!(pair.source.is_paused() && pair.source.guest().is_none(), "{scheme}");
    }
}

#[test]
fn a_destination_that_gave_up_before_the_resume_gives_the_guest_back_when_asked() {
    let mut pair = Pair::new(spec(0.5), parameters(Scheme::LazyCopy));
    pair.run_to(1, |kind| matches!(kind, EventKind::ContextSent));
    pair.cut();
    pair.tell_destination(source_lost(false));
    pair.mend();
    pair.run_until(|pair| pair.source_ended);
    assert!(pair.source.guest().is_some_and(Guest::is_running));
    pair.assert_equals_reference();
}

#[test]
fn a_destination_that_knows_nothing_any_more_has_lost_the_guest() {
    let mut pair = Pair::new(spec(0.5), parameters(Scheme::PostCopy));
    pair.run_to(1, is_resumed);
    pair.cut();
    pair.tell_source(SourceInput::Recovered(RecoveryAnswer::Unknown));
    assert!(pair.source_ended && pair.source.report().lost.is_some());
}

#[test]
fn a_resumed_guest_does_not_heed_a_source_that_says_it_took_the_guest_back() {
    let mut pair = Pair::new(spec(0.5), parameters(Scheme::PostCopy));
    pair.run_to(1, is_resumed);
    pair.tell_destination(DestinationInput::Withdrawn { reason: "a lie".to_owned() });
    assert!(pair.destination.guest().is_some_and(Guest::is_running));
}

#[test]
fn nothing_that_a_peer_puts_into_its_recovery_makes_a_machine_panic() {
    let mut pair = Pair::new(spec(0.5), parameters(Scheme::LazyCopy));
    pair.run_to(1, is_resumed);
    pair.cut();
    let everything = lazycopy_migration::PageMap::from_words(vec![u64::MAX; 100]);
    let word = SourceRecovery { head_start_done: true, on_disk: everything.clone() };
    pair.tell_destination(DestinationInput::Recovered(Box::new(word)));
    let RecoveryAnswer::Goes(answer) = pair.destination.answer_recovery() else { panic!() };
    let answer = lazycopy_migration::DestinationRecovery {
        arrived: everything,
        counts: lazycopy_migration::PageCounts {
            round: u64::MAX,
            background: u64::MAX,
            forward: u64::MAX,
            demand: u64::MAX,
        },
        accesses: u64::MAX,
        ..answer
    };
    pair.tell_source(SourceInput::Recovered(RecoveryAnswer::Goes(answer)));
    assert!(!pair.source.is_paused());
}

#[test]
fn a_notice_that_comes_before_the_context_is_not_forgotten() {
    let mut pair = Pair::new(spec(0.0), parameters(Scheme::PostCopy));
    pair.run_to(1, is_handover);
    for page in (0..50).map(PageNumber) {
        pair.tell_destination(DestinationInput::Received(Notice::Dropped { page }));
    }
    pair.run_until(|pair| pair.count(|kind| matches!(kind, EventKind::ContextArrived)) == 1);
    assert!(pair.destination.report().completed_at.is_some(), "nothing is missing");
}

#[test]
fn a_destination_that_gives_up_after_its_answer_says_so_when_the_source_goes_on() {
    for reached in [is_handover as fn(&EventKind) -> bool, is_arrived] {
        let parameters = lazycopy_migration::MigrationParameters {
            head_start: 40,
            ..parameters(Scheme::LazyCopy)
        };
        let mut pair = Pair::new(spec(0.5), parameters);
        pair.run_to(1, reached);
        pair.cut();
        pair.mend();
        pair.tell_destination(source_lost(false));
        pair.run_until(|pair| pair.source_ended);
        assert!(pair.source.guest().is_some_and(Guest::is_running));
        pair.wait(Duration::from_secs(1));
        assert_eq!(pair.count(is_resumed), 0);
        pair.assert_equals_reference();
    }
}

fn is_arrived(kind: &EventKind) -> bool {
    matches!(kind, EventKind::ContextArrived)
}
