use lazycopy_migration::Side;
use lazycopy_shells::{Moment, PlannedFault, ShellCase, ShellFault};
use lazycopy_simulation::faults::Way;
use std::time::Duration;
fn main() {
    let s = Duration::from_secs;
    let faults = [
        ShellFault::Cut,
        ShellFault::CutAt(Side::Source),
        ShellFault::CutAt(Side::Destination),
        ShellFault::Partition(s(12)),
        ShellFault::OneWay(Way::Forward, s(12)),
        ShellFault::OneWay(Way::Backward, s(12)),
        ShellFault::Hold(s(12)),
        ShellFault::Hold(s(20)),
    ];
    for seed in [1, 3, 4, 5, 6, 8, 21] {
        for fault in faults {
            for after in (0..400).step_by(5) {
                let planned = PlannedFault {
                    moment: Moment::Agreeing,
                    after: Duration::from_millis(after),
                    fault,
                };
                let mut case = ShellCase::draw(seed);
                case.recover_within = s(55);
                case.manager_tells = None;
                // While it agrees the moment may pass: count from the beginning.
                case.faults = vec![planned];
                let run = case.run();
                for violation in &run.violations {
                    println!(
                        "seed {seed} {} {fault} at {after}: {violation}",
                        case.moved.parameters.scheme
                    );
                }
            }
        }
    }
}
