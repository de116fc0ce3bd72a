//! What defines a guest: everything about it that does not change while it lives.

use crate::workload::WorkloadSpec;
use lazycopy_units::Duration;
use serde::{Deserialize, Serialize};

/// The definition of a guest. Two guests with equal definitions behave alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestSpec {
    /// Where the guest's random choices and its pages' first contents come from.
    pub seed: u64,
    /// Number of pages that the guest can address, 1 to 2^32 - 2.
    pub pages: u32,
    /// Frames of memory, 1 to `pages`.
    pub frames: u32,
    /// Time from one access to the next, for workloads without a clock of their own.
    pub think_time: Duration,
    /// Share of the accesses that write, 0 to 1, for workloads that do not say it themselves.
    pub write_fraction: f64,
    /// Share of these writes that write the whole page, 0 to 1.
    pub whole_page_fraction: f64,
    /// Share of the pages whose filler is zeros, 0 to 1: unwritten, such a page is all zeros. It
    /// matters only where pages are real bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub zero_fraction: f64,
    /// Share of the pages that compress well, of which many are equal, 0 to 1 less
    /// `zero_fraction`. All others are random bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub compressible_fraction: f64,
    /// What the guest touches.
    pub workload: WorkloadSpec,
    /// What memory holds when the guest starts.
    pub resident_at_start: ResidentAtStart,
}

/// What memory holds when a guest starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResidentAtStart {
    /// Nothing: every first touch is a miss (the paper's).
    #[default]
    None,
    /// Every page, for a guest that never pages; then `frames` equals `pages`.
    All,
}

/// What is wrong with a [`GuestSpec`]: the key and the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct SpecError {
    /// The key of the scenario that is wrong, such as `guest.frames`.
    pub key: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl SpecError {
    /// An error about `key`.
    pub fn new(key: &'static str, problem: impl Into<String>) -> Self {
        SpecError { key, problem: problem.into() }
    }
}

/// For fields that are left out where they say nothing.
fn is_zero(fraction: &f64) -> bool {
    *fraction == 0.0
}

impl GuestSpec {
    /// Checks what can be checked without opening a trace.
    ///
    /// # Errors
    /// The first key that breaks its rule.
    pub fn validate(&self) -> Result<(), SpecError> {
        let fail = |key, problem: String| Err(SpecError::new(key, problem));
        if self.pages == 0 || self.pages > u32::MAX - 1 {
            return fail("guest.pages", format!("{} is outside 1 to {}", self.pages, u32::MAX - 1));
        }
        if self.frames == 0 || self.frames > self.pages {
            return fail(
                "guest.frames",
                format!("{} is outside 1 to guest.pages, which is {}", self.frames, self.pages),
            );
        }
        if self.resident_at_start == ResidentAtStart::All && self.frames != self.pages {
            return fail(
                "guest.resident_at_start",
                format!(
                    "\"all\" needs guest.frames ({}) to equal guest.pages ({})",
                    self.frames, self.pages
                ),
            );
        }
        for (key, fraction) in [
            ("guest.write_fraction", self.write_fraction),
            ("guest.whole_page_fraction", self.whole_page_fraction),
            ("guest.zero_fraction", self.zero_fraction),
            ("guest.compressible_fraction", self.compressible_fraction),
        ] {
            if !(0.0..=1.0).contains(&fraction) {
                return fail(key, format!("{fraction} is outside 0 to 1"));
            }
        }
        if self.zero_fraction + self.compressible_fraction > 1.0 {
            return fail(
                "guest.compressible_fraction",
                format!(
                    "{} and guest.zero_fraction, which is {}, are more than 1 together",
                    self.compressible_fraction, self.zero_fraction
                ),
            );
        }
        if self.think_time == Duration::ZERO && !matches!(self.workload, WorkloadSpec::Trace { .. })
        {
            return fail("guest.think_time", "it must be at least 1ns".to_owned());
        }
        self.workload.validate(self.pages)
    }
}
