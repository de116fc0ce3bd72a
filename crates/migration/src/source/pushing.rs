//! The source after the hand-over: it pushes pages, and runs the forward context.

use super::preimages::Preimages;
use crate::event::{Answer, EventKind};
use crate::lanes::Lanes;
use crate::message::{Cause, Context, LinkMessage, Notice, PageMessage};
use crate::page_set::PageSet;
use crate::parameters::MigrationParameters;
use lazycopy_guest::{Guest, ProgressLog, ProgressRun, Stop, Timeout, TimeoutKind, Victim};
use lazycopy_units::{Instant, PageNumber};
use std::sync::Arc;

/// What a step here gave, in the order of its happening.
#[derive(Debug)]
pub(super) enum Effect {
    Event(EventKind),
    Notify(Notice),
}

/// From the hand-over to the release. From now on the guest is the destination's: what runs here
/// is the forward context, whose accesses do not count.
#[derive(Debug)]
pub(super) struct Pushing {
    context: Arc<Context>,
    /// The suspended guest's memory; as the forward context it goes on.
    guest: Guest,
    preimages: Preimages,
    lanes: Lanes,
    /// Pages that are not to be sent (again): those sent since the hand-over, current ones from
    /// before it, and those that the guest has overwritten at the destination.
    sent: PageSet,
    /// Pages that the forward context has loaded from the disk.
    loaded: PageSet,
    context_transmitted: bool,
    forward: Option<Forward>,
}

/// What is known of the forward context besides its guest.
#[derive(Debug)]
struct Forward {
    head_start_announced: bool,
    /// What the destination reported last.
    following_accesses: u64,
}

impl Pushing {
    /// The hand-over of a suspended guest whose pages wait in `lanes`.
    pub(super) fn new(guest: Guest, context: Arc<Context>, lanes: Lanes) -> Self {
        let pages = guest.spec().pages;
        let preimages = Preimages::new(pages, &context);
        let mut sent = PageSet::new(pages);
        for entry in context.residency.iter().filter(|entry| entry.current) {
            sent.insert(entry.page);
        }
        Pushing {
            preimages,
            context,
            guest,
            lanes,
            sent,
            loaded: PageSet::new(pages),
            context_transmitted: false,
            forward: None,
        }
    }

    /// Whether a page waits and may be sent. The context goes first.
    pub(super) fn wants_link(&self) -> bool {
        self.context_transmitted && !self.lanes.is_empty()
    }

    /// The link is free: the most urgent page, if one waits.
    pub(super) fn next_page(&mut self) -> Option<PageMessage> {
        let (page, cause) = self.lanes.pop()?;
        assert!(self.sent.insert(page), "page {page} was sent twice after the hand-over");
        self.guest.memory_mut().forget_touch(page);
        Some(self.preimages.message(page, cause, &self.guest))
    }

    /// A transmission has ended. After the context's, the forward context resumes.
    pub(super) fn transmitted(
        &mut self,
        now: Instant,
        parameters: &MigrationParameters,
    ) -> Vec<Effect> {
        if std::mem::replace(&mut self.context_transmitted, true) {
            return Vec::new();
        }
        let mut effects = vec![Effect::Event(EventKind::ContextSent)];
        if parameters.scheme.parts().forward_context {
            for page in (0..self.guest.spec().pages).map(PageNumber) {
                if self.lanes.contains(page) {
                    self.guest.memory_mut().watch_touch(page);
                }
            }
            self.forward = Some(Forward {
                head_start_announced: parameters.head_start == 0,
                following_accesses: 0,
            });
            self.guest.leave_stamps();
            self.guest.record_progress();
            self.guest.resume(now);
            effects.push(Effect::Event(EventKind::ForwardResumed));
        }
        effects
    }

    /// Accesses that the forward context has completed.
    pub(super) fn forward_accesses(&self) -> u64 {
        match self.forward {
            Some(_) => self.guest.registers().accesses - self.context.registers.accesses,
            None => 0,
        }
    }

    pub(super) fn take_full_progress(&mut self) -> Vec<ProgressRun> {
        self.guest.take_full_progress()
    }

    pub(super) fn take_progress(&mut self) -> ProgressLog {
        self.guest.take_progress()
    }

    /// Accesses that the forward context may begin before it waits for a report.
    fn allowance(&self, parameters: &MigrationParameters) -> u64 {
        match (&self.forward, parameters.max_lead) {
            (None, _) => 0,
            (Some(_), None) => u64::MAX,
            (Some(forward), Some(max_lead)) => {
                (forward.following_accesses + max_lead).saturating_sub(self.forward_accesses())
            }
        }
    }

    pub(super) fn poll_timeout(&self, parameters: &MigrationParameters) -> Option<Timeout> {
        self.forward.as_ref()?;
        self.guest
            .poll_timeout()
            .filter(|due| due.kind == TimeoutKind::Disk || self.allowance(parameters) > 0)
    }

