//! The source when the link breaks after the hand-over: it pauses, finds out what was lost, and
//! goes on; or takes the guest back where that is safe.

use super::pushing::Pushing;
use super::{Source, SourceOutput, State};
#[cfg(feature = "broken-rules")]
use crate::broken_rules::BrokenRule;
use crate::event::EventKind;
use crate::message::{Context, Residency, ResidencyList};
use crate::page_set::PageSet;
use crate::recovery::{DestinationRecovery, PageMap, RecoveryAnswer, SourceRecovery};
use lazycopy_units::{Instant, PageNumber};
use std::sync::Arc;

/// What [`Pushing`] keeps for the case that the link breaks.
#[derive(Debug)]
pub(super) struct Breaks {
    /// Since when the link is broken.
    paused: Option<Instant>,
    /// Pages that were sent more than once before the hand-over: that a copy of them arrived does
    /// not say that the last one did.
    sent_again: Option<PageSet>,
    /// Pages that wait again since they were lost.
    lost: Option<PageSet>,
    /// How many of these were sent again.
    recovered: u64,
    #[cfg(feature = "broken-rules")]
    broken_rule: Option<BrokenRule>,
}

impl Breaks {
    pub(super) fn new(sent_again: Option<PageSet>) -> Self {
        Breaks {
            paused: None,
            sent_again,
            lost: None,
            recovered: 0,
            #[cfg(feature = "broken-rules")]
            broken_rule: None,
        }
    }

    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// The `count` pages from `first` on are sent.
    #[inline]
    pub(super) fn sends(&mut self, first: PageNumber, count: u32) {
        if let Some(lost) = &mut self.lost {
            self.recovered += u64::from(lost.remove_run(first, count));
        }
    }

    /// Whether a copy of `page` that arrived before the hand-over need not be the last.
    fn may_be_old(&self, page: PageNumber) -> bool {
        #[cfg(feature = "broken-rules")]
        if self.broken_rule == Some(BrokenRule::TrustOldCopies) {
            return false;
        }
        self.sent_again.as_ref().is_some_and(|pages| pages.contains(page))
    }

    /// Pages that were sent again since they had been lost.
    pub(super) fn recovered(&self) -> u64 {
        self.recovered
    }

    /// Whether an evicted dirty page is dropped: never, but where that rule is broken on purpose.
    pub(super) fn drops_dirty(&self) -> bool {
        #[cfg(feature = "broken-rules")]
        return self.broken_rule == Some(BrokenRule::DropDirty);
        #[cfg(not(feature = "broken-rules"))]
        false
    }
}

