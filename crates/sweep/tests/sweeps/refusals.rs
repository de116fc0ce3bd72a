//! What is refused, by its name and with what would be right.

use crate::common::{Counter, Place, SMALL, block, computed};
use lazycopy_sweep::{SweepError, merge};
use std::fs;

const HEAD: &str = "scenario = \"paper\"\nseeds = 2\n";

fn refusal(text: &str) -> String {
    Place::new().open(text).unwrap_err().to_string()
}

fn refuses(text: &str, parts: &[&str]) {
    let refusal = refusal(&format!("{HEAD}{text}"));
    for part in ["sweep.toml: "].iter().chain(parts) {
        assert!(refusal.contains(part), "no {part:?} in: {refusal}");
    }
}

#[test]
fn an_axis_is_named_with_what_is_wrong_with_it() {
    let axis = |text: &str| format!("[[axes]]\n{text}\n");
    refuses(
        &axis("key = \"link.bandwith\"\nvalues = [\"1kB/s\"]"),
        &[
            "cell 0",
            "axis \"link.bandwith\"",
            "there is no such key",
            "expected one of `bandwidth`",
        ],
    );
    refuses(&axis("key = \"nothing\"\nvalues = [1]"), &["axis \"nothing\"", "no such key"]);
    refuses(&axis("key = \"seed.more\"\nvalues = [1]"), &["axis \"seed.more\"", "no keys"]);
    refuses(
        &axis("key = \"link.bandwidth\"\nvalues = []"),
        &["axis \"link.bandwidth\": it is empty; give it one value at least"],
    );
    refuses(&axis("key = \"guest.frames\"\nvalues = [5, 5]"), &["5 stands there twice"]);
    refuses(
        &axis("key = \"guest.frames\""),
        &["axis \"guest.frames\": it takes `key` and `values`"],
    );
    refuses(&axis("points = [{ \"guest.frames\" = 5 }]"), &["axis 1: it takes", "`name` and"]);
    refuses(&axis("name = \"a\"\npoints = [{}]"), &["axis \"a\": a point sets nothing"]);
    refuses(
        &axis("name = \"a\"\npoints = [{ \"guest.frames\" = 5 }, { \"guest.pages\" = 9 }]"),
        &["axis \"a\": its points set different keys: guest.frames and guest.pages"],
    );
    refuses(&axis("key = \"a..b\"\nvalues = [1]"), &["\"a..b\" is no key"]);
    refuses(&axis("ky = \"a\""), &["unknown field `ky`"]);
}

#[test]
fn a_cell_that_is_no_scenario_is_named_with_its_values() {
    refuses(
        "schemes = [\"post-copy\"]\n[[axes]]\nkey = \"guest.frames\"\nvalues = [20, 51]\n\
         [[axes]]\nkey = \"link.latency\"\nvalues = [\"1ms\", \"2ms\"]\n",
        &[
            "cell 2 (guest.frames = 51, link.latency = \"1ms\"), contender \"post-copy\"",
            "axis \"guest.frames\", guest.frames = 51",
            "51 is outside 1 to guest.pages",
        ],
    );
    refuses(
        "[[axes]]\nkey = \"link.bandwidth\"\nvalues = [\"1Gb\"]\n",
        &["cell 0 (link.bandwidth = \"1Gb\")", "write for example \"1Gbit/s\""],
    );
}

#[test]
fn a_cell_that_models_no_link_is_named_with_its_values() {
    refuses(
        "set = { time_scale = 1 }\n[[axes]]\nkey = \"link.bandwidth\"\n\
         values = [\"unlimited\"]\n",
        &[
            "cell 0 (link.bandwidth = \"unlimited\")",
            "link.bandwidth: \"unlimited\" models no link",
        ],
    );
    let refusal = refusal("scenario = \"unlimited\"\nseeds = 2\n");
    assert!(refusal.contains("link.bandwidth: \"unlimited\" models no link"), "{refusal}");
}