    /// Lets the forward context run. Returns when it stopped, and with what.
    pub(super) fn run(
        &mut self,
        until: Instant,
        budget: u64,
        parameters: &MigrationParameters,
    ) -> (Instant, Vec<Effect>) {
        let mut effects = Vec::new();
        let Some(forward) = &self.forward else { return (until, effects) };
        let before_announcement = if forward.head_start_announced {
            u64::MAX
        } else {
            parameters.head_start - self.forward_accesses()
        };
        let budget = budget.min(self.allowance(parameters)).min(before_announcement);
        let stop = self.guest.run(until, budget);
        match stop {
            Stop::Touched(page) => {
                self.join_forward(page, &mut effects);
                self.announce_head_start(parameters, &mut effects);
                (self.guest.completed_at(), effects)
            }
            Stop::Missed(page) => {
                let (_, since) = self.guest.blocked_on().expect("it has just missed");
                self.guest.begin_load(since, parameters.disk_latency_source);
                effects.push(Effect::Event(EventKind::ForwardMissed { page }));
                (since, effects)
            }
            Stop::Limit | Stop::Budget | Stop::Idle => {
                self.announce_head_start(parameters, &mut effects);
                (self.guest.completed_at(), effects)
            }
        }
    }

    fn announce_head_start(&mut self, parameters: &MigrationParameters, effects: &mut Vec<Effect>) {
        let completed = self.forward_accesses();
        if let Some(forward) = &mut self.forward
            && !forward.head_start_announced
            && completed >= parameters.head_start
        {
            forward.head_start_announced = true;
            effects.push(Effect::Event(EventKind::HeadStartCompleted));
            effects.push(Effect::Notify(Notice::HeadStart));
        }
    }

    /// The disk answers the forward context.
    pub(super) fn disk_due(
        &mut self,
        now: Instant,
        parameters: &MigrationParameters,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some((page, _)) = self.guest.blocked_on() else { return effects };
        let victim = self.guest.complete_load(now);
        if let Some(victim) = victim {
            self.evicted(&victim, &mut effects);
        }
        self.loaded.insert(page);
        self.join_forward(page, &mut effects);
        self.announce_head_start(parameters, &mut effects);
        effects
    }

    fn join_forward(&mut self, page: PageNumber, effects: &mut Vec<Effect>) {
        if !self.sent.contains(page) && self.lanes.join_forward(page) {
            effects.push(Effect::Event(EventKind::JoinedForward { page }));
        }
    }

    /// The forward context evicted a page. One that was sent needs nothing. One that was not: if
    /// it was dirty at the suspension it stays in its lane; else the disk has it and it is
    /// withdrawn, the destination being told of pages that its residency list promised.
    fn evicted(&mut self, victim: &Victim, effects: &mut Vec<Effect>) {
        let page = victim.page;
        if self.sent.contains(page) || self.preimages.is_dirty(page) {
            return;
        }
        let lane = self.lanes.withdraw(page);
        if self.preimages.is_on_residency_list(page) && !self.loaded.contains(page) {
            effects.push(Effect::Event(EventKind::PageDropped { page }));
            effects.push(Effect::Notify(Notice::Dropped { page }));
        } else {
            effects.push(Effect::Event(EventKind::PageWithdrawn { page }));
            if lane == Some(Cause::Demand) {
                effects.push(Effect::Notify(Notice::NotResident { page }));
            }
        }
    }

    /// The destination asks for a page. "In source memory" means: it can still be sent.
    pub(super) fn requested(&mut self, page: PageNumber) -> Vec<Effect> {
        self.lanes.fault_at(page);
        let answer = if self.lanes.contains(page) {
            self.lanes.move_to_demand(page);
            Answer::InSourceMemory
        } else if self.sent.contains(page) {
            Answer::OnItsWay
        } else {
            Answer::NotResident
        };
        let mut effects = vec![Effect::Event(EventKind::PageRequested { page, answer })];
        if answer == Answer::NotResident {
            effects.push(Effect::Notify(Notice::NotResident { page }));
        }
        effects
    }

    /// The guest has written the page as a whole at the destination: it is not sent any more.
    /// Whether it would have been.
    pub(super) fn overwritten(&mut self, page: PageNumber) -> bool {
        self.sent.insert(page);
        self.guest.memory_mut().forget_touch(page);
        self.lanes.withdraw(page).is_some()
    }

    /// The following context has completed so many accesses.
    pub(super) fn following_progressed(&mut self, now: Instant, accesses: u64) {
        if let Some(forward) = &mut self.forward {
            forward.following_accesses = forward.following_accesses.max(accesses);
            self.guest.hold_until(now);
        }
    }

    /// The guest as it was at the suspension: the destination has thrown the context away.
    pub(super) fn into_guest_at_suspension(mut self) -> Guest {
        if self.forward.is_some() {
            self.preimages.rewind(&mut self.guest, &self.context);
        }
        self.guest
    }

    /// The message that hands the guest over.
    pub(super) fn context_message(&self) -> LinkMessage {
        LinkMessage::Context(Arc::clone(&self.context))
    }
}
