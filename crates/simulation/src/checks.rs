//! What must hold after every run, one check per property.

use crate::run::{Migration, Run};
use lazycopy_migration::{EventKind, Fate, Outcome};
use std::collections::BTreeSet;

/// Holds a completed run against the invariants of the model.
///
/// # Errors
/// The first property that does not hold, in words.
pub fn check_run(migration: &Migration, run: &Run) -> Result<(), String> {
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
    every_listed_page_is_accounted_for(migration, run)
}

/// The guest has seen what it would have seen without a migration, and so has every page.
fn equals_reference(run: &Run) -> Result<(), String> {
    let registers = run.destination.ended_registers.ok_or("the run has no end")?;
    let reference = run.reference.registers;
    if (registers.accesses, registers.digest) != (reference.accesses, reference.digest) {
        return Err(format!("registers {registers:?} differ from the reference's {reference:?}"));
    }
    if run.destination.ended_pages_digest != Some(run.reference.pages_digest) {
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

/// Each page of the residency list arrived, or the destination was told that the disk has it.
/// (With rounds the residency list is not that of the beginning.)
fn every_listed_page_is_accounted_for(migration: &Migration, run: &Run) -> Result<(), String> {
    if migration.parameters.scheme.parts().before_handover.has_rounds() {
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
            "page {} of {} was neither sent nor dropped before completion ({})",
            lost.page, migration.guest.pages, migration.parameters.scheme
        )),
        None => Ok(()),
    }
}
