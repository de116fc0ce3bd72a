//! The destination machine.

mod arrivals;
mod following;
mod recovery;

use crate::event::{Event, EventKind, Fate, Side};
use crate::event_log::EventRun;
use crate::message::{Context, LinkMessage, Notice, PageMessage, Reply};
use crate::parameters::MigrationParameters;
use crate::recovery::{PageMap, SourceRecovery};
use crate::report::DestinationReport;
use arrivals::Arrivals;
use following::{Effect, Following};
use lazycopy_guest::{Guest, GuestSpec, Memory, Timeout};
use lazycopy_units::{Duration, Instant, PageNumber};
use std::collections::VecDeque;
use std::sync::Arc;

/// Room for outputs from the beginning: few wait at once.
const OUTPUTS: usize = 8;

/// What happened, for the destination.
#[derive(Clone, Debug)]
pub enum DestinationInput {
    /// A message was delivered by the link.
    Arrived(LinkMessage),
    /// A control message from the source was delivered.
    Received(Notice),
    /// What [`Destination::poll_timeout`] announced of the disk is due.
    DiskDue,
    /// The way to the source is broken: what was on it is lost. The guest goes on with what is
    /// here.
    LinkLost {
        /// What was seen.
        reason: String,
    },
    /// There is a way to the source again, by a new connection on which
    /// [`answer_recovery`](Destination::answer_recovery) was said; this is the source's first word
    /// on it.
    Recovered(Box<SourceRecovery>),
    /// The source took the guest back: before the hand-over, or by an operator's word.
    Withdrawn {
        /// Why.
        reason: String,
    },
    /// The source is gone for good, or was waited for long enough.
    SourceLost {
        /// What was seen.
        reason: String,
        /// Whether its process is known to be dead, and not out of reach alone: then it can never
        /// run the guest again.
        is_dead: bool,
    },
}

/// What the destination asks of its driver.
#[derive(Clone, Debug)]
pub enum DestinationOutput {
    /// Deliver this control message one latency after `at`.
    Reply {
        /// When it was said.
        at: Instant,
        /// What.
        reply: Reply,
    },
    /// Something to log.
    Event(EventRun),
    /// Nothing is left to count: the migration is complete, the measured accesses are completed
    /// and no counted fault is open; or the guest is lost or never came. A guest that is here
    /// goes on running.
    Ended,
}

/// ```text
///                   Context                head start done, or complete
///  AwaitingContext ---------> AwaitingResume --------------------------> Following
///      |       |               |        |                                 |   | nothing missing,
///      |       | cannot        |        | SourceLost,                     |   | no request open; or
///      |       | be opened     |        | a dirty page missing: lost      |   | SourceLost, and the
///      |       v               v        v                                 |   | disk has the rest
///      +-----> Gone <----------+--------+---------------------------------+   v
///    Withdrawn, SourceLost:   Withdrawn,             SourceLost, a dirty      Settled
///    thrown away              SourceLost (may live): page missing: lost
///                             thrown away
/// ```
///
/// A broken link is no state: the guest goes on, and nothing is said until it is mended. A guest
/// that was thrown away was never resumed here: the source may run it again.
#[derive(Debug)]
enum State {
    /// Nothing but what the scheme copies before the hand-over comes, and is set aside.
    AwaitingContext {
        staged: Memory,
        /// What the source said of pages that are on the disk.
        on_disk: PageMap,
    },
    /// The guest is here, suspended, until the forward context has its head start.
    AwaitingResume(Box<Following>),
    /// The guest runs here, and pages of it are missing.
    Following(Box<Following>),
    /// The guest runs here, and nothing is missing.
    Settled(Box<Following>),
    /// There is no guest here.
    Gone,
}

/// The destination of a migration. From its resume on, the guest here is the guest: its accesses
/// are the only ones that count.
#[derive(Debug)]
pub struct Destination {
    spec: Arc<GuestSpec>,
    parameters: MigrationParameters,
    state: State,
    head_start_done: bool,
    standing_by: Option<Guest>,
    /// Since when the link is broken.
    paused: Option<Instant>,
    outputs: VecDeque<DestinationOutput>,
    report: DestinationReport,
    #[cfg(feature = "broken-rules")]
    broken_rule: Option<crate::BrokenRule>,
}