/// Whether an operator may take the guest back after the hand-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reclaim {
    /// The guest never ran at the destination, and never will: for this reason.
    Safe(&'static str),
    /// It may have run there: for this reason.
    Refused(&'static str),
}

impl Source {
    /// Whether the migration is paused: the link is broken after the hand-over.
    pub fn is_paused(&self) -> bool {
        matches!(&self.state, State::Pushing(pushing) if pushing.breaks.is_paused())
    }

    /// Whether [`SourceInput::Reclaimed`](super::SourceInput::Reclaimed) would take the guest back.
    ///
    /// It would where the source can prove that the guest never ran at the destination and never
    /// will, whatever became of the destination. Else what the guest wrote to the shared disk and
    /// told the world there could not be taken back, and the source cannot know of it.
    ///
    /// The proof asks one thing of the driver: the last byte of the context is given to the
    /// connection at [`SourceInput::Transmitted`](super::SourceInput::Transmitted), not before.
    pub fn reclaim(&self) -> Reclaim {
        let State::Pushing(pushing) = &self.state else {
            return Reclaim::Refused("it is not handed over, or the migration is at its end");
        };
        if !pushing.breaks.is_paused() {
            return Reclaim::Refused("the destination has it, and is within reach");
        }
        #[cfg(feature = "broken-rules")]
        if pushing.breaks.broken_rule == Some(BrokenRule::ReclaimAlways) {
            return Reclaim::Safe("a rule is broken on purpose");
        }
        if !pushing.context_transmitted {
            return Reclaim::Safe("the context has not left the source as a whole");
        }
        if pushing.withholds_resume() {
            return Reclaim::Safe(
                "the destination waits for the forward context's head start, which was not \
                 announced, or for pages that have not left the source",
            );
        }
        Reclaim::Refused(
            "it may have run at the destination: what it wrote to the disk and told others there \
             cannot be taken back",
        )
    }

    pub(super) fn link_lost(&mut self, now: Instant, reason: String) {
        let State::Pushing(pushing) = &mut self.state else {
            return self.give_up(now, reason);
        };
        #[cfg(feature = "broken-rules")]
        if pushing.breaks.broken_rule == Some(BrokenRule::ResumeBoth) {
            return self.take_back(now, reason);
        }
        if pushing.breaks.paused.is_none() {
            pushing.breaks.paused = Some(now);
            self.report.pauses += 1;
            self.log(now, EventKind::Paused { reason });
        }
    }

    /// The first word of the destination on a new connection.
    pub(super) fn recovered(&mut self, now: Instant, answer: RecoveryAnswer) {
        match answer {
            RecoveryAnswer::Goes(recovery) => self.go_on(now, &recovery),
            RecoveryAnswer::ThrownAway { reason } => self.take_back(now, reason),
            RecoveryAnswer::Lost { reason } => self.destination_lost_guest(now, reason),
            RecoveryAnswer::Unknown => {
                let reason = "the destination has begun anew, without the guest".to_owned();
                self.destination_lost_guest(now, reason);
            }
        }
    }

    fn go_on(&mut self, now: Instant, recovery: &DestinationRecovery) {
        // A driver that recovers has seen the link break.
        self.link_lost(now, "a new connection was made".to_owned());
        self.report.lost_in_flight = self.report.sent.above(&recovery.counts);
        let State::Pushing(pushing) = &mut self.state else { return };
        if recovery.complete {
            return self.release(now);
        }
        let lost_before = self.report.lost_in_flight.round > 0;
        let lost = match recovery.context_came {
            true => pushing.find_lost(&recovery.arrived),
            false => pushing.find_lost_with_context(lost_before.then_some(&recovery.arrived)),
        };
        // Before the context came nothing was overwritten.
        let exempted = match recovery.context_came {
            true => pushing.exempt(&recovery.arrived),
            false => Vec::new(),
        };
        pushing.put_back(&lost);
        pushing.following_progressed(now, recovery.accesses);
        let word = Box::new(pushing.recovery());
        let context = (!recovery.context_came).then(|| pushing.context_message());
        self.end_pause(now);
        for page in lost {
            self.log(now, EventKind::PageLost { page });
        }
        for page in exempted {
            self.report.exempted += 1;
            self.log(now, EventKind::PageExempted { page });
        }
        self.log(now, EventKind::Recovered);
        self.outputs.push_back(SourceOutput::Recover { at: now, recovery: word });
        if let Some(context) = context {
            self.transmit(now, context);
        }
    }

    /// The destination has no guest any more. The source stays paused where an operator may still
    /// take the guest back.
    fn destination_lost_guest(&mut self, now: Instant, reason: String) {
        self.link_lost(now, reason.clone());
        if let Reclaim::Refused(_) = self.reclaim() {
            self.destination_lost(now, reason);
        }
    }

    pub(super) fn destination_lost(&mut self, now: Instant, reason: String) {
        self.give_up(now, reason.clone());
        if let State::Pushing(_) = self.state {
            self.lose(now, reason);
        }
    }

    /// An operator's word.
    pub(super) fn reclaimed(&mut self, now: Instant, reason: String) {
        if let Reclaim::Safe(_) = self.reclaim() {
            self.take_back(now, reason);
        }
    }

    /// The guest, which never ran at the destination and never will, goes on from the suspension.
    pub(super) fn take_back(&mut self, now: Instant, reason: String) {
        if let Some(pushing) = self.stop_pushing(now) {
            self.return_guest(now, pushing.into_guest_at_suspension(), reason);
        }
    }

    pub(super) fn end_pause(&mut self, now: Instant) {
        if let State::Pushing(pushing) = &mut self.state
            && let Some(since) = pushing.breaks.paused.take()
        {
            self.report.paused_time += now.saturating_since(since);
        }
    }
}

impl Pushing {
    /// Whether the destination cannot have resumed the guest, nor ever will by itself: it waits for
    /// the head start's notice, and is not complete without a page that has never left.
    fn withholds_resume(&self) -> bool {
        let announced = self.forward.as_ref().is_none_or(|forward| forward.head_start_announced);
        let is_held_back = |page: PageNumber| {
            self.lanes.contains(page) && !self.sent.contains(page) && !self.loaded.contains(page)
        };
        !announced && self.context.residency.iter().any(|entry| is_held_back(entry.page))
    }

    /// Pages that were sent and have not arrived, once the context has.
    fn find_lost(&mut self, arrived: &PageMap) -> Vec<PageNumber> {
        #[cfg(feature = "broken-rules")]
        if self.breaks.broken_rule == Some(BrokenRule::ForgetLost) {
            return Vec::new();
        }
        let lost: Vec<PageNumber> =
            self.sent.iter().filter(|page| !arrived.contains(*page)).collect();
        self.forget_sent(&lost);
        lost
    }

    /// The context is lost, and with it whatever was sent after it. Of what was sent before it,
    /// `arrived` tells where something is missing: a page that was sent several times may have
    /// arrived as it no longer is.
    fn find_lost_with_context(&mut self, arrived: Option<&PageMap>) -> Vec<PageNumber> {
        let is_there =
            |page| arrived.is_none_or(|it| it.contains(page) && !self.breaks.may_be_old(page));
        let entries = self.context.residency.iter();
        let residency: ResidencyList = entries
            .map(|entry| Residency { current: entry.current && is_there(entry.page), ..entry })
            .collect();
        let mut there = PageSet::new(self.guest.spec().pages);
        for entry in residency.iter().filter(|entry| entry.current) {
            there.insert(entry.page);
        }
        let lost: Vec<PageNumber> =
            self.sent.iter().filter(|page| !there.contains(*page)).collect();
        self.forget_sent(&lost);
        self.context = Arc::new(Context { residency, ..(*self.context).clone() });
        self.context_transmitted = false;
        lost
    }

    fn forget_sent(&mut self, lost: &[PageNumber]) {
        for page in lost {
            self.sent.remove(*page);
        }
    }

    /// Lost pages wait again, as far as they are needed: one that the forward context has evicted
    /// is on the disk if it was clean at the suspension, and one that it has loaded is there
    /// anyhow.
    fn put_back(&mut self, lost: &[PageNumber]) {
        let is_needed = |page: &PageNumber| {
            self.preimages.is_on_residency_list(*page)
                && (self.preimages.is_dirty(*page) || self.guest.memory().contains(*page))
        };
        let again: Vec<PageNumber> = lost.iter().copied().filter(is_needed).collect();
        self.lanes.put_back(&again);
        let pages = self.guest.spec().pages;
        let marked = self.breaks.lost.get_or_insert_with(|| PageSet::new(pages));
        for page in &again {
            marked.insert(*page);
        }
        if self.forward.is_some() {
            lost.iter().for_each(|page| self.guest.memory_mut().watch_touch(*page));
        }
    }

    /// Nothing is sent of which the destination wants no copy. Returns what had waited.
    fn exempt(&mut self, arrived: &PageMap) -> Vec<PageNumber> {
        let pages = (0..self.guest.spec().pages).map(PageNumber);
        let unsent = pages.filter(|page| arrived.contains(*page) && !self.sent.contains(*page));
        let unsent: Vec<PageNumber> = unsent.collect();
        unsent.into_iter().filter(|page| self.overwritten(*page)).collect()
    }

    /// What the destination is told: a page of the residency list that neither arrived nor waits
    /// is on the disk.
    fn recovery(&self) -> SourceRecovery {
        let entries = self.context.residency.iter().map(|entry| entry.page);
        let is_on_disk =
            |page: &PageNumber| !self.sent.contains(*page) && !self.lanes.contains(*page);
        SourceRecovery {
            head_start_done: self.forward.as_ref().is_some_and(|it| it.head_start_announced),
            on_disk: entries.filter(is_on_disk).collect(),
        }
    }
}

#[cfg(feature = "broken-rules")]
mod broken {
    use super::{Breaks, BrokenRule, Pushing, Source, State};
    use crate::message::PageMessage;
    use lazycopy_guest::Guest;
    use lazycopy_units::Instant;

    impl Source {
        /// Breaks that rule from the hand-over on.
        pub fn break_rule(&mut self, rule: BrokenRule) {
            self.broken_rule = Some(rule);
        }

        pub(in crate::source) fn free_early(&mut self, now: Instant) {
            if let State::Pushing(pushing) = &self.state
                && pushing.breaks.broken_rule == Some(BrokenRule::FreeEarly)
                && pushing.lanes.is_empty()
            {
                self.release(now);
            }
        }
    }

    impl Pushing {
        pub(in crate::source) fn breaking(mut self, rule: Option<BrokenRule>) -> Self {
            self.breaks.broken_rule = rule;
            self
        }
    }

    impl Breaks {
        /// Pages that go as the forward context has written to them: alone, since the bytes in its
        /// memory are those of before.
        pub(in crate::source) fn tamper(&self, message: PageMessage, guest: &Guest) -> PageMessage {
            let is_written = |page| guest.memory().is_dirty(page) && !message.dirty;
            if self.broken_rule != Some(BrokenRule::SendOwnWrites) {
                return message;
            }
            match message.pages().position(is_written) {
                Some(0) => {
                    let written = guest.stamp(message.page) ^ guest.registers().accesses;
                    PageMessage { count: 1, stamp: Some(written), ..message }
                }
                Some(before) => PageMessage { count: before as u32, ..message },
                None => message,
            }
        }
    }
}
