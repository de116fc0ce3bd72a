//! The source machine.

mod exchange;
mod limiter;
mod preimages;
mod pushing;
mod recovery;
mod rounds;
mod yielding;

use crate::event::{Event, EventKind, Side};
use crate::event_log::EventRun;
use crate::lanes::Lanes;
use crate::message::{Cause, Context, LinkMessage, PageMessage, Reply, Residency, ResidencyList};
use crate::page_set::PageSet;
use crate::parameters::{BeforeHandover, MigrationParameters, PushOrder};
use crate::prediction::{HISTORY, order_by_need};
use crate::report::SourceReport;
pub use exchange::{SourceInput, SourceOutput};
use lazycopy_guest::{Guest, Memory, Timeout};
use lazycopy_units::{Duration, Instant, PageNumber};
use pushing::{Effect, Pushing};
pub use recovery::Reclaim;
use rounds::{Choice, Copied, Rounds};
use std::collections::VecDeque;
use std::sync::Arc;

/// Room for outputs from the beginning: few wait at once.
const OUTPUTS: usize = 8;

/// ```text
///          Requested             stop rule             nothing left to copy: the hand-over
///  Resident --------+-> Rounds -------+-> Suspended ------------------------------> Pushing
///      ^            |      |          |       |
///      |            +------|----------+       |
///      |                   |                  |
///      +-------------------+------------------+
///        Cancelled, LinkLost, DestinationLost;
///        or the rounds never converge
///
///              LinkLost
///  Pushing --------------> paused ---------------------------------------> Resident
///     |   <--------------    |     ThrownAway, or Reclaimed and proved:
///     |      Recovered       |     the guest never ran at the destination
///     |                      |
///     +----------------------+-----> Gone
///       Complete: released; DestinationLost: lost
/// ```
///
/// A pause is no state of its own but a part of `Pushing`: all that is known of the pages stays, the
/// link is not wanted, and the forward context stands still. (A destination that cannot open the
/// context says that it threw the guest away without a pause.)
#[derive(Debug)]
enum State {
    /// The guest runs here, as the guest: before the request, or again.
    Resident(Box<Guest>),
    /// The guest runs here, as the guest, while its pages are sent in rounds.
    Rounds(Box<Rounds>),
    /// The guest is suspended here, and what its scheme copies before the hand-over is sent. A
    /// cancellation or a failure resumes it.
    Suspended(Box<Suspended>),
    /// The point of no return has been passed: the guest is the destination's.
    Pushing(Box<Pushing>),
    /// Nothing of the guest is here any more.
    Gone,
}

#[derive(Debug)]
struct Suspended {
    guest: Guest,
    /// What is to be sent before the hand-over.
    lanes: Lanes,
    /// Pages that the destination does not have as they are, apart from those in `lanes`.
    outdated: PageSet,
    /// Pages that are sent more than once when those in `lanes` are sent, if any are.
    sent_again: Option<PageSet>,
    /// Until then the disk is busy with a checkpoint.
    copies_from: Instant,
}

/// Pages that leave together: the first, how many with numbers that follow each other, and why.
#[derive(Clone, Copy, Debug)]
struct Sending {
    page: PageNumber,
    count: u32,
    cause: Cause,
}

impl Sending {
    /// The message for the first of them, which are resident and sent as they are, and for as many
    /// of the others as it can tell of.
    fn message(self, memory: &Memory) -> PageMessage {
        let Sending { page, count, cause } = self;
        let dirty = memory.is_dirty(page);
        if memory.bytes().is_some() {
            let count = memory.alike(page, count);
            return PageMessage { page, count, stamp: None, dirty, cause };
        }
        let stamp = memory.stamp(page).expect("a page that is copied is resident");
        PageMessage { page, count: 1, stamp: Some(stamp), dirty, cause }
    }
}