#[test]
fn no_two_axes_or_contenders_may_be_mixed_up() {
    let axis = |key: &str, values: &str| format!("[[axes]]\nkey = \"{key}\"\nvalues = {values}\n");
    let twice = axis("guest.frames", "[1]") + &axis("guest.frames", "[2]");
    refuses(&twice, &["axis \"guest.frames\": another axis has this name"]);
    let within = axis("guest.workload", "[\"queue\"]") + &axis("guest.workload.length", "[5]");
    refuses(&within, &["axis \"guest.workload\" sets guest.workload.length, too"]);
    refuses(
        &format!("schemes = [\"post-copy\"]\n{}", axis("migration.scheme", "[\"lazy-copy\"]")),
        &["axis \"migration.scheme\": contender \"post-copy\" sets migration.scheme, too"],
    );
    refuses(
        &axis("migration.scheme", "[\"lazy-copy\", \"post-copy\"]"),
        &["cell 1", "name the schemes in `schemes` instead"],
    );
    refuses(&axis("seed", "[1, 2]"), &["cell 1 (seed = 2)", "the same seeds"]);
    refuses(
        "schemes = [\"post-copy\", \"post-copy\"]\n",
        &["contenders: two are named \"post-copy\"; give each a name of its own"],
    );
    refuses(
        "schemes = [\"post-copy\"]\n[[contenders]]\nname = \"post-copy\"\n",
        &["contenders: two are named \"post-copy\""],
    );
    refuses(
        "[[contenders]]\nname = \"odd\"\nset = { \"migration.pivot\" = 2 }\n",
        &["contender \"odd\", migration.pivot = 2: there is no such key", "`pivots`"],
    );
}

#[test]
fn sizes_have_bounds_that_are_named() {
    assert!(refusal("scenario = \"paper\"\nseeds = 0\n").contains("seeds: 0 seeds give no run"));
    let error = Place::new().open_with(SMALL, Some(0)).unwrap_err().to_string();
    assert!(error.contains("--seeds: 0 seeds give no run"), "{error}");
    let many = refusal("scenario = \"paper\"\nseeds = 100_000_001\n");
    assert!(many.contains("seeds: 1 cells x 1 contenders x 100000001 seeds"), "{many}");
    assert!(many.contains("more than 100000000 runs"), "{many}");
    assert!(refusal("scenario = \"paper\"\nseeds = 9223372036854775807\n").contains("more than"));
    let values: Vec<String> = (1..=501).map(|value| value.to_string()).collect();
    let axis = |key: &str| format!("[[axes]]\nkey = \"{key}\"\nvalues = [{}]\n", values.join(","));
    refuses(
        &(axis("guest.frames") + &axis("measured_accesses")),
        &["axes: 501 x 501 cells x 1 contenders are more than 250000 scenarios"],
    );
    let fleet = "scenario = \"evacuation\"\nseeds = 1001\nset = { \"fleet.moves\" = [{ guests = \
                 100_000 }], \"guest.pages\" = 20 }\n";
    let many = refusal(fleet);
    assert!(many.contains("seeds: 100000 guests of all cells and contenders x 1001"), "{many}");
    refuses(
        "set = { seed = 9223372036854775807 }\n",
        &["seeds: 2 seeds from seed = 9223372036854775807 on go beyond"],
    );
}

#[test]
fn the_rest_of_a_sweep_file_is_looked_at_too() {
    refuses(
        "metrics = [\"downtime\"]\n",
        &["\"downtime\" is no metric", "downtime_ns, resume_time"],
    );
    refuses("metrics = []\n", &["metrics: it is empty; leave it out for all of them"]);
    refuses("metrics = [\"faults\", \"faults\"]\n", &["metrics: \"faults\" stands there twice"]);
    refuses(
        "preset = \"unfair\"\n",
        &["preset: \"unfair\" is no preset; did you mean \"fair\"? there are paper, fair"],
    );
    refuses("sceme = 1\n", &["unknown field `sceme`", "`schemes`"]);
    refuses("schemes = [\"psot-copy\"]\n", &["unknown variant `psot-copy`"]);
    refuses("set = { \"link.latncy\" = \"1ms\" }\n", &["set, link.latncy = \"1ms\"", "`latency`"]);
    let unknown = refusal("scenario = \"papr\"\nseeds = 1\n");
    assert!(
        unknown.contains("there is no such file") && unknown.contains("slow-link"),
        "{unknown}"
    );
    let place = Place::new();
    fs::write(place.path("own.toml"), "seed = 1").unwrap();
    let own = place.open("scenario = \"own.toml\"\nseeds = 1\n").unwrap_err().to_string();
    assert!(own.contains("own.toml") && own.contains("missing field"), "{own}");
    let directory = lazycopy_sweep::Sweep::open(&place.path(""), None, &place.path("r"));
    assert!(directory.unwrap_err().to_string().contains("it is no sweep file"));
}

