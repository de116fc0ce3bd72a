//! How far a demonstration is, on standard error.

use super::Plan;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lazycopy_results::RunRecord;
use std::io::{IsTerminal, Write};
use std::time::Duration;

const TEMPLATE: &str = "{spinner} {pos} of {len} migrations have ended [{wide_bar}] {elapsed}";

/// How often the elapsed time is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// The progress of a demonstration: a bar on a terminal, else a line at the beginning.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins to show the progress of a plan; failures alone where it is to be quiet.
    pub(super) fn new(plan: &Plan, quiet: bool) -> Self {
        let total = plan.runs().count();
        let bar = ProgressBar::new(total as u64);
        if quiet || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        if !quiet {
            let how = match plan.groups.iter().all(|group| group.at_once() == 1) {
                true => "one after another",
                false => "side by side, each over a link of its own",
            };
            let line = format!("Two servers on this machine, {total} migrations {how}.");
            let _ = writeln!(std::io::stderr(), "{line}");
            bar.enable_steady_tick(TICK);
        }
        Progress { bar }
    }

    /// A run has ended.
    pub(super) fn ended(&self, vm: &str, outcome: &Result<RunRecord, String>) {
        if let Err(problem) = outcome {
            self.bar.suspend(|| {
                let _ = writeln!(std::io::stderr(), "{vm}: {problem}");
            });
        }
        self.bar.inc(1);
    }

    /// Nothing more is shown.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
