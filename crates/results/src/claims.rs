//! What the runs say on lazy-copy against post-copy: the paper's two claims, and what a guest
//! feels besides.

use crate::measure::{Measure, Unit};
use crate::statistics::Paired;
use crate::wording;
use lazycopy_migration::Scheme;
use serde::Serialize;

/// How the first of two schemes stands against the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It has less: the whole 95 % confidence interval of the paired differences is below zero.
    Less,
    /// It has more: the whole interval is above zero.
    More,
    /// The interval holds zero.
    NoDifference,
    /// Fewer than two seeds are common to both.
    Undecided,
}

/// Why a measure is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The paper claims that lazy-copy has less of it.
    Claim,
    /// It belongs to the picture, and the paper claims nothing.
    Observation,
}

/// What the runs say of one measure, lazy-copy against post-copy, paired by seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Of what.
    pub measure: Measure,
    /// Whether the paper claims it.
    pub kind: FindingKind,
    /// How lazy-copy stands against post-copy.
    pub standing: Standing,
    /// The differences, lazy-copy less post-copy; `None` without a common seed.
    pub paired: Option<Paired>,
}

/// The paper's claims first.
pub(crate) const EXAMINED: [(Measure, FindingKind); 5] = [
    (Measure::TotalMigrationTime, FindingKind::Claim),
    (Measure::Faults, FindingKind::Claim),
    (Measure::StallTime, FindingKind::Observation),
    (Measure::MeasuredTime, FindingKind::Observation),
    (Measure::Downtime, FindingKind::Observation),
];

impl Standing {
    pub(crate) fn of(paired: Option<&Paired>) -> Standing {
        match paired.and_then(|paired| paired.differences.interval) {
            None => Standing::Undecided,
            Some((_, high)) if high < 0.0 => Standing::Less,
            Some((low, _)) if low > 0.0 => Standing::More,
            Some(_) => Standing::NoDifference,
        }
    }
}

impl Finding {
    /// The finding in a sentence or two.
    pub fn sentence(&self) -> String {
        let subject = match self.kind {
            FindingKind::Claim => format!("Claim \"{}\"", self.claim()),
            FindingKind::Observation => capitalized(self.measure.label()),
        };
        format!("{subject}: {}. {}", self.verdict(), self.figures())
    }

    fn claim(&self) -> String {
        let comparative = match self.measure.unit() {
            Unit::Time => "less",
            Unit::Count => "fewer",
        };
        format!("{comparative} {}", self.measure.label())
    }

    fn verdict(&self) -> &'static str {
        match (self.kind, self.standing) {
            (FindingKind::Claim, Standing::Less) => "confirmed",
            (FindingKind::Claim, Standing::More) => {
                "not confirmed, it is the other way round: lazy-copy loses"
            }
            (FindingKind::Claim, Standing::NoDifference) => "not confirmed, no difference seen",
            (FindingKind::Observation, Standing::Less) => "lazy-copy wins",
            (FindingKind::Observation, Standing::More) => "lazy-copy loses",
            (FindingKind::Observation, Standing::NoDifference) => "no difference seen",
            (_, Standing::Undecided) => "cannot be said",
        }
    }

    fn figures(&self) -> String {
        let Some(paired) = self.paired else {
            return "No seed was completed under both lazy-copy and post-copy.".to_owned();
        };
        let (unit, differences) = (self.measure.unit(), paired.differences);
        let seeds = differences.count;
        if paired.equal == seeds {
            return format!("Lazy-copy and post-copy were equal at each of {}.", plural(seeds));
        }
        let mean = wording::difference(differences.mean, unit);
        let Some(interval) = differences.interval else {
            return format!("Lazy-copy had {mean} at the one common seed; it takes two at least.");
        };
        format!(
            "Lazy-copy had {mean} than post-copy in the mean of {} (95 % interval: {}); {} at {}, \
             equal at {}, more at {}.",
            plural(seeds),
            wording::interval(interval, unit),
            if unit == Unit::Time { "less" } else { "fewer" },
            paired.less,
            paired.equal,
            paired.more,
        )
    }
}

fn plural(seeds: usize) -> String {
    if seeds == 1 { "1 seed".to_owned() } else { format!("{seeds} seeds") }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The scheme that is examined, and the one that it is held against.
pub(crate) const EXAMINED_SCHEMES: (Scheme, Scheme) = (Scheme::LazyCopy, Scheme::PostCopy);
