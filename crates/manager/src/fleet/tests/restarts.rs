//! Servers that are away, and managers that come back.

use super::*;
use crate::past::PastRuns;
use crate::state::Records;
use lazycopy_protocol::control::{FromServer, SideHeld};
use std::path::Path;

/// The fleet of the next life of a manager.
fn restarted(fleet: &mut Fleet) -> Fleet {
    let kept = fleet.take_changes().into_iter();
    let records: Records = kept.filter_map(|(key, record)| Some((key, record?))).collect();
    let (fleet, problems) = Fleet::restored(records, &mut PastRuns::default(), Path::new("out"));
    assert_eq!(problems, Vec::<String>::new());
    fleet
}

fn brings(phase: VmPhase) -> Vec<VmSummary> {
    let (accesses, miss_ratio, recent_miss_ratio) = (0, None, None);
    let (pages, frames, real_memory) = (50, 20, false);
    let vm = "v".to_owned();
    vec![VmSummary {
        vm,
        phase,
        pages,
        frames,
        accesses,
        miss_ratio,
        recent_miss_ratio,
        real_memory,
    }]
}

fn holds(id: MigrationId, side: Side) -> Vec<SideHeld> {
    let transfer =
        (side == Side::Destination).then(|| Transfer { bytes: 7, ..Transfer::default() });
    vec![SideHeld { migration: id, vm: "v".to_owned(), side, ended: false, transfer, pause: None }]
}

#[test]
fn a_guest_that_has_arrived_is_its_destinations_while_its_run_is_still_measured() {
    let mut fleet = fleet();
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    assert_eq!((fleet.frames_taken("a"), fleet.frames_taken("bb")), (20, 20));
    assert!(!fleet.side_ended(said(id, Side::Source, Outcome::Completed)));
    assert_eq!((fleet.frames_taken("a"), fleet.frames_taken("bb")), (0, 20));
    let vm = fleet.vm("v").unwrap();
    assert_eq!((&*vm.server, vm.phase), ("bb", VmPhase::Running));
    assert!(matches!(fleet.settled_vm("v"), Err(FleetError::IsMigrating { .. })));
    assert!(fleet.side_ended(said(id, Side::Destination, Outcome::Completed)));
    conclude(&mut fleet, id);
    assert_eq!((fleet.frames_taken("a"), fleet.frames_taken("bb")), (0, 20));
    assert_eq!(fleet.settled_vm("v").unwrap().server, "bb");
}

#[test]
fn a_server_that_was_away_has_its_guests_and_migrations_still() {
    let mut fleet = fleet();
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    fleet.server_away("a");
    assert!(matches!(fleet.server("a"), Err(FleetError::ServerGone { .. })));
    assert!(fleet.migration(id).unwrap().awaits(Side::Source));
    let vms = brings(VmPhase::MigratingOut);
    fleet.introduce(ServerHello { vms, sides: holds(id, Side::Source), ..hello("a") }).unwrap();
    assert!(fleet.vm("v").unwrap().definition.is_some());
    assert!(fleet.migration(id).unwrap().awaits(Side::Source));
}

#[test]
fn the_next_life_of_a_manager_knows_what_it_must() {
    let mut before = fleet();
    let mut policy = Policy::default();
    policy.set("scheme", "pre-copy");
    before.set_policy(policy.clone());
    before.drain("bb").unwrap();
    before.undrain("bb").unwrap();
    before.drain("a").unwrap();
    let id = before.begin_migration(request("v", "bb")).unwrap().migration;
    let mut fleet = restarted(&mut before);
    assert_eq!(fleet.policy, policy);
    let vms = brings(VmPhase::MigratingIn);
    fleet
        .introduce(ServerHello { vms, sides: holds(id, Side::Destination), ..hello("bb") })
        .unwrap();
    let (vms, sides) = (brings(VmPhase::MigratingOut), holds(id, Side::Source));
    let meeting = fleet.introduce(ServerHello { vms, sides, ..hello("a") }).unwrap();
    assert_eq!(meeting, Meeting::default());
    assert!(fleet.server("a").unwrap().draining && !fleet.server("bb").unwrap().draining);
    let vm = fleet.vm("v").unwrap();
    assert_eq!(vm.server, "a", "a guest on the move is its source's");
    assert_eq!(vm.definition.as_ref().unwrap().spec(), definition().spec());
    let migration = fleet.migration(id).unwrap();
    assert_eq!(migration.transfer.bytes, 7, "its destination has told how far it is");
    assert_eq!(migration.scenario.as_ref(), definition().scenario());
    assert_eq!(migration.parameters, request("v", "bb").parameters);
    for side in [Side::Source, Side::Destination] {
        fleet.side_ended(said(id, side, Outcome::Completed));
    }
    assert_eq!(conclude(&mut fleet, id), Outcome::Completed);
    let mut fleet = restarted(&mut fleet);
    assert_eq!(fleet.untold().map(|(id, _)| id).collect::<Vec<_>>(), [id]);
    assert_eq!(fleet.migration(id).unwrap().ended().unwrap().verdict.outcome, Outcome::Completed);
    let vms = brings(VmPhase::Running);
    fleet.introduce(ServerHello { vms, ..hello("bb") }).unwrap();
    fleet.introduce(hello("a")).unwrap();
    fleet.undrain("a").unwrap();
    assert!(fleet.begin_migration(request("v", "a")).unwrap().migration > id);
}

