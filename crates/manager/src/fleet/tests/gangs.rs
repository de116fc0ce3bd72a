//! Servers that are emptied, drained and evened out.

use super::*;
use lazycopy_link::{LinkParameters, LinkSpec};
use lazycopy_units::Rate;
use proptest::prelude::*;

/// Servers "a", "bb" and "ccc", and guests of 20 frames, "v0" and so on, on "a".
fn three(guests: usize) -> Fleet {
    let mut fleet = Fleet::default();
    fleet.introduce(ServerHello { frames: 1_000, ..hello("a") }).unwrap();
    fleet.introduce(hello("bb")).unwrap();
    fleet.introduce(hello("ccc")).unwrap();
    for number in 0..guests {
        fleet.create_vm(&format!("v{number}"), "a", definition()).unwrap();
    }
    fleet
}

fn ways(moves: &[Move]) -> Vec<(&str, &str)> {
    moves.iter().map(|planned| (&*planned.vm, &*planned.to)).collect()
}

#[test]
fn an_evacuation_spreads_the_guests_and_says_who_has_no_room() {
    let plan = three(5).plan_evacuation("a", &[]).unwrap();
    assert_eq!(ways(&plan.moves), [("v0", "bb"), ("v1", "ccc"), ("v2", "bb"), ("v3", "ccc")]);
    assert_eq!(plan.stays.len(), 1);
    assert_eq!(plan.stays[0].vm, "v4");
    let why = &plan.stays[0].why;
    assert!(why.contains("needs 20 frames") && why.contains("are 10 on"), "{why}");
}

#[test]
fn guests_go_to_the_servers_that_are_named_and_to_no_other() {
    let fleet = three(2);
    let to = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        fleet.plan_evacuation("a", &names)
    };
    assert_eq!(ways(&to(&["ccc", "ccc"]).unwrap().moves), [("v0", "ccc"), ("v1", "ccc")]);
    assert!(matches!(to(&["d"]), Err(FleetError::UnknownServer { .. })));
    assert!(matches!(to(&["bb", "a"]), Err(FleetError::EvacuatedToItself { .. })));
}

#[test]
fn guests_that_do_not_run_are_defined_elsewhere_or_stay_with_the_reason() {
    let mut fleet = three(3);
    fleet.set_phase("v0", VmPhase::Stopped);
    fleet.set_phase("v1", VmPhase::Suspended);
    let plan = fleet.plan_evacuation("a", &[]).unwrap();
    assert_eq!(ways(&plan.moves), [("v2", "bb")]);
    assert_eq!(ways(&plan.relocations), [("v0", "ccc")]);
    let why = "it is suspended: resume it first".to_owned();
    assert_eq!(plan.stays, [Stay { vm: "v1".to_owned(), why }]);
    fleet.may_relocate("v0", "ccc").unwrap();
    fleet.relocated("v0", "ccc");
    let vm = fleet.vm("v0").unwrap();
    assert_eq!((&*vm.server, vm.phase, fleet.frames_taken("ccc")), ("ccc", VmPhase::Stopped, 0));
}

#[test]
fn guests_under_way_from_or_to_the_server_are_awaited() {
    let mut fleet = three(2);
    fleet.create_vm("w", "bb", definition()).unwrap();
    fleet.begin_migration(request("v0", "bb")).unwrap();
    fleet.begin_migration(request("w", "a")).unwrap();
    let plan = fleet.plan_evacuation("a", &[]).unwrap();
    assert_eq!(plan.under_way, ["v0", "w"]);
    assert_eq!(ways(&plan.moves), [("v1", "ccc")], "a guest that is coming has frames already");
}

#[test]
fn what_a_plan_promises_nobody_else_gets() {
    let mut fleet = three(2);
    let plan = fleet.plan_evacuation("a", &["bb".to_owned()]).unwrap();
    fleet.begin_evacuation("a", &plan).unwrap();
    assert_eq!(fleet.frames_taken("bb"), 40);
    let refusal = fleet.create_vm("w", "bb", definition()).unwrap_err();
    assert!(matches!(refusal, FleetError::DoesNotFit { free: 10, .. }), "{refusal}");
    fleet.begin_migration(request("v0", "bb")).expect("it was promised to it");
    assert_eq!(fleet.frames_taken("bb"), 40, "counted once");
    fleet.release_promise("v1");
    assert_eq!(fleet.frames_taken("bb"), 20);
}

