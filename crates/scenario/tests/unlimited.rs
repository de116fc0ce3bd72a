//! `[link] bandwidth = "unlimited"`: what belongs to it, and what does not.

use lazycopy_link::{Compression, LinkSpec, PlaneParameters};
use lazycopy_scenario::{Draft, SHIPPED, Scenario};

fn shipped(name: &str) -> &'static str {
    SHIPPED.iter().find(|shipped| shipped.name == name).unwrap().text
}

/// The paper's scenario with another table `[link]` and time scale.
fn with_link(link: &str, time_scale: &str) -> Result<Scenario, String> {
    let paper = shipped("paper");
    let (before, rest) = paper.split_once("[link]").unwrap();
    let (_, after) = rest.split_once("[disk]").unwrap();
    let before = before.replace("time_scale = 50", time_scale);
    let text = format!("{before}[link]\n{link}\n[disk]{after}");
    Scenario::from_toml(&text, "my.toml").map_err(|error| error.to_string())
}

fn unlimited(keys: &str) -> Result<Scenario, String> {
    with_link(&format!("bandwidth = \"unlimited\"\n{keys}"), "")
}

fn with_set(name: &str, sets: &[&str]) -> Result<Scenario, String> {
    let draft = Draft::from_toml(shipped(name), name);
    let draft = sets.iter().try_fold(draft, |draft, set| draft.set(set)).unwrap();
    draft.finish().map_err(|error| error.to_string())
}

#[test]
fn what_is_left_out_has_its_default() {
    let scenario = unlimited("").unwrap();
    let plane = PlaneParameters {
        connections: 1,
        compression: Compression::None,
        page_check: true,
        congestion: None,
    };
    assert_eq!(scenario.link(), LinkSpec::Unlimited(plane));
    assert_eq!(scenario.time_scale, 1);
    assert_eq!(scenario.warnings(), [], "a latency that is not modelled is not too short");
}

#[test]
fn every_key_of_the_page_plane_is_taken() {
    let keys = "connections = 16\ncompression = \"lz4\"\npage_check = false\n\
                congestion = \"cubic\"";
    let plane = PlaneParameters {
        connections: 16,
        compression: Compression::Lz4,
        page_check: false,
        congestion: Some("cubic".to_owned()),
    };
    let scenario = unlimited(keys).unwrap();
    assert_eq!(scenario.link(), LinkSpec::Unlimited(plane));
    let again = Scenario::from_toml(&scenario.to_toml(), "my.toml");
    assert_eq!(again.as_ref(), Ok(&scenario), "{}", scenario.to_toml());
}