impl Destination {
    /// A destination that waits for a guest of that definition.
    pub fn new(spec: Arc<GuestSpec>, parameters: MigrationParameters) -> Self {
        // Rounds send pages that the guest evicts again, so that more may come than it has frames.
        let staged = Memory::new(spec.pages, spec.pages);
        Destination::receiving_into(staged, spec, parameters)
    }

    /// As [`Destination::new`], with the memory that pages are received into, empty and with a
    /// frame for each page of the guest: it becomes the guest's.
    pub fn receiving_into(
        staged: Memory,
        spec: Arc<GuestSpec>,
        parameters: MigrationParameters,
    ) -> Self {
        Destination {
            head_start_done: parameters.effective_head_start() == 0,
            spec,
            parameters,
            state: State::AwaitingContext { staged, on_disk: PageMap::default() },
            standing_by: None,
            paused: None,
            outputs: VecDeque::with_capacity(OUTPUTS),
            report: DestinationReport::default(),
            #[cfg(feature = "broken-rules")]
            broken_rule: crate::BrokenRule::broken_here(),
        }
    }

    /// Gives a guest of that definition that was opened at an earlier position and never ran: it
    /// saves the time that opening a recording takes when the context arrives. It needs no memory.
    pub fn stand_by(&mut self, guest: Guest) {
        self.standing_by = Some(guest);
    }

    /// The memory that pages are received into: before the context what is set aside, then the
    /// guest's.
    pub fn memory(&self) -> Option<&Memory> {
        match &self.state {
            State::AwaitingContext { staged, .. } => Some(staged),
            _ => self.guest().map(Guest::memory),
        }
    }

    /// That memory, for the bytes of pages that come.
    pub fn memory_mut(&mut self) -> Option<&mut Memory> {
        match &mut self.state {
            State::AwaitingContext { staged, .. } => Some(staged),
            State::AwaitingResume(following)
            | State::Following(following)
            | State::Settled(following) => Some(following.guest.memory_mut()),
            State::Gone => None,
        }
    }

    /// Whether nobody but the link may have written to the bytes of `first`: a copy of it that
    /// comes now may be received in its place. Where it was held since the context came, it may
    /// not. And for how many of the `count` pages from it on, one after another, the same holds.
    pub fn may_receive_in_place(&self, first: PageNumber, count: u32) -> (bool, u32) {
        match &self.state {
            State::AwaitingContext { .. } => (true, count),
            State::AwaitingResume(following) | State::Following(following) => {
                let arrivals = &following.arrivals;
                (!arrivals.was_held(first), arrivals.held_alike(first, count))
            }
            State::Settled(_) | State::Gone => (false, count),
        }
    }

    /// Whether the context has come, or can come no more.
    pub fn is_past_context(&self) -> bool {
        !matches!(self.state, State::AwaitingContext { .. })
    }

    /// For drivers whose instants are the clock's: the guest falls behind it by `lag` at most,
    /// see [`Guest::keep_up`].
    pub fn keep_up(&mut self, now: Instant, lag: Duration) {
        if let State::Following(following) | State::Settled(following) = &mut self.state {
            following.guest.keep_up(now, lag);
        }
    }

    /// Takes what happened at `now`.
    pub fn handle_input(&mut self, now: Instant, input: DestinationInput) {
        match input {
            DestinationInput::Arrived(LinkMessage::Context(context)) => {
                self.context_arrived(now, &context);
            }
            DestinationInput::Arrived(LinkMessage::Page(message)) => {
                self.pages_arrived(now, message);
            }
            DestinationInput::Received(notice) => self.noticed(now, notice),
            DestinationInput::DiskDue => {
                if let State::Following(following) | State::Settled(following) = &mut self.state {
                    following.disk_due(now, &self.parameters, &mut self.report);
                }
            }
            DestinationInput::LinkLost { reason } => self.link_lost(now, reason),
            DestinationInput::Recovered(word) => self.recovered(now, &word),
            DestinationInput::Withdrawn { reason } => self.withdrawn(now, reason),
            DestinationInput::SourceLost { reason, is_dead } => {
                self.source_lost(now, reason, is_dead);
            }
        }
        self.settle(now);
    }

