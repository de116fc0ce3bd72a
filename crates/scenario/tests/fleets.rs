//! Several guests at once: the table `[fleet]`, its defaults, and what it must keep to.

use lazycopy_scenario::{
    Draft, FleetCards, FleetMove, FleetNeighbour, FleetScenario, GuestMove, MAX_FLEET_HOSTS,
    SHIPPED, Scenario,
};
use lazycopy_units::{Duration, Rate};
use std::collections::BTreeSet;

/// The paper's scenario with these lines after it.
fn with(lines: &str) -> Result<Scenario, String> {
    let paper = SHIPPED.iter().find(|shipped| shipped.name == "paper").unwrap().text;
    Scenario::from_toml(&format!("{paper}\n{lines}"), "my.toml").map_err(|error| error.to_string())
}

fn rate(bytes_per_sec: u64) -> Rate {
    Rate::from_bytes_per_sec(bytes_per_sec).unwrap()
}

const EVERYTHING: &str = r#"
    [fleet]
    hosts = 3
    card = "16448B/s"
    [[fleet.moves]]
    guests = 4
    source = 2
    destination = 0
    starts = "3s"
    interval = "500ms"
    [[fleet.moves]]
    guests = 2
    [[fleet.neighbours]]
    source = 0
    destination = 2
    rate = "4112B/s"
    on = "7s"
    off = "3s"
    begins = "1s"
    [[fleet.neighbours]]
    destination = 1
    rate = "1kB/s"
"#;

#[test]
fn every_key_arrives_where_it_belongs() {
    let fleet = with(EVERYTHING).unwrap().fleet.unwrap();
    let secs = Duration::from_secs;
    let expected = FleetScenario {
        hosts: 3,
        card: Some(FleetCards::Alike(rate(16_448))),
        moves: vec![
            FleetMove {
                guests: 4,
                source: 2,
                destination: 0,
                starts: secs(3),
                interval: Duration::from_millis(500),
            },
            FleetMove { guests: 2, source: 0, destination: 1, starts: secs(0), interval: secs(0) },
        ],
        neighbours: vec![
            FleetNeighbour {
                source: Some(0),
                destination: Some(2),
                rate: rate(4_112),
                on: secs(7),
                off: secs(3),
                begins: secs(1),
            },
            FleetNeighbour {
                source: None,
                destination: Some(1),
                rate: rate(1_000),
                on: secs(10),
                off: secs(0),
                begins: secs(0),
            },
        ],
    };
    assert_eq!(fleet, expected);
    let moves: Vec<GuestMove> = fleet.guest_moves().collect();
    assert_eq!(moves.len(), 6);
    let third = Duration::from_millis(4_000);
    assert_eq!(moves[2], GuestMove { guest: 2, source: 2, destination: 0, starts: third });
    assert_eq!(moves[5], GuestMove { guest: 5, source: 0, destination: 1, starts: secs(0) });
}

#[test]
fn what_is_written_down_is_read_back() {
    for lines in ["", "[fleet]", "[fleet]\nhosts = 7", EVERYTHING] {
        let scenario = with(lines).unwrap();
        let again = Scenario::from_toml(&scenario.to_toml(), "my.toml");
        assert_eq!(again.as_ref(), Ok(&scenario), "{}", scenario.to_toml());
    }
    let json = serde_json::to_value(with(EVERYTHING).unwrap()).unwrap();
    assert_eq!(json["fleet"]["card"], "16448B/s");
    assert_eq!(json["fleet"]["moves"][0]["interval"], "500ms");
    let plain = serde_json::to_value(with("").unwrap()).unwrap();
    assert_eq!(plain.get("fleet"), None, "a scenario of one guest is written as ever");
}

#[test]
fn an_empty_table_moves_one_guest_from_host_0_to_1() {
    let fleet = with("[fleet]").unwrap().fleet.unwrap();
    assert_eq!((fleet.hosts, &fleet.card, fleet.guests()), (2, &None, 1));
    let only = GuestMove { guest: 0, source: 0, destination: 1, starts: Duration::ZERO };
    assert_eq!(fleet.guest_moves().collect::<Vec<_>>(), [only]);
    assert_eq!(fleet.neighbours, []);
}

#[test]
fn each_host_may_have_a_card_of_its_own() {
    let text = "[fleet]\nhosts = 3\ncard = [\"12kB/s\", \"12kB/s\", \"4kB/s\"]";
    let scenario = with(text).unwrap();
    let cards = |scenario: &Scenario| {
        let fleet = scenario.fleet.clone().unwrap();
        [0, 1, 2, 3].map(|host| fleet.card_of(host).map(Rate::bytes_per_sec))
    };
    assert_eq!(cards(&scenario), [Some(12_000), Some(12_000), Some(4_000), None]);
    assert_eq!(Scenario::from_toml(&scenario.to_toml(), "my.toml"), Ok(scenario));
    assert_eq!(cards(&with("[fleet]\ncard = \"1kB/s\"").unwrap())[..2], [Some(1_000); 2]);
    for (card, problem) in [
        ("[\"1kB/s\", \"0B/s\"]", "it must be above zero"),
        ("\"5\"", "it has no unit"),
        ("5", "expected a rate with its unit, such as \"1GB/s\", or a list"),
    ] {
        let error = with(&format!("[fleet]\ncard = {card}")).unwrap_err();
        assert!(error.contains(problem) && error.contains('^'), "{error}");
    }
}