#[test]
fn results_of_another_sweep_or_version_are_left_alone() {
    let place = Place::new();
    let out = place.path("out");
    computed(&place.open(SMALL).unwrap(), &out, "0/5", 1);
    let manifest = fs::read_to_string(out.join("sweep.json")).unwrap();
    let refusal = |text: &str, seeds| {
        let sweep = place.open_with(text, seeds).unwrap();
        let error = Counter::default().compute(&sweep, &out, "0/5", 1).unwrap_err();
        assert!(matches!(error, SweepError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains("choose another directory"), "{error}");
        error.to_string()
    };
    assert!(
        refusal(SMALL, Some(79)).contains("\"Is it small?\": it has 80 seeds, this one has 79")
    );
    assert!(refusal(&SMALL.replace("1028B/s", "1029B/s"), None).contains("other axes"));
    assert!(refusal(&SMALL.replace("post-copy", "pre-copy"), None).contains("other contenders"));
    let few = SMALL.replace("seeds", "metrics = [\"faults\"]\nseeds");
    assert!(refusal(&few, None).contains("other metrics"));
    let later = SMALL.replace("seeds", "set = { \"link.latency\" = \"1ms\" }\nseeds");
    assert!(refusal(&later, None).contains("its scenarios are others"));
    let without = SMALL.replace("seeds", "reference = false\nseeds");
    refusal(&without, None);
    assert_eq!(fs::read_to_string(out.join("sweep.json")).unwrap(), manifest);

    let version = format!("\"program_version\": \"{}\"", lazycopy_results::PROGRAM_VERSION);
    let fingerprint = place.open(SMALL).unwrap().manifest().fingerprint.clone();
    let older = manifest
        .replace(&version, "\"program_version\": \"0.0.9\"")
        .replace(&fingerprint, "00000000");
    fs::write(out.join("sweep.json"), older).unwrap();
    assert!(refusal(SMALL, None).contains("the results here are of version 0.0.9"));
    fs::write(out.join("sweep.json"), manifest.replace("_version\": 1", "_version\": 7")).unwrap();
    let sweep = place.open(SMALL).unwrap();
    let error = Counter::default().compute(&sweep, &out, "0/5", 1).unwrap_err().to_string();
    assert!(error.contains("its schema_version is 7"), "{error}");
    assert!(merge(&out).unwrap_err().to_string().contains("its schema_version is 7"));
}

#[test]
fn another_title_or_place_of_the_same_sweep_goes_on() {
    let place = Place::new();
    let out = place.path("out");
    computed(&place.open(SMALL).unwrap(), &out, "0/5", 1);
    let renamed = place.open(&SMALL.replace("Is it small?", "Is it?")).unwrap();
    assert_eq!(computed(&renamed, &out, "0/5", 1).runs, 0);
    assert!(fs::read_to_string(out.join("sweep.json")).unwrap().contains("\"Is it?\""));
}

#[test]
fn results_that_are_no_sweeps_are_left_alone() {
    let place = Place::new();
    let out = place.path("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("results.jsonl"), "{}\n").unwrap();
    let sweep = place.open(SMALL).unwrap();
    let error = Counter::default().compute(&sweep, &out, "0/1", 1).unwrap_err().to_string();
    assert!(error.contains("results.jsonl is here already"), "{error}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    let error = merge(&out).unwrap_err().to_string();
    assert!(error.contains("there is no sweep here"), "{error}");
    assert!(merge(&place.path("nowhere")).unwrap_err().to_string().contains("no sweep here"));
}

#[test]
fn what_is_no_block_is_no_part_of_a_sweep() {
    for name in ["10.jsonl", "007.jsonl", "results.jsonl", "3.json"] {
        let place = Place::new();
        let (sweep, out) = (place.open(SMALL).unwrap(), place.path("out"));
        computed(&sweep, &out, "0/1", 2);
        fs::copy(block(&out, 3), out.join("parts").join(name)).unwrap();
        let refusals = [
            merge(&out).unwrap_err(),
            Counter::default().compute(&sweep, &out, "0/1", 1).unwrap_err(),
        ];
        for error in refusals.map(|error| error.to_string()) {
            assert!(error.contains(name) && error.contains("0.jsonl to 9.jsonl"), "{error}");
        }
        assert!(!out.join("results.jsonl").exists());
    }
}