/// The source of a migration. It owns the guest until the hand-over, and the waiting pages in
/// three lanes; the driver owns the link and says when it is free.
///
/// Guarantee: before the hand-over every failure leaves the guest running here. After it only the
/// destination's word that it threw the context away without resuming gives the guest back; or an
/// operator's, where the source can prove that the destination never resumed it and never will.
#[derive(Debug)]
pub struct Source {
    parameters: MigrationParameters,
    state: State,
    link_wanted_since: Option<Instant>,
    outputs: VecDeque<SourceOutput>,
    report: SourceReport,
    #[cfg(feature = "broken-rules")]
    broken_rule: Option<crate::BrokenRule>,
}

impl Source {
    /// A source that holds `guest`, which runs or is suspended, until the migration is asked for.
    pub fn new(guest: Guest, parameters: MigrationParameters) -> Self {
        Source {
            parameters,
            state: State::Resident(Box::new(guest)),
            link_wanted_since: None,
            outputs: VecDeque::with_capacity(OUTPUTS),
            report: SourceReport::default(),
            #[cfg(feature = "broken-rules")]
            broken_rule: crate::BrokenRule::broken_here(),
        }
    }

    /// Takes what happened at `now`.
    pub fn handle_input(&mut self, now: Instant, input: SourceInput) {
        match input {
            SourceInput::Requested => self.begin(now),
            SourceInput::Transmitted => match &mut self.state {
                State::Pushing(pushing) => {
                    let effects = pushing.transmitted(now, &self.parameters);
                    self.apply(now, effects);
                }
                State::Rounds(rounds) => rounds.transmitted(now),
                State::Resident(_) | State::Suspended(_) | State::Gone => {}
            },
            SourceInput::LinkFree { room } => self.use_link(now, room),
            SourceInput::UrgentLinkFree => self.use_urgent_link(now),
            SourceInput::DiskDue => match &mut self.state {
                State::Pushing(pushing) => {
                    let effects = pushing.disk_due(now, &self.parameters);
                    self.apply(now, effects);
                }
                State::Rounds(rounds) => rounds.disk_due(now),
                State::Resident(_) | State::Suspended(_) | State::Gone => {}
            },
            SourceInput::Received(reply) => self.receive(now, reply),
            SourceInput::Cancelled { reason } => self.give_up(now, reason),
            SourceInput::LinkLost { reason } => self.link_lost(now, reason),
            SourceInput::Recovered(answer) => self.recovered(now, answer),
            SourceInput::Reclaimed { reason } => self.reclaimed(now, reason),
            SourceInput::DestinationLost { reason } => self.destination_lost(now, reason),
        }
        self.note_link(now);
    }

    /// Lets the context that runs here, the guest in rounds or the forward context, take accesses
    /// that begin at `until` or before, at most `budget` of them. It returns early where an output
    /// is to be polled. Returns how many were completed.
    pub fn run(&mut self, until: Instant, budget: u64) -> u64 {
        let (at, completed) = match &mut self.state {
            State::Pushing(pushing) => {
                let before = pushing.forward_accesses();
                let (at, effects) = pushing.run(until, budget, &self.parameters);
                let completed = pushing.forward_accesses() - before;
                let progress = pushing.take_full_progress();
                self.apply(at, effects);
                for run in progress {
                    self.log(run.first, EventKind::Progress { step: run.step, count: run.count });
                }
                (at, completed)
            }
            State::Rounds(rounds) => {
                let before = rounds.guest().registers().accesses;
                let (at, event) = rounds.run(until, budget, &self.parameters);
                let completed = rounds.guest().registers().accesses - before;
                if let Some(kind) = event {
                    self.log(at, kind);
                }
                (at, completed)
            }
            State::Resident(_) | State::Suspended(_) | State::Gone => return 0,
        };
        self.note_link(at);
        completed
    }

    /// When the source wants to be woken: by [`SourceInput::DiskDue`], or by [`Source::run`]. A
    /// guest that runs here as the guest is its driver's.
    #[inline]
    pub fn poll_timeout(&self) -> Option<Timeout> {
        match &self.state {
            State::Pushing(pushing) => pushing.poll_timeout(&self.parameters),
            State::Rounds(rounds) => rounds.poll_timeout(),
            State::Resident(_) | State::Suspended(_) | State::Gone => None,
        }
    }

