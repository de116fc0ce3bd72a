//! Scenarios as the engine runs them: a guest by itself, and fleets.

use lazycopy_migration::Scheme;
use lazycopy_scenario::{Draft, SHIPPED, Scenario};
use lazycopy_simulation::{Options, check_fleet, scenario_fleet, simulate_scenario};

/// A shipped scenario with these overrides.
fn scenario(name: &str, sets: &[&str]) -> Scenario {
    let shipped = SHIPPED.iter().find(|shipped| shipped.name == name).unwrap();
    let draft = Draft::from_toml(shipped.text, name);
    let draft = sets.iter().try_fold(draft, |draft, set| draft.set(set)).unwrap();
    draft.finish().unwrap()
}

#[test]
fn a_fleet_of_one_is_the_plain_run() {
    for name in ["paper", "writes", "slow-link", "pre-copy"] {
        for scheme in Scheme::ALL {
            let scheme = format!("migration.scheme={scheme}");
            let plain = scenario(name, &[&scheme]);
            // A faster card changes nothing: the migration takes no more than its link.
            for fleet in ["fleet.hosts=2", "fleet.hosts=5", "fleet.card=1MB/s"] {
                let fleet = scenario(name, &[&scheme, fleet]);
                let run = |scenario| {
                    simulate_scenario(scenario, 3, &Options::default()).unwrap().runs.pop().unwrap()
                };
                let (plain, fleet) = (run(&plain), run(&fleet));
                assert_eq!(plain.metrics, fleet.metrics, "{name} {scheme}");
                assert_eq!(plain.events, fleet.events, "{name} {scheme}");
            }
        }
    }
}

#[test]
fn every_invariant_holds_in_the_shipped_fleets_under_every_scheme() {
    for name in ["neighbours", "evacuation"] {
        for scheme in Scheme::ALL {
            let scenario = scenario(name, &[&format!("migration.scheme={scheme}")]);
            for seed in 1..=10 {
                let run = simulate_scenario(&scenario, seed, &Options::default()).unwrap();
                check_fleet(&scenario_fleet(&scenario, seed).unwrap(), &run)
                    .unwrap_or_else(|problem| panic!("{name} {scheme} {seed}: {problem}"));
                assert!(run.runs.iter().all(|run| run.digest_matches() == Some(true)));
            }
        }
    }
}

#[test]
fn a_scenario_that_models_no_link_is_refused_by_key() {
    let unlimited = scenario("unlimited", &[]);
    let error = simulate_scenario(&unlimited, 1, &Options::default()).unwrap_err().to_string();
    let expected = "unlimited: link.bandwidth: \"unlimited\" models no link, and virtual time needs \
                    one: write a rate";
    assert!(error.starts_with(expected), "{error}");
    let sets = ["link.bandwidth=1GB/s", "link.latency=0s", "guest.pages=64", "guest.frames=64"];
    let modelled = scenario("unlimited", &sets);
    let run = simulate_scenario(&modelled, 1, &Options::metrics_only()).unwrap();
    assert_eq!(run.runs[0].metrics.pages_transferred, 64);
}

#[test]
fn the_engine_takes_every_shipped_scenario_that_models_a_link_and_no_other() {
    let recordings = tempfile::tempdir().unwrap();
    for shipped in SHIPPED {
        let draft = Draft::shipped(shipped.name, recordings.path()).unwrap();
        let scenario = draft.finish().unwrap();
        let refusal = scenario_fleet(&scenario, 1).err().map(|error| error.to_string());
        let is_named = |it: &String| it.starts_with(&format!("{}: link.bandwidth: ", shipped.name));
        assert_eq!(refusal.is_some(), scenario.link.is_unlimited(), "{}", shipped.name);
        assert!(refusal.iter().all(is_named), "{refusal:?}");
    }
}

#[test]
fn each_guest_of_a_fleet_goes_its_own_way() {
    let scenario = scenario("evacuation", &["fleet.moves=[{guests=3, starts=\"1s\"}]"]);
    let fleet = scenario_fleet(&scenario, 9).unwrap();
    let seeds: Vec<u64> = fleet.migrations.iter().map(|one| one.guest.seed).collect();
    assert_eq!(seeds[0], 9);
    assert!(seeds[1] != 9 && seeds[2] != 9 && seeds[1] != seeds[2]);
    let run = simulate_scenario(&scenario, 9, &Options::default()).unwrap();
    let digests: Vec<_> =
        run.runs.iter().map(|run| run.destination.ended_registers.unwrap().digest).collect();
    assert!(digests[0] != digests[1] && digests[1] != digests[2]);
}

/// As docs/model.md has it.
#[test]
fn hosts_with_cards_of_their_own_share_them_max_min_fairly() {
    let sets = [
        "migration.scheme=post-copy",
        "link.bandwidth=12kB/s",
        "fleet.hosts=3",
        "fleet.card=[\"12kB/s\", \"12kB/s\", \"4kB/s\"]",
        "fleet.moves=[{destination=1}, {destination=2}]",
        "fleet.neighbours=[{destination=2, rate=\"12kB/s\"}, \
         {source=0, destination=1, rate=\"3kB/s\"}]",
    ];
    let run = simulate_scenario(&scenario("paper", &sets), 1, &Options::default()).unwrap();
    for (number, share) in [(0, 7_000), (1, 2_000)] {
        // A context of twenty pages at the guest's share, and the latency.
        let context = (4_272 * 1_000_000_000u64).div_ceil(share);
        assert_eq!(run.runs[number].metrics.downtime_ns, Some(context + 200_000_000));
    }
}
