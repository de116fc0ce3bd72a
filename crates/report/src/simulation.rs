//! The report of many runs of one scenario.

use crate::difference::{Difference, TABLE_HEADER, differences, table_row};
use crate::distribution::{Group, distribution};
use crate::figure::Figure;
use crate::history::History;
use crate::metric::{METRICS, Metric, SHOWN, Values};
use crate::page::{Cell, Page, Report};
use crate::quantity::counted;
use crate::run::capitalized;
use crate::style::series_of;
use crate::timeline::timeline;
use lazycopy_migration::{Event, Outcome, Scheme};
use lazycopy_results::{RunRecord, Summary};
use serde_json::Value;
use std::collections::BTreeMap;

/// The runs that a simulation wrote. They are added one by one, since there may be millions.
#[derive(Debug, Default)]
pub struct Simulation {
    schemes: BTreeMap<Scheme, Runs>,
    preset: Option<String>,
    settings: Option<Value>,
    program_version: String,
    mixed: bool,
}

/// The runs of one scheme.
#[derive(Debug, Default)]
struct Runs {
    runs: u64,
    counted: u64,
    /// Each metric's values by seed, of the runs that count; in the order of [`metrics`].
    values: Vec<BTreeMap<u64, f64>>,
    /// Why runs do not count, and how many.
    excluded: BTreeMap<String, u64>,
    /// The least seed, and its run.
    first: Option<(u64, String)>,
    events: Option<History>,
}

/// All metrics, and what is put together from them.
fn metrics() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().chain([&SHOWN[3]])
}

impl Simulation {
    /// Adds a run.
    pub fn add(&mut self, record: &RunRecord) {
        let settings = settings(record);
        match &self.settings {
            None => {
                self.settings = Some(settings);
                self.preset.clone_from(&record.preset);
                self.program_version.clone_from(&record.program_version);
            }
            Some(first) => self.mixed |= *first != settings || self.preset != record.preset,
        }
        let runs = self.schemes.entry(record.scheme).or_default();
        runs.runs += 1;
        if runs.first.as_ref().is_none_or(|(seed, _)| record.seed < *seed) {
            runs.first = Some((record.seed, record.run.clone()));
        }
        if let Some(reason) = reason_to_exclude(record) {
            *runs.excluded.entry(reason).or_default() += 1;
            return;
        }
        runs.counted += 1;
        runs.values.resize_with(metrics().count(), BTreeMap::new);
        let values = Values::of(&record.metrics);
        for (series, metric) in runs.values.iter_mut().zip(metrics()) {
            if let Some(value) = values.number(metric.name) {
                series.entry(record.seed).or_insert(value);
            }
        }
    }

    /// Whether no run was added.
    pub fn is_empty(&self) -> bool {
        self.schemes.is_empty()
    }

    /// The run of each scheme's least seed.
    pub fn first_runs(&self) -> Vec<(Scheme, String)> {
        let first = |(scheme, runs): (&Scheme, &Runs)| Some((*scheme, runs.first.clone()?.1));
        self.schemes.iter().filter_map(first).collect()
    }

    /// Adds the events of the run of a scheme's least seed, in the order of time.
    pub fn add_events(&mut self, scheme: Scheme, events: Vec<Event>) {
        self.schemes.entry(scheme).or_default().events = Some(History::of(&events));
    }

    /// The report.
    pub fn report(&self) -> Report {
        let mut page = Page::new(&self.title());
        page.sentences(&self.words());
        page.section("How runs are spread");
        page.figures(&self.distributions());
        if let Some(baseline) = self.baseline().filter(|_| self.schemes.len() > 1) {
            self.compare(&mut page, baseline);
        }
        page.section("Means");
        page.remark("Mean and its 95 % confidence interval over the runs that count.");
        self.means(&mut page);
        self.timelines(&mut page);
        page.finish(&format!("Simulated by lazycopy {}.", self.program_version))
    }

    fn title(&self) -> String {
        let names: Vec<&str> = self.schemes.keys().map(|scheme| scheme.name()).collect();
        let runs = self.schemes.values().map(|runs| runs.runs).max().unwrap_or(0);
        let preset = self.preset.as_ref().map_or(String::new(), |it| format!(", preset {it}"));
        capitalized(&format!("{}: {} each{preset}", names.join(", "), counted(runs, "run")))
    }

