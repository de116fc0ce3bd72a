//! Whole servers in a simulated network and time: whatever fails, the guarantees hold.

#[path = "../harness/mod.rs"]
mod harness;

use harness::{Moment, PlannedFault, ShellCase, ShellFault};
use lazycopy_guest::ResidentAtStart;
use lazycopy_migration::{BrokenRule, Outcome, Scheme};
use lazycopy_simulation::faults::Phase;
use lazycopy_units::Rate;
use std::time::Duration;

/// Seeds of the ordinary suite: some seconds. The example `shells` runs as many as it is told.
const SEEDS: u64 = 40;

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
    for seed in 40..45 {
        let case = ShellCase::draw(seed);
        assert_eq!(case.run(), case.run(), "seed {seed}");
    }
}

/// The source hears the destination accept, and says that it begins: to nobody, until the
/// destination has given it up.
#[test]
fn a_source_that_began_alone_has_its_guest_back() {
    let mut returned = 0;
    for after in (110..135).step_by(5) {
        let fault = ShellFault::Hold(Duration::from_secs(12));
        let after = Duration::from_millis(after);
        let faults = vec![PlannedFault { moment: Moment::Agreeing, after, fault }];
        let recover_within = Duration::from_secs(40);
        let case = ShellCase { recover_within, manager_tells: None, faults, ..ShellCase::draw(3) };
        let run = case.run();
        assert_eq!(run.violations, [], "{case}{}", run.story.join("\n"));
        returned += u32::from(run.outcome == Some(Outcome::Failed));
    }
    assert!(returned > 0, "it never happened: other instants are to be tried");
}

/// A guest waits at the destination for its head start when the two servers lose sight of each
/// other; both give up, and an operator takes it back. The forward context goes on slowly
/// meanwhile, so that most pages have never left.
fn waits_for_its_head_start() -> ShellCase {
    let mut case = (0..).map(ShellCase::draw).find(is_lazy).unwrap();
    let (guest, parameters) = (&mut case.moved.guest, &mut case.moved.parameters);
    (guest.pages, guest.frames, guest.write_fraction) = (40, 40, 0.0);
    guest.resident_at_start = ResidentAtStart::All;
    guest.think_time = lazycopy_units::Duration::from_secs(1);
    parameters.head_start = 1_000;
    parameters.measured_accesses = 1;
    parameters.max_lead = None;
    parameters.push_rate = Rate::from_bytes_per_sec(1_000);
    // The hand-over is over, and its context is there.
    let fault = ShellFault::Partition(Duration::from_secs(20));
    let (moment, after) = (Moment::In(Phase::Pushing), Duration::from_millis(50));
    let faults = vec![PlannedFault { moment, after, fault }];
    let operator_after = Duration::from_secs(1);
    let recover_within = Duration::from_secs(1);
    ShellCase { faults, operator_after, recover_within, manager_tells: None, ..case }
}

fn is_lazy(case: &ShellCase) -> bool {
    case.moved.parameters.scheme == Scheme::LazyCopy
}

#[test]
fn a_guest_that_waits_for_a_head_start_is_taken_back_by_an_operator() {
    let case = waits_for_its_head_start();
    let run = case.run();
    assert_eq!(run.violations, [], "{case}{}", run.story.join("\n"));
    assert!(run.reclaimed, "{case}{}", run.story.join("\n"));
}

/// Pages are on their way when the connections are cut.
fn loses_pages() -> ShellCase {
    let pushes = |case: &ShellCase| case.moved.parameters.scheme == Scheme::PostCopy;
    let mut case = (0..).map(ShellCase::draw).find(pushes).unwrap();
    let (guest, parameters) = (&mut case.moved.guest, &mut case.moved.parameters);
    (guest.pages, guest.frames, guest.write_fraction) = (24, 24, 1.0);
    guest.resident_at_start = ResidentAtStart::All;
    parameters.measured_accesses = 5;
    parameters.whole_page_writes = false;
    (parameters.push_rate, parameters.checkpoint) = (None, false);
    case.moved.link.bandwidth = Rate::from_bytes_per_sec(400_000).unwrap();
    case.moved.link.latency = lazycopy_units::Duration::from_millis(100);
    let (moment, after) = (Moment::In(Phase::Resumed), Duration::from_millis(50));
    let faults = vec![PlannedFault { moment, after, fault: ShellFault::Cut }];
    let (recover_within, operator_after) = (Duration::from_secs(2), Duration::ZERO);
    ShellCase { faults, recover_within, operator_after, manager_tells: None, ..case }
}

/// The checkers bite: machines that break a rule are caught, from outside of the servers. (The
/// example `shells` finds other seeds: `--break-rule`.)
#[test]
fn rules_that_are_broken_are_caught() {
    let drawn = [
        (BrokenRule::SendOwnWrites, 8, "same-as-reference"),
        (BrokenRule::InstallHeld, 95, "same-as-reference"),
        (BrokenRule::DropDirty, 5, "same-as-reference"),
        (BrokenRule::ResumeBoth, 5, "not-taken-back"),
        (BrokenRule::ReclaimAlways, 5, "not-taken-back"),
        (BrokenRule::TakeStaleFromDisk, 5, "same-as-reference"),
    ];
    for (rule, seed, checker) in drawn {
        bites(rule, &ShellCase::draw(seed), checker);
    }
    let case = loses_pages();
    assert_eq!(case.run().violations, [], "{case}");
    bites(BrokenRule::FreeEarly, &case, "freed-when-complete");
    bites(BrokenRule::ForgetLost, &case, "ends-in-time");
    bites(BrokenRule::ResumeOnSuspicion, &waits_for_its_head_start(), "not-taken-back");
}

fn bites(rule: BrokenRule, case: &ShellCase, checker: &str) {
    BrokenRule::break_here(Some(rule));
    let run = case.run();
    BrokenRule::break_here(None);
    let seen = run.violations.iter().any(|violation| violation.checker == checker);
    assert!(seen, "{rule:?}: {:?}\n{case}{}", run.violations, run.story.join("\n"));
}
