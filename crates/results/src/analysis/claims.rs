//! The paper's claims in each cell of a sweep.

use super::SweepAnalysis;
use super::table::CELLS_IN_FULL;
use super::text::label;
use crate::claims::{BOUND_BY_THE_LINK, EXAMINED, EXAMINED_SCHEMES, Finding, FindingKind};
use crate::statistics::Standing;
use crate::wording;
use comfy_table::{Table, presets};
use serde::Serialize;
use std::fmt;

/// What a sweep says on the paper's claims, one lazy-copy contender against post-copy. It prints
/// the verdicts cell by cell, and how often each was reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepClaims {
    /// The question of the sweep.
    pub title: String,
    /// The preset that was asked for, if any.
    pub preset: Option<String>,
    /// Name of the contender that is examined: one whose scheme is lazy-copy.
    pub lazy_copy: String,
    /// Name of the contender that it is held against: the first whose scheme is post-copy.
    pub post_copy: String,
    /// The findings of each cell.
    pub cells: Vec<CellFindings>,
}

/// What a cell says on the paper's claims.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellFindings {
    /// Number of the cell.
    pub cell: u64,
    /// Its axes' values, in words.
    pub label: String,
    /// The claims first, then what belongs to the picture; p-values are corrected over all cells
    /// and pairs of the sweep.
    pub findings: Vec<Finding>,
}

impl SweepAnalysis {
    /// The paper's claims for each contender whose scheme is lazy-copy; empty where it or
    /// post-copy is not among them.
    pub fn claims(&self) -> Vec<SweepClaims> {
        let (examined, against) = EXAMINED_SCHEMES;
        let of = |scheme| {
            let contenders = self.contenders.iter().enumerate();
            contenders.filter(move |(_, contender)| contender.scheme == scheme)
        };
        let Some((post_copy, _)) = of(against).next() else { return Vec::new() };
        of(examined).map(|(lazy_copy, _)| self.claims_of(lazy_copy, post_copy)).collect()
    }

    fn claims_of(&self, lazy_copy: usize, post_copy: usize) -> SweepClaims {
        let findings = |cell: &super::CellAnalysis| {
            let finding = |examination: &(crate::Measure, FindingKind)| {
                let found = cell.measure(examination.0)?;
                Some(Finding::of(*examination, found.difference(lazy_copy, post_copy)))
            };
            CellFindings {
                cell: cell.place.cell,
                label: label(&cell.place.axes, &self.axes),
                findings: EXAMINED.iter().filter_map(finding).collect(),
            }
        };
        SweepClaims {
            title: self.title.clone(),
            preset: self.preset.clone(),
            lazy_copy: self.contenders[lazy_copy].name.clone(),
            post_copy: self.contenders[post_copy].name.clone(),
            cells: self.cells.iter().map(findings).collect(),
        }
    }
}

impl SweepClaims {
    /// How often each verdict was reached, a sentence for each measure, and what to keep in mind.
    pub fn words(&self) -> Vec<String> {
        let examined = self.cells.first().map_or(&[][..], |cell| &cell.findings);
        let mut words: Vec<String> = examined.iter().map(|first| self.sentence(first)).collect();
        words.push(BOUND_BY_THE_LINK.to_owned());
        words
    }

    fn sentence(&self, first: &Finding) -> String {
        let of_measure = |cell: &CellFindings| {
            let found = cell.findings.iter().find(|finding| finding.measure == first.measure);
            found.map_or(Standing::Undecided, |finding| finding.standing)
        };
        let count =
            |standing| self.cells.iter().filter(|cell| of_measure(cell) == standing).count();
        let claim = first.kind == FindingKind::Claim;
        let said = |standing| match (standing, claim) {
            (Standing::Less, true) => "confirmed",
            (Standing::More, true) => "refuted",
            (Standing::NoDifference, true) => "not confirmed",
            (Standing::Less, false) => "lazy-copy wins",
            (Standing::More, false) => "lazy-copy loses",
            (Standing::NoDifference, false) => "no difference seen",
            (Standing::Undecided, _) => "cannot be said",
        };
        let all = [Standing::Less, Standing::NoDifference, Standing::More, Standing::Undecided];
        let seen = all.into_iter().filter(|standing| count(*standing) > 0);
        let parts = seen.map(|standing| format!("{} in {}", said(standing), count(standing)));
        let parts = parts.collect::<Vec<_>>().join(", ");
        let cells = wording::counted(self.cells.len() as u64, "cell");
        format!("{}: {parts}, of {cells}.", first.subject())
    }

    /// The verdicts and figures, a line for each cell and measure.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "cell",
            "measure",
            "verdict",
            "mean difference",
            "95 % interval",
            "p",
            "less/equal/more",
        ]);
        for cell in &self.cells {
            for finding in &cell.findings {
                table.add_row(row(cell, finding));
            }
        }
        table.to_string()
    }
}

fn row(cell: &CellFindings, finding: &Finding) -> [String; 7] {
    let unit = finding.measure.unit();
    let [mean, interval, p, signs] = match &finding.difference {
        None => ["-", "-", "-", "-"].map(str::to_owned),
        Some(difference) => {
            let paired = &difference.paired;
            let interval = paired.differences.interval.map(|it| wording::interval(it, unit));
            let p = difference.corrected_p.map(wording::p_value);
            let equal = paired.equal == paired.differences.count;
            let mean = wording::difference(paired.differences.mean, unit);
            [
                if equal { "equal".to_owned() } else { mean },
                interval.unwrap_or_else(|| "-".to_owned()),
                p.unwrap_or_else(|| "-".to_owned()),
                format!("{}/{}/{}", paired.less, paired.equal, paired.more),
            ]
        }
    };
    [cell.label.clone(), finding.subject(), finding.verdict(), mean, interval, p, signs]
}

impl fmt::Display for SweepClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SweepClaims { lazy_copy, post_copy, .. } = self;
        write!(f, "The paper's claims, {lazy_copy} against {post_copy} seed by seed")?;
        match &self.preset {
            Some(preset) => writeln!(f, ", preset {preset}")?,
            None => writeln!(f)?,
        }
        if self.cells.len() <= CELLS_IN_FULL {
            writeln!(f, "{}", self.table())?;
            writeln!(f, "p: after Holm's correction over all cells and pairs of contenders.")?;
        }
        self.words().iter().try_for_each(|sentence| writeln!(f, "- {sentence}"))
    }
}