#[test]
fn flows_are_held_against_the_card_that_they_cross() {
    // The link's bandwidth is that of cards that are not given.
    let draft = |sets: &[&str]| {
        let paper = SHIPPED.iter().find(|shipped| shipped.name == "paper").unwrap().text;
        let draft = Draft::from_toml(paper, "my.toml");
        let draft = sets.iter().try_fold(draft, |draft, set| draft.set(set)).unwrap();
        draft.finish().map(drop).map_err(|error| error.to_string())
    };
    let many = "fleet.moves=[{guests=1025}]";
    let error = draft(&["link.bandwidth=1B/s", many]).unwrap_err();
    assert!(error.contains("fleet.moves: 1025 guests and neighbours share host 0's"), "{error}");
    assert_eq!(draft(&["fleet.card=2B/s", many]), Ok(()));
    let apart = "fleet.moves=[{guests=1024}, {source=2, destination=3, guests=1024}]";
    assert_eq!(draft(&["fleet.hosts=4", "fleet.card=1B/s", apart]), Ok(()));
    let neighbour = "fleet.neighbours=[{destination=3, rate=\"1B/s\"}]";
    let error = draft(&["fleet.hosts=4", "fleet.card=1B/s", apart, neighbour]).unwrap_err();
    assert!(error.contains("fleet.card: 1025 guests and neighbours share host 3's"), "{error}");
}

#[test]
fn overrides_reach_into_a_fleet_and_make_one() {
    let fleet = |sets: &[&str]| {
        let paper = SHIPPED.iter().find(|shipped| shipped.name == "paper").unwrap().text;
        let draft = Draft::from_toml(paper, "my.toml");
        let draft = sets.iter().try_fold(draft, |draft, set| draft.set(set)).unwrap();
        draft.finish().map(|scenario| scenario.fleet.unwrap()).map_err(|error| error.to_string())
    };
    assert_eq!(fleet(&["fleet.hosts=4"]).unwrap().hosts, 4);
    assert_eq!(fleet(&["fleet.moves=[{guests=2}]"]).unwrap().guests(), 2);
    let sets = ["fleet.card=1Gbit/s", "fleet.neighbours=[{source=0, rate=\"1kB/s\"}]"];
    assert_eq!(fleet(&sets).unwrap().neighbours[0].source, Some(0));
    let error = fleet(&["fleet.moves=[{guests=0}]"]).unwrap_err();
    assert!(error.starts_with("--set fleet.moves=[{guests=0}]: fleet.moves.guests: "), "{error}");
    let error = fleet(&["fleet.host=4"]).unwrap_err();
    assert!(
        error.contains("unknown field `host`; did you mean \"hosts\"? expected one of `hosts`"),
        "{error}"
    );
}

