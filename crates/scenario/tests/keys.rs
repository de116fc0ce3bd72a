//! The table of keys says what the parser does.

use lazycopy_scenario::{Draft, Given, KEYS, Key, Scenario};
use std::collections::BTreeSet;

/// The least that a document says.
const LEAST: &str = "seed = 1\nwarmup_accesses = 1\nmeasured_accesses = 1\n[guest]\npages = 50\n\
    frames = 20\nthink_time = \"1s\"\nworkload = \"queue\"\n[link]\nbandwidth = \"1MB/s\"\n\
    latency = \"1ms\"\n[disk]\nlatency_source = \"1ms\"\nlatency_destination = \"1ms\"\n\
    [migration]\nscheme = \"lazy-copy\"\n";

/// What keys need that stand in a table of their own or belong to another kind of workload or link.
fn surroundings(path: &str) -> &'static [&'static str] {
    match path {
        "guest.workload.pages" => &["guest.workload={kind=\"list\", pages=[1]}"],
        "guest.workload.exponent" => &["guest.workload=zipf"],
        "link.connections" | "link.compression" | "link.page_check" | "link.congestion" => {
            &["link.bandwidth=unlimited"]
        }
        _ => &[],
    }
}

/// The document with a key set to that value.
fn with(path: &str, value: &str) -> Result<Scenario, String> {
    let assignment = match path.rsplit_once('.') {
        Some(("fleet.moves", key)) => format!("fleet={{moves=[{{{key}={value}}}]}}"),
        Some(("fleet.neighbours", key)) => {
            let source = if ["source", "destination"].contains(&key) { "" } else { "source=0, " };
            let rate = if key == "rate" { "" } else { "rate=\"1kB/s\", " };
            let entry = format!("{{{source}{rate}{key}={value}}}");
            format!("fleet={{card=\"1MB/s\", neighbours=[{entry}]}}")
        }
        _ => format!("{path}={value}"),
    };
    finish(surroundings(path).iter().copied().chain([&*assignment]))
}

fn finish<'a>(assignments: impl IntoIterator<Item = &'a str>) -> Result<Scenario, String> {
    let draft = assignments
        .into_iter()
        .try_fold(Draft::from_toml(LEAST, "least"), |draft, assignment| draft.set(assignment));
    draft.and_then(Draft::finish).map_err(|error| error.to_string())
}

/// The names in backticks after "expected".
fn expected_names(error: &str) -> BTreeSet<String> {
    let (_, names) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn key(path: &str) -> &'static Key {
    KEYS.iter().find(|key| key.path == path).unwrap_or_else(|| panic!("no key {path}"))
}

#[test]
fn the_table_has_each_key_that_the_parser_takes_and_no_other() {
    let mut taken = BTreeSet::new();
    for table in [
        "",
        "guest",
        "guest.workload",
        "link",
        "disk",
        "migration",
        "fleet",
        "fleet.moves",
        "fleet.neighbours",
    ] {
        let path =
            if table.is_empty() { "nonsense".to_owned() } else { format!("{table}.nonsense") };
        let error = with(&path, "1").expect_err(&path);
        assert!(error.contains("unknown field `nonsense`"), "{error}");
        let prefix = if table.is_empty() { String::new() } else { format!("{table}.") };
        taken.extend(expected_names(&error).into_iter().map(|name| format!("{prefix}{name}")));
    }
    // Tables have keys, and are none.
    let tables = [
        "guest",
        "guest.workload",
        "link",
        "disk",
        "migration",
        "fleet",
        "fleet.moves",
        "fleet.neighbours",
    ];
    taken.retain(|path| !tables.contains(&path.as_str()));
    let told: BTreeSet<String> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    assert_eq!(told, taken);
    assert_eq!(KEYS.len(), told.len(), "no key is told twice");
}

#[test]
fn a_key_that_is_left_out_has_the_value_that_the_table_says() {
    for key in KEYS {
        let Given::Or(value) = key.given else { continue };
        // A table of the fleet's has to be there for its keys to be left out.
        let without = match key.path.rsplit_once('.') {
            Some(("fleet", _)) => finish(["fleet={}"]),
            Some(("fleet.moves", _)) => finish(["fleet={moves=[{}]}"]),
            Some(("fleet.neighbours", _)) => with("fleet.neighbours.source", "0"),
            _ => finish(surroundings(key.path).iter().copied()),
        };
        let said = with(key.path, value).unwrap_or_else(|error| panic!("{}: {error}", key.path));
        assert_eq!(Ok(said), without, "{} = {value}", key.path);
    }
}

#[test]
fn a_key_that_must_be_given_is_missed() {
    for (path, line) in [
        ("seed", "seed = 1\n"),
        ("warmup_accesses", "warmup_accesses = 1\n"),
        ("measured_accesses", "measured_accesses = 1\n"),
        ("link.bandwidth", "bandwidth = \"1MB/s\"\n"),
        ("disk.latency_source", "latency_source = \"1ms\"\n"),
        ("disk.latency_destination", "latency_destination = \"1ms\"\n"),
        ("migration.scheme", "scheme = \"lazy-copy\"\n"),
    ] {
        assert_eq!(key(path).given, Given::Always, "{path}");
        let (_, name) = path.rsplit_once('.').unwrap_or(("", path));
        let error = Scenario::from_toml(&LEAST.replacen(line, "", 1), "least").expect_err(path);
        assert!(error.to_string().contains(&format!("missing field `{name}`")), "{error}");
    }
    for (kind, name) in [("list", "pages"), ("trace", "file")] {
        assert_eq!(key(&format!("guest.workload.{name}")).given, Given::Always);
        let error = with("guest.workload", kind).expect_err(kind);
        assert!(error.contains(&format!("needs `{name}`")), "{error}");
    }
}

