//! What the runs say on lazy-copy against post-copy: the paper's two claims, and what a guest
//! feels besides.

use crate::measure::{Measure, Unit};
use crate::statistics::{Difference, SIGNIFICANCE, Standing};
use crate::wording;
use lazycopy_migration::Scheme;
use serde::Serialize;

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
    /// The difference, lazy-copy less post-copy; `None` without a common seed.
    pub difference: Option<Difference>,
}

/// What to keep in mind wherever times are compared.
pub(crate) const BOUND_BY_THE_LINK: &str = "Where a link is busy throughout, total migration time \
    is bound by the link: stall and measured time then tell more.";

/// The paper's claims first.
pub(crate) const EXAMINED: [(Measure, FindingKind); 5] = [
    (Measure::TotalMigrationTime, FindingKind::Claim),
    (Measure::Faults, FindingKind::Claim),
    (Measure::StallTime, FindingKind::Observation),
    (Measure::MeasuredTime, FindingKind::Observation),
    (Measure::Downtime, FindingKind::Observation),
];

impl Finding {
    pub(crate) fn of(
        (measure, kind): (Measure, FindingKind),
        difference: Option<Difference>,
    ) -> Finding {
        let standing = difference.map_or(Standing::Undecided, |difference| difference.standing);
        Finding { measure, kind, standing, difference }
    }

    /// The finding in a sentence or two.
    pub fn sentence(&self) -> String {
        format!("{}: {}. {}", self.subject(), self.verdict(), self.figures())
    }

    /// What is claimed, or looked at.
    pub fn subject(&self) -> String {
        let comparative = if self.measure.unit() == Unit::Count { "fewer" } else { "less" };
        match self.kind {
            FindingKind::Claim => format!("Claim \"{comparative} {}\"", self.measure.label()),
            FindingKind::Observation => capitalized(self.measure.label()),
        }
    }

    /// The verdict in a few words.
    pub fn verdict(&self) -> String {
        let claim = self.kind == FindingKind::Claim;
        match self.standing {
            Standing::Less if claim => "confirmed".to_owned(),
            Standing::More if claim => "refuted: lazy-copy loses".to_owned(),
            Standing::NoDifference if claim => format!("not confirmed, {}", self.no_difference()),
            Standing::Less => "lazy-copy wins".to_owned(),
            Standing::More => "lazy-copy loses".to_owned(),
            Standing::NoDifference => self.no_difference(),
            Standing::Undecided => "cannot be said".to_owned(),
        }
    }

    /// How far from equal the two may still be.
    fn no_difference(&self) -> String {
        match self.difference.and_then(|difference| difference.paired.differences.interval) {
            Some((low, high)) if low.abs().max(high.abs()) > 0.0 => {
                let reach = wording::figure(low.abs().max(high.abs()), self.measure.unit());
                format!("no difference seen beyond {reach}")
            }
            _ => "no difference seen".to_owned(),
        }
    }

    /// The figures behind it, in a sentence or two.
    pub fn figures(&self) -> String {
        let Some(Difference { paired, corrected_p, .. }) = self.difference else {
            return "No seed was completed under both lazy-copy and post-copy.".to_owned();
        };
        let (unit, differences) = (self.measure.unit(), paired.differences);
        let seeds = differences.count;
        if paired.equal == seeds {
            return format!(
                "Lazy-copy and post-copy were equal at each of {}.",
                wording::counted(seeds as u64, "seed")
            );
        }
        let mean = wording::difference(differences.mean, unit);
        let (Some(interval), Some(raw), Some(p)) = (differences.interval, paired.p, corrected_p)
        else {
            return format!("Lazy-copy had {mean} at the one common seed; it takes two at least.");
        };
        let p = wording::p_value(p);
        if self.standing == Standing::Undecided {
            return format!(
                "Lazy-copy had {mean} at each of {}: too few to tell it from chance ({p}).",
                wording::counted(seeds as u64, "seed")
            );
        }
        let other_test = if (paired.signed_rank_p < SIGNIFICANCE) == (raw < SIGNIFICANCE) {
            String::new()
        } else {
            let p = wording::p_value(paired.signed_rank_p);
            format!(" Wilcoxon's signed-rank test does not agree ({p}).")
        };
        format!(
            "Lazy-copy had {mean} than post-copy in the mean of {} (95 % interval: {}; {p}); {} at \
             {}, equal at {}, more at {}.{other_test}",
            wording::counted(seeds as u64, "seed"),
            wording::interval(interval, unit),
            if unit == Unit::Count { "fewer" } else { "less" },
            paired.less,
            paired.equal,
            paired.more,
        )
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The scheme that is examined, and the one that it is held against.
pub(crate) const EXAMINED_SCHEMES: (Scheme, Scheme) = (Scheme::LazyCopy, Scheme::PostCopy);
