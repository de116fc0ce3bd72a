use super::*;
use lazycopy_migration::{DestinationReport, Outcome, SourceReport, Verdict};
use lazycopy_protocol::control::{
    HostSnapshot, HostState, MigrationKey, ServerHello, SideEnded, SideReport, Transfer, Watch,
};
use lazycopy_protocol::pace::Pace;
use lazycopy_units::Duration;

mod gangs;
mod pauses;
mod restarts;

const FRAMES: u64 = 50;

fn hello(name: &str) -> ServerHello {
    ServerHello {
        version: "0.1.0".to_owned(),
        name: name.to_owned(),
        pid: 1,
        address: format!("127.0.0.1:{}", name.len()),
        frames: FRAMES,
        vms: Vec::new(),
        sides: Vec::new(),
        pace: Pace::default(),
    }
}

fn summary(vm: &str, phase: VmPhase) -> VmSummary {
    VmSummary {
        vm: vm.to_owned(),
        phase,
        pages: 50,
        frames: 20,
        accesses: 0,
        miss_ratio: None,
        recent_miss_ratio: None,
        real_memory: false,
    }
}

/// The paper's guest: 20 frames.
fn definition() -> Arc<Definition> {
    Arc::new(Definition::read("paper", &[]).expect("it is shipped"))
}

fn request(vm: &str, destination: &str) -> Request {
    let scenario = Arc::new(definition().scenario().clone());
    Request {
        vm: vm.to_owned(),
        destination: destination.to_owned(),
        parameters: scenario.migration_parameters(),
        link: scenario.link(),
        scenario,
        watch: Watch::Off,
        key: MigrationKey::new([1; 32]),
        began_unix_ms: 0,
    }
}

/// Servers "a" and "bb", and guest "v" on "a".
fn fleet() -> Fleet {
    let mut fleet = Fleet::default();
    fleet.introduce(hello("a")).unwrap();
    fleet.introduce(hello("bb")).unwrap();
    fleet.create_vm("v", "a", definition()).unwrap();
    fleet
}

/// What a side says in the end.
fn said(id: MigrationId, side: Side, outcome: Outcome) -> SideEnded {
    let host = HostState { server: String::new(), frames: 0, frames_taken: 0, vms: Vec::new() };
    let snapshot = HostSnapshot { host, guest: None };
    SideEnded {
        migration: id,
        vm: "v".to_owned(),
        side,
        verdict: Verdict { outcome, reason: String::new() },
        report: match side {
            Side::Source => SideReport::Source(SourceReport::default()),
            Side::Destination => SideReport::Destination(DestinationReport::default()),
        },
        slip: Duration::ZERO,
        out_of_order: 0,
        before: snapshot.clone(),
        after: snapshot,
        events: 0,
        plane: None,
    }
}

fn conclude(fleet: &mut Fleet, id: MigrationId) -> Outcome {
    let (verdict, whereabouts) = fleet.migration(id).unwrap().verdict();
    let outcome = verdict.outcome;
    let ended = Ended { verdict, whereabouts, record: None, directory: None, wrong: None };
    fleet.conclude(id, ended);
    outcome
}

#[test]
fn unknown_names_are_refused_with_those_that_there_are() {
    let mut fleet = fleet();
    let text = |error: FleetError| error.to_string();
    assert!(text(fleet.server("c").unwrap_err()).contains("the servers are a, bb"));
    assert!(text(fleet.vm("w").unwrap_err()).contains("the guests are v"));
    assert!(matches!(fleet.begin_migration(request("w", "bb")), Err(FleetError::UnknownVm { .. })));
    assert!(matches!(
        fleet.begin_migration(request("v", "c")),
        Err(FleetError::UnknownServer { .. })
    ));
    assert!(matches!(
        fleet.create_vm("w", "c", definition()),
        Err(FleetError::UnknownServer { .. })
    ));
}

