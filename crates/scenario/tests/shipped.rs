//! The scenarios of `configs/`.

use lazycopy_guest::{ResidentAtStart, WorkloadSpec};
use lazycopy_migration::{PushOrder, Scheme};
use lazycopy_scenario::{Draft, Preset, SHIPPED, Scenario, ScenarioError};
use lazycopy_units::{Duration, Rate};
use std::path::{Path, PathBuf};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

fn load(name: &str) -> Scenario {
    Scenario::load(&configs().join(format!("{name}.toml")))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_file_is_shipped_asks_its_question_first_and_is_valid_without_a_warning() {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(configs()).unwrap() {
        let path = entry.unwrap().path();
        // Sweeps, and what starts them on a cluster, are no scenarios.
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let question = text.lines().next().unwrap();
        assert!(question.starts_with("# ") && question.ends_with('?'), "{}", path.display());
        let scenario = Scenario::load(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(scenario.warnings(), [], "{}", path.display());
        found.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    let mut shipped: Vec<&str> = SHIPPED.iter().map(|shipped| shipped.name).collect();
    found.sort();
    shipped.sort();
    assert_eq!(found, shipped);
}

#[test]
fn the_paper_scenario_is_what_the_paper_says() {
    let paper = load("paper");
    assert_eq!((paper.seed, paper.time_scale), (1, 50));
    assert_eq!((paper.warmup_accesses, paper.measured_accesses), (200, 100));
    let guest = paper.guest_spec(7);
    assert_eq!((guest.seed, guest.pages, guest.frames), (7, 50, 20));
    assert_eq!(guest.think_time, Duration::from_millis(970));
    assert_eq!(guest.write_fraction, 0.0);
    assert_eq!(guest.workload, WorkloadSpec::Queue { length: 100 });
    assert_eq!(guest.resident_at_start, ResidentAtStart::None);
    assert_eq!(paper.modelled_link().unwrap().bandwidth, Rate::from_bytes_per_sec(8_224).unwrap());
    assert_eq!(paper.modelled_link().unwrap().latency, Duration::from_millis(200));
    let migration = paper.migration_parameters();
    assert_eq!((migration.scheme, migration.push_order), (Scheme::LazyCopy, PushOrder::Lru));
    assert_eq!((migration.context_bytes, migration.head_start), (4_096, 2));
    assert_eq!((migration.max_lead, migration.fault_penalty), (None, Duration::ZERO));
    assert_eq!(migration.disk_latency_source, Duration::ZERO);
    assert_eq!(migration.disk_latency_destination, Duration::from_secs(11));
    assert_eq!(migration.measured_accesses, 100);
}

#[test]
fn each_preset_turns_the_other_presets_file_into_its_own() {
    for (preset, other) in [(Preset::Paper, "fair"), (Preset::Fair, "paper")] {
        let expected = Scenario { name: String::new(), ..load(preset.name()) };
        let mut applied = Scenario { name: String::new(), ..load(other) };
        assert_ne!(applied, expected);
        preset.apply(&mut applied);
        assert_eq!(applied, expected);
        let path = configs().join(format!("{other}.toml"));
        let drafted = Draft::open(&path).unwrap().preset(preset).finish().unwrap();
        assert_eq!(Scenario { name: String::new(), ..drafted }, expected);
    }
}

#[test]
fn what_is_written_down_is_read_back() {
    for shipped in SHIPPED {
        let scenario = load(shipped.name);
        let again = Scenario::from_toml(&scenario.to_toml(), &scenario.name);
        assert_eq!(again.as_ref(), Ok(&scenario), "{}", scenario.to_toml());
    }
}

#[test]
fn a_result_holds_the_scenario_in_human_units() {
    let json = serde_json::to_value(load("paper")).unwrap();
    assert_eq!(json["guest"]["think_time"], "970ms");
    assert_eq!(json["guest"]["workload"], serde_json::json!({"kind": "queue", "length": 100}));
    assert_eq!(json["link"], serde_json::json!({"bandwidth": "8224B/s", "latency": "200ms"}));
    assert_eq!(json["migration"]["scheme"], "lazy-copy");
    assert_eq!(json["migration"]["fault_penalty"], "0s");
}

#[test]
fn the_recorded_scenario_counts_its_pages_and_its_seeds_differ() {
    let recorded = load("recorded");
    assert_eq!(recorded.guest.pages, 212);
    assert_eq!(recorded.recording.unwrap().pages, 212);
    let WorkloadSpec::Trace { file, .. } = &recorded.guest.workload else { panic!("no trace") };
    assert!(file.is_absolute() && file.is_file(), "{}", file.display());
    let warmups: Vec<u64> = (1..=20).map(|seed| recorded.warmup(seed)).collect();
    assert!(warmups.iter().all(|accesses| (400_000..=600_000).contains(accesses)));
    assert!(warmups.iter().any(|accesses| *accesses < 450_000));
    assert!(warmups.iter().any(|accesses| *accesses > 550_000));
    assert_eq!(warmups[3], recorded.warmup(4), "the same seed draws the same");
}

#[test]
fn shipped_scenarios_need_no_files_beside_the_program() {
    let elsewhere = tempfile::tempdir().unwrap();
    for shipped in SHIPPED {
        for _ in 0..2 {
            let scenario =
                Draft::shipped(shipped.name, elsewhere.path()).unwrap().finish().unwrap();
            assert_eq!(scenario.guest.pages, load(shipped.name).guest.pages);
            if let WorkloadSpec::Trace { file, .. } = &scenario.guest.workload {
                assert!(file.starts_with(elsewhere.path().canonicalize().unwrap()));
            }
        }
    }
    let unknown = Draft::shipped("papre", elsewhere.path()).unwrap_err();
    assert!(matches!(unknown, ScenarioError::Unknown { .. }));
    assert!(unknown.to_string().starts_with(
        "\"papre\" is no shipped scenario; did you mean \"paper\"? there are paper, fair"
    ));
    let unknown = "papre".parse::<Preset>().unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "\"papre\" is no preset; did you mean \"paper\"? there are paper, fair"
    );
}

#[test]
fn without_jitter_every_seed_warms_up_alike() {
    assert!((0..50).all(|seed| load("paper").warmup(seed) == 200));
}
