//! The destination when the link breaks: the guest goes on with what is here, and what is missing
//! comes when the link is back, or from the disk, or never.

use super::following::Following;
use super::{Destination, DestinationOutput, State};
#[cfg(feature = "broken-rules")]
use crate::broken_rules::BrokenRule;
use crate::event::EventKind;
use crate::message::Reply;
use crate::parameters::MigrationParameters;
use crate::recovery::{DestinationRecovery, PageMap, RecoveryAnswer, SourceRecovery};
use lazycopy_units::{Instant, PageNumber};

impl Destination {
    /// Whether the link is broken, as far as this side knows.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// What to answer a source that asks to go on. Where it is
    /// [`ThrownAway`](RecoveryAnswer::ThrownAway), the guest is never resumed here: whoever drops
    /// this machine then keeps the answer, at least as long as the source may ask.
    pub fn answer_recovery(&self) -> RecoveryAnswer {
        let recovery = match &self.state {
            State::AwaitingContext { staged, .. } => DestinationRecovery {
                arrived: staged.iter().collect(),
                ..DestinationRecovery::default()
            },
            State::AwaitingResume(following)
            | State::Following(following)
            | State::Settled(following) => DestinationRecovery {
                context_came: true,
                resumed: self.report.resumed_at.is_some(),
                complete: matches!(self.state, State::Settled(_)),
                accesses: following.accesses(),
                arrived: self.arrived(following),
                ..DestinationRecovery::default()
            },
            State::Gone => {
                return match (&self.report.lost, &self.report.thrown_away) {
                    (Some((_, reason)), _) => RecoveryAnswer::Lost { reason: reason.clone() },
                    (None, Some((_, reason))) => {
                        RecoveryAnswer::ThrownAway { reason: reason.clone() }
                    }
                    (None, None) => RecoveryAnswer::Unknown,
                };
            }
        };
        RecoveryAnswer::Goes(DestinationRecovery { counts: self.report.arrived, ..recovery })
    }

    /// Whether the source may be told which pages were taken, so that it gives their memory up:
    /// only once the guest runs here. Until then it may become the source's again, and needs them.
    pub fn may_acknowledge(&self) -> bool {
        self.report.resumed_at.is_some()
    }

    fn arrived(&self, following: &Following) -> PageMap {
        let pages = (0..self.spec.pages).map(PageNumber);
        #[cfg(feature = "broken-rules")]
        if self.broken_rule == Some(BrokenRule::StaleBitmap) {
            return pages.filter(|page| following.arrivals.is_listed(*page)).collect();
        }
        pages.filter(|page| following.arrivals.wants_no_copy(*page)).collect()
    }

    pub(super) fn link_lost(&mut self, now: Instant, reason: String) {
        if self.paused.is_some() || matches!(self.state, State::Gone) {
            return;
        }
        self.paused = Some(now);
        if let State::AwaitingResume(following) | State::Following(following) = &mut self.state {
            following.fall_silent();
            self.report.pauses += 1;
            self.log(now, EventKind::Paused { reason });
        }
    }

    /// The source's first word on a new connection.
    pub(super) fn recovered(&mut self, now: Instant, word: &SourceRecovery) {
        self.link_lost(now, "a new connection was made".to_owned());
        self.end_pause(now);
        self.head_start_done |= word.head_start_done;
        match &mut self.state {
            State::AwaitingContext { on_disk, .. } => on_disk.clone_from(&word.on_disk),
            State::AwaitingResume(following) | State::Following(following) => {
                following.learn_on_disk(now, &word.on_disk, &self.parameters);
                following.speak_again(now, &self.parameters);
                self.log(now, EventKind::Recovered);
            }
            State::Settled(_) => {
                let reply = Reply::Complete;
                self.outputs.push_back(DestinationOutput::Reply { at: now, reply });
            }
            // It was thrown away after its answer: the source would go on for nothing.
            State::Gone => {
                if let Some((_, reason)) = &self.report.thrown_away {
                    let reply = Reply::ThrownAway { reason: reason.clone() };
                    self.outputs.push_back(DestinationOutput::Reply { at: now, reply });
                }
            }
        }
    }