#[test]
fn names_are_given_once() {
    let mut fleet = fleet();
    assert!(matches!(fleet.introduce(hello("a")), Err(FleetError::DuplicateServer { .. })));
    assert!(matches!(
        fleet.create_vm("v", "bb", definition()),
        Err(FleetError::DuplicateVm { on, .. }) if on == "a"
    ));
}

#[test]
fn what_a_server_says_of_itself_has_its_limits() {
    let mut fleet = Fleet::default();
    let guests = |count: usize| {
        (0..count).map(|number| summary(&format!("v{number}"), VmPhase::Running)).collect()
    };
    let crowded = ServerHello { vms: guests(MAX_GUESTS + 1), ..hello("a") };
    let refusal = fleet.introduce(crowded).unwrap_err().to_string();
    assert_eq!(refusal, "it brings 4097 guests along, a server has at most 4096");
    let long = "x".repeat(MAX_WORD_BYTES + 1);
    for wordy in [
        ServerHello { address: long.clone(), ..hello("a") },
        ServerHello { version: long.clone(), ..hello("a") },
    ] {
        assert_eq!(fleet.introduce(wordy), Err(FleetError::BadAddress));
    }
    fleet.introduce(ServerHello { vms: guests(MAX_GUESTS), ..hello("a") }).unwrap();
    // Nor does it get more by ends of migrations that never were.
    for number in 0..10 {
        let mut ended = said(MigrationId(1_000 + number), Side::Destination, Outcome::Completed);
        ended.vm = format!("w{number}");
        ended.after.host.server = "a".to_owned();
        ended.after.host.vms = vec![summary(&ended.vm, VmPhase::Running)];
        assert!(!fleet.side_ended(ended));
    }
    assert_eq!(fleet.vms().count(), MAX_GUESTS);
}

#[test]
fn a_server_without_a_proper_name_is_refused() {
    let mut fleet = Fleet::default();
    assert_eq!(fleet.introduce(hello("a b")), Err(FleetError::BadName));
    assert_eq!(fleet.servers().count(), 0);
}

#[test]
fn a_guest_that_does_not_fit_is_refused_with_the_numbers() {
    let mut fleet = fleet();
    fleet.create_vm("w", "a", definition()).unwrap();
    let refusal = fleet.create_vm("x", "a", definition()).unwrap_err();
    let expected = FleetError::DoesNotFit {
        vm: "x".to_owned(),
        server: "a".to_owned(),
        needed: 20,
        free: 10,
        frames: FRAMES,
    };
    assert_eq!(refusal, expected);
    fleet.set_phase("w", VmPhase::Stopped);
    fleet.create_vm("x", "a", definition()).expect("a stopped guest takes no frames");
}

#[test]
fn frames_of_guests_on_their_way_are_taken() {
    let mut fleet = fleet();
    fleet.create_vm("w", "bb", definition()).unwrap();
    fleet.begin_migration(request("v", "bb")).unwrap();
    assert_eq!((fleet.frames_taken("a"), fleet.frames_taken("bb")), (20, 40));
    let refusal = fleet.create_vm("x", "bb", definition()).unwrap_err();
    assert!(matches!(refusal, FleetError::DoesNotFit { free: 10, .. }), "{refusal}");
}

#[test]
fn a_migration_names_the_destinations_address() {
    let mut fleet = fleet();
    let message = fleet.begin_migration(request("v", "bb")).unwrap();
    assert_eq!(message.migration, MigrationId(1));
    assert_eq!((&*message.destination, &*message.destination_address), ("bb", "127.0.0.1:2"));
}

#[test]
fn a_migration_to_itself_is_refused() {
    let mut fleet = fleet();
    let refusal = fleet.begin_migration(request("v", "a")).unwrap_err();
    assert!(matches!(refusal, FleetError::ToItself { .. }), "{refusal}");
}

