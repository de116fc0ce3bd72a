//! What must hold of the two machines at every step, and of a migration that has come to its end.

use super::Pair;
use lazycopy_guest::{Guest, GuestSpec, Memory, PageContents, reference_run};
use lazycopy_migration::{EventKind, Metrics, Outcome, Scheme, Side, Verdict};
use lazycopy_units::{Duration, Instant, PageNumber};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Pair {
    /// At every step: the guest has one owner, and comes back to the source by a word alone.
    pub(super) fn one_owner(&self) {
        let (source, destination) = (self.source.report(), self.destination.report());
        let returned = source.returned.is_some();
        let at_source = self.source.guest().is_some();
        assert_eq!(at_source, source.handover_at.is_none() || returned);
        // What ran at a destination that has died since cannot be taken back either.
        let ran = destination.resumed_at.is_some();
        let counts_at_source = at_source && !self.breaks.source_is_dead;
        if self.breaks.liar.is_none() {
            assert!(!(counts_at_source && ran), "a guest has two owners");
            let said = destination.thrown_away.is_some() || self.breaks.is_reclaimed;
            assert!(!returned || source.handover_at.is_none() || said, "nobody gave it back");
        }
        let guest_here = self.destination.guest().is_some();
        assert!(!(destination.lost.is_some() && guest_here), "a lost guest is here");
        assert!(!(destination.thrown_away.is_some() && ran), "resumed, and thrown away");
    }

    /// What must hold at the end.
    pub(super) fn ends_well(&self, spec: &Arc<GuestSpec>, scheme: Scheme) {
        let (source, destination) = (self.source.report(), self.destination.report());
        self.crosses_once(source.handover_at);
        assert!(self.is_over(), "no end: {source:?} {destination:?}");
        self.one_outcome_each();
        if !self.disturbed && source.never_converges_in.is_none() {
            let verdict = Verdict { outcome: Outcome::Completed, reason: String::new() };
            let metrics = Metrics::from_reports(scheme, source, destination, verdict);
            metrics.check(source, destination).expect("the books agree");
        }
        if source.returned.is_some() && !self.breaks.source_is_dead {
            let guest = self.source.guest().expect("it has returned");
            self.is_as_it_would_have_been(spec, guest);
        }
        // What a source says that is none, the destination cannot know better.
        if self.breaks.liar == Some(Side::Source) || self.breaks.destination_is_dead {
            return;
        }
        if let Some(guest) = self.destination.guest() {
            self.is_as_it_would_have_been(spec, guest);
        }
        let Some(ended) = destination.ended_registers else { return };
        let reference = reference_run(spec, Duration::ZERO, 0, ended.accesses);
        let reference = reference.expect("it has no recording");
        assert_eq!(
            (ended.digest, destination.ended_pages_digest),
            (reference.registers.digest, Some(reference.pages_digest)),
            "the guest is not what it would have been"
        );
    }

    /// Each side that lives has come to one end, and to the same one where the link alone broke.
    fn one_outcome_each(&self) {
        let (source, destination) = (self.source.report(), self.destination.report());
        let counts = |ends: [bool; 3]| ends.into_iter().filter(|end| *end).count();
        let released = source.released_at.is_some();
        let (returned, lost) = (source.returned.is_some(), source.lost.is_some());
        if !self.breaks.source_is_dead {
            assert_eq!(counts([released, returned, lost]), 1, "{source:?}");
        }
        let complete = destination.completed_at.is_some();
        let (away, gone) = (destination.thrown_away.is_some(), destination.lost.is_some());
        if !self.breaks.destination_is_dead {
            assert_eq!(counts([complete, away, gone]), 1, "{destination:?}");
        }
        if self.breaks.link_alone_broke() {
            assert!(!lost && !gone, "a broken link cost a guest: {source:?} {destination:?}");
            assert_eq!((released, returned), (complete, away), "{source:?} {destination:?}");
        }
        if !self.disturbed {
            let gave_up = source.never_converges_in.is_some();
            assert_eq!(returned, gave_up, "an undisturbed migration failed: {source:?}");
        }
    }

    /// After the hand-over a page crosses once; again only if it was lost in flight.
    fn crosses_once(&self, handover: Option<Instant>) {
        let mut sent = BTreeSet::new();
        let mut handed_over = false;
        for event in &self.events {
            match event.kind {
                EventKind::Handover { .. } => handed_over = handover.is_some(),
                EventKind::PageSent { page, .. } if handed_over => {
                    assert!(sent.insert(page), "page {page} crossed twice");
                }
                EventKind::PageLost { page } => drop(sent.remove(&page)),
                _ => {}
            }
        }
    }

    fn is_as_it_would_have_been(&self, spec: &Arc<GuestSpec>, guest: &Guest) {
        let registers = guest.registers();
        let reference = reference_run(spec, Duration::ZERO, 0, registers.accesses);
        let reference = reference.expect("it has no recording").registers;
        assert_eq!(registers.digest, reference.digest, "it has seen something else");
        if self.in_pages {
            every_byte(spec, guest.memory());
        }
    }
}

/// Real pages have the bytes that their stamps tell.
fn every_byte(spec: &GuestSpec, memory: &Memory) {
    let contents = PageContents::of(spec);
    let bytes = memory.bytes().expect("it is in pages");
    for page in (0..spec.pages).map(PageNumber) {
        if let Some(stamp) = memory.stamp(page) {
            assert!(contents.matches(page, stamp, bytes.page(page)), "page {page} differs");
        }
    }
}
