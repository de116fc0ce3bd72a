//! Every kept input, and so many seeded mutations of it, through its target.
//!
//! One test alone, so that a target's memory can be told from another's.

use lazycopy_fuzz::mutation::Mutator;
use lazycopy_fuzz::{MAX_INPUT_BYTES, TARGETS, Target};
use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::Instant;

/// Mutations for each target: what they find was found before, so that these only keep watch.
const MUTATIONS: usize = 150;

/// The kept inputs of a target, in the order of their names.
fn kept(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = target.corpus();
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no inputs", target.name);
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn holds(target: &Target, data: &[u8], what: &str) {
    if catch_unwind(|| target.check(data)).is_err() {
        let left = std::env::temp_dir().join(format!("fuzz-{}", target.name));
        fs::write(&left, data).unwrap();
        panic!("the target {} fails on {what}; the input is in {}", target.name, left.display());
    }
}

#[test]
fn every_target_holds_for_its_kept_inputs_and_for_mutations_of_them() {
    for target in TARGETS {
        let (kept, began) = (kept(target), Instant::now());
        for (path, data) in &kept {
            assert!(data.len() <= MAX_INPUT_BYTES, "{} is too long", path.display());
            holds(target, data, &path.display().to_string());
        }
        let mut mutator = Mutator::new(kept.len() as u64);
        for number in 0..MUTATIONS {
            let (path, data) = &kept[number % kept.len()];
            let (_, other) = &kept[number.wrapping_mul(7) % kept.len()];
            let mutation = mutator.mutate(data, other, MAX_INPUT_BYTES);
            holds(target, &mutation, &format!("mutation {number} of {}", path.display()));
        }
        println!("{}: {} inputs kept, {:.2?}", target.name, kept.len(), began.elapsed());
    }
}
