//! The report of one migration.

use crate::history::History;
use crate::hosts::{Hosts, Moment, hosts_figure, origins};
use crate::measure::{exact, meaning, quantity};
use crate::page::{Cell, Page, Report};
use crate::quantity::{Quantity, counted};
use crate::replay::{self, MOST_EVENTS, Player};
use crate::timeline::timeline;
use lazycopy_migration::{Event, Outcome};
use lazycopy_results::{Measure, RunRecord};
use lazycopy_units::Duration;
use serde_json::Value;

/// Names that simulated ends have.
const SIMULATED: &str = "simulated";

/// What a run's directory tells besides its record and its events.
#[derive(Clone, Debug, Default)]
pub struct RunExtras {
    /// The text of `before.txt`, for the replay.
    pub before: Option<String>,
    /// Both hosts before the migration, and the page numbers that the guest touches next.
    pub hosts_before: Option<(Hosts, Vec<u32>)>,
    /// The same, after it.
    pub hosts_after: Option<(Hosts, Vec<u32>)>,
    /// The guest's accesses, as the player takes them: `{ first, pages, writes }`.
    pub accesses: Option<Value>,
    /// What there is not, and why, in sentences.
    pub missing: Vec<String>,
}

/// The report of a run from its record and its events, in the order of time; with a `player` it
/// has a replay.
pub fn run_report(
    record: &RunRecord,
    events: &[Event],
    extras: &RunExtras,
    player: Option<&Player>,
) -> Report {
    let mut page = Page::new(&headline(record));
    page.sentences(&words(record));
    page.facts(&facts(record));
    hosts(&mut page, events, extras);
    let history = History::of(events);
    page.section("The migration over time");
    match timeline("timeline", &format!("{}, seed {}", record.scheme, record.seed), &history) {
        Some(figure) => page.figure(&figure),
        None => page.paragraph("No events were recorded."),
    }
    if !history.milestones.is_empty() {
        page.begin_details("The moments as a table");
        page.table(&["model time", "what"], &moments(&history));
        page.end_details();
    }
    if let Some(player) = player {
        page.section("Replay");
        replay(&mut page, &[(record, events, extras)], player);
    }
    for sentence in &extras.missing {
        page.remark(sentence);
    }
    page.section("All metrics");
    page.table(&["metric", "value", "meaning"], &metrics(record));
    page.section("The scenario");
    page.begin_details("Every key, defaults written out");
    page.table(&["key", "value"], &scenario(record));
    page.end_details();
    page.finish(&format!(
        "Run {}, made by lazycopy {}; result schema {}.",
        record.run, record.program_version, record.schema_version
    ))
}

/// The report of two runs on one axis of time: the replay, and their metrics side by side.
pub fn pair_report(runs: [(&RunRecord, &[Event], &RunExtras); 2], player: &Player) -> Report {
    let [first, second] = runs.map(|run| run.0);
    let mut page =
        Page::new(&format!("{} and {}", capitalized(first.scheme.name()), second.scheme));
    for record in [first, second] {
        page.subsection(&format!("{}, seed {}", capitalized(record.scheme.name()), record.seed));
        page.sentences(&words(record));
    }
    page.section("Replay");
    replay(&mut page, &runs, player);
    page.section("All metrics");
    let rows: Vec<Vec<Cell>> = Measure::ALL
        .into_iter()
        .map(|measure| {
            vec![
                Cell::Code(measure.name().to_owned()),
                Cell::Number(exact(measure, &first.metrics)),
                Cell::Number(exact(measure, &second.metrics)),
                Cell::Text(meaning(measure).to_owned()),
            ]
        })
        .collect();
    let names = [first.scheme.name(), second.scheme.name()];
    page.table(&["metric", names[0], names[1], "meaning"], &rows);
    for (_, _, extras) in runs {
        for sentence in &extras.missing {
            page.remark(sentence);
        }
    }
    page.finish(&format!(
        "Runs {} and {}, made by lazycopy {}; result schema {}.",
        first.run, second.run, first.program_version, first.schema_version
    ))
}

/// Both hosts before and after, as far as they were told.
fn hosts(page: &mut Page, events: &[Event], extras: &RunExtras) {
    let moments = [("before", &extras.hosts_before), ("after", &extras.hosts_after)];
    if moments.iter().all(|(_, hosts)| hosts.is_none()) {
        return;
    }
    page.section("Before and after");
    let origins = origins(events);
    for (when, hosts) in moments {
        if let Some((hosts, next)) = hosts {
            page.figure(&hosts_figure(&Moment { when, hosts, next, origins: &origins }));
        }
    }
}

/// The replay, unless a run is too large for a page.
fn replay(page: &mut Page, runs: &[(&RunRecord, &[Event], &RunExtras)], player: &Player) {
    if let Some((record, events, _)) = runs.iter().find(|run| run.1.len() > MOST_EVENTS) {
        page.paragraph(&format!(
            "The replay is left out: the {} events of {} are more than the {MOST_EVENTS} that a page \
             holds. The live page (manager --web) plays back more.",
            events.len(),
            record.run
        ));
        return;
    }
    page.remark(
        "Space plays and pauses, the arrow keys go from event to event (with shift in greater \
         strides), once the replay is clicked or reached by the tab key. One run takes ten seconds \
         at speed 1.",
    );
    let data: Vec<Value> = runs
        .iter()
        .map(|(record, events, extras)| {
            replay::data(record, events, extras.before.as_deref(), extras.accesses.as_ref())
        })
        .collect();
    page.replay(&data, player);
}

