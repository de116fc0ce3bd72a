//! The report of many runs of one scenario.

use crate::contenders::{Contender, compare, distributions, means, rankings};
use crate::figure::Figure;
use crate::history::History;
use crate::page::{Page, Report};
use crate::quantity::counted;
use crate::run::capitalized;
use crate::style::series_of;
use crate::timeline::timeline;
use lazycopy_migration::{Event, Outcome, Scheme};
use lazycopy_results::RunRecord;
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
#[derive(Debug)]
struct Runs {
    contender: Contender,
    /// Why runs do not count, and how many.
    excluded: BTreeMap<String, u64>,
    /// The least seed, and its run.
    first: (u64, String),
    events: Option<History>,
}

impl Simulation {
    /// Adds a run.
    pub fn add(&mut self, record: &RunRecord) {
        self.compare_settings(record);
        let runs = self.schemes.entry(record.scheme).or_insert_with(|| Runs {
            contender: Contender::new(record.scheme.name(), series_of(record.scheme)),
            excluded: BTreeMap::new(),
            first: (record.seed, record.run.clone()),
            events: None,
        });
        if record.seed < runs.first.0 {
            runs.first = (record.seed, record.run.clone());
        }
        runs.contender.runs += 1;
        match reason_to_exclude(record) {
            Some(reason) => *runs.excluded.entry(reason).or_default() += 1,
            None => runs.contender.count(record.seed, |measure| measure.value(&record.metrics)),
        }
    }

    fn compare_settings(&mut self, record: &RunRecord) {
        let settings = settings(record);
        match &self.settings {
            None => {
                self.settings = Some(settings);
                self.preset.clone_from(&record.preset);
                self.program_version.clone_from(&record.program_version);
            }
            Some(first) => self.mixed |= *first != settings || self.preset != record.preset,
        }
    }

    /// Whether no run was added.
    pub fn is_empty(&self) -> bool {
        self.schemes.is_empty()
    }

    /// The name of the run of each scheme's least seed.
    pub fn first_runs(&self) -> Vec<(Scheme, String)> {
        self.schemes.iter().map(|(scheme, runs)| (*scheme, runs.first.1.clone())).collect()
    }

    /// Adds the events of the run of a scheme's least seed, in the order of time; without effect
    /// for a scheme that has no run.
    pub fn add_events(&mut self, scheme: Scheme, events: &[Event]) {
        if let Some(runs) = self.schemes.get_mut(&scheme) {
            runs.events = Some(History::of(events));
        }
    }

    /// The report.
    pub fn report(&self) -> Report {
        let contenders: Vec<&Contender> =
            self.schemes.values().map(|runs| &runs.contender).collect();
        let mut page = Page::new(&self.title());
        page.sentences(&self.words(&contenders));
        page.section("How runs are spread");
        page.figures(&distributions(&contenders));
        // Post-copy is what everything after it is measured against.
        let post_copy = self.schemes.get(&Scheme::PostCopy).map(|runs| &runs.contender);
        if let Some(baseline) = post_copy.or(contenders.first().copied()) {
            compare(&mut page, &contenders, baseline);
        }
        means(&mut page, &contenders);
        self.timelines(&mut page);
        page.finish(&format!("Simulated by lazycopy {}.", self.program_version))
    }

    fn title(&self) -> String {
        let names: Vec<&str> = self.schemes.keys().map(|scheme| scheme.name()).collect();
        let runs = self.schemes.values().map(|runs| runs.contender.runs).max().unwrap_or(0);
        let preset = self.preset.as_ref().map_or(String::new(), |it| format!(", preset {it}"));
        let each = if names.len() > 1 { " each" } else { "" };
        capitalized(&format!("{}: {}{each}{preset}", names.join(", "), counted(runs, "migration")))
    }

    fn words(&self, contenders: &[&Contender]) -> Vec<String> {
        let mut words = rankings(contenders);
        for (scheme, runs) in &self.schemes {
            for (reason, count) in &runs.excluded {
                let all = counted(runs.contender.runs, "migration");
                words.push(format!("Not counted: {count} of {all} of {scheme}, {reason}."));
            }
        }
        if self.mixed {
            words.push("Mixed: these runs are not all of one scenario and preset.".to_owned());
        }
        words.push(BOUND_BY_THE_LINK.to_owned());
        words
    }

    fn timelines(&self, page: &mut Page) {
        let figure = |(scheme, runs): (&Scheme, &Runs)| -> Option<Figure> {
            let title = format!("{scheme}, seed {}", runs.first.0);
            timeline(&format!("timeline-{scheme}"), &title, runs.events.as_ref()?)
        };
        let drawn: Vec<Figure> = self.schemes.iter().filter_map(figure).collect();
        page.section("One migration of each scheme over time");
        if drawn.is_empty() {
            page.remark("Events were not written; simulate with --events to see them here.");
        }
        for figure in &drawn {
            page.figure(figure);
        }
    }
}

/// What is to be kept in mind wherever total migration times are compared.
pub(crate) const BOUND_BY_THE_LINK: &str = "Where a link is busy throughout, total migration time \
    is bound by the link: stall and measured time then tell more.";

/// As in every comparison: only migrations that completed are compared.
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
