//! How far a sweep is, on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use lazycopy_sweep::{Observer, SweepError};
use std::io::{IsTerminal, Write};
use std::time::Duration;

const TEMPLATE: &str = "{spinner} {human_pos} of {human_len} runs [{wide_bar}] {speed}, {eta} left";

/// How often the time left is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// A bar on a terminal, else nothing but what is worth a line.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::no_length();
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            let speed = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
                let _ = write!(text, "{:.0} a second", state.per_sec());
            };
            bar.set_style(style.with_key("speed", speed));
        }
        Progress { bar }
    }

    /// Nothing more is shown.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn begins(&self, there: u64, runs: u64) {
        self.bar.set_length(runs);
        self.bar.set_position(there);
        // What was there already says nothing of the speed.
        self.bar.reset_eta();
        if !self.bar.is_hidden() {
            self.bar.enable_steady_tick(TICK);
        }
    }

    fn ran(&self) {
        if !self.bar.is_hidden() {
            self.bar.inc(1);
        }
    }

    fn replaces(&self, problem: &SweepError) {
        self.bar.suspend(|| {
            let _ = writeln!(std::io::stderr(), "Computed again: {problem}");
        });
    }
}