    /// The next thing to do, until `None`.
    #[inline]
    pub fn poll_output(&mut self) -> Option<SourceOutput> {
        self.outputs.pop_front()
    }

    /// From when on something waits for the link, if anything does: an instant in the past, or
    /// in the future where a rate is kept.
    #[inline]
    pub fn wants_link(&self) -> Option<Instant> {
        match &self.state {
            State::Rounds(rounds) => Some(rounds.allowed_at()),
            _ => self.link_wanted_since,
        }
    }

    /// Whether a page waits that a way of its own for demand and forward pages may take.
    #[inline]
    pub fn wants_urgent_link(&self) -> bool {
        matches!(&self.state, State::Pushing(pushing) if pushing.wants_urgent_link())
    }

    /// The memory of what is here: the guest's, or the forward context's.
    pub fn memory(&self) -> Option<&Memory> {
        match &self.state {
            State::Pushing(pushing) => Some(pushing.memory()),
            _ => self.guest().map(Guest::memory),
        }
    }

    /// After the hand-over, the memory of what is here, to give up the bytes of pages that the
    /// destination has.
    pub fn handed_over_memory(&mut self) -> Option<&mut Memory> {
        match &mut self.state {
            State::Pushing(pushing) => Some(pushing.memory_mut()),
            _ => None,
        }
    }

    /// For drivers whose instants are the clock's: what runs here falls behind it by `lag` at
    /// most, see [`Guest::keep_up`].
    pub fn keep_up(&mut self, now: Instant, lag: Duration) {
        match &mut self.state {
            State::Pushing(pushing) => pushing.keep_up(now, lag),
            State::Rounds(rounds) => rounds.keep_up(now, lag),
            State::Resident(_) | State::Suspended(_) | State::Gone => {}
        }
    }

    fn note_link(&mut self, at: Instant) {
        let from = match &self.state {
            State::Suspended(suspended) => Some(suspended.copies_from),
            State::Pushing(pushing) => pushing.wants_link(),
            State::Resident(_) | State::Rounds(_) | State::Gone => None,
        };
        self.link_wanted_since = from.map(|from| match self.link_wanted_since {
            // What is held to a rate wants the link when it may have it.
            Some(since) if since >= from && since <= at => since,
            _ => from.max(at),
        });
    }

    /// Whether the point of no return has been passed.
    pub fn has_handed_over(&self) -> bool {
        self.report.handover_at.is_some()
    }

    /// The guest, while the source holds it as the guest (before the hand-over, or returned).
    pub fn guest(&self) -> Option<&Guest> {
        match &self.state {
            State::Resident(guest) => Some(guest),
            State::Rounds(rounds) => Some(rounds.guest()),
            State::Suspended(suspended) => Some(&suspended.guest),
            State::Pushing(_) | State::Gone => None,
        }
    }

    /// After the hand-over, what is left of the guest here: it goes on as the forward context where
    /// the scheme has one.
    pub fn left(&self) -> Option<&Guest> {
        match &self.state {
            State::Pushing(pushing) => Some(pushing.left()),
            _ => None,
        }
    }

    /// What was counted so far.
    pub fn report(&self) -> &SourceReport {
        &self.report
    }

    /// The guest, if it is here as the guest, running or suspended as it was.
    pub fn into_guest(self) -> Option<Guest> {
        match self.state {
            State::Resident(guest) => Some(*guest),
            State::Rounds(rounds) => Some(rounds.into_parts().0),
            State::Suspended(suspended) => Some(suspended.guest),
            State::Pushing(_) | State::Gone => None,
        }
    }