    /// Lets the guest take accesses that begin at `until` or before, at most `budget` of them. It
    /// returns early where an output is to be polled. Returns how many were completed.
    pub fn run(&mut self, until: Instant, budget: u64) -> u64 {
        let (State::Following(following) | State::Settled(following)) = &mut self.state else {
            return 0;
        };
        let before = following.guest.registers().accesses;
        following.run(until, budget, &self.parameters, &mut self.report);
        let completed = following.guest.registers().accesses - before;
        let now = following.guest.completed_at();
        self.settle(now);
        completed
    }

    /// When the destination wants to be woken: by [`DestinationInput::DiskDue`], or by
    /// [`Destination::run`].
    #[inline]
    pub fn poll_timeout(&self) -> Option<Timeout> {
        match &self.state {
            State::Following(following) | State::Settled(following) => following.poll_timeout(),
            _ => None,
        }
    }

    /// The next thing to do, until `None`.
    #[inline]
    pub fn poll_output(&mut self) -> Option<DestinationOutput> {
        self.outputs.pop_front()
    }

    /// The guest, once its context has arrived and unless it is lost.
    pub fn guest(&self) -> Option<&Guest> {
        match &self.state {
            State::AwaitingResume(following)
            | State::Following(following)
            | State::Settled(following) => Some(&following.guest),
            State::AwaitingContext { .. } | State::Gone => None,
        }
    }

    /// What was counted so far.
    pub fn report(&self) -> &DestinationReport {
        &self.report
    }

    /// The guest, running, for its ordinary life here.
    pub fn into_guest(self) -> Option<Guest> {
        match self.state {
            State::AwaitingResume(following)
            | State::Following(following)
            | State::Settled(following) => Some(following.guest),
            State::AwaitingContext { .. } | State::Gone => None,
        }
    }

    fn context_arrived(&mut self, now: Instant, context: &Context) {
        if let State::Gone = self.state {
            // The source sent it before it knew.
            return;
        }
        let State::AwaitingContext { staged, on_disk } =
            std::mem::replace(&mut self.state, State::Gone)
        else {
            panic!("a context arrived twice");
        };
        let (registers, disk) = (context.registers, context.disk.clone());
        let arriving = match self.standing_by.take() {
            Some(guest) => guest.arrive(registers, disk),
            None => Guest::arriving(Arc::clone(&self.spec), registers, disk, Memory::none()),
        };
        let guest = match arriving {
            Ok(guest) => guest,
            // The reason goes to the source, which may have named any file.
            Err(error) => return self.throw_away(now, error.unquoted()),
        };
        self.log(now, EventKind::ContextArrived);
        let mut following = Following::new(guest, Arrivals::new(self.spec.pages));
        following.take_staged(staged, context);
        following.learn_on_disk(now, &on_disk, &self.parameters);
        #[cfg(feature = "broken-rules")]
        {
            following.installs_held = self.broken_rule == Some(crate::BrokenRule::InstallHeld);
        }
        following.guest.set_target(context.registers.accesses + self.parameters.measured_accesses);
        self.report.resumed_registers = Some(context.registers);
        if self.parameters.scheme.parts().forward_context {
            following.guest.record_progress();
        }
        self.state = State::AwaitingResume(Box::new(following));
    }

    /// The guest cannot be resumed here: the source gets it back.
    fn throw_away(&mut self, now: Instant, reason: String) {
        self.report.thrown_away = Some((now, reason.clone()));
        self.outputs
            .push_back(DestinationOutput::Reply { at: now, reply: Reply::ThrownAway { reason } });
        self.outputs.push_back(DestinationOutput::Ended);
    }

    fn pages_arrived(&mut self, now: Instant, message: PageMessage) {
        let PageMessage { page, count, stamp, dirty, cause } = message;
        self.report.arrived.add(cause, count);
        let fate = match &mut self.state {
            State::AwaitingContext { staged, .. } => {
                for page in message.pages() {
                    let stamp = stamp.or_else(|| staged.stamp_in_place(page));
                    let stamp = stamp.expect("a page comes with its stamp or its bytes");
                    staged.replace(page, stamp, dirty);
                }
                Fate::Installed
            }
            State::AwaitingResume(following) | State::Following(following) => {
                following.pages_arrived(now, message, &self.parameters, &mut self.report);
                return;
            }
            State::Settled(_) | State::Gone => {
                self.report.late += u64::from(count);
                Fate::Late
            }
        };
        let arrived = EventKind::PageArrived { page, cause, fate };
        self.outputs.push_back(events(now, arrived, count));
    }

