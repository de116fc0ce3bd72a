//! However the blocks of a sweep come about, the results are the same bytes; what is no whole
//! block is never taken for one.

use crate::common::{Counter, Place, SMALL, SMALL_BLOCKS, block, computed, results};
use lazycopy_sweep::{SweepError, merge};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

/// What the sweep gives on one thread without interruption.
static SERIAL: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let place = Place::new();
    let out = place.path("out");
    let whole = computed(&place.open(SMALL).unwrap(), &out, "0/1", 1);
    assert_eq!((whole.blocks, whole.runs), (SMALL_BLOCKS, 640));
    merge(&out).unwrap();
    results(&out)
});

/// The serial sweep's directory, once more.
fn serial(out: &Path) {
    fs::create_dir_all(out.join("parts")).unwrap();
    for (name, bytes) in &*SERIAL {
        fs::write(out.join(name), bytes).unwrap();
    }
    let lines: Vec<&str> =
        std::str::from_utf8(&SERIAL["results.jsonl"]).unwrap().split_inclusive('\n').collect();
    for number in 0..SMALL_BLOCKS {
        fs::write(block(out, number), lines[number as usize * 64..][..64].concat()).unwrap();
    }
}

#[test]
fn results_stand_in_the_order_of_cell_contender_and_seed() {
    let text = String::from_utf8(SERIAL["results.jsonl"].clone()).unwrap();
    let place = |line: &str| {
        let record = lazycopy_results::SweepRecord::from_json_line(line).unwrap();
        assert_eq!(record.digest_matches, Some(true), "{line}");
        let contender = ["post-copy", "lazy-copy"].iter().position(|it| *it == record.contender);
        (record.cell, contender.unwrap(), record.seed)
    };
    let places: Vec<_> = text.lines().map(place).collect();
    let expected: Vec<_> = (0..4)
        .flat_map(|cell| (0..2).flat_map(move |it| (1..=80).map(move |seed| (cell, it, seed))))
        .collect();
    assert_eq!(places, expected);
    // The last axis is the fastest.
    let axes = r#""cell":1,"axes":{"link.bandwidth":"1028B/s","memory":{"guest.frames":10,"#;
    assert!(text.lines().nth(160).unwrap().contains(axes));
}

#[test]
fn a_results_directory_holds_what_it_should_and_nothing_else() {
    let names: Vec<&String> = SERIAL.keys().collect();
    let expected = ["analysis.json", "cells.csv", "results.csv", "results.jsonl", "sweep.json"];
    assert_eq!(names, expected);
    let table = String::from_utf8(SERIAL["results.csv"].clone()).unwrap();
    assert_eq!(table.lines().count(), 641);
    let (head, first) = (table.lines().next().unwrap(), table.lines().nth(1).unwrap());
    assert!(
        head.starts_with("cell,link.bandwidth,memory,contender,scheme,seed,guest,digest_matches,")
    );
    let row =
        r#"0,1028B/s,"{""guest.frames"":20,""guest.pages"":50}",post-copy,post-copy,1,,true,"#;
    assert!(first.starts_with(row), "{first}");
}

#[test]
fn a_sweep_that_is_there_is_not_computed_again() {
    let place = Place::new();
    let out = place.path("out");
    serial(&out);
    let again = computed(&place.open(SMALL).unwrap(), &out, "0/1", 2);
    assert_eq!((again.finished, again.runs), (SMALL_BLOCKS, 0));
    merge(&out).unwrap();
    assert_eq!(results(&out), *SERIAL);
}

#[test]
fn what_a_killed_run_left_behind_is_removed_and_never_a_result() {
    let place = Place::new();
    let out = place.path("out");
    serial(&out);
    let whole = fs::read(block(&out, 3)).unwrap();
    fs::remove_file(block(&out, 3)).unwrap();
    let leftovers = ["parts/.3.jsonl.Ab12.partial", ".results.jsonl.Ab12.partial"];
    leftovers.iter().for_each(|name| fs::write(out.join(name), &whole).unwrap());
    assert!(matches!(merge(&out), Err(SweepError::Holes { .. })));
    assert_eq!(computed(&place.open(SMALL).unwrap(), &out, "0/1", 1).runs, 64);
    leftovers.iter().for_each(|name| assert!(!out.join(name).exists(), "{name}"));
    merge(&out).unwrap();
    assert_eq!(results(&out), *SERIAL);
}

#[test]
fn what_somebody_else_is_writing_stays() {
    let place = Place::new();
    let out = place.path("out");
    serial(&out);
    let parts = fs::File::open(out.join("parts")).unwrap();
    parts.lock_shared().unwrap();
    let partial = out.join("parts/.3.jsonl.Ab12.partial");
    fs::write(&partial, "half of a li").unwrap();
    computed(&place.open(SMALL).unwrap(), &out, "0/1", 1);
    assert!(partial.exists());
    drop(parts);
    computed(&place.open(SMALL).unwrap(), &out, "0/1", 1);
    assert!(!partial.exists());
}

/// What can have become of a block.
#[derive(Clone, Debug)]
enum Damage {
    CutOff(prop::sample::Index),
    LineTwice(prop::sample::Index),
    LineGone(prop::sample::Index),
    LinesSwapped(prop::sample::Index),
    AnotherBlock(u64),
    Space(prop::sample::Index),
    Zeroes,
}