#[test]
fn a_guest_that_migrates_is_left_alone() {
    let mut fleet = fleet();
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    for refusal in
        [fleet.begin_migration(request("v", "bb")).err(), fleet.settled_vm("v").map(drop).err()]
    {
        assert!(matches!(refusal, Some(FleetError::IsMigrating { id: other, .. }) if other == id));
    }
}

#[test]
fn a_migration_to_a_server_that_is_gone_is_refused() {
    let mut fleet = fleet();
    fleet.server_lost("bb");
    let refusal = fleet.begin_migration(request("v", "bb")).unwrap_err();
    assert_eq!(refusal, FleetError::ServerGone { name: "bb".to_owned() });
    fleet.introduce(hello("bb")).unwrap();
    fleet.begin_migration(request("v", "bb")).expect("it has come back");
}

#[test]
fn a_migration_that_the_source_refused_never_was() {
    let mut fleet = fleet();
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    fleet.migration_refused(id);
    assert_eq!(fleet.running().count(), 0);
    fleet.settled_vm("v").unwrap();
}

#[test]
fn the_last_word_of_how_far_it_is_holds_while_it_runs() {
    let mut fleet = fleet();
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    assert_eq!(fleet.running().map(|(id, _)| id).collect::<Vec<_>>(), [id]);
    let transfer = Transfer { bytes: 7, ..Transfer::default() };
    fleet.progressed(id, transfer);
    fleet.progressed(MigrationId(id.0 + 1), Transfer::default());
    assert_eq!(fleet.migration_of("v").unwrap().1.transfer, transfer);
    conclude(&mut fleet, id);
    assert!(fleet.migration_of("v").is_none() && fleet.running().next().is_none());
    fleet.progressed(id, Transfer::default());
    assert_eq!(fleet.migration(id).unwrap().transfer, transfer);
}

#[test]
fn a_guest_is_at_the_destination_once_both_sides_say_so() {
    let mut fleet = fleet();
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    assert!(!fleet.side_ended(said(id, Side::Source, Outcome::Completed)));
    assert!(!fleet.side_ended(said(id, Side::Source, Outcome::Lost)), "its first word counts");
    assert!(fleet.side_ended(said(id, Side::Destination, Outcome::Completed)));
    assert_eq!(conclude(&mut fleet, id), Outcome::Completed);
    assert_eq!(fleet.vm("v").unwrap().server, "bb");
    assert_eq!((fleet.frames_taken("a"), fleet.frames_taken("bb")), (0, 20));
}

#[test]
fn a_guest_whose_migration_failed_before_the_hand_over_stays_at_the_source() {
    let mut fleet = fleet();
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    let loss = fleet.server_lost("bb");
    assert_eq!((loss.vms, loss.concluded, loss.halved), (vec![], vec![], vec![id]));
    assert!(fleet.side_ended(said(id, Side::Source, Outcome::Failed)));
    assert_eq!(conclude(&mut fleet, id), Outcome::Failed);
    assert_eq!(fleet.settled_vm("v").unwrap().server, "a");
}

#[test]
fn a_server_takes_its_guests_with_it() {
    let mut fleet = fleet();
    fleet.create_vm("w", "bb", definition()).unwrap();
    let loss = fleet.server_lost("a");
    assert_eq!(loss.vms, ["v"]);
    assert!(matches!(fleet.vm("v"), Err(FleetError::UnknownVm { .. })));
    fleet.vm("w").unwrap();
}

#[test]
fn a_guest_that_migrates_is_lost_with_its_source_unless_the_destination_has_all_of_it() {
    for (outcome, lost) in [(Outcome::Completed, false), (Outcome::Failed, true)] {
        let mut fleet = fleet();
        let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
        let loss = fleet.server_lost("a");
        assert_eq!((loss.vms.len(), loss.halved), (0, vec![id]));
        assert!(fleet.side_ended(said(id, Side::Destination, outcome)));
        let expected = if lost { Outcome::Lost } else { Outcome::Completed };
        assert_eq!(conclude(&mut fleet, id), expected);
        assert_eq!(fleet.vm("v").is_err(), lost);
    }
}