    fn end_pause(&mut self, now: Instant) {
        if let Some(since) = self.paused.take()
            && self.is_past_context()
        {
            self.report.paused_time += now.saturating_since(since);
        }
    }

    /// The source is gone, or was waited for long enough. The guest goes on here if the disk has
    /// what is missing.
    ///
    /// One that was not resumed yet may be the source's again by an operator's word, for as long
    /// as the source may live: it is thrown away.
    pub(super) fn source_lost(&mut self, now: Instant, reason: String, is_dead: bool) {
        self.link_lost(now, reason.clone());
        #[cfg(feature = "broken-rules")]
        let is_dead = is_dead || self.broken_rule == Some(BrokenRule::ResumeOnSuspicion);
        let following = match &mut self.state {
            State::AwaitingResume(following) if is_dead => following,
            State::Following(following) => following,
            State::AwaitingContext { .. } | State::AwaitingResume(_) => {
                return self.withdrawn(now, reason);
            }
            State::Settled(_) | State::Gone => return,
        };
        let (dirty, clean) = following.missing();
        #[cfg(feature = "broken-rules")]
        let dirty = if self.broken_rule == Some(BrokenRule::TakeStaleFromDisk) { 0 } else { dirty };
        if dirty > 0 {
            let reason = format!("{reason}; {dirty} pages that the disk has not were missing");
            self.end_pause(now);
            return self.lose(now, reason);
        }
        following.do_without_source(now, &self.parameters);
        self.report.left_on_disk = clean;
        self.report.source_lost = Some((now, reason.clone()));
        self.log(now, EventKind::SourceLost { reason, on_disk: clean });
    }

    /// The source runs the guest again: nothing of it is kept here. Without effect once the guest
    /// was resumed here, which no source can undo.
    pub(super) fn withdrawn(&mut self, now: Instant, reason: String) {
        match &self.state {
            State::AwaitingContext { .. } => {}
            State::AwaitingResume(_) => {
                self.log(now, EventKind::ThrownAway { reason: reason.clone() });
            }
            State::Following(_) | State::Settled(_) | State::Gone => return,
        }
        self.end_pause(now);
        self.state = State::Gone;
        self.report.thrown_away = Some((now, reason));
        self.outputs.push_back(DestinationOutput::Ended);
    }
}

impl Following {
    /// Nothing that is said is heard any more.
    fn fall_silent(&mut self) {
        self.is_silent = true;
    }

    /// Says again what may not have been heard. All of it may be heard twice.
    fn speak_again(&mut self, now: Instant, parameters: &MigrationParameters) {
        self.is_silent = false;
        for page in std::mem::take(&mut self.unsaid_overwritten) {
            self.say(now, Reply::Overwritten { page });
        }
        if let Some(page) = self.request {
            self.say(now, Reply::Request { page });
        }
        if parameters.progress_step().is_some() {
            self.say(now, Reply::Progress { accesses: self.accesses() });
        }
    }

    /// The source says of these pages that they are on the disk, if they are missing.
    pub(super) fn learn_on_disk(
        &mut self,
        now: Instant,
        on_disk: &PageMap,
        parameters: &MigrationParameters,
    ) {
        let missing = self.arrivals.missing_pages();
        for page in missing.into_iter().filter(|page| on_disk.contains(*page)) {
            self.learn_not_resident(now, page, parameters);
        }
    }

    /// How many pages are missing that the disk has not, and how many that it has.
    fn missing(&self) -> (u64, u64) {
        let missing = self.arrivals.missing_pages();
        let dirty = missing.iter().filter(|page| self.arrivals.is_dirty_at_source(**page)).count();
        (dirty as u64, (missing.len() - dirty) as u64)
    }

    /// What is missing is on the disk, and nobody is asked any more.
    fn do_without_source(&mut self, now: Instant, parameters: &MigrationParameters) {
        let missing = self.arrivals.missing_pages();
        for page in missing.into_iter().chain(self.request) {
            self.learn_not_resident(now, page, parameters);
        }
    }
}

#[cfg(feature = "broken-rules")]
impl Destination {
    /// Breaks that rule from now on.
    pub fn break_rule(&mut self, rule: BrokenRule) {
        self.broken_rule = Some(rule);
    }
}
