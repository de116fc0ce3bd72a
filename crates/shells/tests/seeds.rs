//! Whole servers in a simulated network and time: nothing is lost, and nobody owns a guest twice.

use lazycopy_shells::{ShellCase, ShellSummary};

/// Seeds of the ordinary suite: some seconds. `SHELL_SEEDS` asks for more.
const SEEDS: u64 = 60;

#[test]
fn whatever_fails_between_two_servers_the_guarantees_hold() {
    let asked = std::env::var("SHELL_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let mut summary = ShellSummary::default();
    for seed in 0..asked.unwrap_or(SEEDS) {
        let case = ShellCase::draw(seed);
        let run = case.run();
        summary.add(&case, &run);
        let story = run.story.join("\n");
        assert_eq!(run.violations, [], "{case}{story}\nagain: {}", case.command());
    }
    println!("{summary}");
}

#[test]
fn a_seed_tells_the_same_story_again() {
    for seed in 0..100 {
        let case = ShellCase::draw(seed);
        let (first, second) = (case.run(), case.run());
        assert_eq!(first.story, second.story, "seed {seed}");
        assert_eq!(first, second);
    }
}