    fn begin(&mut self, now: Instant) {
        let State::Resident(guest) = std::mem::replace(&mut self.state, State::Gone) else {
            panic!("a migration was asked for twice");
        };
        let mut guest = *guest;
        self.report.requested_at = Some(now);
        self.log(now, EventKind::Requested);
        let pages = guest.spec().pages;
        match self.parameters.scheme.parts().before_handover {
            BeforeHandover::RoundsThenCopy | BeforeHandover::RoundsThenPush => {
                if !guest.is_running() {
                    guest.resume_thinking(now);
                }
                let rounds = Rounds::new(guest, now, &self.parameters);
                self.note_round(now, rounds.round(), rounds.pending());
                self.state = State::Rounds(Box::new(rounds));
            }
            BeforeHandover::Copy => {
                let all = guest.memory().iter_lru().collect();
                self.suspend(now, guest, all, PageSet::new(pages), None);
            }
            BeforeHandover::Nothing => {
                let mut all = PageSet::new(pages);
                for (page, count) in guest.memory().runs() {
                    all.insert_run(page, count);
                }
                self.suspend(now, guest, Vec::new(), all, None);
            }
        }
    }

    fn note_round(&mut self, now: Instant, round: u32, pages: u64) {
        self.report.rounds = round;
        self.log(now, EventKind::RoundBegan { round, pages });
    }

    /// Suspends the guest; `copied` is to be sent before the hand-over, in LRU order, `outdated`
    /// after it. Then the pages of `sent_again` will have been sent more than once.
    fn suspend(
        &mut self,
        now: Instant,
        mut guest: Guest,
        copied: Vec<PageNumber>,
        outdated: PageSet,
        sent_again: Option<PageSet>,
    ) {
        guest.suspend();
        self.report.suspended_at = Some(now);
        let (registers, resident) = (guest.registers(), u64::from(guest.memory().resident()));
        self.log(now, EventKind::Suspended { registers, resident });
        let copies_from = if self.parameters.checkpoint {
            self.checkpoint(now, &mut guest)
        } else {
            Instant::ZERO
        };
        let lanes = self.lanes_for(&guest, copied.iter().copied(), Cause::Round);
        let suspended = Suspended { guest, lanes, outdated, sent_again, copies_from };
        self.state = State::Suspended(Box::new(suspended));
    }

    /// Writes the dirty pages to the disk, one after another. Returns when that is done.
    fn checkpoint(&mut self, now: Instant, guest: &mut Guest) -> Instant {
        let pages = guest.checkpoint();
        let takes = self.parameters.disk_latency_source.as_nanos().saturating_mul(pages);
        let takes = Duration::from_nanos(takes);
        self.report.checkpointed = pages;
        self.log(now, EventKind::Checkpointed { pages, takes });
        now.saturating_add(takes)
    }

    fn use_link(&mut self, now: Instant, room: u32) {
        match &mut self.state {
            State::Rounds(rounds) => {
                let mut log = Vec::new();
                let choice = rounds.use_link(now, &self.parameters, &mut log);
                self.report.rounds = rounds.round();
                for kind in log {
                    self.log(now, kind);
                }
                self.apply_choice(now, choice);
            }
            State::Suspended(suspended) => match suspended.lanes.pop(room) {
                Some((page, count, cause)) => self.send(now, Sending { page, count, cause }),
                None => self.hand_over(now),
            },
            State::Pushing(pushing) => {
                if let Some(sending) = pushing.next_pages(now, room) {
                    self.report.recovered = pushing.breaks.recovered();
                    self.send(now, sending);
                    #[cfg(feature = "broken-rules")]
                    self.free_early(now);
                }
            }
            State::Resident(_) | State::Gone => {}
        }
    }

    fn use_urgent_link(&mut self, now: Instant) {
        if let State::Pushing(pushing) = &mut self.state
            && let Some(sending) = pushing.next_urgent_page(now)
        {
            self.report.recovered = pushing.breaks.recovered();
            self.send(now, sending);
        }
    }