#[test]
fn what_ended_well_is_forgotten_in_the_end_and_a_failure_when_it_was_told() {
    let mut fleet = fleet();
    let migrate = |fleet: &mut Fleet, outcome| {
        let to = if fleet.vm("v").unwrap().server == "a" { "bb" } else { "a" };
        let id = fleet.begin_migration(request("v", to)).unwrap().migration;
        for side in [Side::Source, Side::Destination] {
            fleet.side_ended(said(id, side, outcome));
        }
        assert_eq!(conclude(fleet, id), outcome);
        id
    };
    let well = migrate(&mut fleet, Outcome::Completed);
    let failed = migrate(&mut fleet, Outcome::Failed);
    for _ in 0..MAX_REMEMBERED {
        migrate(&mut fleet, Outcome::Completed);
    }
    assert!(fleet.migration(well).is_none());
    assert!(fleet.migration(failed).is_some(), "nobody knows of it yet");
    fleet.tell(failed);
    migrate(&mut fleet, Outcome::Completed);
    migrate(&mut fleet, Outcome::Completed);
    assert!(fleet.migration(failed).is_none());
    assert!(fleet.migrations().count() <= MAX_REMEMBERED + 2);
}

#[test]
fn a_migration_between_two_servers_that_are_gone_is_lost() {
    let mut fleet = fleet();
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    assert_eq!(fleet.server_lost("a").halved, [id]);
    assert_eq!(fleet.server_lost("bb").concluded, [id]);
    assert_eq!(conclude(&mut fleet, id), Outcome::Lost);
    assert!(fleet.vm("v").is_err());
}

#[test]
fn a_guest_is_not_on_a_server_that_was_started_anew_since_it_came() {
    for restarted in [false, true] {
        let mut fleet = fleet();
        let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
        fleet.side_ended(said(id, Side::Destination, Outcome::Completed));
        fleet.server_lost("bb");
        let pid = if restarted { 2 } else { 1 };
        let vms = if restarted { vec![] } else { vec![summary("v", VmPhase::Running)] };
        fleet.introduce(ServerHello { pid, vms, ..hello("bb") }).unwrap();
        fleet.side_ended(said(id, Side::Source, Outcome::Completed));
        conclude(&mut fleet, id);
        assert_eq!(fleet.vm("v").is_ok(), !restarted);
    }
}

#[test]
fn a_guest_whose_server_dies_while_it_is_asked_to_migrate_is_no_more() {
    for restarts in [false, true] {
        let mut fleet = fleet();
        let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
        fleet.server_lost("a");
        if restarts {
            fleet.introduce(ServerHello { pid: 2, ..hello("a") }).unwrap();
        }
        fleet.migration_refused(id);
        assert!(fleet.vm("v").is_err());
    }
}

#[test]
fn time_goes_on_as_an_earlier_manager_has_said() {
    let frozen = Pace { revision: 7, frozen: true, slower: 3, ..Pace::default() };
    let mut fleet = Fleet::default();
    fleet.introduce(ServerHello { pace: frozen, ..hello("a") }).unwrap();
    fleet.introduce(hello("bb")).unwrap();
    assert_eq!(fleet.pace(), frozen);
    let gone_on = |pace| Ok::<_, FleetError>(Pace { frozen: false, ..pace });
    let revision = fleet.change_pace(0, gone_on).unwrap().revision;
    assert!(revision > frozen.revision);
    fleet.introduce(ServerHello { pace: frozen, ..hello("ccc") }).unwrap();
    assert!(!fleet.pace().frozen, "what this manager has said holds");
}

#[test]
fn a_side_that_never_reports_is_given_up() {
    let mut fleet = fleet();
    let id = fleet.begin_migration(request("v", "bb")).unwrap().migration;
    fleet.side_ended(said(id, Side::Source, Outcome::Failed));
    assert!(fleet.give_up_waiting(id));
    assert!(!fleet.give_up_waiting(id), "once");
    assert!(!fleet.side_ended(said(id, Side::Destination, Outcome::Completed)), "too late");
    assert_eq!(conclude(&mut fleet, id), Outcome::Failed);
}

