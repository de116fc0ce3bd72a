//! `--set KEY=VALUE`.

use lazycopy_guest::WorkloadSpec;
use lazycopy_migration::Scheme;
use lazycopy_scenario::{Draft, Preset, SHIPPED, Scenario, ScenarioError};
use lazycopy_units::{Duration, PageNumber, Rate};
use proptest::prelude::*;

fn paper() -> Draft {
    let text = SHIPPED.iter().find(|shipped| shipped.name == "paper").unwrap().text;
    Draft::from_toml(text, "paper.toml")
}

fn with(overrides: &[&str]) -> Result<Scenario, ScenarioError> {
    overrides.iter().try_fold(paper(), |draft, text| draft.set(text))?.finish()
}

fn refused(overrides: &[&str]) -> String {
    with(overrides).expect_err("it was accepted").to_string()
}

#[test]
fn a_value_is_toml_or_else_a_bare_string() {
    let scenario = with(&[
        "link.bandwidth=1Gbit/s",
        "link.latency = \"5ms\"",
        "migration.scheme=post-copy",
        "migration.max_lead=10",
        "guest.write_fraction=0.25",
        "seed=9",
    ])
    .unwrap();
    assert_eq!(
        scenario.modelled_link().unwrap().bandwidth,
        Rate::from_bytes_per_sec(125_000_000).unwrap()
    );
    assert_eq!(scenario.modelled_link().unwrap().latency, Duration::from_millis(5));
    assert_eq!(scenario.migration.scheme, Scheme::PostCopy);
    assert_eq!(scenario.migration.max_lead, Some(10));
    assert_eq!((scenario.guest.write_fraction, scenario.seed), (0.25, 9));
    assert_eq!(scenario.guest.pages, 50, "the rest stays");
}

#[test]
fn the_last_of_two_overrides_wins_and_overrides_win_over_the_preset() {
    assert_eq!(with(&["seed=3", "seed=4"]).unwrap().seed, 4);
    let draft = paper().set("migration.head_start=1").unwrap().preset(Preset::Fair);
    let scenario = draft.finish().unwrap();
    assert_eq!(scenario.migration.head_start, 1);
    assert_eq!(scenario.disk.latency_source, Duration::from_secs(11));
}

#[test]
fn a_whole_table_can_be_set() {
    let scenario = with(&["guest.workload={ kind = \"list\", pages = [3, 17] }"]).unwrap();
    let pages = vec![PageNumber(3), PageNumber(17)];
    assert_eq!(scenario.guest.workload, WorkloadSpec::List { pages });
    let scenario = with(&["link={ bandwidth = \"1kB/s\", latency = \"0s\" }"]).unwrap();
    assert_eq!(scenario.modelled_link().unwrap().latency, Duration::ZERO);
}

#[test]
fn another_kind_of_workload_takes_the_keys_of_the_kind_before_along() {
    let zipf = |exponent| WorkloadSpec::Zipf { exponent };
    let workload = |overrides: &[&str]| with(overrides).unwrap().guest.workload;
    assert_eq!(workload(&["guest.workload.kind=zipf"]), zipf(1.0));
    assert_eq!(workload(&["guest.workload=zipf"]), zipf(1.0));
    assert_eq!(workload(&["guest.workload=zipf", "guest.workload.exponent=2"]), zipf(2.0));
    let set = ["guest.workload.exponent=1.5", "guest.workload.kind=zipf"];
    assert_eq!(workload(&set), zipf(1.5), "in any order");
    let set = ["guest.workload={ kind = \"zipf\", exponent = 2 }", "guest.workload.exponent=3"];
    assert_eq!(workload(&set), zipf(3.0));
    assert_eq!(workload(&[set[1], set[0]]), zipf(2.0), "the later wins");
    let set = ["guest.workload.kind=zipf", "guest.workload.kind=queue"];
    assert_eq!(workload(&set), WorkloadSpec::Queue { length: 100 }, "there and back again");
    let same = workload(&["guest.workload.kind=queue"]);
    assert_eq!(same, WorkloadSpec::Queue { length: 100 });
    assert_eq!(workload(&["guest.workload.length=7"]), WorkloadSpec::Queue { length: 7 });
}

#[test]
fn an_unknown_key_is_refused_with_the_names_at_its_level() {
    assert_eq!(
        refused(&["link.bandwith=1Gbit/s"]),
        "--set link.bandwith=1Gbit/s: unknown field `bandwith`; did you mean \"bandwidth\"? expected one of `bandwidth`, \
         `latency`, `connections`, `compression`, `page_check`, `congestion`"
    );
    let error = refused(&["gest.pages=3"]);
    assert!(
        error.starts_with("--set gest.pages=3: unknown field `gest`; did you mean \"guest\"? expected one of `seed`"),
        "{error}"
    );
    let error = refused(&["guest.workload.lenght=3"]);
    assert!(
        error.contains(
            "unknown field `lenght`; did you mean \"length\"? expected one of `kind`, `length`"
        ),
        "{error}"
    );
}

#[test]
fn among_several_overrides_the_wrong_one_is_named() {
    for (wrong, problem) in [
        ("guest.frames=60", "guest.frames: 60 is outside 1 to guest.pages, which is 50"),
        ("link.latency=5", "expected a duration with its unit"),
        (
            "migration.scheme=lazycopy",
            "expected one of `stop-and-copy`, `pre-copy`, `post-copy`, `lazy-copy`",
        ),
        ("seed.x=1", "`seed` has no keys of its own"),
        ("migration.max_lead=1", "migration.head_start: 2 is above migration.max_lead"),
        ("guest.workload.file=x", "`file` does not belong to a workload of kind \"queue\""),
    ] {
        for overrides in [vec![wrong], vec!["seed=2", wrong], vec![wrong, "guest.write_fraction=1"]]
        {
            let error = refused(&overrides);
            assert!(error.starts_with(&format!("--set {wrong}: ")), "{error}");
            assert!(error.contains(problem), "{error}");
        }
    }
}