#[test]
fn rules_that_are_broken_are_named_by_their_key() {
    let neighbour = |keys: &str| {
        format!("[fleet]\ncard = \"1MB/s\"\n[[fleet.neighbours]]\nrate = \"1kB/s\"\n{keys}")
    };
    let too_many = MAX_FLEET_HOSTS + 1;
    let cases = [
        ("[fleet]\nhosts = 1".to_owned(), "hosts: 1 is outside 2 to"),
        (format!("[fleet]\nhosts = {too_many}"), "hosts: 4097 is outside 2 to 4096"),
        ("[fleet]\ncard = \"18000000000GB/s\"".to_owned(), "card: 18000000000GB/s is above"),
        ("[fleet]\nmoves = []".to_owned(), "moves: there is none"),
        ("[[fleet.moves]]\nguests = 0".to_owned(), "moves.guests: move 1: it must be at least 1"),
        (
            "[[fleet.moves]]\n[[fleet.moves]]\nsource = 2".to_owned(),
            "moves.source: move 2: there is no host 2; fleet.hosts gives 0 to 1",
        ),
        ("[[fleet.moves]]\ndestination = 9".to_owned(), "moves.destination: move 1: there is no"),
        (
            "[[fleet.moves]]\nsource = 1".to_owned(),
            "moves.destination: move 1: host 1 is its source, too",
        ),
        ("[[fleet.moves]]\nguests = 100001".to_owned(), "moves.guests: 100001 in all are above"),
        (
            "[[fleet.moves]]\nguests = 4000000000\n[[fleet.moves]]\nguests = 4000000000".to_owned(),
            "moves.guests: 4294967295 in all are above",
        ),
        ("[[fleet.moves]]\nstarts = \"11years\"".to_owned(), "moves.starts: "),
        (
            "[[fleet.moves]]\nguests = 13\ninterval = \"9years\"".to_owned(),
            "moves.interval: with it a run may take 108 years",
        ),
        (
            "[[fleet.moves]]\nguests = 11\nstarts = \"8years\"\ninterval = \"9years 200days\""
                .to_owned(),
            "moves.starts: with it a run may take 103 years",
        ),
        (
            "[[fleet.neighbours]]\nsource = 0\nrate = \"1kB/s\"".to_owned(),
            "card: it is missing: say what the neighbours share",
        ),
        (neighbour(""), "neighbours.source: neighbour 1: it needs a source, a destination"),
        (neighbour("source = 0\ndestination = 0"), "neighbours.destination: neighbour 1: host 0"),
        (neighbour("source = 3"), "neighbours.source: neighbour 1: there is no host 3"),
        (neighbour("destination = 3"), "neighbours.destination: neighbour 1: there is no host 3"),
        (neighbour("source = 0\non = \"0s\""), "neighbours.on: neighbour 1: it must be at least"),
        (
            neighbour("source = 0\non = \"999us\""),
            "neighbours.on: neighbour 1: in 999 us at 1kB/s not a byte is sent",
        ),
        (
            "[fleet]\nhosts = 3\ncard = [\"1MB/s\", \"1MB/s\"]".to_owned(),
            "card: 2 rates are not one for each of the 3 hosts",
        ),
        ("[fleet]\ncard = [\"1B/s\", \"18000000000GB/s\"]".to_owned(), "card: 18000000000GB/s is"),
        (
            "[fleet]\ncard = \"1B/s\"\n[[fleet.moves]]\nguests = 1025".to_owned(),
            "card: 1025 guests and neighbours share host 0's card of 1B/s, which has room for 1024",
        ),
        (neighbour("source = 0\nbegins = \"11years\""), "neighbours.begins: "),
    ];
    for (lines, expected) in cases {
        let error = with(&lines).unwrap_err();
        assert!(error.starts_with(&format!("my.toml: fleet.{expected}")), "{lines}: {error}");
    }
    let many = "[[fleet.neighbours]]\nsource = 0\nrate = \"1kB/s\"\n".repeat(1_001);
    let error = with(&format!("[fleet]\ncard = \"1MB/s\"\n{many}")).unwrap_err();
    assert_eq!(error, "my.toml: fleet.neighbours: 1001 are above 1000");
    let error = with(&neighbour("source = 0").replace("1kB/s", "0B/s")).unwrap_err();
    assert!(error.contains("must be above zero"), "{error}");
}

#[test]
fn guests_that_together_are_too_large_are_refused() {
    let sets = ["guest.pages=67108864", "guest.frames=20", "fleet.moves=[{guests=2}]"];
    let paper = SHIPPED.iter().find(|shipped| shipped.name == "paper").unwrap().text;
    let draft = Draft::from_toml(paper, "my.toml");
    let draft = sets.iter().try_fold(draft, |draft, set| draft.set(set)).unwrap();
    let error = draft.finish().unwrap_err().to_string();
    assert!(error.contains("2 guests of 67108864 pages have 134217728 in all"), "{error}");
}

#[test]
fn sharing_a_card_counts_in_the_time_that_a_run_may_take() {
    let guests = |guests: u32, card: &str| {
        let lines = format!("[fleet]\ncard = \"{card}\"\n[[fleet.moves]]\nguests = {guests}");
        let paper = SHIPPED.iter().find(|shipped| shipped.name == "paper").unwrap().text;
        let large =
            paper.replace("pages = 50", "pages = 1600").replace("frames = 20", "frames = 1600");
        let scenario = Scenario::from_toml(&format!("{large}\n{lines}"), "my.toml");
        scenario.map(drop).map_err(|error| error.to_string())
    };
    // 1,600 pages of 4,112 bytes take two days at 40 B/s; 40,000 guests would wait for 208 years.
    assert_eq!(guests(1, "40B/s"), Ok(()));
    let error = guests(40_000, "40B/s").unwrap_err();
    assert!(error.starts_with("my.toml: fleet.card: with it a run may take 2"), "{error}");
    assert_eq!(guests(40_000, "1MB/s"), Ok(()));
}

#[test]
fn each_guest_has_a_seed_of_its_own_and_the_first_the_runs() {
    let seeds = |seed| (0..1_000).map(move |guest| Scenario::guest_seed(seed, guest));
    assert_eq!(Scenario::guest_seed(7, 0), 7);
    let all: BTreeSet<u64> = seeds(1).chain(seeds(2)).collect();
    assert_eq!(all.len(), 2_000);
    assert!(seeds(1).eq(seeds(1)));
}

#[test]
fn what_moves_one_guest_at_a_time_refuses_a_fleet() {
    assert_eq!(with("").unwrap().ensure_single_guest(), Ok(()));
    let error = with("[fleet]").unwrap().ensure_single_guest().unwrap_err().to_string();
    assert!(error.starts_with("my.toml: fleet: several guests at once"), "{error}");
}