    /// Post-copy, which everything after it is measured against; without it the first.
    fn baseline(&self) -> Option<Scheme> {
        match self.schemes.contains_key(&Scheme::PostCopy) {
            true => Some(Scheme::PostCopy),
            false => self.schemes.keys().next().copied(),
        }
    }

    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = SHOWN.iter().filter_map(|it| self.ranking(it)).collect();
        for (scheme, runs) in &self.schemes {
            for (reason, count) in &runs.excluded {
                words.push(format!(
                    "Not counted: {count} of {} of {scheme}, {reason}.",
                    counted(runs.runs, "run")
                ));
            }
        }
        if self.mixed {
            words.push("Mixed: these runs are not all of one scenario and preset.".to_owned());
        }
        words.push(
            "Where a link is busy throughout, total migration time is bound by the link: stall and \
             measured time then tell more."
                .to_owned(),
        );
        words
    }

    /// Who has the least of a metric, and what the others have.
    fn ranking(&self, metric: &Metric) -> Option<String> {
        let mut means: Vec<(f64, Scheme)> = self
            .schemes
            .iter()
            .filter_map(|(scheme, runs)| Some((runs.summary(metric)?.mean, *scheme)))
            .collect();
        means.sort_by(|a, b| a.0.total_cmp(&b.0));
        let figures: Vec<String> = means
            .iter()
            .map(|(mean, scheme)| format!("{scheme} {}", metric.quantity.figure(*mean)))
            .collect();
        (!means.is_empty())
            .then(|| format!("{}, least first: {}.", capitalized(metric.label), figures.join(", ")))
    }

    fn distributions(&self) -> Vec<Figure> {
        let figure = |metric: &Metric| {
            let group = |(scheme, runs): (&Scheme, &Runs)| Group {
                label: scheme.name().to_owned(),
                series: series_of(*scheme),
                values: runs
                    .series(metric)
                    .map(|it| it.values().copied().collect())
                    .unwrap_or_default(),
            };
            let groups: Vec<Group> = self.schemes.iter().map(group).collect();
            distribution(&format!("distribution-{}", short_name(metric)), metric, &groups)
        };
        SHOWN.iter().filter_map(figure).collect()
    }

    fn compare(&self, page: &mut Page, baseline: Scheme) {
        page.section("Differences by seed");
        let (mut figures, mut rows) = (Vec::new(), Vec::new());
        for metric in &SHOWN {
            let against = self.schemes[&baseline].series(metric);
            let others = self.schemes.iter().filter(|(scheme, _)| **scheme != baseline);
            let found: Vec<Difference> = others
                .filter_map(|(scheme, runs)| {
                    let name = (scheme.name(), series_of(*scheme));
                    Difference::of(name, runs.series(metric)?, against?)
                })
                .collect();
            rows.extend(found.iter().map(|difference| table_row(metric, difference)));
            let name = format!("differences-{}", short_name(metric));
            figures.extend(differences(&name, metric, baseline.name(), &found));
        }
        page.figures(&figures);
        page.table(&TABLE_HEADER, &rows);
    }

    fn means(&self, page: &mut Page) {
        let mut header = vec!["metric"];
        header.extend(self.schemes.keys().map(|scheme| scheme.name()));
        let runs = self.schemes.values().map(|runs| match runs.counted == runs.runs {
            true => Cell::Number(runs.runs.to_string()),
            false => Cell::Number(format!("{} of {}", runs.counted, runs.runs)),
        });
        let mut rows = vec![std::iter::once(Cell::Text("runs".to_owned())).chain(runs).collect()];
        for metric in metrics() {
            let summaries: Vec<Option<Summary>> =
                self.schemes.values().map(|runs| runs.summary(metric)).collect();
            if summaries.iter().all(Option::is_none) {
                continue;
            }
            let cells = summaries.iter().map(|summary| Cell::Number(mean_text(metric, summary)));
            rows.push(std::iter::once(Cell::Text(metric.label.to_owned())).chain(cells).collect());
        }
        page.table(&header, &rows);
    }

    fn timelines(&self, page: &mut Page) {
        let drawn: Vec<Figure> = self
            .schemes
            .iter()
            .filter_map(|(scheme, runs)| {
                let seed = runs.first.as_ref()?.0;
                let title = format!("{scheme}, seed {seed}");
                timeline(&format!("timeline-{scheme}"), &title, runs.events.as_ref()?)
            })
            .collect();
        page.section("One migration of each scheme over time");
        if drawn.is_empty() {
            page.remark("Events were not written: simulate with --events to see them.");
        }
        for figure in &drawn {
            page.figure(figure);
        }
    }
}

impl Runs {
    fn series(&self, metric: &Metric) -> Option<&BTreeMap<u64, f64>> {
        self.values.get(metrics().position(|it| it.name == metric.name)?)
    }

    fn summary(&self, metric: &Metric) -> Option<Summary> {
        let values: Vec<f64> = self.series(metric)?.values().copied().collect();
        Summary::of(&values)
    }
}

/// A metric's name as part of a file's.
pub(crate) fn short_name(metric: &Metric) -> String {
    metric.name.trim_end_matches("_ns").replace('_', "-")
}

/// `12.7 s (12.1 to 13.3)`.
pub(crate) fn mean_text(metric: &Metric, summary: &Option<Summary>) -> String {
    let Some(summary) = summary else { return "\u{2013}".to_owned() };
    let mean = metric.quantity.figure(summary.mean);
    match summary.interval {
        Some((low, high)) if low < high => {
            let unit = metric.quantity.unit(summary.mean);
            let number = |value: f64| crate::quantity::short_number(value / unit.divisor);
            format!("{mean} ({} to {})", number(low), number(high))
        }
        _ => mean,
    }
}

/// As for every comparison: only migrations that completed are compared.
fn reason_to_exclude(record: &RunRecord) -> Option<String> {
    let outcome = record.metrics.outcome;
    if outcome != Outcome::Completed {
        Some(outcome.to_string().replace('_', " "))
    } else if record.digest_matches == Some(false) {
        Some("whose guest differs from its reference run: this is a bug".to_owned())
    } else {
        None
    }
}

/// The scenario without what is meant to differ between runs.
fn settings(record: &RunRecord) -> Value {
    let mut scenario = record.scenario.clone();
    if let Some(table) = scenario.as_object_mut() {
        table.remove("seed");
    }
    if let Some(migration) = scenario.get_mut("migration").and_then(Value::as_object_mut) {
        migration.remove("scheme");
    }
    scenario
}
