//! The source after the hand-over: it pushes pages, and runs the forward context.

use super::Sending;
use super::preimages::Preimages;
use super::yielding::Yielding;
use crate::event::{Answer, EventKind};
use crate::lanes::Lanes;
use crate::message::{Cause, Context, LinkMessage, Notice, PageMessage};
use crate::page_set::PageSet;
use crate::parameters::MigrationParameters;
use lazycopy_guest::{Guest, Memory, ProgressLog, ProgressRun, Stop, Timeout, TimeoutKind, Victim};
use lazycopy_units::{Duration, Instant, PAGE_MESSAGE_BYTES, PageNumber, Rate};
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
    /// When the background may send its next page, where it is held to a rate.
    background_allowed_at: Instant,
    push_rate: Option<Rate>,
    forward: Option<Forward>,
    /// Where the scheme's forward context yields.
    yielding: Option<Yielding>,
    /// Pages of which the destination knows from this that they are on the disk.
    told_on_disk: PageSet,
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
    pub(super) fn new(
        now: Instant,
        guest: Guest,
        context: Arc<Context>,
        lanes: Lanes,
        parameters: &MigrationParameters,
    ) -> Self {
        let pages = guest.spec().pages;
        let preimages = Preimages::new(pages, &context);
        let mut sent = PageSet::new(pages);
        for entry in context.residency.iter().filter(|entry| entry.current) {
            sent.insert(entry.page);
        }
        let yields = parameters.scheme.parts().yields;
        Pushing {
            yielding: yields.then(|| Yielding::new(now, &context, parameters)),
            preimages,
            context,
            guest,
            lanes,
            sent,
            loaded: PageSet::new(pages),
            told_on_disk: PageSet::new(if yields { pages } else { 0 }),
            context_transmitted: false,
            background_allowed_at: now,
            push_rate: parameters.push_rate,
            forward: None,
        }
    }

    /// From when on a page that waits may be sent, if one does. The context goes first.
    pub(super) fn wants_link(&self) -> Option<Instant> {
        if !self.context_transmitted || self.lanes.is_empty() {
            return None;
        }
        let urgent = self.lanes.urgent_count() > 0;
        Some(if urgent { Instant::ZERO } else { self.background_allowed_at })
    }

    /// Whether a page waits that goes before the background. The context goes first.
    pub(super) fn wants_urgent_link(&self) -> bool {
        self.context_transmitted && self.lanes.urgent_count() > 0
    }

    /// The link is free for `room` pages: the most urgent one, if one waits, and those that go with
    /// it, in the order of their numbers. Where a rate is kept pages go one by one.
    pub(super) fn next_pages(&mut self, now: Instant, room: u32) -> Option<Sending> {
        let most = if self.push_rate.is_some() { 1 } else { room };
        let (page, count, cause) = self.lanes.pop(most)?;
        Some(self.send(now, Sending { page, count, cause }))
    }

    /// The way for urgent pages is free: the most urgent of them, if one waits.
    pub(super) fn next_urgent_page(&mut self, now: Instant) -> Option<Sending> {
        let (page, cause) = self.lanes.pop_urgent()?;
        Some(self.send(now, Sending { page, count: 1, cause }))
    }

    fn send(&mut self, now: Instant, sending: Sending) -> Sending {
        let Sending { page, count, cause } = sending;
        if let Some(yielding) = &mut self.yielding {
            yielding.begin_pages(now, count);
        }
        if let Some(rate) = self.push_rate.filter(|_| cause == Cause::Background) {
            self.background_allowed_at = now + rate.time_for(PAGE_MESSAGE_BYTES);
        }
        let new = self.sent.insert_run(page, count);
        assert!(new == count, "one of {count} pages from {page} on was sent twice");
        if self.forward.is_some() {
            let memory = self.guest.memory_mut();
            (page.0..page.0 + count).for_each(|page| memory.forget_touch(PageNumber(page)));
        }
        sending
    }

    /// The message for the first of these pages, and as many as go with it.
    pub(super) fn message(&self, Sending { page, count, cause }: Sending) -> PageMessage {
        self.preimages.message(page, count, cause, &self.guest)
    }

    /// What runs here, or is suspended.
    pub(super) fn left(&self) -> &Guest {
        &self.guest
    }

    /// The memory of what runs here, or is suspended.
    pub(super) fn memory(&self) -> &Memory {
        self.guest.memory()
    }

    /// That memory, to give up the bytes of pages that the destination has.
    pub(super) fn memory_mut(&mut self) -> &mut Memory {
        self.guest.memory_mut()
    }

    /// See [`Guest::keep_up`].
    pub(super) fn keep_up(&mut self, now: Instant, lag: Duration) {
        self.guest.keep_up(now, lag);
    }

    /// A transmission has ended. After the context's, the forward context resumes.
    pub(super) fn transmitted(
        &mut self,
        now: Instant,
        parameters: &MigrationParameters,
    ) -> Vec<Effect> {
        if let Some(yielding) = &mut self.yielding {
            yielding.transmitted(now);
        }
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
                head_start_announced: parameters.effective_head_start() == 0,
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
                let furthest = forward.following_accesses.saturating_add(max_lead);
                furthest.saturating_sub(self.forward_accesses())
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
            parameters.effective_head_start() - self.forward_accesses()
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
                self.foretell_load(page, parameters, &mut effects);
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
            && completed >= parameters.effective_head_start()
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
        if self.may_push_loaded(page) {
            self.join_forward(page, &mut effects);
        } else {
            self.withhold(page, &mut effects);
        }
        self.announce_head_start(parameters, &mut effects);
        effects
    }

    /// A forward context that yields tells the destination at once that a page which it misses is
    /// on the disk, where the guest has it sooner from there.
    fn foretell_load(
        &mut self,
        page: PageNumber,
        parameters: &MigrationParameters,
        effects: &mut Vec<Effect>,
    ) {
        let may_come = self.sent.contains(page) || self.lanes.contains(page);
        if let Some(yielding) = &self.yielding
            && !may_come
            && parameters.disk_latency_destination
                <= parameters.disk_latency_source + yielding.time_behind(0)
        {
            self.tell_on_disk(page, effects);
        }
    }

    fn withhold(&mut self, page: PageNumber, effects: &mut Vec<Effect>) {
        effects.push(Effect::Event(EventKind::PageWithheld { page }));
        self.tell_on_disk(page, effects);
    }

    /// Tells the destination, once, that the disk has a page which nothing promised.
    fn tell_on_disk(&mut self, page: PageNumber, effects: &mut Vec<Effect>) {
        if self.told_on_disk.insert(page) {
            effects.push(Effect::Notify(Notice::NotResident { page }));
        }
    }

    /// Whether a page that was just loaded from the disk, where the destination can load it, too,
    /// may take the link's time. A forward context that does not yield pushes all of them.
    fn may_push_loaded(&mut self, page: PageNumber) -> bool {
        match &mut self.yielding {
            Some(yielding) if !self.sent.contains(page) && !self.lanes.contains(page) => {
                yielding.take_for_loaded(self.lanes.urgent_count())
            }
            _ => true,
        }
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
        if let Some(yielding) = &mut self.yielding
            && lane.is_some()
        {
            yielding.give_back();
        }
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
        let waited = self.lanes.withdraw(page).is_some();
        if let Some(yielding) = &mut self.yielding
            && waited
        {
            yielding.give_back();
        }
        waited
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
