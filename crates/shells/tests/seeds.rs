//! Whole servers in a simulated network and time: whatever fails, the guarantees hold.

#[path = "../harness/mod.rs"]
mod harness;

use harness::{Moment, PlannedFault, ShellCase, ShellFault};
use std::time::Duration;

/// Seeds of the ordinary suite: some seconds. The example `shells` runs as many as it is told.
const SEEDS: u64 = 60;

#[test]
fn whatever_fails_between_two_servers_the_guarantees_hold() {
    for seed in 0..SEEDS {
        let case = ShellCase::draw(seed);
        let run = case.run();
        let story = run.story.join("\n");
        assert_eq!(run.violations, [], "{case}{story}\nagain: {}", case.command());
    }
}

#[test]
fn a_seed_tells_the_same_story_again() {
    for seed in 0..8 {
        let case = ShellCase::draw(seed);
        assert_eq!(case.run(), case.run(), "seed {seed}");
    }
}
