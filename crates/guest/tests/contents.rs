//! The bytes of pages: what kinds there are, and that no wrong byte goes unseen.

use lazycopy_guest::{GuestSpec, PageContents, ResidentAtStart, WorkloadSpec, first_stamp};
use lazycopy_units::{Duration, PageNumber};
use proptest::prelude::*;
use std::collections::BTreeMap;

const PAGE: usize = 4_096;

fn spec(seed: u64, zero_fraction: f64, compressible_fraction: f64) -> GuestSpec {
    GuestSpec {
        seed,
        pages: 100_000,
        frames: 100_000,
        think_time: Duration::from_nanos(1),
        write_fraction: 0.0,
        whole_page_fraction: 0.0,
        zero_fraction,
        compressible_fraction,
        workload: WorkloadSpec::Sequential,
        resident_at_start: ResidentAtStart::None,
    }
}

fn filled(spec: &GuestSpec, page: u32, stamp: u64) -> [u8; PAGE] {
    // What was there before does not show.
    let mut bytes = [0xa5; PAGE];
    PageContents::of(spec).fill(PageNumber(page), stamp, &mut bytes);
    bytes
}

fn unwritten(spec: &GuestSpec, page: u32) -> [u8; PAGE] {
    filled(spec, page, first_stamp(spec.seed, PageNumber(page)))
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Zeros,
    Pattern,
    Random,
}

/// What a page looks like to who knows nothing of it.
fn kind(bytes: &[u8; PAGE]) -> Kind {
    let (words, _) = bytes.as_chunks::<8>();
    let filler = &words[1..511];
    if filler.iter().all(|word| *word == [0; 8]) {
        Kind::Zeros
    } else if filler.iter().zip(&filler[8..]).all(|(word, next)| word == next) {
        Kind::Pattern
    } else {
        Kind::Random
    }
}

#[test]
fn kinds_of_pages_occur_in_their_fractions() {
    const PAGES: u32 = 10_000;
    for (zero, compressible) in [(0.0, 0.0), (0.3, 0.2), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)] {
        let spec = spec(9, zero, compressible);
        let mut counts = BTreeMap::new();
        for page in 0..PAGES {
            *counts.entry(kind(&unwritten(&spec, page))).or_insert(0) += 1;
        }
        for (kind, fraction) in [
            (Kind::Zeros, zero),
            (Kind::Pattern, compressible),
            (Kind::Random, 1.0 - zero - compressible),
        ] {
            let count = counts.remove(&kind).unwrap_or(0);
            // All or none is exact; else within six standard deviations.
            let expected = fraction * f64::from(PAGES);
            let deviation = (expected * (1.0 - fraction)).sqrt();
            let away = (f64::from(count) - expected).abs();
            assert!(away <= 6.0 * deviation, "{count} of {kind:?}, {expected} expected");
        }
    }
}

#[test]
fn a_page_of_zeros_that_was_never_written_is_all_zeros() {
    let spec = spec(4, 1.0, 0.0);
    assert_eq!(unwritten(&spec, 77), [0; PAGE]);
    assert_ne!(filled(&spec, 77, 5), [0; PAGE]);
}

#[test]
fn pages_that_compress_well_come_in_sixteen_patterns_of_the_seed() {
    let patterns = |seed| {
        let spec = spec(seed, 0.0, 1.0);
        let pages: BTreeMap<_, _> = (0..2_000).map(|page| (unwritten(&spec, page), page)).collect();
        pages.into_keys().collect::<Vec<_>>()
    };
    let (one, other) = (patterns(1), patterns(2));
    assert_eq!((one.len(), other.len()), (16, 16));
    assert!(one.iter().all(|page| !other.contains(page)));
}

#[test]
fn random_pages_repeat_no_word() {
    let mut seen = BTreeMap::new();
    for seed in 1..4 {
        let spec = spec(seed, 0.0, 0.0);
        for page in 0..20 {
            let bytes = unwritten(&spec, page);
            let (words, _) = bytes.as_chunks::<8>();
            for word in &words[1..511] {
                assert_eq!(seen.insert(*word, (seed, page)), None, "{seed} {page}");
            }
        }
    }
}

proptest! {
    #[test]
    fn bytes_tell_their_stamp_and_every_wrong_one_is_noticed(
        seed in any::<u64>(),
        page in 0u32..100_000,
        stamp in any::<u64>(),
        wrong in 0..PAGE,
        flipped in 1u8..=255,
    ) {
        let spec = spec(seed, 0.4, 0.4);
        let (contents, number) = (PageContents::of(&spec), PageNumber(page));
        let mut bytes = filled(&spec, page, stamp);
        prop_assert_eq!(contents.stamp_in(number, &bytes), Some(stamp));
        prop_assert!(contents.matches(number, stamp, &bytes));
        prop_assert!(!contents.matches(number, stamp ^ 1, &bytes));
        let before = kind(&bytes);
        prop_assert_eq!(kind(&filled(&spec, page, !stamp)), before);
        bytes[wrong] ^= flipped;
        prop_assert!(!contents.matches(number, stamp, &bytes));
        let is_torn = !(8..PAGE - 8).contains(&wrong);
        prop_assert_eq!(contents.stamp_in(number, &bytes), (!is_torn).then_some(stamp));
    }
}

#[test]
fn fractions_are_written_only_where_they_say_something() {
    let plain = serde_json::to_value(spec(1, 0.0, 0.0)).unwrap();
    assert_eq!(plain.get("zero_fraction").or(plain.get("compressible_fraction")), None);
    for spec in [spec(1, 0.0, 0.0), spec(1, 0.25, 0.0), spec(1, 0.25, 0.75)] {
        let written = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<GuestSpec>(&written).unwrap(), spec);
    }
}

#[test]
fn fractions_that_cannot_be_are_refused_by_key() {
    let problem = |zero, compressible| {
        spec(1, zero, compressible).validate().map_err(|error| error.to_string())
    };
    assert_eq!(problem(0.5, 0.5), Ok(()));
    assert_eq!(problem(1.5, 0.0).unwrap_err(), "guest.zero_fraction: 1.5 is outside 0 to 1");
    assert_eq!(
        problem(0.0, -0.5).unwrap_err(),
        "guest.compressible_fraction: -0.5 is outside 0 to 1"
    );
    assert_eq!(
        problem(0.5, 0.75).unwrap_err(),
        "guest.compressible_fraction: 0.75 and guest.zero_fraction, which is 0.5, are more than 1 \
         together"
    );
}
