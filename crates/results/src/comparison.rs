//! What many runs of one scenario say together.

use crate::claims::{BOUND_BY_THE_LINK, EXAMINED, EXAMINED_SCHEMES, Finding};
use crate::measure::Measure;
use crate::record::RunRecord;
use crate::statistics::{Difference, Paired, Summary};
use crate::wording;
use comfy_table::{CellAlignment, Table, presets};
use lazycopy_migration::{Outcome, Scheme};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The measures in the table and what their rows are called; parts of a measure stand below it,
/// indented.
const ROWS: [(Measure, &str); 14] = [
    (Measure::TotalMigrationTime, "total migration time"),
    (Measure::Downtime, "downtime"),
    (Measure::StallTime, "stall time"),
    (Measure::GuestPause, "downtime + stall time"),
    (Measure::MeasuredTime, "measured time"),
    (Measure::ReferenceMeasuredTime, "  the reference run's"),
    (Measure::Faults, "page faults"),
    (Measure::FaultsRemote, "  remote"),
    (Measure::FaultsDisk, "  disk"),
    (Measure::PagesTransferred, "pages transferred"),
    (Measure::PagesRound, "  before the hand-over"),
    (Measure::PagesBackground, "  background"),
    (Measure::PagesForward, "  forward"),
    (Measure::PagesDemand, "  demand"),
];

/// The comparison of schemes over the runs of one scenario. It prints as a table, what was left
/// out of it, and the findings in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What the runs have in common: the scenario, the preset.
    pub title: String,
    /// A column for each scheme that was run.
    pub columns: Vec<SchemeColumn>,
    /// Lazy-copy against post-copy: the paper's claims first.
    pub findings: Vec<Finding>,
    /// Runs that are in no figure, and why.
    pub excluded: Vec<Exclusion>,
    /// What makes the figures doubtful, in words.
    pub doubts: Vec<String>,
}

/// The figures of one scheme.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SchemeColumn {
    /// The scheme.
    pub scheme: Scheme,
    /// Runs that the figures are from.
    pub counted: usize,
    /// Runs of this scheme in all.
    pub runs: usize,
    /// Mean and spread of each measure in the table; those that apply in no run are absent.
    pub summaries: BTreeMap<Measure, Summary>,
}

/// A run that is in no figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exclusion {
    /// Its name.
    pub run: String,
    /// Its scheme.
    pub scheme: Scheme,
    /// Why.
    pub reason: String,
}

impl Comparison {
    /// Compares runs, which should be of one scenario and preset.
    pub fn of<'a>(title: &str, records: impl IntoIterator<Item = &'a RunRecord>) -> Comparison {
        let records: Vec<&RunRecord> = records.into_iter().collect();
        let mut excluded = Vec::new();
        let mut counted = Vec::new();
        for record in &records {
            match reason_to_exclude(record) {
                Some(reason) => excluded.push(Exclusion {
                    run: record.run.clone(),
                    scheme: record.scheme,
                    reason,
                }),
                None => counted.push(*record),
            }
        }
        let columns = Scheme::ALL
            .into_iter()
            .filter_map(|scheme| SchemeColumn::of(scheme, &records, &counted))
            .collect();
        Comparison {
            title: title.to_owned(),
            columns,
            findings: findings(&counted),
            excluded,
            doubts: doubts(&records, &counted),
        }
    }

    /// The figures alone, as text.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let header = self.columns.iter().map(|column| column.scheme.name().to_owned());
        table.set_header(std::iter::once(String::new()).chain(header));
        let runs = self.columns.iter().map(|column| {
            if column.counted == column.runs {
                column.runs.to_string()
            } else {
                format!("{} of {}", column.counted, column.runs)
            }
        });
        table.add_row(std::iter::once("runs".to_owned()).chain(runs));
        for (measure, label) in ROWS {
            let cells = self.columns.iter().map(|column| match column.summaries.get(&measure) {
                Some(summary) => wording::mean_and_spread(summary, measure.unit()),
                None => "-".to_owned(),
            });
            table.add_row(std::iter::once(label.to_owned()).chain(cells));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }

    /// What was and was not found, in words.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.excluded_words();
        words.extend(self.doubts.iter().cloned());
        words.extend(self.findings.iter().map(Finding::sentence));
        words.push(BOUND_BY_THE_LINK.to_owned());
        words
    }

    fn excluded_words(&self) -> Vec<String> {
        let mut by_reason: BTreeMap<(Scheme, &str), Vec<String>> = BTreeMap::new();
        for exclusion in &self.excluded {
            let key = (exclusion.scheme, &*exclusion.reason);
            by_reason.entry(key).or_default().push(exclusion.run.clone());
        }
        let sentence = |((scheme, reason), runs): (&(Scheme, &str), &Vec<String>)| {
            let count = runs.len();
            let noun = if count == 1 { "run" } else { "runs" };
            format!("Not counted: {count} {noun} of {scheme}, {reason} ({}).", wording::names(runs))
        };
        by_reason.iter().map(sentence).collect()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (mean ± standard deviation)", self.title)?;
        writeln!(f, "{}", self.table())?;
        self.words().iter().try_for_each(|sentence| writeln!(f, "- {sentence}"))
    }
}