#[test]
fn guests_are_taken_from_the_introduction_after_a_reconnection() {
    let mut fleet = fleet();
    fleet.server_lost("a");
    let vms = vec![
        summary("v", VmPhase::Running),
        summary("new", VmPhase::Suspended),
        summary("coming", VmPhase::MigratingIn),
    ];
    fleet.introduce(ServerHello { vms, ..hello("a") }).unwrap();
    assert_eq!(fleet.vm("v").unwrap().phase, VmPhase::Running);
    assert_eq!(fleet.vm("new").unwrap().server, "a");
    assert_eq!(fleet.vm("coming").unwrap().server, "a", "nobody else tells of it");
    assert_eq!(fleet.frames_taken("a"), 60);
}

#[test]
fn a_guest_that_moved_while_the_manager_was_away_is_found_where_it_arrives() {
    let mut fleet = Fleet::default();
    let bring = |phase| vec![summary("v", phase)];
    let destination = ServerHello { vms: bring(VmPhase::MigratingIn), ..hello("bb") };
    fleet.introduce(destination).unwrap();
    let source = ServerHello { vms: bring(VmPhase::MigratingOut), ..hello("a") };
    fleet.introduce(source).unwrap();
    assert_eq!(fleet.vm("v").unwrap().server, "a", "the source's, as long as it tells of it");
    let mut arrived = said(MigrationId(7), Side::Destination, Outcome::Completed);
    arrived.after.host.server = "bb".to_owned();
    arrived.after.host.vms = bring(VmPhase::Running);
    assert!(!fleet.side_ended(arrived), "nothing waits for it");
    let mut left = said(MigrationId(7), Side::Source, Outcome::Completed);
    left.after.host.server = "a".to_owned();
    left.after.host.vms = Vec::new();
    assert!(!fleet.side_ended(left));
    let vm = fleet.vm("v").unwrap();
    assert_eq!((vm.server.as_str(), vm.phase), ("bb", VmPhase::Running));
}

#[test]
fn a_server_that_brings_a_guest_of_another_one_is_refused() {
    let mut fleet = fleet();
    let vms = vec![summary("v", VmPhase::Running)];
    let refusal = fleet.introduce(ServerHello { vms, ..hello("c") }).unwrap_err();
    assert!(matches!(refusal, FleetError::GuestElsewhere { .. }), "{refusal}");
}

#[test]
fn nothing_is_ended_while_something_would_be_lost() {
    let mut fleet = fleet();
    let started = ["a".to_owned()];
    let refusal = fleet.may_quit(&started).unwrap_err().to_string();
    assert!(refusal.contains("guest \"v\" on \"a\"") && refusal.contains("quit --force"));
    fleet.may_quit(&["bb".to_owned()]).expect("the guest's server is not one that quit ends");
    fleet.may_stop_server("bb").unwrap();
    assert!(fleet.may_stop_server("a").unwrap_err().to_string().contains("server stop a --force"));
    fleet.set_phase("v", VmPhase::Stopped);
    fleet.may_quit(&started).expect("a stopped guest has nothing to lose");
    fleet.set_phase("v", VmPhase::Running);
    fleet.begin_migration(request("v", "bb")).unwrap();
    assert!(fleet.may_stop_server("bb").unwrap_err().to_string().contains("migration 1 of \"v\""));
    assert!(fleet.may_quit(&[]).is_err(), "a migration runs");
}

#[test]
fn a_stopped_server_is_forgotten() {
    let mut fleet = fleet();
    fleet.server_lost("a");
    fleet.server_stopped("a");
    assert!(matches!(fleet.server("a"), Err(FleetError::UnknownServer { .. })));
}
