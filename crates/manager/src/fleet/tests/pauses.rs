//! Broken links, and what the side that is left is told of the other.

use super::*;
use lazycopy_protocol::control::{Pause, PeerEnd};

fn pause(until_unix_ms: Option<u64>) -> Option<Pause> {
    let reason = "the link broke".to_owned();
    Some(Pause { reason, since_unix_ms: 1, until_unix_ms, reclaim: None })
}

fn migrating() -> (Fleet, MigrationId) {
    let mut fleet = fleet();
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    (fleet, id)
}

#[test]
fn who_is_left_is_told_of_a_dead_process_and_of_no_other_that_is_gone() {
    for (gone, left) in [("a", "bb"), ("bb", "a")] {
        let (mut fleet, id) = migrating();
        assert_eq!(fleet.word_to_who_is_left(id), None);
        // It may only be out of reach: then it runs the guest, perhaps.
        fleet.server_lost(gone);
        assert_eq!(fleet.word_to_who_is_left(id), None);
        let (mut fleet, id) = migrating();
        fleet.server_died(gone);
        assert_eq!(fleet.word_to_who_is_left(id), Some((left.to_owned(), PeerEnd::Dead)));
        fleet.server_died(left);
        assert_eq!(fleet.word_to_who_is_left(id), None);
    }
}

#[test]
fn who_is_left_with_a_broken_link_is_told_how_the_other_ended() {
    let reason = String::new;
    let cases = [
        (Side::Source, Outcome::Failed, Some(PeerEnd::Withdrawn { reason: reason() })),
        (Side::Source, Outcome::Cancelled, Some(PeerEnd::Withdrawn { reason: reason() })),
        (Side::Source, Outcome::Lost, Some(PeerEnd::Lost { reason: reason() })),
        (Side::Source, Outcome::Completed, None),
        (Side::Destination, Outcome::Failed, Some(PeerEnd::ThrownAway { reason: reason() })),
        (Side::Destination, Outcome::Lost, Some(PeerEnd::Lost { reason: reason() })),
        (Side::Destination, Outcome::Completed, None),
    ];
    for (side, outcome, expected) in cases {
        let (mut fleet, id) = migrating();
        let (left, server) = match side {
            Side::Source => (Side::Destination, "bb"),
            Side::Destination => (Side::Source, "a"),
        };
        fleet.side_ended(said(id, side, outcome));
        // Over a link that is whole they tell each other.
        assert_eq!(fleet.word_to_who_is_left(id), None);
        fleet.link_changed(id, left, pause(Some(2)));
        let expected = expected.map(|how| (server.to_owned(), how));
        assert_eq!(fleet.word_to_who_is_left(id), expected, "{side:?} {outcome}");
    }
}

#[test]
fn a_migration_is_paused_while_a_side_that_has_not_ended_says_so() {
    let (mut fleet, id) = migrating();
    assert!(matches!(fleet.paused_migration("v"), Err(FleetError::NotPaused { .. })));
    assert!(matches!(fleet.settled_vm("v"), Err(FleetError::IsMigrating { .. })));
    fleet.link_changed(id, Side::Destination, pause(Some(2)));
    assert!(matches!(fleet.settled_vm("v"), Err(FleetError::IsPaused { .. })));
    fleet.link_changed(id, Side::Source, pause(Some(7)));
    let (_, migration) = fleet.paused_migration("v").unwrap();
    assert_eq!(migration.pause().unwrap().until_unix_ms, Some(7), "the source's");
    assert!(!migration.awaits_a_word());
    fleet.side_ended(said(id, Side::Destination, Outcome::Failed));
    fleet.link_changed(id, Side::Source, pause(None));
    assert!(fleet.migration(id).unwrap().awaits_a_word());
    fleet.side_ended(said(id, Side::Source, Outcome::Failed));
    assert!(fleet.migration(id).unwrap().pause().is_none());
    assert!(!fleet.migration(id).unwrap().awaits_a_word());
}
