//! What is wrong is refused, by file, line and key.

use lazycopy_link::LinkParameters;
use lazycopy_migration::Scheme;
use lazycopy_scenario::{MAX_SPAN, SHIPPED, Scenario};
use lazycopy_units::Duration;
use std::io::Write;
use std::path::Path;

fn paper() -> &'static str {
    SHIPPED.iter().find(|shipped| shipped.name == "paper").unwrap().text
}

fn refused(text: &str) -> String {
    match Scenario::from_toml(text, "my.toml") {
        Ok(_) => panic!("this was taken for a scenario:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// The paper's scenario with `from` replaced, which must be there.
fn changed(from: &str, to: &str) -> String {
    assert!(paper().contains(from), "{from}");
    paper().replacen(from, to, 1)
}

#[test]
fn a_typo_is_refused_with_line_caret_and_the_names_that_there_are() {
    let text =
        "seed = 1\nwarmup_accesses = 0\nmeasured_accesses = 1\n[link]\nbandwith = \"1kB/s\"\n";
    assert_eq!(
        refused(text),
        "my.toml: TOML parse error at line 5, column 1\n  |\n5 | bandwith = \"1kB/s\"\n  | \
         ^^^^^^^^\nunknown field `bandwith`, expected one of `bandwidth`, `latency`, \
         `connections`, `compression`, `page_check`, `congestion`"
    );
}

#[test]
fn a_typo_in_a_nested_workload_is_refused_with_line_caret_and_the_names() {
    let error = refused(&changed("length = 100", "lenght = 100"));
    let expected = "unknown field `lenght`, expected one of `kind`, `length`, `pages`, \
                    `exponent`, `file`, `instruction_time`";
    assert!(error.contains(expected), "{error}");
    assert!(error.contains("line 11, column 30"), "{error}");
    assert!(error.contains(" | ") && error.contains("^^^^^^"), "{error}");
}

#[test]
fn a_value_of_no_known_name_is_refused_with_the_names() {
    let error = refused(&changed("\"lazy-copy\"", "\"lazycopy\""));
    assert!(error.contains("line 19, column 10"), "{error}");
    let expected = "unknown variant `lazycopy`, expected one of `stop-and-copy`, `pre-copy`, \
                    `post-copy`, `lazy-copy`";
    assert!(error.contains(expected), "{error}");
    let error = refused(&changed("\"queue\"", "\"qeue\""));
    let expected = "expected one of `queue`, `list`, `zipf`, `sequential`, `trace`";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn every_key_of_the_paper_scenario_is_checked_for_typos() {
    for line in paper().lines().filter(|line| line.contains(" = ") && !line.starts_with('#')) {
        let key = line.split(' ').next().unwrap();
        let error = refused(&changed(line, &format!("x{line}")));
        assert!(error.contains(&format!("unknown field `x{key}`")), "{error}");
        assert!(error.contains(&format!("`{key}`")), "{error}");
        assert!(error.contains("^"), "{error}");
    }
}

#[test]
fn keys_of_another_kind_of_workload_are_refused() {
    let cases = [
        (
            "{ kind = \"zipf\", length = 3 }",
            "`length` does not belong to a workload of kind \"zipf\", which takes `exponent`",
        ),
        ("{ kind = \"sequential\", pages = [1] }", "which takes no other key"),
        ("{ kind = \"list\" }", "a workload of kind \"list\" needs `pages`"),
        ("\"list\"", "a workload of kind \"list\" needs `pages`"),
        ("{ kind = \"trace\", file = \"x\" }", "needs `instruction_time`"),
        ("{ length = 3 }", "missing field `kind`"),
        ("3", "expected a workload such as { kind = \"queue\", length = 100 }"),
    ];
    for (workload, expected) in cases {
        let error =
            refused(&changed("{ kind = \"queue\", length = 100 }   #", &format!("{workload} #")));
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("line 11"), "{error}");
    }
}

#[test]
fn a_workload_may_be_written_as_its_kind_alone() {
    let workload = |text: &str| {
        let text = changed("{ kind = \"queue\", length = 100 }", text);
        Scenario::from_toml(&text, "my.toml").unwrap().guest.workload
    };
    assert_eq!(workload("\"queue\""), workload("{ kind = \"queue\", length = 100 }"));
    assert_eq!(workload("\"zipf\""), workload("{ kind = \"zipf\", exponent = 1 }"));
    assert_eq!(workload("\"sequential\""), workload("{ kind = \"sequential\" }"));
}

#[test]
fn units_are_never_guessed() {
    let cases = [
        ("\"200ms\"", "200", "expected a duration with its unit, such as \"970ms\" or \"11s\""),
        ("\"200ms\"", "\"200\"", "\"200\" is no duration"),
        ("\"8224B/s\"", "\"8224\"", "\"8224\" is no rate: it has no unit"),
        ("\"8224B/s\"", "\"1Gb\"", "can be read in two ways"),
        ("\"8224B/s\"", "\"0B/s\"", "must be above zero"),
        ("\"8224B/s\"", "8224", "expected a"),
    ];
    for (from, to, expected) in cases {
        let error = refused(&changed(from, to));
        assert!(error.contains(expected) && error.contains('^'), "{error}");
    }
}

#[test]
fn rules_that_are_broken_are_named_by_their_key() {
    let cases = [
        ("frames = 20", "frames = 51", "guest.frames: 51 is outside 1 to guest.pages, which is 50"),
        ("frames = 20", "frames = 0", "guest.frames: 0 is outside 1 to guest.pages"),
        ("frames = 20\n", "", "guest.frames: it is missing"),
        ("pages = 50", "", "guest.pages: it is missing; a workload of kind \"trace\" alone"),
        ("pages = 50", "pages = 0", "guest.pages: 0 is outside"),
        ("pages = 50", "pages = 4000000000", "guest.pages: 4000000000 is above 67108864"),
        ("think_time = \"970ms\"", "", "guest.think_time: it is missing"),
        ("\"970ms\"", "\"0s\"", "guest.think_time: it must be at least 1ns"),
        ("\"970ms\"", "\"11years\"", "guest.think_time: "),
        (
            "write_fraction = 0.0",
            "write_fraction = 1.1",
            "guest.write_fraction: 1.1 is outside 0 to 1",
        ),
        ("write_fraction = 0.0", "write_fraction = nan", "guest.write_fraction: NaN is outside"),
        (
            "write_fraction = 0.0",
            "zero_fraction = 1.1",
            "guest.zero_fraction: 1.1 is outside 0 to 1",
        ),
        (
            "write_fraction = 0.0",
            "zero_fraction = 0.5\ncompressible_fraction = 0.75",
            "guest.compressible_fraction: 0.75 and guest.zero_fraction, which is 0.5, are more",
        ),
        ("length = 100", "length = 0", "guest.workload.length: 0 is outside 1 to"),
        (
            "frames = 20",
            "frames = 20\nresident_at_start = \"all\"",
            "guest.resident_at_start: \"all\" needs",
        ),
        ("time_scale = 50", "time_scale = 0", "time_scale: it must be at least 1"),
        (
            "measured_accesses = 100",
            "measured_accesses = 0",
            "measured_accesses: it must be at least 1",
        ),
        ("# max_lead = 10", "max_lead = 0 #", "migration.max_lead: it must be at least 1"),
        (
            "# max_lead = 10",
            "max_lead = 1 #",
            "migration.head_start: 2 is above migration.max_lead, which is 1",
        ),
        (
            "context_bytes = 4096",
            "context_bytes = 9999999999",
            "migration.context_bytes: 9999999999 is above",
        ),
        ("\"200ms\"", "\"20years\"", "link.latency: "),
        ("latency_source = \"0s\"", "latency_source = \"20years\"", "disk.latency_source: "),
        ("\"11s\"", "\"20years\"", "disk.latency_destination: "),
        ("# fault_penalty = \"0s\"", "fault_penalty = \"20years\"", "migration.fault_penalty: "),
    ];
    for (from, to, expected) in cases {
        let error = refused(&changed(from, to));
        assert!(error.starts_with(&format!("my.toml: {expected}")), "{to}: {error}");
    }
}

#[test]
fn a_run_that_model_time_could_not_hold_is_refused_by_the_key_that_makes_it_so() {
    let cases = [
        ("warmup_accesses = 200 ", "warmup_accesses = 9223372036854775807", "warmup_accesses"),
        ("measured_accesses = 100", "measured_accesses = 9223372036854775807", "measured_accesses"),
        ("seed = 1", "seed = 1\nwarmup_jitter = 9223372036854775807", "warmup_accesses"),
    ];
    for (from, to, key) in cases {
        let error = refused(&changed(from, to));
        assert!(error.starts_with(&format!("my.toml: {key}: with it a run may take")), "{error}");
    }
    let slow = changed("\"8224B/s\"", "\"1B/s\"")
        .replace("pages = 50", "pages = 10000000")
        .replace("frames = 20", "frames = 10000000");
    assert!(refused(&slow).starts_with("my.toml: link.bandwidth: with it a run may take"));
}

#[test]
fn a_round_that_is_held_to_a_rate_counts_in_the_time_that_a_run_may_take() {
    let large = |scheme: &str, keys: &str| {
        let text = changed("\"lazy-copy\"", &format!("\"{scheme}\"\n{keys}"))
            .replace("8224B/s", "1GB/s")
            .replace("pages = 50", "pages = 10000000")
            .replace("frames = 20", "frames = 10000000");
        Scenario::from_toml(&text, "my.toml").map(drop).map_err(|error| error.to_string())
    };
    let (capped, slow) = ("bandwidth_cap = \"1B/s\"", "minimum_rate = \"1B/s\"");
    for (scheme, keys, key) in [
        ("pre-copy", format!("stop_rule = \"xen\"\n{capped}"), "bandwidth_cap"),
        ("hybrid-lazy-copy", format!("stop_rule = \"clark\"\n{capped}"), "bandwidth_cap"),
        ("pre-copy", format!("stop_rule = \"clark\"\n{slow}"), "minimum_rate"),
    ] {
        let error = large(scheme, &keys).unwrap_err();
        let expected = format!("my.toml: migration.{key}: with it a run may take 1303");
        assert!(error.starts_with(&expected), "{error}");
        // Without rounds these keys have no effect.
        assert_eq!(large("post-copy", &keys), Ok(()));
    }
    for keys in [
        // A page goes in each tenth of a second, whatever the cap.
        capped,
        "stop_rule = \"xen\"\nbandwidth_cap = \"1MB/s\"\nmax_rounds = 4000000000",
        "stop_rule = \"xen\"\nminimum_rate = \"1B/s\"",
    ] {
        assert_eq!(large("pre-copy", keys), Ok(()), "{keys}");
    }
}

#[test]
fn what_slows_a_guest_down_counts_in_the_time_that_a_run_may_take() {
    let slowed = |keys: &str, think: &str| {
        let text = changed("\"lazy-copy\"", &format!("\"pre-copy\"\n{keys}"))
            .replace("\"970ms\"", &format!("\"{think}\""))
            .replace("warmup_accesses = 200", "warmup_accesses = 1")
            .replace("measured_accesses = 100", "measured_accesses = 1");
        Scenario::from_toml(&text, "my.toml").map(drop).map_err(|error| error.to_string())
    };
    let cost = "first_write_cost = \"6years\"";
    for (keys, think, key) in [
        ("auto_converge = true", "6years", "guest.think_time: with it"),
        ("burst_share_percent = 1", "6years", "guest.think_time: with it"),
        (
            &*format!("keeps_pace = true\nauto_converge = true\n{cost}"),
            "1s",
            "migration.first_write",
        ),
        ("first_write_cost = \"11years\"", "1s", "migration.first_write_cost: "),
    ] {
        let error = slowed(keys, think).unwrap_err();
        assert!(error.starts_with(&format!("my.toml: {key}")), "{error}");
    }
    assert_eq!(slowed("", "6years"), Ok(()));
    assert_eq!(slowed("auto_converge = true", "300days"), Ok(()));
    assert_eq!(slowed(cost, "1s"), Ok(()));
}

#[test]
fn integers_that_cannot_be_written_down_are_refused() {
    let mut scenario = Scenario::from_toml(paper(), "my.toml").unwrap();
    scenario.seed = u64::MAX;
    let error = scenario.validate().unwrap_err().to_string();
    assert_eq!(error, "my.toml: seed: it is above 9223372036854775807");
}

#[test]
fn seeds_that_could_not_be_written_down_are_refused() {
    let text = changed("seed = 1", "seed = 9223372036854775806");
    let scenario = Scenario::from_toml(&text, "my.toml").unwrap();
    let last = i64::MAX as u64;
    assert_eq!(scenario.seeds(2, "--seeds"), Ok(last - 1..last + 1));
    for count in [3, u64::MAX] {
        let error = scenario.seeds(count, "--seeds").unwrap_err().to_string();
        let expected = format!(
            "my.toml: --seeds: {count} seeds from seed = 9223372036854775806 on go beyond \
             9223372036854775807; use fewer, or a smaller seed"
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn the_bounds_themselves_are_allowed() {
    let mut scenario = Scenario::from_toml(paper(), "my.toml").unwrap();
    let link = scenario.modelled_link().unwrap();
    scenario.link = LinkParameters { latency: MAX_SPAN, ..link }.into();
    scenario.measured_accesses = 3;
    assert_eq!(scenario.validate(), Ok(()));
    let latency = MAX_SPAN + Duration::from_nanos(1);
    scenario.link = LinkParameters { latency, ..link }.into();
    assert!(scenario.validate().is_err());
}

#[test]
fn ten_years_are_no_longer_than_ten_years() {
    let text = changed("\"200ms\"", "\"10years\"").replace("accesses = 100", "accesses = 1");
    assert_eq!(Scenario::from_toml(&text, "my.toml").unwrap().link.latency(), MAX_SPAN);
    let error = refused(&changed("\"200ms\"", "\"10years 1ns\""));
    assert!(error.starts_with("my.toml: link.latency: "), "{error}");
    assert!(error.ends_with(" is longer than ten years"), "{error}");
}

#[test]
fn a_syntax_error_is_shown_where_it_is() {
    let error = refused("seed = 1\nwarmup_accesses == 3\n");
    assert!(error.starts_with("my.toml: TOML parse error at line 2"), "{error}");
    assert!(error.contains('^'), "{error}");
}

#[test]
fn a_missing_key_is_named() {
    let error = refused(&changed("scheme = \"lazy-copy\"", ""));
    assert!(error.contains("missing field `scheme`"), "{error}");
    assert!(error.contains("line 18"), "{error}");
}

#[test]
fn what_is_no_file_is_named() {
    let error = Scenario::load(Path::new("no/such.toml")).unwrap_err().to_string();
    assert!(error.starts_with("no/such.toml: "), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let error = Scenario::load(directory.path()).unwrap_err().to_string();
    assert!(error.ends_with("it is no scenario file"), "{error}");
}

#[test]
fn a_recorded_program_is_looked_for_beside_its_scenario_and_its_pages_must_fit() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("my.toml");
    let write = |workload: &str, pages: &str| {
        let text = changed("{ kind = \"queue\", length = 100 }", workload)
            .replace("pages = 50", pages)
            .replace("frames = 20", "frames = 2");
        std::fs::File::create(&file).unwrap().write_all(text.as_bytes()).unwrap();
        Scenario::load(&file)
    };
    let workload = "{ kind = \"trace\", file = \"three.lackey\", instruction_time = \"1us\" }";
    let error = write(workload, "").unwrap_err().to_string();
    assert!(error.contains("guest.workload: trace ") && error.contains("three.lackey"), "{error}");

    std::fs::write(directory.path().join("three.lackey"), "I  1000,4\n L 2000,4\n S 3000,4\n")
        .unwrap();
    assert_eq!(write(workload, "").unwrap().guest.pages, 3);
    assert_eq!(write(workload, "pages = 9").unwrap().guest.pages, 9);
    let error = write(workload, "pages = 2").unwrap_err().to_string();
    assert!(error.contains("touches 3 pages, guest.pages is 2"), "{error}");

    let keys: Vec<&str> =
        write(workload, "").unwrap().warnings().iter().map(|warning| warning.key).collect();
    assert_eq!(keys, ["guest.think_time"]);

    std::fs::write(directory.path().join("three.lackey"), "I  1000,4\nnonsense\n").unwrap();
    let error = write(workload, "").unwrap_err().to_string();
    assert!(error.contains("three.lackey, line 2: "), "{error}");
}

#[test]
fn a_latency_that_is_too_short_in_wall_time_is_warned_of_by_its_key() {
    let warnings = |scale: &str| {
        let text = changed("time_scale = 50", scale);
        Scenario::from_toml(&text, "my.toml").unwrap().warnings()
    };
    assert_eq!(warnings("time_scale = 100"), []);
    let [warning] = &warnings("time_scale = 101")[..] else { panic!("one warning was expected") };
    assert!(
        warning
            .to_string()
            .starts_with("link.latency: at a time_scale of 101 its 200 ms take 1.98 ms"),
        "{warning}"
    );
}

#[test]
fn frames_may_be_absent_for_a_guest_that_holds_all_its_pages() {
    let text = changed("frames = 20", "resident_at_start = \"all\"");
    assert_eq!(Scenario::from_toml(&text, "my.toml").unwrap().guest.frames, 50);
}

#[test]
fn every_scheme_can_be_written() {
    for scheme in Scheme::ALL {
        let text = changed("\"lazy-copy\"", &format!("\"{scheme}\""));
        assert_eq!(Scenario::from_toml(&text, "my.toml").unwrap().migration.scheme, scheme);
    }
}
