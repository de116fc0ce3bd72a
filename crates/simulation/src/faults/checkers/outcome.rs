//! What came of it: the guest's state, the outcome that is told, the books.

use super::{Book, Checker, Sight, is_at_source};
use crate::faults::hosts::Hosts;
use crate::faults::reference::ReferenceGuest;
use lazycopy_guest::{Guest, GuestSpec, PageContents};
use lazycopy_migration::{Metrics, Outcome, Scheme, Verdict};
use lazycopy_units::PageNumber;
use std::sync::Arc;

/// Whichever context is the guest has seen what the reference run has seen at the same access, and
/// in the end each page is as it is there.
pub(super) struct SameAsReference {
    reference: ReferenceGuest,
}

impl SameAsReference {
    pub(super) fn new(spec: &Arc<GuestSpec>) -> Self {
        SameAsReference { reference: ReferenceGuest::new(spec) }
    }
}

/// The guest: at the source before the hand-over, or again; at the destination once resumed.
fn the_guest(hosts: &Hosts) -> Option<&Guest> {
    let at_source = hosts.source.machine.as_ref().and_then(|it| it.guest());
    at_source.or_else(|| {
        let destination = hosts.destination.machine.as_ref()?;
        destination.guest().filter(|_| destination.report().resumed_at.is_some())
    })
}

/// A page in memory whose bytes are not what they should be, where it has bytes.
fn torn_page(guest: &Guest) -> Option<PageNumber> {
    let (memory, contents) = (guest.memory(), PageContents::of(guest.spec()));
    let bytes = memory.bytes()?;
    let is_whole = |page: &PageNumber| {
        memory.stamp(*page).is_some_and(|stamp| contents.matches(*page, stamp, bytes.page(*page)))
    };
    memory.iter().find(|page| !is_whole(page))
}

impl Checker for SameAsReference {
    fn name(&self) -> &'static str {
        "same-as-reference"
    }

    fn sentence(&self) -> &'static str {
        "whichever context is the guest has seen what a guest that was never migrated has seen at \
         the same access, and in the end holds the same pages"
    }

    fn see(&mut self, sight: &Sight<'_>, _: &Book, hosts: &Hosts) -> Result<(), String> {
        let is_end = match sight {
            Sight::Step => false,
            Sight::End(_) => true,
            _ => return Ok(()),
        };
        let Some(guest) = the_guest(hosts) else { return Ok(()) };
        let registers = guest.registers();
        let reference = self.reference.check(&registers)?;
        if is_end && reference.pages_digest() != guest.pages_digest() {
            return Err("a page's stamp is another in the end".to_owned());
        }
        if is_end && let Some(page) = torn_page(guest) {
            return Err(format!("the bytes of page {page} are not those of its stamp"));
        }
        Ok(())
    }
}

/// Every run ends in a named outcome with a reason that is true; lost is never told as success.
pub(super) struct NamedOutcome;

impl Checker for NamedOutcome {
    fn name(&self) -> &'static str {
        "named-outcome"
    }

    fn sentence(&self) -> &'static str {
        "every migration ends in a named outcome with a reason, which says where the guest is; lost \
         is never told as success"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, hosts: &Hosts) -> Result<(), String> {
        let Sight::End(verdict) = sight else { return Ok(()) };
        if verdict.reason.is_empty() {
            return Err("the outcome has no reason".to_owned());
        }
        let at_source = hosts.source.machine.as_ref().is_some_and(|it| it.guest().is_some());
        let destination = hosts.destination.machine.as_ref();
        let at_destination = destination.is_some_and(|it| it.guest().is_some());
        let complete = book.destination(hosts).is_some_and(|it| it.completed_at.is_some());
        let is_true = match verdict.outcome {
            Outcome::Completed => complete && !at_source,
            Outcome::Lost => !at_source && !at_destination,
            outcome => is_at_source(outcome) && at_source && !at_destination,
        };
        match is_true {
            true => Ok(()),
            false => Err(format!(
                "\"{}\" ({}) is told; the guest is at the source: {at_source}, at the \
                 destination: {at_destination}, complete: {complete}",
                verdict.outcome, verdict.reason
            )),
        }
    }
}

/// What is told of a run: whoever has the guest is believed. (A destination says at once that it is
/// complete, and may die then.)
pub(super) fn told(book: &Book, hosts: &Hosts, cancelled: bool) -> Verdict {
    let destination = book.destination(hosts);
    let lost = |reason: String| Verdict { outcome: Outcome::Lost, reason };
    if destination.is_some_and(|it| it.completed_at.is_some()) {
        let without = destination.and_then(|it| it.source_lost.as_ref());
        let reason = match without {
            Some((_, reason)) => format!("nothing is missing, but {reason}"),
            None => "nothing is missing".to_owned(),
        };
        return Verdict { outcome: Outcome::Completed, reason };
    }
    let Some(source) = hosts.source.machine.as_ref().map(|it| it.report()) else {
        return lost("the source is dead, and the destination has not got the guest".to_owned());
    };
    if let Some((_, reason)) = &source.returned {
        let outcome = match (cancelled, source.never_converges_in) {
            (_, Some(_)) => Outcome::NeverConverges,
            (true, None) if source.handover_at.is_none() => Outcome::Cancelled,
            _ => Outcome::Failed,
        };
        return Verdict { outcome, reason: reason.clone() };
    }
    let words = destination.and_then(|it| it.lost.as_ref()).or(source.lost.as_ref());
    lost(words.map_or("the source gave the guest away".to_owned(), |(_, reason)| reason.clone()))
}

/// Parts add up to their totals, and both sides count the same where both live.
pub(super) struct PartsAddUp;

impl Checker for PartsAddUp {
    fn name(&self) -> &'static str {
        "parts-add-up"
    }

    fn sentence(&self) -> &'static str {
        "parts add up to their totals, and both sides count the same where both live"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, hosts: &Hosts) -> Result<(), String> {
        let Sight::End(verdict) = sight else { return Ok(()) };
        let machines = (&hosts.source.machine, &hosts.destination.machine);
        let (Some(source), Some(destination)) = machines else { return Ok(()) };
        let (left, arrived) = (source.report(), destination.report());
        if book.lost_late > 0 && left.released_at.is_some() {
            let known = left.lost_in_flight.total() + arrived.arrived.total();
            let (sent, all) = (left.sent.total(), known + book.lost_late);
            return match sent == all {
                true => Ok(()),
                false => Err(format!("{sent} pages were sent, {all} arrived or were lost")),
            };
        }
        let scheme = Scheme::PostCopy;
        let metrics = Metrics::from_reports(scheme, left, arrived, (*verdict).clone());
        metrics.check(left, arrived)
    }
}