#[test]
fn overrides_that_are_wrong_together_are_named_together() {
    let error = refused(&["guest.frames=60", "link.latency=5"]);
    assert!(error.starts_with("--set guest.frames=60 --set link.latency=5: "), "{error}");
}

#[test]
fn a_wrong_file_is_blamed_before_the_overrides() {
    let draft = Draft::from_toml("sede = 1\n", "my.toml").set("link.bandwith=1").unwrap();
    let error = draft.finish().unwrap_err().to_string();
    assert!(error.starts_with("my.toml: TOML parse error at line 1, column 1"), "{error}");
}

#[test]
fn an_override_may_supply_what_the_file_lacks() {
    let text = SHIPPED[0].text.replace("scheme = \"lazy-copy\"", "");
    let draft = Draft::from_toml(&text, "my.toml");
    assert!(draft.clone().finish().is_err());
    let scenario = draft.set("migration.scheme=post-copy").unwrap().finish().unwrap();
    assert_eq!(scenario.migration.scheme, Scheme::PostCopy);
}

#[test]
fn what_is_not_key_and_value_is_refused_with_an_example() {
    for text in ["seed", "", "=3", "link.=3", "link..latency=3"] {
        let error = paper().set(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("--set {text}: ")), "{error}");
        assert!(error.contains("for example link.bandwidth"), "{error}");
    }
}

#[test]
fn a_preset_that_breaks_a_rule_is_named() {
    let text = SHIPPED[1].text.replace("# max_lead = 10", "max_lead = 1 #");
    let error = Draft::from_toml(&text, "my.toml").preset(Preset::Paper).finish().unwrap_err();
    assert!(
        error.to_string().starts_with("--preset paper: migration.head_start: 2 is above"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_set_is_relative_to_the_working_directory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("my.toml"), SHIPPED[0].text).unwrap();
    let file = tempfile::NamedTempFile::new_in(".").unwrap();
    std::fs::write(file.path(), "I  1000,4\n L 2000,4\n").unwrap();
    let name = file.path().file_name().unwrap().to_str().unwrap();
    let scenario = [
        &format!("guest.workload.file={name}"),
        "guest.workload.kind=trace",
        "guest.workload.instruction_time=1us",
        "guest.frames=1",
    ]
    .iter()
    .try_fold(Draft::open(&directory.path().join("my.toml")).unwrap(), |draft, text| {
        draft.set(text)
    })
    .and_then(Draft::finish)
    .unwrap();
    let WorkloadSpec::Trace { file: found, .. } = scenario.guest.workload else { panic!() };
    assert_eq!(found, file.path().canonicalize().unwrap());
    assert_eq!(scenario.recording.unwrap().pages, 2);
}

#[test]
fn what_pages_consist_of_is_written_down_only_where_it_is_said() {
    let scenario = with(&["guest.zero_fraction=0.25", "guest.compressible_fraction=0.5"]).unwrap();
    let spec = scenario.guest_spec(1);
    assert_eq!((spec.zero_fraction, spec.compressible_fraction), (0.25, 0.5));
    assert_eq!(Scenario::from_toml(&scenario.to_toml(), &scenario.name), Ok(scenario));
    let plain = with(&[]).unwrap();
    assert_eq!(plain.guest_spec(1).zero_fraction + plain.guest_spec(1).compressible_fraction, 0.0);
    let written = plain.to_toml();
    assert!(!written.contains("zero_fraction") && !written.contains("compressible"), "{written}");
}

proptest! {
    #[test]
    fn no_override_makes_the_program_panic_or_changes_another_key(
        key in "(seed|link|guest\\.frames|guest\\.workload\\.kind|[a-z.]{0,12})", value in "\\PC{0,12}|[\n a-z=0-9]{0,12}",
    ) {
        if let Ok(scenario) = with(&[&format!("{key}={value}")]) {
            prop_assert_eq!(scenario.disk, with(&[]).unwrap().disk);
        }
    }

    #[test]
    fn numbers_that_are_set_are_read_back_from_what_is_written_down(
        seed in 0..i64::MAX as u64, pages in 1u32..1_000, share in 0.0..=1.0f64, rate in 1u64..1 << 40,
        latency in 0u64..1 << 50, jitter in 0u64..1_000_000, lead in 2u64..1 << 40,
    ) {
        let scenario = with(&[
            &format!("seed={seed}"),
            &format!("guest.pages={}", pages + 20),
            &format!("guest.write_fraction={share}"),
            &format!("link.bandwidth={rate}B/s"),
            &format!("link.latency={latency}ns"),
            &format!("warmup_jitter={jitter}"),
            &format!("migration.max_lead={lead}"),
        ])
        .unwrap();
        prop_assert_eq!(scenario.modelled_link().unwrap().bandwidth.bytes_per_sec(), rate);
        prop_assert_eq!(scenario.modelled_link().unwrap().latency.as_nanos(), latency);
        let again = Scenario::from_toml(&scenario.to_toml(), &scenario.name);
        prop_assert_eq!(again, Ok(scenario.clone()));
        let warmup = scenario.warmup(seed);
        prop_assert!((200..=200 + jitter).contains(&warmup));
    }
}