#[test]
fn a_migration_that_its_source_never_heard_of_never_was() {
    let mut before = fleet();
    let id = before.begin_migration(request("v", "bb")).unwrap().migration;
    let mut fleet = restarted(&mut before);
    let vms = brings(VmPhase::Created);
    let meeting = fleet.introduce(ServerHello { vms, ..hello("a") }).unwrap();
    assert_eq!(meeting.never_begun, [id]);
    assert!(fleet.migration(id).is_none());
    assert!(fleet.settled_vm("v").unwrap().definition.is_some());
}

#[test]
fn a_source_that_has_neither_the_migration_nor_its_guest_says_nothing_more_of_it() {
    let mut before = fleet();
    let id = before.begin_migration(request("v", "bb")).unwrap().migration;
    let mut fleet = restarted(&mut before);
    let meeting = fleet.introduce(hello("a")).unwrap();
    assert_eq!((&*meeting.never_begun, &*meeting.halved), (&[][..], &[id][..]));
    assert!(fleet.side_ended(said(id, Side::Destination, Outcome::Completed)));
    assert_eq!(conclude(&mut fleet, id), Outcome::Completed);
}

#[test]
fn numbers_of_migrations_are_above_all_that_servers_name() {
    let mut fleet = Fleet::default();
    let sides = holds(MigrationId(41), Side::Source);
    fleet.introduce(ServerHello { sides, ..hello("a") }).unwrap();
    fleet.introduce(hello("bb")).unwrap();
    fleet.create_vm("w", "a", definition()).unwrap();
    assert_eq!(fleet.begin_migration(request("w", "bb")).unwrap().migration, MigrationId(42));
}

#[test]
fn a_number_that_leaves_none_for_later_migrations_is_not_believed() {
    let mut fleet = fleet();
    let sides = holds(MigrationId(u64::MAX), Side::Source);
    fleet.introduce(ServerHello { sides, ..hello("c") }).unwrap();
    fleet.side_ended(said(MigrationId(u64::MAX), Side::Source, Outcome::Failed));
    assert_eq!(fleet.begin_migration(request("v", "bb")).unwrap().migration, MigrationId(1));
}

/// As [`said`], by that server.
fn said_by(server: &str, id: MigrationId, side: Side) -> FromServer {
    let mut ended = said(id, side, Outcome::Failed);
    ended.after.host.server = server.to_owned();
    FromServer::MigrationEnded(Box::new(ended))
}

#[test]
fn a_server_is_not_believed_about_others_guests_and_migrations() {
    let mut fleet = fleet();
    fleet.introduce(hello("c")).unwrap();
    let failed = FromServer::VmFailed { vm: "v".to_owned(), reason: String::new() };
    assert!(fleet.is_its_own("a", &failed) && !fleet.is_its_own("bb", &failed));
    // The guest of another server, by a migration of which nobody knows.
    assert!(!fleet.is_its_own("bb", &said_by("bb", MigrationId(9), Side::Destination)));
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    let transfer = Transfer { bytes: 7, ..Transfer::default() };
    let progress = FromServer::Progress { migration: id, transfer };
    assert!(fleet.is_its_own("bb", &progress) && !fleet.is_its_own("c", &progress));
    assert!(fleet.is_its_own("a", &said_by("a", id, Side::Source)));
    assert!(fleet.is_its_own("bb", &said_by("bb", id, Side::Destination)));
    assert!(fleet.is_its_own("bb", &failed) && !fleet.is_its_own("c", &failed));
    for (server, named, side) in
        [("c", "c", Side::Source), ("a", "a", Side::Destination), ("bb", "a", Side::Source)]
    {
        assert!(!fleet.is_its_own(server, &said_by(named, id, side)), "{server} as {named}");
    }
    let sides = holds(id, Side::Destination);
    fleet.introduce(ServerHello { sides, pid: 2, ..hello("d") }).unwrap();
    assert_eq!(fleet.migration(id).unwrap().transfer.bytes, 0);
}

#[test]
fn a_migration_that_was_taken_back_is_however_often_that_is_asked() {
    let mut fleet = fleet();
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    fleet.cancelling(id);
    fleet.migration_refused(id);
    assert_eq!(fleet.taken_back("v"), Some(id));
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    assert_eq!(fleet.taken_back("v"), None);
    fleet.migration_refused(id);
    assert_eq!(fleet.taken_back("v"), None, "it was refused, and nobody had asked for that");
}