#[test]
fn names_that_a_key_may_be_are_the_parsers() {
    for key in KEYS.iter().filter(|key| key.kind.starts_with("`\"")) {
        let error = with(key.path, "\"nonsense\"").expect_err(key.path);
        let told: BTreeSet<String> = key
            .kind
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|name| name.trim_matches('"').to_owned())
            .collect();
        assert_eq!(told, expected_names(&error), "{}", key.path);
    }
}

/// A path, values at the ends of its range, and values beyond them.
type Edges = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Values at the ends of each range, and beyond them, for ranges that are numbers.
const EDGES: &[Edges] = &[
    ("seed", &["0", "9223372036854775807"], &["-1"]),
    ("measured_accesses", &["1"], &["0"]),
    ("time_scale", &["1", "9223372036854775807"], &["0"]),
    ("guest.pages", &["20", "67108864"], &["67108865"]),
    ("guest.frames", &["1", "50"], &["0", "51"]),
    ("guest.think_time", &["1ns"], &["0s", "11years"]),
    ("guest.write_fraction", &["0.0", "1.0"], &["-0.1", "1.1"]),
    ("guest.whole_page_fraction", &["0.0", "1.0"], &["-0.1", "1.1"]),
    ("guest.zero_fraction", &["0.0", "1.0"], &["-0.1", "1.1"]),
    ("guest.compressible_fraction", &["0.0", "1.0"], &["-0.1", "1.1"]),
    ("guest.workload.length", &["1", "16777216"], &["0", "16777217"]),
    ("guest.workload.pages", &["[0]", "[49]"], &["[]", "[50]"]),
    ("guest.workload.exponent", &["0.0", "10.0"], &["-0.1", "10.1"]),
    ("link.bandwidth", &["1kB/s", "17000000GB/s", "unlimited"], &["0B/s", "19000000GB/s"]),
    ("link.latency", &["0s", "3650days"], &["11years"]),
    ("link.connections", &["1", "16"], &["0", "17"]),
    ("link.congestion", &["cubic", "abcdefghijklmno"], &["abcdefghijklmnop", "\"\"", "a.b"]),
    ("disk.latency_source", &["0s", "10years"], &["11years"]),
    ("disk.latency_destination", &["0s", "10years"], &["11years"]),
    ("migration.context_bytes", &["0", "1073741824"], &["1073741825"]),
    ("migration.max_lead", &["1", "9223372036854775807"], &["0"]),
    ("migration.fault_penalty", &["0s", "10years"], &["11years"]),
    ("migration.downtime_limit", &["1ns"], &["0s"]),
    ("migration.bandwidth_cap", &["1B/s"], &["0B/s"]),
    ("migration.minimum_rate", &["1B/s"], &["0B/s"]),
    ("migration.hybrid_rounds", &["1", "1000"], &["0"]),
    ("migration.max_rounds", &["1", "4294967295"], &["0", "4294967296"]),
    ("migration.max_time", &["1ns"], &["0s"]),
    ("migration.first_write_cost", &["0s", "10years"], &["11years"]),
    ("migration.burst_share_percent", &["0", "99"], &["100"]),
    ("migration.pivots", &["1", "4294967295"], &["0", "4294967296"]),
    ("migration.push_rate", &["1B/s"], &["0B/s"]),
    ("fleet.hosts", &["2", "4096"], &["1", "4097"]),
    ("fleet.card", &["1kB/s", "[\"1kB/s\", \"2kB/s\"]"], &["0B/s", "[\"1kB/s\"]"]),
    ("fleet.moves.guests", &["1", "100000"], &["0", "100001"]),
    ("fleet.moves.source", &["0"], &["2"]),
    ("fleet.moves.destination", &["1"], &["2"]),
    ("fleet.neighbours.source", &["0", "1"], &["2"]),
    ("fleet.neighbours.destination", &["0", "1"], &["2"]),
    ("fleet.neighbours.rate", &["\"1B/s\""], &["\"0B/s\""]),
    ("fleet.neighbours.on", &["\"1ms\"", "\"10years\""], &["\"0s\"", "\"1ns\"", "\"11years\""]),
    ("fleet.neighbours.off", &["\"0s\"", "\"10years\""], &["\"11years\""]),
];

#[test]
fn values_at_the_ends_of_a_range_are_taken_and_those_beyond_are_refused() {
    for (path, taken, refused) in EDGES {
        assert!(!key(path).range.is_empty(), "{path} has a range");
        for value in *taken {
            assert!(with(path, value).is_ok(), "{path} = {value}: {:?}", with(path, value).err());
        }
        for value in *refused {
            assert!(with(path, value).is_err(), "{path} = {value} is taken");
        }
    }
}