impl SchemeColumn {
    fn of(scheme: Scheme, records: &[&RunRecord], counted: &[&RunRecord]) -> Option<Self> {
        let runs = records.iter().filter(|record| record.scheme == scheme).count();
        let counted: Vec<&RunRecord> =
            counted.iter().copied().filter(|record| record.scheme == scheme).collect();
        let summary = |measure: Measure| {
            let values: Vec<f64> =
                counted.iter().filter_map(|record| measure.value(&record.metrics)).collect();
            Some((measure, Summary::of(&values)?))
        };
        let summaries = ROWS.into_iter().filter_map(|(measure, _)| summary(measure)).collect();
        (runs > 0).then_some(SchemeColumn { scheme, counted: counted.len(), runs, summaries })
    }
}

fn reason_to_exclude(record: &RunRecord) -> Option<String> {
    let metrics = &record.metrics;
    if metrics.outcome != Outcome::Completed {
        Some(format!("{}: {}", metrics.outcome, metrics.reason))
    } else if record.digest_matches == Some(false) {
        Some("whose guest differs from its reference run: this is a bug".to_owned())
    } else {
        None
    }
}

fn findings(counted: &[&RunRecord]) -> Vec<Finding> {
    let (examined, against) = EXAMINED_SCHEMES;
    let finding = |examination: (Measure, _)| {
        let series = |scheme| by_seed(counted, scheme, examination.0);
        let paired = Paired::by_seed(&series(examined), &series(against));
        Finding::of(examination, paired.map(Difference::alone))
    };
    EXAMINED.into_iter().map(finding).collect()
}

/// The measure by seed; the first run of a seed counts. Guests that were moved at once are one
/// draw: their mean counts.
fn by_seed(counted: &[&RunRecord], scheme: Scheme, measure: Measure) -> BTreeMap<u64, f64> {
    let mut series: BTreeMap<u64, BTreeMap<Option<u32>, f64>> = BTreeMap::new();
    for record in counted.iter().filter(|record| record.scheme == scheme) {
        if let Some(value) = measure.value(&record.metrics) {
            series.entry(record.seed).or_default().entry(record.guest).or_insert(value);
        }
    }
    let mean = |guests: BTreeMap<_, f64>| guests.values().sum::<f64>() / guests.len() as f64;
    series.into_iter().map(|(seed, guests)| (seed, mean(guests))).collect()
}

fn doubts(records: &[&RunRecord], counted: &[&RunRecord]) -> Vec<String> {
    let mut doubts = Vec::new();
    let late: Vec<String> = records
        .iter()
        .filter(|record| record.slip_exceeded)
        .map(|record| record.run.clone())
        .collect();
    if !late.is_empty() {
        doubts.push(format!(
            "Marked: the processes were later than the bound in {} of {} runs ({}); use a smaller \
             time_scale or a less busy machine.",
            late.len(),
            records.len(),
            wording::names(&late)
        ));
    }
    let by_clock = counted.iter().filter(|record| record.plane.is_some()).count();
    if by_clock > 0 {
        doubts.push(format!(
            "By the clock: {by_clock} of {} runs had no modelled link, so that their times are what \
             these processes took on this machine; the same seeds take others the next time.",
            counted.len()
        ));
    }
    let mut settings: Vec<(Option<&String>, Value)> =
        records.iter().map(|record| (record.preset.as_ref(), settings_of(record))).collect();
    settings.dedup();
    if settings.len() > 1 {
        doubts.push("Mixed: these runs are not all of one scenario and preset.".to_owned());
    }
    let mut seeds: BTreeMap<(Scheme, u64, Option<u32>), usize> = BTreeMap::new();
    for record in counted {
        *seeds.entry((record.scheme, record.seed, record.guest)).or_default() += 1;
    }
    let repeated = seeds.values().filter(|runs| **runs > 1).count();
    if repeated > 0 {
        doubts.push(format!(
            "Repeated: {repeated} pairs of scheme and seed ran more than once; the means count \
             each run, the paired differences the first."
        ));
    }
    doubts
}

/// The scenario without what is meant to differ between the runs of a comparison.
fn settings_of(record: &RunRecord) -> Value {
    let mut scenario = record.scenario.clone();
    if let Some(table) = scenario.as_object_mut() {
        table.remove("seed");
    }
    if let Some(migration) = scenario.get_mut("migration").and_then(Value::as_object_mut) {
        migration.remove("scheme");
    }
    scenario
}