    fn apply_choice(&mut self, now: Instant, choice: Choice) {
        match choice {
            Choice::Send { page, again } => {
                self.report.resent += u64::from(again);
                self.send(now, Sending { page, count: 1, cause: Cause::Round });
            }
            Choice::Suspend => {
                let State::Rounds(rounds) = std::mem::replace(&mut self.state, State::Gone) else {
                    unreachable!("rounds have just ended");
                };
                let (guest, Copied { outdated, sent, mut sent_again }) = rounds.into_parts();
                if self.parameters.scheme.parts().before_handover.copies_all() {
                    let rest = guest.memory().iter_lru().filter(|page| outdated.contains(*page));
                    let rest: Vec<PageNumber> = rest.collect();
                    for page in rest.iter().filter(|page| sent.contains(**page)) {
                        sent_again.insert(*page);
                    }
                    let outdated = PageSet::new(guest.spec().pages);
                    self.suspend(now, guest, rest, outdated, Some(sent_again));
                } else {
                    self.suspend(now, guest, Vec::new(), outdated, Some(sent_again));
                }
            }
            Choice::GiveUp { reason } => {
                self.report.never_converges_in = Some(self.report.rounds);
                self.give_up(now, reason);
            }
        }
    }

    /// Sends pages, in as few messages as can tell of them.
    fn send(&mut self, now: Instant, mut sending: Sending) {
        let Sending { page, count, cause } = sending;
        self.report.sent.add(cause, count);
        let first = self.event(now, EventKind::PageSent { page, cause });
        let run = EventRun { first, count, step: Duration::ZERO };
        self.outputs.push_back(SourceOutput::Event(run));
        while sending.count > 0 {
            let message = match &self.state {
                State::Rounds(rounds) => sending.message(rounds.guest().memory()),
                State::Suspended(suspended) => sending.message(suspended.guest.memory()),
                State::Pushing(pushing) => pushing.message(sending),
                State::Resident(_) | State::Gone => return,
            };
            sending.page.0 += message.count;
            sending.count -= message.count;
            self.transmit(now, LinkMessage::Page(message));
        }
    }

    /// The hand-over, the point of no return: the decision to transmit the context. From here on
    /// the guest is the destination's.
    fn hand_over(&mut self, now: Instant) {
        let State::Suspended(suspended) = std::mem::replace(&mut self.state, State::Gone) else {
            unreachable!("only a suspended guest is handed over");
        };
        assert!(self.report.handover_at.is_none(), "a guest was handed over twice");
        let Suspended { guest, lanes, outdated, sent_again, .. } = *suspended;
        // What was copied takes room that the residency list can have.
        drop(lanes);
        let context = Arc::new(self.context_of(&guest, &outdated));
        drop(outdated);
        let lanes = self.lanes_for(&guest, context.residency.outdated(), Cause::Background);
        self.report.handover_at = Some(now);
        self.log(now, EventKind::Handover { bytes: context.bytes });
        let pushing = Pushing::new(now, guest, context, lanes, sent_again, &self.parameters);
        #[cfg(feature = "broken-rules")]
        let pushing = pushing.breaking(self.broken_rule);
        self.transmit(now, pushing.context_message());
        self.state = State::Pushing(Box::new(pushing));
    }

    /// Lanes in which the pages of `waiting`, given in LRU order, wait as the push order says.
    fn lanes_for(
        &self,
        guest: &Guest,
        waiting: impl Iterator<Item = PageNumber> + Clone,
        cause: Cause,
    ) -> Lanes {
        let pages = guest.spec().pages;
        let push_order = self.parameters.effective_push_order();
        match (push_order, cause) {
            (PushOrder::Bubbling, Cause::Background) => {
                return Lanes::bubbling(pages, waiting, &self.parameters.pre_paging);
            }
            (PushOrder::Address | PushOrder::Bubbling, _) => {
                return Lanes::by_address(pages, waiting, cause);
            }
            _ => {}
        }
        // No more than it takes: a large guest's order is a good part of its source.
        let mut order = Vec::with_capacity(waiting.clone().count());
        order.extend(waiting);
        match push_order {
            PushOrder::Mru => order.reverse(),
            PushOrder::Predicted => {
                order = order_by_need(&guest.recent_accesses(HISTORY), order);
            }
            _ => {}
        }
        Lanes::in_order(pages, order, cause)
    }

