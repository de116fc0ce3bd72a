//! What the matrix is made of: failures, phases and schemes.

use std::fmt;
use std::str::FromStr;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The source is killed.
    KillSource,
    /// The destination is killed.
    KillDestination,
    /// The manager is killed, and another one comes in its place.
    KillManager,
    /// The source is stopped for longer than anybody waits for it, then goes on.
    StopSource,
    /// The same of the destination.
    StopDestination,
    /// The same of the manager.
    StopManager,
    /// The source is stopped for a moment.
    PauseSource,
    /// The same of the destination.
    PauseDestination,
    /// The link between the two is cut, and mended.
    Cut,
    /// It is cut, and stays so.
    CutOff,
    /// Nothing comes through for longer than anybody waits, and nobody is told; then it goes on.
    Silence,
    /// The link becomes slow to deliver, and stays so.
    Delay,
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The guest warms up at the source: nobody has been asked yet.
    WarmUp,
    /// The source has knocked at the destination, and nothing of it has come there.
    Offer,
    /// Rounds of pre-copy.
    Rounds,
    /// The guest is suspended, and not handed over.
    Suspended,
    /// It is handed over, and not resumed.
    HandedOver,
    /// It runs at the destination, and pages are missing.
    Pushing,
    /// The destination has all of it, and the source does not know yet.
    Completed,
}

/// A scheme, and the phases that its migrations have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// Its name.
    pub name: &'static str,
    has_rounds: bool,
    pushes: bool,
}

/// A failure in a phase of a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub scheme: Scheme,
    pub phase: Phase,
    pub fault: Fault,
}

const fn scheme(name: &'static str, has_rounds: bool, pushes: bool) -> Scheme {
    Scheme { name, has_rounds, pushes }
}

/// All of them.
pub const SCHEMES: [Scheme; 7] = [
    scheme("stop-and-copy", false, false),
    scheme("pre-copy", true, false),
    scheme("post-copy", false, true),
    scheme("lazy-copy", false, true),
    scheme("hybrid-post-copy", true, true),
    scheme("hybrid-lazy-copy", true, true),
    scheme("adaptive-lazy-copy", false, true),
];

/// All of them, in their order.
pub const PHASES: [(Phase, &str); 7] = [
    (Phase::WarmUp, "warm-up"),
    (Phase::Offer, "offer"),
    (Phase::Rounds, "rounds"),
    (Phase::Suspended, "suspended"),
    (Phase::HandedOver, "handed-over"),
    (Phase::Pushing, "pushing"),
    (Phase::Completed, "completed"),
];

/// All of them.
pub const FAULTS: [(Fault, &str); 12] = [
    (Fault::KillSource, "kill-source"),
    (Fault::KillDestination, "kill-destination"),
    (Fault::KillManager, "kill-manager"),
    (Fault::StopSource, "stop-source"),
    (Fault::StopDestination, "stop-destination"),
    (Fault::StopManager, "stop-manager"),
    (Fault::PauseSource, "pause-source"),
    (Fault::PauseDestination, "pause-destination"),
    (Fault::Cut, "cut"),
    (Fault::CutOff, "cut-off"),
    (Fault::Silence, "silence"),
    (Fault::Delay, "delay"),
];

impl Phase {
    /// Whether the source may still take the guest back by itself.
    pub fn is_before_the_hand_over(self) -> bool {
        matches!(self, Phase::WarmUp | Phase::Offer | Phase::Rounds | Phase::Suspended)
    }

    /// Whether the migration has not begun: it may be refused, and then there was none.
    pub fn is_before_the_beginning(self) -> bool {
        matches!(self, Phase::WarmUp | Phase::Offer)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        PHASES.iter().find(|(phase, _)| *phase == self).map_or("", |(_, name)| name)
    }
}

impl Scheme {
    /// Whether its migrations have that phase.
    pub fn has(self, phase: Phase) -> bool {
        match phase {
            Phase::Rounds => self.has_rounds,
            Phase::Pushing => self.pushes,
            _ => true,
        }
    }
}

impl Cell {
    /// All cells, those of a scheme together.
    pub fn all() -> Vec<Cell> {
        let mut all = Vec::new();
        for scheme in SCHEMES {
            for (phase, _) in PHASES.into_iter().filter(|(phase, _)| scheme.has(*phase)) {
                all.extend(FAULTS.map(|(fault, _)| Cell { scheme, phase, fault }));
            }
        }
        all
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FAULTS.iter().find(|(fault, _)| fault == self).map_or("", |(_, name)| name);
        formatter.write_str(name)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.scheme.name, self.phase.name(), self.fault)
    }
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Cell, String> {
        let all = Cell::all();
        let found = all.iter().find(|cell| cell.to_string() == text);
        found.copied().ok_or_else(|| {
            format!("there is no cell \"{text}\": SCHEME/PHASE/FAULT, such as {}", all[0])
        })
    }
}
