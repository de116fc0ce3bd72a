//! What must hold at every instant of every run, one checker per property.
//!
//! Checkers look at the machines from outside and at the events that they log. They keep books of
//! their own and believe none of the machines'.

mod outcome;
mod ownership;
mod pages;

use super::hosts::Hosts;
use lazycopy_guest::{Guest, GuestSpec};
use lazycopy_migration::{
    Context, DestinationReport, Event, EventKind, LinkMessage, Outcome, Side, Source, SourceReport,
    Verdict,
};
use lazycopy_units::{Instant, PageNumber};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Who saw it.
    pub checker: &'static str,
    /// What should have held.
    pub sentence: &'static str,
    /// What was seen.
    pub problem: String,
    /// When.
    pub at: Instant,
}

/// What a checker is shown.
pub(super) enum Sight<'a> {
    /// Something was logged.
    Event(&'a Event),
    /// The source sends something over the link.
    Sends(&'a LinkMessage),
    /// A step is over.
    Step,
    /// The run is over; this was told of it.
    End(&'a Verdict),
}

/// One property.
pub(super) trait Checker {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What holds, in a sentence.
    fn sentence(&self) -> &'static str;
    /// Looks; an error tells what does not hold.
    fn see(&mut self, sight: &Sight<'_>, book: &Book, hosts: &Hosts) -> Result<(), String>;
}

/// What is known of the run, for all checkers.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Each page as it was at the suspension; empty before the hand-over.
    pub(super) stamps: Vec<u64>,
    /// The residency list of the last context that was sent: whether a page is dirty, and whether
    /// its copy of before the hand-over is current.
    pub(super) listed: BTreeMap<PageNumber, (bool, bool)>,
    pub(super) is_handed_over: bool,
    pub(super) is_resumed: bool,
    pub(super) is_returned: bool,
    /// An operator told the source to take the guest back.
    pub(super) is_reclaimed: bool,
    /// Pages that a connection lost on which the migration came to its end.
    pub(super) lost_late: u64,
    /// What a process had counted when it died.
    pub(super) last_of_source: Option<SourceReport>,
    pub(super) last_of_destination: Option<DestinationReport>,
}

impl Book {
    /// What the source has counted, or had when it died.
    pub(super) fn source<'a>(&'a self, hosts: &'a Hosts) -> Option<&'a SourceReport> {
        hosts.source.machine.as_ref().map(Source::report).or(self.last_of_source.as_ref())
    }

    /// What the destination has counted, or had when it died.
    pub(super) fn destination<'a>(&'a self, hosts: &'a Hosts) -> Option<&'a DestinationReport> {
        let machine = hosts.destination.machine.as_ref();
        machine.map(|it| it.report()).or(self.last_of_destination.as_ref())
    }

    fn take_context(&mut self, context: &Context) {
        let entries = context.residency.iter();
        self.listed = entries.map(|entry| (entry.page, (entry.dirty, entry.current))).collect();
    }

    fn take_event(&mut self, event: &Event, hosts: &Hosts) {
        match event.kind {
            EventKind::Handover { .. } => {
                self.is_handed_over = true;
                let left = hosts.source.machine.as_ref().and_then(Source::left);
                let pages = left.map_or(0, |guest| guest.spec().pages);
                let stamp = |page| left.map(|guest: &Guest| guest.stamp(PageNumber(page)));
                self.stamps = (0..pages).filter_map(stamp).collect();
            }
            EventKind::Resumed { .. } => self.is_resumed = true,
            EventKind::Returned { .. } => self.is_returned = true,
            _ => {}
        }
    }
}

/// All of them.
pub(crate) struct Checkers {
    book: Book,
    checkers: Vec<Box<dyn Checker>>,
    /// The first that each checker saw.
    pub(crate) violations: Vec<Violation>,
    now: Instant,
    pub(crate) events: Option<Vec<Event>>,
}

impl Checkers {
    pub(crate) fn new(spec: &Arc<GuestSpec>) -> Self {
        let checkers: Vec<Box<dyn Checker>> = vec![
            Box::new(ownership::SingleOwner),
            Box::new(ownership::NotTakenBack),
            Box::new(ownership::StaysBefore),
            Box::new(ownership::FreedWhenComplete),
            Box::new(pages::PreImages),
            Box::new(pages::SentOnce::default()),
            Box::new(pages::HeldOnce::default()),
            Box::new(pages::NothingMissing::default()),
            Box::new(outcome::SameAsReference::new(spec)),
            Box::new(outcome::NamedOutcome),
            Box::new(outcome::PartsAddUp),
        ];
        Checkers {
            book: Book::default(),
            checkers,
            violations: Vec::new(),
            now: Instant::ZERO,
            events: None,
        }
    }

    fn show(&mut self, sight: &Sight<'_>, hosts: &Hosts) {
        let at = self.now;
        for checker in &mut self.checkers {
            if let Err(problem) = checker.see(sight, &self.book, hosts) {
                let (checker, sentence) = (checker.name(), checker.sentence());
                if self.violations.iter().all(|seen| seen.checker != checker) {
                    self.violations.push(Violation { checker, sentence, problem, at });
                }
            }
        }
    }

    /// A machine has logged something.
    pub(crate) fn note(&mut self, event: &Event, hosts: &Hosts) {
        if let Some(events) = &mut self.events {
            events.push(event.clone());
        }
        self.book.take_event(event, hosts);
        self.show(&Sight::Event(event), hosts);
    }

    /// The source gives a message to the link.
    pub(crate) fn transmits(&mut self, message: &LinkMessage, hosts: &Hosts) {
        if let LinkMessage::Context(context) = message {
            self.book.take_context(context);
        }
        self.show(&Sight::Sends(message), hosts);
    }

    /// A step is over.
    pub(crate) fn look(&mut self, now: Instant, hosts: &Hosts) {
        self.now = now;
        self.show(&Sight::Step, hosts);
    }

    /// A process dies.
    pub(crate) fn dies(&mut self, side: Side, hosts: &Hosts) {
        match side {
            Side::Source => self.book.last_of_source = self.book.source(hosts).cloned(),
            Side::Destination => {
                self.book.last_of_destination = self.book.destination(hosts).cloned();
            }
        }
    }

    /// An operator tells the source to take the guest back.
    pub(crate) fn reclaims(&mut self) {
        self.book.is_reclaimed = true;
    }

    /// What is told of the run, by those who live. Unless it was broken off it is held against
    /// what is so; after the last recovery `lost_late` messages were lost.
    pub(crate) fn finish(
        &mut self,
        hosts: &Hosts,
        cancelled: bool,
        lost_late: u64,
        is_over: bool,
    ) -> Verdict {
        self.book.lost_late = lost_late;
        let verdict = outcome::told(&self.book, hosts, cancelled);
        if is_over {
            self.show(&Sight::End(&verdict), hosts);
        }
        verdict
    }

    /// What both sides have counted, or had when they died.
    pub(crate) fn reports(&self, hosts: &Hosts) -> (SourceReport, DestinationReport) {
        let (source, destination) = (self.book.source(hosts), self.book.destination(hosts));
        (source.cloned().unwrap_or_default(), destination.cloned().unwrap_or_default())
    }

    /// Nobody but the driver can see that a run does not end.
    pub(crate) fn blame(&mut self, checker: &'static str, sentence: &'static str, problem: String) {
        self.violations.push(Violation { checker, sentence, problem, at: self.now });
    }
}

/// Names and sentences of all checkers, those of the driver last.
pub(crate) fn sentences(spec: &Arc<GuestSpec>) -> Vec<(&'static str, &'static str)> {
    let checkers = Checkers::new(spec).checkers;
    let mut all: Vec<_> = checkers.iter().map(|it| (it.name(), it.sentence())).collect();
    all.push((super::run::ENDS_IN_TIME.0, super::run::ENDS_IN_TIME.1));
    all.push((super::run::NO_PANIC.0, super::run::NO_PANIC.1));
    all
}

/// Whether an outcome leaves the guest at the source.
fn is_at_source(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Cancelled | Outcome::Failed | Outcome::NeverConverges)
}