impl Damage {
    fn inflict(&self, out: &Path, number: u64) {
        let path = block(out, number);
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let damaged = match self {
            Damage::CutOff(at) => text[..at.index(text.len())].to_owned(),
            Damage::LineTwice(at) => {
                lines.insert(at.index(64), lines[at.index(64)]);
                lines.concat()
            }
            Damage::LineGone(at) => {
                lines.remove(at.index(64));
                lines.concat()
            }
            Damage::LinesSwapped(at) => {
                lines.swap(at.index(63), at.index(63) + 1);
                lines.concat()
            }
            Damage::AnotherBlock(other) => {
                let other = (number + 1 + other % (SMALL_BLOCKS - 1)) % SMALL_BLOCKS;
                fs::read_to_string(block(out, other)).unwrap()
            }
            Damage::Space(at) => {
                let line = lines[at.index(64)].replacen(':', ": ", 1);
                lines[at.index(64)] = &line;
                lines.concat()
            }
            Damage::Zeroes => "\0".repeat(text.len()),
        };
        assert_ne!(damaged, text);
        fs::write(path, damaged).unwrap();
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        at().prop_map(Damage::CutOff),
        at().prop_map(Damage::LineTwice),
        at().prop_map(Damage::LineGone),
        at().prop_map(Damage::LinesSwapped),
        any::<u64>().prop_map(Damage::AnotherBlock),
        at().prop_map(Damage::Space),
        Just(Damage::Zeroes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn any_split_into_shards_gives_the_serial_bytes(
        order in (1u64..=12)
            .prop_flat_map(|count| Just((0..count).collect::<Vec<u64>>()).prop_shuffle()),
        again in any::<prop::sample::Index>(),
        threads in 1usize..4,
    ) {
        let place = Place::new();
        let (sweep, out) = (place.open(SMALL).unwrap(), place.path("out"));
        for index in &order {
            prop_assert!(!out.join("results.jsonl").exists());
            computed(&sweep, &out, &format!("{index}/{}", order.len()), threads);
        }
        let again = again.index(order.len());
        let repeated = computed(&sweep, &out, &format!("{again}/{}", order.len()), threads);
        prop_assert_eq!(repeated.runs, 0);
        merge(&out).unwrap();
        prop_assert_eq!(&results(&out), &*SERIAL);
    }

    #[test]
    fn however_often_it_is_interrupted_the_bytes_are_the_same(
        pauses in prop::collection::vec(1u64..300, 1..6), threads in 1usize..4,
    ) {
        let place = Place::new();
        let (sweep, out) = (place.open(SMALL).unwrap(), place.path("out"));
        let mut kept = 0;
        for pause in pauses {
            let counter = Counter::cancelling_after(pause);
            let part = counter.compute(&sweep, &out, "0/1", threads).unwrap();
            prop_assert_eq!(counter.there.load(Ordering::Relaxed), 64 * kept);
            prop_assert_eq!(part.finished, kept + part.runs / 64);
            kept = part.finished;
            if !part.is_whole() {
                let refused = matches!(merge(&out), Err(SweepError::Holes { .. }));
                prop_assert!(refused);
            }
        }
        let rest = computed(&sweep, &out, "0/1", threads);
        prop_assert_eq!(rest.runs, 640 - 64 * kept);
        merge(&out).unwrap();
        prop_assert_eq!(&results(&out), &*SERIAL);
    }

    #[test]
    fn any_hole_is_refused_and_filled(
        gone in prop::sample::subsequence((0..SMALL_BLOCKS).collect::<Vec<u64>>(), 1..10),
    ) {
        let place = Place::new();
        let (sweep, out) = (place.open(SMALL).unwrap(), place.path("out"));
        serial(&out);
        gone.iter().for_each(|number| fs::remove_file(block(&out, *number)).unwrap());
        let error = merge(&out).unwrap_err();
        prop_assert!(error.to_string().contains("manager sweep sweep.toml --seeds 80 --out"));
        let SweepError::Holes { missing, .. } = error else { panic!("{error}") };
        prop_assert_eq!(&missing, &gone);
        // What was whole before is not lost.
        prop_assert_eq!(&results(&out), &*SERIAL);
        prop_assert_eq!(computed(&sweep, &out, "0/1", 2).runs, 64 * gone.len() as u64);
        merge(&out).unwrap();
        prop_assert_eq!(&results(&out), &*SERIAL);
    }

    #[test]
    fn no_damaged_block_is_taken_for_a_result(damage in damage(), number in 0..SMALL_BLOCKS) {
        let place = Place::new();
        let (sweep, out) = (place.open(SMALL).unwrap(), place.path("out"));
        serial(&out);
        damage.inflict(&out, number);
        let error = merge(&out).unwrap_err();
        prop_assert!(error.to_string().contains(&format!("parts/{number}.jsonl")), "{error}");
        prop_assert_eq!(&results(&out), &*SERIAL);
        let counter = Counter::default();
        prop_assert_eq!(counter.compute(&sweep, &out, "0/1", 2).unwrap().runs, 64);
        prop_assert_eq!(counter.replaced.load(Ordering::Relaxed), 1);
        merge(&out).unwrap();
        prop_assert_eq!(&results(&out), &*SERIAL);
    }
}
