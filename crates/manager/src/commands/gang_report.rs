//! What came of moving many guests: per guest, and in all.

use super::journey::{Attempt, Fate, Gang, Journey};
use crate::fleet::{Evacuation, Move};
use crate::render::{aligned, table, table_or, time};
use crate::reply::{CommandError, Reply};
use lazycopy_migration::{Metrics, Outcome};
use serde_json::{Value, json};

/// Guests that did not get away are named in the first line up to this many; the table names all.
const NAMED: usize = 3;

/// What came of moving many guests.
#[derive(Debug)]
pub(super) struct Report {
    journeys: Vec<Journey>,
    at_once: u64,
}

/// Sums over all guests.
struct Totals {
    /// Guests that are on another server now.
    moved: usize,
    /// Migrations that completed.
    completed: usize,
    /// Migrations that did not, those that were refused included.
    not_completed: usize,
    /// Guests that are where they were.
    remaining: usize,
    /// Guests that are nowhere.
    gone: usize,
    /// From the first request to the end of the last source's part, by the manager's clock.
    wall_ns: Option<u64>,
    /// The same in model time, where all have one time scale: what the processes need to agree on
    /// each migration is in it, `time_scale` times.
    model_ns: Option<u64>,
    pages: u64,
    bytes: u64,
}

impl Report {
    pub fn new(mut journeys: Vec<Journey>, gang: &Gang) -> Report {
        journeys.sort_by(|a, b| a.vm.cmp(&b.vm));
        Report { journeys, at_once: gang.sharers }
    }

    /// The reply, or the error where a guest did not get where it should; both tell of all guests.
    pub fn reply(&self, what: &str, mut json: Value) -> Result<Reply, CommandError> {
        let totals = self.totals();
        json["guests"] = self.journeys.iter().map(journey_json).collect();
        json["totals"] = self.totals_json(&totals);
        if self.journeys.is_empty() {
            return Ok(Reply::new(format!("No guest of {what} is to be moved."), json));
        }
        let sums = self.sums(&totals);
        let table = journeys_table(&self.journeys);
        let failures: Vec<String> = self.failures().collect();
        if failures.is_empty() {
            let text = format!("{} guests of {what} moved: {sums}\n{table}", totals.moved);
            return Ok(Reply::new(text, json));
        }
        let more = failures.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        let named = failures[..failures.len().min(NAMED)].join("; ");
        let text = format!(
            "{} of {} guests of {what} were not moved as they should: {named}{more}\n{sums}\n{table}",
            failures.len(),
            self.journeys.len()
        );
        Err(CommandError::NotAllMoved { text, json })
    }

    /// The guests for which something is wrong, and what.
    fn failures(&self) -> impl Iterator<Item = String> {
        let failure =
            |journey: &Journey| Some(format!("\"{}\": {}", journey.vm, journey.failure()?));
        self.journeys.iter().filter_map(failure)
    }

    fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.journeys.iter().flat_map(|journey| &journey.attempts)
    }

    fn totals(&self) -> Totals {
        let fates = |is: fn(&Fate) -> bool| self.journeys.iter().filter(|it| is(&it.fate)).count();
        let completed = self.attempts().filter(|attempt| has_completed(attempt)).count();
        let began = self.attempts().map(|attempt| attempt.began).min();
        let through = self.attempts().map(|attempt| attempt.through).max();
        let wall = began.zip(through).map(|(began, through)| through.duration_since(began));
        let wall_ns = wall.map(|wall| u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX));
        let mut scales = self.attempts().filter_map(|attempt| attempt.time_scale);
        let first = scales.next();
        let scale = first.filter(|first| scales.all(|scale| scale == *first));
        let metrics = || self.attempts().filter_map(metrics);
        Totals {
            moved: fates(|fate| matches!(fate, Fate::Arrived { .. } | Fate::Relocated { .. })),
            completed,
            not_completed: self.attempts().count() - completed,
            remaining: fates(|fate| matches!(fate, Fate::Remains { .. })),
            gone: fates(|fate| matches!(fate, Fate::Gone { .. })),
            wall_ns,
            model_ns: wall_ns.zip(scale).map(|(wall, scale)| wall.saturating_mul(scale)),
            pages: metrics().map(|metrics| metrics.pages_transferred).sum(),
            bytes: metrics().map(|metrics| metrics.bytes_transferred).sum(),
        }
    }

    fn totals_json(&self, totals: &Totals) -> Value {
        json!({
            "guests": self.journeys.len(),
            "moved": totals.moved,
            "remaining": totals.remaining,
            "gone": totals.gone,
            "migrations_completed": totals.completed,
            "migrations_not_completed": totals.not_completed,
            "at_once": self.at_once,
            "wall_duration_ns": totals.wall_ns,
            "model_duration_ns": totals.model_ns,
            "pages_transferred": totals.pages,
            "bytes_transferred": totals.bytes,
            "failures": self.failures().collect::<Vec<_>>(),
        })
    }

    fn sums(&self, totals: &Totals) -> String {
        let model = totals.model_ns.map(|ns| format!(" ({} of model time)", time(Some(ns))));
        let have_shares = self.attempts().any(|attempt| attempt.modelled);
        let share = match self.at_once {
            1 => "one at a time".to_owned(),
            share if have_shares => format!("{share} at once, each with 1/{share} of its link"),
            // Where no link is modelled the sockets share by themselves.
            share => format!("{share} at once"),
        };
        format!(
            "{} of {} migrations completed in {}{}, {share}; {} pages, {} bytes.",
            totals.completed,
            totals.completed + totals.not_completed,
            time(totals.wall_ns),
            model.unwrap_or_default(),
            totals.pages,
            totals.bytes
        )
    }
}