#[test]
fn a_result_says_of_a_link_what_the_scenario_says() {
    let link = |scenario: Scenario| {
        let json = serde_json::to_string(&scenario).unwrap();
        let (_, rest) = json.split_once("\"link\":").unwrap();
        rest[..=rest.find('}').unwrap()].to_owned()
    };
    let paper = with_set("paper", &[]).unwrap();
    assert_eq!(link(paper), r#"{"bandwidth":"8224B/s","latency":"200ms"}"#);
    let written =
        r#"{"bandwidth":"unlimited","connections":1,"compression":"none","page_check":true}"#;
    assert_eq!(link(unlimited("").unwrap()), written);
}

#[test]
fn keys_that_do_not_fit_an_unlimited_link_are_refused_by_name() {
    for (keys, expected) in [
        ("latency = \"0s\"", "my.toml: link.latency: bandwidth = \"unlimited\" models no link"),
        ("connections = 0", "my.toml: link.connections: 0 is outside 1 to 16"),
        ("connections = 17", "my.toml: link.connections: 17 is outside 1 to 16"),
        ("connections = 300", "my.toml: link.connections: 300 is outside 1 to 16"),
        ("congestion = \"\"", "my.toml: link.congestion: \"\" cannot be a congestion control"),
        (
            "congestion = \"../../etc/passwd\"",
            "my.toml: link.congestion: \"../../etc/passwd\" cannot be",
        ),
    ] {
        let error = unlimited(keys).unwrap_err();
        assert!(error.starts_with(expected), "{keys}: {error}");
    }
    for (keys, expected) in [
        ("connections = -1", "integer `-1`"),
        ("compression = \"zstd\"", "unknown variant `zstd`, expected `none` or `lz4`"),
        ("page_check = \"no\"", "expected a boolean"),
        ("congestion = 1", "expected a string"),
    ] {
        let error = unlimited(keys).unwrap_err();
        assert!(error.contains(expected) && error.contains(" ^"), "{keys}: {error}");
    }
}

#[test]
fn time_is_the_clocks_where_no_link_is_modelled() {
    let link = "bandwidth = \"unlimited\"";
    assert_eq!(with_link(link, "time_scale = 1").unwrap().time_scale, 1);
    let error = with_link(link, "time_scale = 50").unwrap_err();
    let expected = "my.toml: time_scale: 50 cannot be kept where link.bandwidth is \"unlimited\": \
                    instants are the clock's; write 1, or leave it out";
    assert_eq!(error, expected);
}

#[test]
fn keys_of_the_page_plane_are_refused_by_name_for_a_modelled_link() {
    for (key, value) in [
        ("connections", "1"),
        ("compression", "\"none\""),
        ("page_check", "true"),
        ("congestion", "\"cubic\""),
    ] {
        let link = format!("bandwidth = \"1MB/s\"\nlatency = \"1s\"\n{key} = {value}");
        let error = with_link(&link, "time_scale = 50").unwrap_err();
        let expected = format!(
            "my.toml: link.{key}: a modelled link has no such thing; leave it out, or set \
             link.bandwidth to \"unlimited\""
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn a_modelled_link_needs_a_latency_and_a_rate() {
    let error = with_link("bandwidth = \"1MB/s\"", "").unwrap_err();
    assert!(error.starts_with("my.toml: link.latency: it is missing"), "{error}");
    for wrong in ["\"Unlimited\"", "\"unlimitted\""] {
        let error = with_link(&format!("bandwidth = {wrong}\nlatency = \"1s\""), "").unwrap_err();
        assert!(error.contains("is no rate"), "{error}");
        assert!(error.contains("or \"unlimited\" for no model"), "{error}");
    }
    let error = with_link("bandwidth = 5\nlatency = \"1s\"", "").unwrap_err();
    assert!(error.contains("expected a rate with its unit"), "{error}");
}

#[test]
fn a_fleet_shares_modelled_cards_alone() {
    let error = with_set("unlimited", &["fleet.hosts=2"]).unwrap_err();
    let expected = "--set fleet.hosts=2: fleet: its guests share modelled cards, and";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_link_that_is_overridden_with_one_of_the_other_kind_loses_its_keys() {
    let sets = ["link.connections=4", "link.bandwidth=unlimited"];
    let scenario = with_set("paper", &sets).unwrap();
    assert_eq!(scenario.link.plane().unwrap().connections, 4, "in any order");
    let scenario = with_set("unlimited", &["link.latency=1ms", "link.bandwidth=1GB/s"]).unwrap();
    assert_eq!(scenario.link.latency().as_nanos(), 1_000_000);
    // Of the same kind, the others stay.
    let scenario = with_set("paper", &["link.bandwidth=1GB/s"]).unwrap();
    assert_eq!((scenario.link.latency().as_nanos(), scenario.time_scale), (200_000_000, 50));

    let error = with_set("unlimited", &["link.latency=1ms"]).unwrap_err();
    assert!(error.starts_with("--set link.latency=1ms: link.latency: bandwidth = "), "{error}");
    let error = with_set("unlimited", &["link.bandwidth=1GB/s"]).unwrap_err();
    assert!(error.starts_with("--set link.bandwidth=1GB/s: link.latency: it is"), "{error}");
}

#[test]
fn a_link_that_becomes_unlimited_takes_the_documents_time_scale_along() {
    for set in ["link.bandwidth=unlimited", "link={ bandwidth = \"unlimited\" }"] {
        let scenario = with_set("paper", &[set]).unwrap();
        assert_eq!((scenario.time_scale, scenario.link.is_unlimited()), (1, true), "{set}");
    }
    // One that was asked for is not dropped in silence.
    for sets in
        [["time_scale=2", "link.bandwidth=unlimited"], ["link.bandwidth=unlimited", "time_scale=2"]]
    {
        let error = with_set("paper", &sets).unwrap_err();
        assert!(error.contains("time_scale: 2 cannot be kept"), "{error}");
    }
}

#[test]
fn of_several_overrides_of_the_link_the_last_wins() {
    let table = "link={ bandwidth = \"1MB/s\", latency = \"1s\" }";
    let link = |sets: &[&str]| with_set("paper", sets).unwrap().modelled_link().unwrap();
    let after = link(&[table, "link.bandwidth=2MB/s"]);
    assert_eq!(
        (after.bandwidth.bytes_per_sec(), after.latency.as_nanos()),
        (2_000_000, 1_000_000_000)
    );
    let before = link(&["link.bandwidth=2MB/s", "link.latency=3s", table]);
    assert_eq!(
        (before.bandwidth.bytes_per_sec(), before.latency.as_nanos()),
        (1_000_000, 1_000_000_000)
    );
    // There and back again: the document's keys are as if nothing had been said between.
    let back = link(&["link.bandwidth=unlimited", "link.bandwidth=2MB/s"]);
    assert_eq!((back.bandwidth.bytes_per_sec(), back.latency.as_nanos()), (2_000_000, 200_000_000));
    let unlimited = with_set("paper", &["link.bandwidth=2MB/s", "link.bandwidth=unlimited"]);
    assert!(unlimited.unwrap().link.is_unlimited());
}

#[test]
fn what_needs_a_modelled_link_is_told_by_key_that_there_is_none() {
    let paper = with_set("paper", &[]).unwrap();
    assert_eq!(Some(paper.modelled_link().unwrap()), paper.link.modelled());
    let error = with_set("unlimited", &[]).unwrap().modelled_link().unwrap_err().to_string();
    let expected = "unlimited: link.bandwidth: \"unlimited\" models no link, and virtual time \
                    needs one: write a rate with its unit, such as \"1Gbit/s\", and a link.latency";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn parameters_that_a_program_sets_are_checked_like_those_of_a_file() {
    let mut scenario = unlimited("").unwrap();
    scenario.link = PlaneParameters { connections: 17, ..PlaneParameters::default() }.into();
    let error = scenario.validate().unwrap_err().to_string();
    assert_eq!(error, "my.toml: link.connections: 17 is outside 1 to 16");
}
