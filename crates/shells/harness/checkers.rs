//! What must hold, seen from outside: by the names that the engine's fault simulation has for it,
//! where it has one.

use std::fmt;
use std::time::Duration;

/// Names of the checkers, and what each holds every run to.
pub const CHECKERS: [(&str, &str); 12] = [
    ("single-owner", "at most one context of the guest counts at any instant"),
    (
        "not-taken-back",
        "after the hand-over the source runs the guest again only by a word, and only if it never \
         ran at the destination and never will",
    ),
    (
        "stays-before-hand-over",
        "a failure before the hand-over leaves the guest running at the source, if that lives",
    ),
    (
        "same-as-reference",
        "whichever context is the guest has seen what a guest that was never migrated has seen at \
         the same access, and each page in its memory is as it is there",
    ),
    (
        "named-outcome",
        "every migration ends in a named outcome with a reason, which says where the guest is; \
         lost is never told as success",
    ),
    ("freed-when-complete", "the source frees the guest only when the destination has all of it"),
    ("lost-only-if-gone", "a guest is lost only where something of it was really gone"),
    (
        "costs-time-only",
        "a link that breaks after the hand-over and comes back within the deadline costs time and \
         nothing else",
    ),
    ("lives-on", "a guest that is not lost runs on, at one server"),
    ("parts-add-up", "parts add up to their totals, and both sides count the same"),
    ("ends-in-time", "when faults have stopped, every migration ends within its bound"),
    ("no-panic", "no assertion fails, whatever happens around"),
];

/// A property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Who saw it: one of [`CHECKERS`].
    pub checker: &'static str,
    /// What was seen.
    pub problem: String,
    /// When, of simulated time.
    pub at: Duration,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = CHECKERS.iter().find(|(name, _)| *name == self.checker);
        let sentence = sentence.map_or("", |(_, sentence)| sentence);
        write!(f, "{} at {:?}: {} ({sentence})", self.checker, self.at, self.problem)
    }
}
