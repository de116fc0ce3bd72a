//! What must hold after every run, one check per property.

use crate::fleet::{Fleet, FleetRun};
use crate::run::{Migration, Run};
use lazycopy_link::Direction;
use lazycopy_migration::{EventKind, Fate, MigrationParameters, Outcome};
use lazycopy_units::{Duration, Instant};
use std::collections::BTreeSet;

/// Holds a completed run, with its events and its reference run, against the invariants of the
/// model.
///
/// # Errors
/// The first property that does not hold, in words.
pub fn check_run(migration: &Migration, run: &Run) -> Result<(), String> {
    check(&migration.parameters, run)
}

/// Holds each run of a fleet against the invariants of the model, and its cards against their
/// capacity.
///
/// # Errors
/// The first property that does not hold, in words.
pub fn check_fleet(fleet: &Fleet, run: &FleetRun) -> Result<(), String> {
    for (number, (migration, run)) in fleet.migrations.iter().zip(&run.runs).enumerate() {
        check(&migration.parameters, run)
            .map_err(|problem| format!("migration {number}: {problem}"))?;
        if run.source.requested_at != Some(migration.starts) {
            return Err(format!("migration {number} was not asked for at {}", migration.starts));
        }
    }
    cards_carry_what_was_sent(fleet, run)
}

fn check(parameters: &MigrationParameters, run: &Run) -> Result<(), String> {
    run.metrics.check(&run.source, &run.destination)?;
    if run.metrics.outcome == Outcome::NeverConverges {
        return stayed_at_the_source(run);
    }
    if run.metrics.outcome != Outcome::Completed {
        return Err(format!("the migration {}: {}", run.metrics.outcome, run.metrics.reason));
    }
    equals_reference(run)?;
    nothing_is_sent_twice(run)?;
    one_context_counts(run)?;
    yields_to_the_link(parameters, run)?;
    every_listed_page_is_accounted_for(parameters, run)
}

/// No card carries more than it can, nor less than what was sent over it.
fn cards_carry_what_was_sent(fleet: &Fleet, run: &FleetRun) -> Result<(), String> {
    let time = (run.network_until - run.network_from).as_nanos();
    for card in &run.cards {
        let (host, out) = (card.host, card.direction == Direction::Out);
        let capacity = fleet.cards[host.0 as usize];
        let capacity = if out { capacity.out } else { capacity.into }.bytes_per_sec();
        let most = u128::from(capacity) * u128::from(time) / NANOS_PER_SEC;
        if u128::from(card.bytes) > most {
            return Err(format!("{} bytes of {most} over the card of {host:?}", card.bytes));
        }
        if card.bandwidth_peak > capacity {
            return Err(format!("a peak of {} on the card of {host:?}", card.bandwidth_peak));
        }
        let over_time = card.over_time.as_ref().map(|series| series.bytes.iter().sum());
        if over_time.is_some_and(|bytes: u64| bytes != card.bytes) {
            return Err(format!("{} bytes of {host:?} are not those over time", card.bytes));
        }
        let migrations = fleet.migrations.iter().zip(&run.runs).filter(|(migration, _)| {
            host == if out { migration.source } else { migration.destination }
        });
        let neighbours = fleet.neighbours.iter().zip(&run.neighbours).filter(|(neighbour, _)| {
            let route = neighbour.route;
            Some(host) == if out { route.source } else { route.destination }
        });
        let moved_by: Vec<u64> = neighbours.map(|(_, report)| report.bytes).collect();
        let moved: u64 = migrations.map(|(_, run)| run.metrics.bytes_transferred).sum::<u64>()
            + moved_by.iter().sum::<u64>();
        // A byte that is on its way counts when it has left: one of the card's, and, where the
        // books open later, one of each neighbour's that was on its way then.
        let begun_before = run.network_from > Instant::ZERO;
        let on_their_way = 1 + if begun_before { moved_by.len() as u64 } else { 0 };
        if moved > card.bytes + on_their_way {
            return Err(format!("{moved} bytes were sent over {host:?}, its card: {}", card.bytes));
        }
    }
    Ok(())
}

const NANOS_PER_SEC: u128 = Duration::from_secs(1).as_nanos() as u128;

/// The guest has seen what it would have seen without a migration, and so has every page.
fn equals_reference(run: &Run) -> Result<(), String> {
    let registers = run.destination.ended_registers.ok_or("the run has no end")?;
    let reference = run.reference.ok_or("there is no reference run")?;
    let at_end = reference.registers;
    if (registers.accesses, registers.digest) != (at_end.accesses, at_end.digest) {
        return Err(format!("registers {registers:?} differ from the reference's {at_end:?}"));
    }
    if run.destination.ended_pages_digest != Some(reference.pages_digest) {
        return Err("a page's stamp differs from the reference's".to_owned());
    }
    Ok(())
}

/// A migration that was given up has not been handed over, and the guest runs at the source.
fn stayed_at_the_source(run: &Run) -> Result<(), String> {
    let left = run.source.handover_at.is_some() || run.destination.resumed_at.is_some();
    if left || run.source.returned.is_none() {
        return Err(format!("given up, and yet the guest left: {:?}", run.source));
    }
    Ok(())
}

/// After the hand-over a page crosses the link at most once, and not at all if its copy of before
/// the hand-over was current.
fn nothing_is_sent_twice(run: &Run) -> Result<(), String> {
    let mut sent = BTreeSet::new();
    let handover = run.source.handover_at;
    for event in run.events.iter().filter(|event| Some(event.at) >= handover) {
        if let EventKind::PageSent { page, .. } = event.kind
            && !sent.insert(page)
        {
            return Err(format!("page {page} crossed the link twice"));
        }
    }
    Ok(())
}

/// Suspended before handed over before resumed, each once.
fn one_context_counts(run: &Run) -> Result<(), String> {
    let times = [
        run.source.requested_at,
        run.source.suspended_at,
        run.source.handover_at,
        run.destination.resumed_at,
        run.destination.completed_at,
        run.source.released_at,
    ];
    if times.iter().any(Option::is_none) || !times.is_sorted() {
        return Err(format!("phases out of order: {times:?}"));
    }
    Ok(())
}

/// A forward context that yields hardly sends more than post-copy would.
fn yields_to_the_link(parameters: &MigrationParameters, run: &Run) -> Result<(), String> {
    let listed = run.before.resident.len() as u64;
    let most = listed + listed / 64;
    if parameters.scheme.parts().yields && run.metrics.pages_transferred > most {
        return Err(format!("{} pages were sent, {most} allowed", run.metrics.pages_transferred));
    }
    Ok(())
}

/// Each page of the residency list arrived, or the destination was told that the disk has it.
/// (With rounds the residency list is not that of the beginning.)
fn every_listed_page_is_accounted_for(
    parameters: &MigrationParameters,
    run: &Run,
) -> Result<(), String> {
    if parameters.scheme.parts().before_handover.has_rounds() {
        return Ok(());
    }
    let completed = run.destination.completed_at.ok_or("the run was not completed")?;
    let mut known = BTreeSet::new();
    for event in run.events.iter().filter(|event| event.at <= completed) {
        match event.kind {
            EventKind::PageArrived { page, fate, .. } if fate != Fate::Late => known.insert(page),
            EventKind::PageNotResident { page } | EventKind::Overwritten { page } => {
                known.insert(page)
            }
            _ => continue,
        };
    }
    match run.before.resident.iter().find(|resident| !known.contains(&resident.page)) {
        Some(lost) => Err(format!(
            "page {} was neither sent nor dropped before completion ({})",
            lost.page, parameters.scheme
        )),
        None => Ok(()),
    }
}