    fn noticed(&mut self, now: Instant, notice: Notice) {
        match (notice, &mut self.state) {
            (Notice::HeadStart, _) => self.head_start_done = true,
            // After a recovery the forward context may be ahead of the context, which comes again.
            (
                Notice::NotResident { page } | Notice::Dropped { page },
                State::AwaitingContext { on_disk, .. },
            ) if page.0 < self.spec.pages => on_disk.insert(page),
            (
                Notice::NotResident { page } | Notice::Dropped { page },
                State::AwaitingResume(following) | State::Following(following),
            ) => following.learn_not_resident(now, page, &self.parameters),
            _ => {}
        }
    }

    fn lose(&mut self, now: Instant, reason: String) {
        self.state = State::Gone;
        self.report.lost = Some((now, reason.clone()));
        self.log(now, EventKind::Lost { reason });
        self.outputs.push_back(DestinationOutput::Ended);
    }

    /// Goes on to the next state where its time has come, and passes on what the guest did.
    fn settle(&mut self, now: Instant) {
        self.pass_on_effects();
        if let State::AwaitingResume(following) = &self.state
            && (self.head_start_done || following.has_everything())
        {
            self.resume(now);
        }
        if let State::Following(following) = &self.state
            && following.has_everything()
        {
            self.complete(now);
        }
        self.end_if_settled(now);
    }

    fn pass_on_effects(&mut self) {
        let (State::AwaitingResume(following)
        | State::Following(following)
        | State::Settled(following)) = &mut self.state
        else {
            return;
        };
        for effect in following.take_effects() {
            self.outputs.push_back(match effect {
                Effect::Event(at, kind, count) => events(at, kind, count),
                Effect::Reply(at, reply) => DestinationOutput::Reply { at, reply },
            });
        }
    }

    fn resume(&mut self, now: Instant) {
        let State::AwaitingResume(mut following) = std::mem::replace(&mut self.state, State::Gone)
        else {
            unreachable!("only a guest that awaits its resume is resumed");
        };
        assert!(self.report.resumed_at.is_none(), "a guest was resumed twice");
        following.guest.resume(now);
        let registers = following.guest.registers();
        self.state = State::Following(following);
        self.report.resumed_at = Some(now);
        self.log(now, EventKind::Resumed { registers });
    }

    fn complete(&mut self, now: Instant) {
        let State::Following(mut following) = std::mem::replace(&mut self.state, State::Gone)
        else {
            unreachable!("only a guest that was resumed is complete");
        };
        following.end_migration();
        self.state = State::Settled(following);
        self.report.completed_at = Some(now);
        self.log(now, EventKind::Completed);
        if self.paused.is_none() {
            let reply = Reply::Complete;
            self.outputs.push_back(DestinationOutput::Reply { at: now, reply });
        }
    }

    /// Closes the books when nothing is left to count, or when the guest's workload has failed.
    fn end_if_settled(&mut self, now: Instant) {
        if self.report.ended_at.is_some() || self.report.lost.is_some() {
            return;
        }
        if let Some(failure) = self.guest().and_then(Guest::failure) {
            let reason = failure.to_string();
            return self.lose(now, reason);
        }
        let State::Settled(following) = &mut self.state else { return };
        if self.report.measured_at.is_none() || following.has_counted_fault() {
            return;
        }
        let registers = following.guest.registers();
        self.report.ended_at = Some(now);
        self.report.ended_registers = Some(registers);
        self.report.ended_pages_digest = Some(following.guest.pages_digest());
        let progress = following.guest.take_progress();
        for run in progress.runs() {
            self.log(run.first, EventKind::Progress { step: run.step, count: run.count });
        }
        self.log(now, EventKind::Ended { registers });
        self.outputs.push_back(DestinationOutput::Ended);
    }

    fn log(&mut self, at: Instant, kind: EventKind) {
        self.outputs.push_back(events(at, kind, 1));
    }
}

/// So many events at once, the first of this kind and the others of the pages after it.
fn events(at: Instant, kind: EventKind, count: u32) -> DestinationOutput {
    let first = Event { at, side: Side::Destination, kind };
    DestinationOutput::Event(EventRun { first, count, step: Duration::ZERO })
}