#[test]
fn a_server_is_evacuated_once_at_a_time_and_not_while_others_are_rebalanced() {
    let mut fleet = three(1);
    let plan = fleet.plan_evacuation("a", &[]).unwrap();
    fleet.begin_evacuation("a", &plan).unwrap();
    assert!(matches!(fleet.begin_evacuation("a", &plan), Err(FleetError::Evacuating { .. })));
    assert!(fleet.rooms().iter().all(|room| room.server != "a"), "nobody is sent there");
    let even = fleet.plan_rebalancing();
    assert!(matches!(fleet.begin_rebalancing(&even), Err(FleetError::GuestsAreMoved { .. })));
    fleet.end_evacuation("a");
    fleet.begin_rebalancing(&even).unwrap();
    assert!(matches!(fleet.begin_evacuation("a", &plan), Err(FleetError::GuestsAreMoved { .. })));
    fleet.end_rebalancing();
    assert!(!fleet.is_moving_gangs());
}

#[test]
fn a_draining_server_takes_no_guests_until_it_is_told_to() {
    let mut fleet = three(1);
    assert_eq!(fleet.drain("bb"), Ok(true));
    assert_eq!(fleet.drain("bb"), Ok(false));
    for refusal in [
        fleet.create_vm("w", "bb", definition()).unwrap_err(),
        fleet.begin_migration(request("v0", "bb")).unwrap_err(),
        fleet.plan_evacuation("a", &["bb".to_owned()]).unwrap_err(),
    ] {
        assert_eq!(refusal, FleetError::Draining { server: "bb".to_owned() });
        assert!(refusal.to_string().contains("server undrain bb"), "{refusal}");
    }
    assert_eq!(ways(&fleet.plan_evacuation("a", &[]).unwrap().moves), [("v0", "ccc")]);
    fleet.server_lost("bb");
    fleet.introduce(hello("bb")).unwrap();
    assert!(fleet.server("bb").unwrap().draining, "also after it was gone");
    fleet.undrain("bb").unwrap();
    fleet.begin_migration(request("v0", "bb")).unwrap();
    assert!(matches!(fleet.undrain("bb"), Err(FleetError::NotDraining { .. })));
    assert!(matches!(fleet.undrain("d"), Err(FleetError::UnknownServer { .. })));
}

#[test]
fn a_second_place_is_one_that_was_not_tried_and_has_room() {
    let mut fleet = three(2);
    let tried = ["bb".to_owned()];
    assert_eq!(fleet.place_again("v0", &[], &tried).unwrap(), "ccc");
    let why = fleet.place_again("v0", &tried, &tried).unwrap_err();
    assert!(why.contains("no other server takes guests"), "{why}");
    fleet.create_vm("w", "ccc", definition()).unwrap();
    fleet.create_vm("x", "ccc", definition()).unwrap();
    let why = fleet.place_again("v0", &[], &tried).unwrap_err();
    assert!(why.contains("are 10 on \"ccc\""), "{why}");
}

#[test]
fn rebalancing_moves_guests_that_run_and_never_to_a_draining_server() {
    let mut fleet = Fleet::default();
    for server in ["a", "bb", "ccc"] {
        fleet.introduce(ServerHello { frames: 100, ..hello(server) }).unwrap();
    }
    for number in 0..4 {
        fleet.create_vm(&format!("v{number}"), "a", definition()).unwrap();
    }
    fleet.drain("ccc").unwrap();
    fleet.set_phase("v0", VmPhase::Suspended);
    let plan = fleet.plan_rebalancing();
    let moves: Vec<Move> = plan.moves.iter().map(|step| step.moved.clone()).collect();
    assert_eq!(ways(&moves), [("v1", "bb"), ("v2", "bb")]);
    fleet.begin_migration(request("v3", "bb")).unwrap();
    let plan = fleet.plan_rebalancing();
    assert_eq!(plan.moves.len(), 1, "a guest that is on its way counts where it goes");
}

fn link(bandwidth: u64) -> LinkSpec {
    let bandwidth = Rate::from_bytes_per_sec(bandwidth).unwrap();
    LinkParameters { bandwidth, latency: Duration::from_millis(200) }.into()
}

#[test]
fn a_share_is_an_equal_part_of_the_link_and_never_nothing() {
    assert_eq!(fair_share(link(8_224), 1), link(8_224));
    assert_eq!(fair_share(link(8_224), 3), link(2_741));
    assert_eq!(fair_share(link(2), 3), link(1));
    assert_eq!(fair_share(link(8_224), 0), link(8_224));
}

proptest! {
    #[test]
    fn shares_together_are_never_more_than_the_link_and_waste_less_than_a_byte_each(
        bandwidth in 1u64..1 << 50, sharers in 1u64..300,
    ) {
        let share = fair_share(link(bandwidth), sharers).modelled().unwrap();
        let share = share.bandwidth.bytes_per_sec();
        prop_assert!(share >= 1);
        if bandwidth >= sharers {
            prop_assert!(share * sharers <= bandwidth && bandwidth < (share + 1) * sharers);
        }
    }
}