fn headline(record: &RunRecord) -> String {
    let end = match record.metrics.outcome {
        Outcome::Completed => match record.metrics.total_migration_time_ns {
            Some(total) => format!("completed in {}", Duration::from_nanos(total)),
            None => "completed".to_owned(),
        },
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::Failed => "failed".to_owned(),
        Outcome::Lost => "the guest was lost".to_owned(),
        Outcome::NeverConverges => "never converges".to_owned(),
    };
    format!("{}: {end}", capitalized(record.scheme.name()))
}

pub(crate) fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// What happened.
fn words(record: &RunRecord) -> Vec<String> {
    let metrics = &record.metrics;
    let preset = record.preset.as_ref().map_or(String::new(), |it| format!(", preset {it}"));
    let ends = if record.source_server == SIMULATED {
        "in virtual time".to_owned()
    } else {
        format!("from \"{}\" to \"{}\"", record.source_server, record.destination_server)
    };
    let mut words = vec![format!(
        "A guest was moved {ends} by {}{preset}, seed {}. Outcome: {} ({}).",
        record.scheme,
        record.seed,
        metrics.outcome.to_string().replace('_', " "),
        metrics.reason
    )];
    words.extend(waiting(record));
    words.push(traffic(record));
    words.extend(felt(record));
    words.push(match record.digest_matches {
        Some(true) => {
            "What the guest saw, and each of its pages, equal its reference run's.".into()
        }
        Some(false) => "The guest differs from its reference run: this is a bug.".into(),
        None => "Nothing was there to compare with a reference run.".into(),
    });
    if record.slip_exceeded {
        words.push(
            "Marked: the processes were later than their bound; use a smaller time_scale or a less \
             busy machine before this run is counted."
                .to_owned(),
        );
    }
    words
}

fn waiting(record: &RunRecord) -> Option<String> {
    let metrics = &record.metrics;
    let downtime = Duration::from_nanos(metrics.downtime_ns?);
    let stalls = match metrics.faults {
        0 => "met no page fault of the migration".to_owned(),
        faults => format!(
            "was blocked for {} by {} ({} ended by a page from the source, {} by the disk)",
            Duration::from_nanos(metrics.stall_time_ns),
            counted(faults, "page fault"),
            metrics.faults_remote,
            metrics.faults_disk
        ),
    };
    Some(format!("The guest ran nowhere for {downtime} (downtime) and afterwards {stalls}."))
}

fn traffic(record: &RunRecord) -> String {
    let metrics = &record.metrics;
    let causes = [
        (metrics.pages_round, "before the hand-over"),
        (metrics.pages_background, "in the background"),
        (metrics.pages_forward, "for the forward context"),
        (metrics.pages_demand, "on demand"),
    ];
    let used = causes.iter().filter(|(pages, _)| *pages > 0);
    let parts: Vec<String> = used.map(|(pages, cause)| format!("{pages} {cause}")).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    format!(
        "{} and the context crossed the link ({}){parts}.",
        counted(metrics.pages_transferred, "page"),
        Quantity::Bytes.figure(metrics.bytes_transferred as f64)
    )
}

fn felt(record: &RunRecord) -> Option<String> {
    let measured = record.metrics.measured_time_ns?;
    let reference = record.metrics.reference_measured_time_ns?;
    let compared = match measured.checked_sub(reference) {
        Some(0) => "as long as without a migration".to_owned(),
        Some(more) => format!(
            "{} more than without a migration ({})",
            Duration::from_nanos(more),
            Duration::from_nanos(reference)
        ),
        None => format!(
            "{} less than without a migration ({})",
            Duration::from_nanos(reference - measured),
            Duration::from_nanos(reference)
        ),
    };
    Some(format!(
        "Its measured accesses after the resume took {}, {compared}.",
        Duration::from_nanos(measured)
    ))
}

fn facts(record: &RunRecord) -> Vec<(String, String)> {
    let shown = [
        Measure::TotalMigrationTime,
        Measure::Downtime,
        Measure::StallTime,
        Measure::Faults,
        Measure::PagesTransferred,
        Measure::BytesTransferred,
    ];
    let fact = |measure: Measure| {
        let figure = match measure.value(&record.metrics) {
            Some(value) => quantity(measure).figure(value),
            None => exact(measure, &record.metrics),
        };
        (figure, measure.label().to_owned())
    };
    shown.into_iter().map(fact).collect()
}

fn moments(history: &History) -> Vec<Vec<Cell>> {
    let row = |(at, name): &(lazycopy_units::Instant, String)| {
        vec![Cell::Number(at.to_string()), Cell::Text(name.clone())]
    };
    history.milestones.iter().map(row).collect()
}

fn metrics(record: &RunRecord) -> Vec<Vec<Cell>> {
    let row = |measure: Measure| {
        vec![
            Cell::Code(measure.name().to_owned()),
            Cell::Number(exact(measure, &record.metrics)),
            Cell::Text(meaning(measure).to_owned()),
        ]
    };
    Measure::ALL.into_iter().map(row).collect()
}

/// The scenario's keys, tables joined by dots.
fn scenario(record: &RunRecord) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    flatten("", &record.scenario, &mut rows);
    rows.into_iter().map(|(key, value)| vec![Cell::Code(key), Cell::Code(value)]).collect()
}

fn flatten(key: &str, value: &serde_json::Value, rows: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(table) => {
            for (name, value) in table {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(&key, value, rows);
            }
        }
        serde_json::Value::String(text) => rows.push((key.to_owned(), text.clone())),
        other => rows.push((key.to_owned(), other.to_string())),
    }
}