    fn context_of(&self, guest: &Guest, outdated: &PageSet) -> Context {
        let memory = guest.memory();
        let residency = ResidencyList::new(memory.iter_lru(), |page| Residency {
            page,
            dirty: memory.is_dirty(page),
            current: !outdated.contains(page),
        });
        Context {
            registers: guest.registers(),
            bytes: Context::bytes_for(self.parameters.context_bytes, residency.len()),
            residency,
            disk: guest.disk().clone(),
        }
    }

    fn receive(&mut self, now: Instant, reply: Reply) {
        let State::Pushing(pushing) = &mut self.state else { return };
        match reply {
            Reply::Request { page } => {
                let effects = pushing.requested(page);
                self.apply(now, effects);
            }
            Reply::Overwritten { page } => {
                if pushing.overwritten(page) {
                    self.report.exempted += 1;
                    self.log(now, EventKind::PageExempted { page });
                }
            }
            Reply::Progress { accesses } => pushing.following_progressed(now, accesses),
            Reply::Complete => self.release(now),
            Reply::ThrownAway { reason } => self.take_back(now, reason),
        }
    }

    fn release(&mut self, now: Instant) {
        self.stop_pushing(now);
        self.report.released_at = Some(now);
        self.log(now, EventKind::Released);
        self.outputs.push_back(SourceOutput::Ended);
    }

    fn lose(&mut self, now: Instant, reason: String) {
        self.stop_pushing(now);
        self.report.lost = Some((now, reason.clone()));
        self.log(now, EventKind::Lost { reason });
        self.outputs.push_back(SourceOutput::Ended);
    }

    /// Ends the pushing, and reports what the forward context did.
    fn stop_pushing(&mut self, now: Instant) -> Option<Pushing> {
        self.end_pause(now);
        let State::Pushing(mut pushing) = std::mem::replace(&mut self.state, State::Gone) else {
            return None;
        };
        self.report.forward_accesses = pushing.forward_accesses();
        for run in pushing.take_progress().runs() {
            self.log(run.first, EventKind::Progress { step: run.step, count: run.count });
        }
        Some(*pushing)
    }

    /// Before the hand-over: the guest goes on here. After it: without effect.
    fn give_up(&mut self, now: Instant, reason: String) {
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Suspended(suspended) => self.return_guest(now, suspended.guest, reason),
            State::Rounds(rounds) => self.return_guest(now, rounds.into_parts().0, reason),
            other => self.state = other,
        }
    }

    /// The guest goes on here; if it was suspended, with its next access at once.
    fn return_guest(&mut self, now: Instant, mut guest: Guest, reason: String) {
        guest.resume(now);
        self.report.returned = Some((now, reason.clone()));
        self.log(now, EventKind::Returned { reason });
        self.state = State::Resident(Box::new(guest));
        self.outputs.push_back(SourceOutput::Ended);
    }

    /// Logs and says what a step gave. While the link is broken nothing is said: what the
    /// destination must know it is told when it recovers.
    fn apply(&mut self, at: Instant, effects: Vec<Effect>) {
        let is_heard = !self.is_paused();
        for effect in effects {
            match effect {
                Effect::Event(kind) => {
                    if let EventKind::PageDropped { .. } = kind {
                        self.report.dropped += 1;
                    }
                    self.log(at, kind);
                }
                Effect::Notify(notice) if is_heard => {
                    self.outputs.push_back(SourceOutput::Notify { at, notice });
                }
                Effect::Notify(_) => {}
            }
        }
    }

    fn transmit(&mut self, at: Instant, message: LinkMessage) {
        self.report.bytes += message.bytes();
        self.outputs.push_back(SourceOutput::Transmit { at, message });
    }

    fn event(&self, at: Instant, kind: EventKind) -> Event {
        Event { at, side: Side::Source, kind }
    }

    fn log(&mut self, at: Instant, kind: EventKind) {
        let event = self.event(at, kind);
        self.outputs.push_back(SourceOutput::Event(event.into()));
    }
}
