//! The checkers bite: servers whose machines break a rule on purpose are caught, from outside.

use lazycopy_migration::BrokenRule;
use lazycopy_shells::ShellCase;

#[test]
fn rules_that_are_broken_are_caught() {
    for rule in BrokenRule::ALL {
        BrokenRule::break_here(Some(rule));
        let caught = (0..600).find_map(|seed| {
            let run = ShellCase::draw(seed).run();
            run.violations.first().map(|it| (seed, it.to_string()))
        });
        println!("{rule:?}: {caught:?}");
    }
}