fn metrics(attempt: &Attempt) -> Option<&Metrics> {
    Some(&attempt.ended()?.record.as_ref()?.metrics)
}

fn has_completed(attempt: &Attempt) -> bool {
    attempt.ended().is_some_and(|ended| ended.verdict.outcome == Outcome::Completed)
}

/// What became of a guest, in a word.
fn outcome(journey: &Journey) -> String {
    let last = journey.attempts.last().and_then(Attempt::ended);
    match (&journey.fate, last) {
        (Fate::Relocated { .. }, _) => "relocated".to_owned(),
        (Fate::Elsewhere { .. }, _) => "elsewhere".to_owned(),
        (_, Some(ended)) => ended.verdict.outcome.to_string(),
        (Fate::Gone { .. }, None) => "lost".to_owned(),
        (_, None) => "remains".to_owned(),
    }
}

/// The server that a guest is on; the one that it was on, where it is gone.
fn place(journey: &Journey) -> &str {
    match &journey.fate {
        Fate::Arrived { on } | Fate::Relocated { on } | Fate::Elsewhere { on } => on,
        Fate::Remains { .. } => &journey.from,
        Fate::Gone { .. } => "-",
    }
}

fn journeys_table(journeys: &[Journey]) -> String {
    let mut guests =
        table(&["guest", "is on", "outcome", "total", "downtime", "pages", "directory", "remark"]);
    for journey in journeys {
        let last = journey.attempts.last();
        let numbers = last.and_then(metrics);
        let directory = last.and_then(Attempt::ended).and_then(|ended| ended.directory.as_ref());
        let tries = match journey.attempts.len() {
            2.. => format!("after \"{}\" failed", journey.attempts[0].to),
            _ => String::new(),
        };
        guests.add_row([
            journey.vm.clone(),
            place(journey).to_owned(),
            outcome(journey),
            time(numbers.and_then(|metrics| metrics.total_migration_time_ns)),
            time(numbers.and_then(|metrics| metrics.downtime_ns)),
            numbers.map_or("-".to_owned(), |metrics| metrics.pages_transferred.to_string()),
            directory.map_or("-".to_owned(), |path| path.display().to_string()),
            journey.failure().map_or(tries, str::to_owned),
        ]);
    }
    aligned(guests)
}

fn journey_json(journey: &Journey) -> Value {
    let server = match place(journey) {
        "-" => None,
        server => Some(server),
    };
    let last = journey.attempts.last().map_or(Value::Null, attempt_json);
    let mut json = json!({
        "vm": journey.vm,
        "source": journey.from,
        "server": server,
        "outcome": outcome(journey),
        "problem": journey.failure(),
        "attempts": journey.attempts.iter().map(attempt_json).collect::<Vec<_>>(),
    });
    for key in
        ["migration", "total_migration_time_ns", "downtime_ns", "directory", "digest_matches"]
    {
        json[key] = last[key].clone();
    }
    json
}

fn attempt_json(attempt: &Attempt) -> Value {
    let metrics = metrics(attempt);
    let ended = attempt.ended();
    let record = ended.and_then(|ended| ended.record.as_ref());
    json!({
        "destination": attempt.to,
        "migration": attempt.migration(),
        "outcome": ended.map(|ended| ended.verdict.outcome),
        "reason": match &attempt.result {
            Ok((_, ended)) => &ended.verdict.reason,
            Err(reason) => reason,
        },
        "total_migration_time_ns": metrics.map(|metrics| metrics.total_migration_time_ns),
        "downtime_ns": metrics.map(|metrics| metrics.downtime_ns),
        "pages_transferred": metrics.map(|metrics| metrics.pages_transferred),
        "bytes_transferred": metrics.map(|metrics| metrics.bytes_transferred),
        "digest_matches": record.and_then(|record| record.digest_matches),
        "directory": ended.and_then(|ended| ended.directory.as_ref()),
    })
}

/// What an evacuation would do.
pub(super) fn plan_reply(from: &str, plan: &Evacuation) -> Reply {
    let mut guests = table(&["guest", "frames", "to", "how"]);
    let moves = |moves: &[Move]| -> Vec<Value> {
        let json = |to: &Move| json!({ "vm": to.vm, "frames": to.frames, "destination": to.to });
        moves.iter().map(json).collect()
    };
    for (moves, how) in [(&plan.moves, "migrates"), (&plan.relocations, "is defined there")] {
        for planned in moves {
            let (vm, to) = (planned.vm.clone(), planned.to.clone());
            guests.add_row([vm, planned.frames.to_string(), to, how.to_owned()]);
        }
    }
    for vm in &plan.under_way {
        let how = "is migrating: that is awaited first";
        guests.add_row([vm.as_str(), "-", "-", how]);
    }
    for stay in &plan.stays {
        guests.add_row([stay.vm.as_str(), "-", "-", &format!("stays: {}", stay.why)]);
    }
    let stays = plan.stays.iter().map(|stay| json!({ "vm": stay.vm, "problem": stay.why }));
    let json = json!({
        "server": from,
        "plan": {
            "moves": moves(&plan.moves), "relocations": moves(&plan.relocations),
            "under_way": plan.under_way, "stays": stays.collect::<Vec<_>>(),
        },
    });
    let nothing = format!("No guest of server \"{from}\" is to be moved.");
    Reply::new(table_or(guests, &nothing), json)
}
