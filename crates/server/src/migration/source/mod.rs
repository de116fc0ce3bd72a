//! The source's side: its machine, the modelled link or the page plane, and the messages to the
//! destination.

mod link;
mod plane;
mod pulse;

use super::driver::{Drained, Machine};
use super::{Broken, GREATEST_LAG, Log, MAX_UNDELIVERED, Pumped, Received, Side, Word};
use crate::connection::BulkStream;
use crate::plane::Writer;
use crate::vm::{Action, Here, Request, Vm};
use bytes::BytesMut;
use lazycopy_guest::{Guest, GuestSpec, PageContents, Timeout};
use lazycopy_link::{Link, LinkSpec};
use lazycopy_migration::{
    Context, LinkMessage, MigrationParameters, Outcome, RecoveryAnswer, Reply, Source, SourceInput,
    SourceOutput, SourceReport, Verdict,
};
use lazycopy_protocol::control::{PeerEnd, PlaneCounts, ServerReply, VmPhase};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::lists::{encode_disk, encode_residency};
use lazycopy_protocol::page::encode_page;
use lazycopy_protocol::peer::{ContextFrame, PeerMessage, goes_on_frames};
use lazycopy_units::{Duration, Instant};
use plane::SourcePlane;
use pulse::Pulse;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::time::Instant as WallInstant;

/// The reason in the verdict of a migration that a user took back.
const CANCELLED: &str = "cancelled by a user";

/// What is to be sent to the destination.
enum Waiting {
    Frame(PeerFrame),
    /// The rest of a residency list, from that entry on: encoded part by part, when there is room.
    Residency {
        context: Arc<Context>,
        from: usize,
    },
}

/// How messages get to the destination.
enum Way {
    /// Over a modelled link: they arrive when the model says.
    Modelled { link: Link, contents: PageContents },
    /// As fast as the sockets go.
    Plane(Box<SourcePlane>),
}

/// The source's side of a migration.
pub(crate) struct SourceSide {
    source: Source,
    way: Way,
    spec: Arc<GuestSpec>,
    frames: VecDeque<Waiting>,
    log: Log,
    /// Whether the destination can be heard; of no concern after the hand-over.
    pulse: Pulse,
    /// Messages that occupy the modelled link, of which the machine learns when they have left.
    leaving: u32,
    /// Of these, lost with the link, the first ones.
    lost_leaving: u32,
    /// Replies that have come and that the machine has not been told of yet.
    undelivered: u64,
    cancelled: bool,
    lost: Option<String>,
    ended: bool,
}

impl SourceSide {
    /// The source of `guest`, which is suspended for its migration at the beginning of time, and
    /// the bulk connections to the destination, of which a modelled link has none.
    pub(crate) fn new(
        guest: Guest,
        parameters: MigrationParameters,
        link: &LinkSpec,
        bulk: Vec<Writer>,
        log: Log,
    ) -> Self {
        let spec = Arc::clone(guest.spec());
        let way = match link {
            LinkSpec::Modelled(link) => {
                Way::Modelled { link: Link::new(*link), contents: PageContents::of(&spec) }
            }
            LinkSpec::Unlimited(plane) => {
                let forward = parameters.scheme.parts().forward_context;
                Way::Plane(Box::new(SourcePlane::new(&spec, plane, forward, bulk)))
            }
        };
        SourceSide {
            source: Source::new(guest, parameters),
            way,
            spec,
            frames: VecDeque::new(),
            log,
            pulse: Pulse::new(WallInstant::now()),
            leaving: 0,
            lost_leaving: 0,
            undelivered: 0,
            cancelled: false,
            lost: None,
            ended: false,
        }
    }

    /// The guest, while this side holds it as the guest.
    pub(crate) fn guest(&self) -> Option<&Guest> {
        self.source.guest()
    }

    /// What was counted.
    pub(crate) fn report(&self) -> SourceReport {
        let mut report = self.source.report().clone();
        let (meter, used_until) = match &self.way {
            Way::Modelled { link, .. } => (link.meter(), link.free_at()),
            Way::Plane(plane) => (plane.meter(), plane.used_until()),
        };
        report.bandwidth_peak = Some(meter.peak_bytes_per_sec());
        report.link_used_until = Some(used_until);
        report
    }

    /// What was sent over the page plane.
    pub(crate) fn plane_counts(&self) -> Option<PlaneCounts> {
        match &self.way {
            Way::Modelled { .. } => None,
            Way::Plane(plane) => Some(plane.counts().clone()),
        }
    }

    /// How the migration ended, as far as the source knows.
    pub(crate) fn verdict(&self) -> Verdict {
        let report = self.source.report();
        let (outcome, reason) = match (&report.released_at, &report.returned) {
            (Some(_), _) => (Outcome::Completed, "the destination has the whole guest".to_owned()),
            (None, Some((_, reason))) if self.cancelled => (Outcome::Cancelled, reason.clone()),
            (None, Some((_, reason))) if report.never_converges_in.is_some() => {
                (Outcome::NeverConverges, reason.clone())
            }
            (None, Some((_, reason))) => (Outcome::Failed, reason.clone()),
            (None, None) => {
                let reason = self.lost.as_deref().unwrap_or("the source ended early");
                (Outcome::Lost, format!("after the hand-over: {reason}"))
            }
        };
        Verdict { outcome, reason }
    }

    /// The last message to the destination.
    pub(crate) fn farewell(&self) -> PeerFrame {
        PeerFrame::Message(match self.source.report().released_at {
            Some(_) => PeerMessage::Released,
            None => PeerMessage::Withdrawn { verdict: self.verdict() },
        })
    }

    /// What is left of this side: the guest, if it has returned, and the log.
    pub(crate) fn into_parts(self) -> (Option<Guest>, Log) {
        (self.source.into_guest(), self.log)
    }

    /// One latency after `at`: when a control message said then is delivered.
    fn delivered(&self, at: Instant) -> Instant {
        match &self.way {
            Way::Modelled { link, .. } => at.saturating_add(link.parameters().latency),
            Way::Plane(_) => at,
        }
    }

    /// Does what the machine asks for, up to a message for the link: when the last of it happened,
    /// and that message.
    fn take_outputs(&mut self) -> (Option<Instant>, Option<(Instant, LinkMessage)>) {
        let mut last = None;
        while let Some(output) = self.source.poll_output() {
            match output {
                SourceOutput::Transmit { at, message } => {
                    return (last.max(Some(at)), Some((at, message)));
                }
                SourceOutput::Recover { at, recovery } => {
                    last = last.max(Some(at));
                    let frames = goes_on_frames(*recovery);
                    self.frames.extend(frames.into_iter().map(Waiting::Frame));
                }
                SourceOutput::Notify { at, notice } => {
                    last = last.max(Some(at));
                    let deliver_at = self.delivered(at);
                    self.send(PeerFrame::Message(PeerMessage::Notice { deliver_at, notice }));
                }
                SourceOutput::Event(run) => {
                    last = last.max(Some(run.first.at));
                    self.log.record(run);
                }
                SourceOutput::Ended => self.ended = true,
            }
        }
        (last, None)
    }

    fn send_context(&mut self, context: &Arc<Context>, deliver_at: Instant) {
        let written = context.disk.written_back();
        self.frames.extend(encode_disk(&written).map(PeerFrame::Disk).map(Waiting::Frame));
        self.frames.push_back(Waiting::Residency { context: Arc::clone(context), from: 0 });
        let (registers, bytes) = (context.registers, context.bytes);
        let frame = ContextFrame { deliver_at, registers, bytes };
        self.send(PeerFrame::Message(PeerMessage::Context(Box::new(frame))));
    }

    /// Before the hand-over the destination has to be heard, until it is known to be lost.
    fn needs_pulse(&self) -> bool {
        !self.ended && self.lost.is_none() && !self.source.has_handed_over()
    }

    fn send(&mut self, frame: PeerFrame) {
        self.frames.push_back(Waiting::Frame(frame));
    }
}

/// A message occupies the modelled link and is sent off. The destination gets it early and hands
/// it to its machine when it is due.
impl SourceSide {
    fn transmit(&mut self, at: Instant, message: &LinkMessage) -> Option<Instant> {
        let Way::Modelled { link, contents } = &mut self.way else { return None };
        // A context that is sent again waits for what occupied the link when that broke.
        let transmission = link.transmit(at.max(link.free_at()), message.bytes());
        match message {
            LinkMessage::Page(page) => {
                let mut payload = BytesMut::new();
                encode_page(contents, page, transmission.delivered, &mut payload);
                self.send(PeerFrame::Page(payload.freeze()));
            }
            LinkMessage::Context(context) => self.send_context(context, transmission.delivered),
        }
        self.leaving += 1;
        Some(transmission.ends)
    }

    /// Whether what has left was lost with the link instead.
    fn has_lost_leaving(&mut self) -> bool {
        self.leaving = self.leaving.saturating_sub(1);
        let lost = self.lost_leaving > 0;
        self.lost_leaving = self.lost_leaving.saturating_sub(1);
        lost
    }
}

/// The page plane takes what it has room for; the machine learns at once that it has left.
impl SourceSide {
    /// What the machine goes on to send.
    fn next_message(&mut self) -> Option<LinkMessage> {
        let (_, message) = self.take_outputs();
        message.map(|(_, message)| message)
    }

    fn transmitted(&mut self, now: Instant) {
        self.source.handle_input(now, SourceInput::Transmitted);
        self.take_outputs();
    }

    /// Whether urgent pages may go now: what waits for the control connection goes first.
    fn takes_urgent(&self) -> bool {
        self.frames.is_empty() && self.source.wants_urgent_link()
    }

    fn send_urgent(&mut self, now: Instant) {
        let Way::Plane(plane) = &self.way else { return };
        let mut draft = plane.begin_urgent();
        while draft.room() > 0 && self.source.wants_urgent_link() {
            self.source.handle_input(now, SourceInput::UrgentLinkFree);
            let message = self.next_message();
            if let (Some(LinkMessage::Page(message)), Way::Plane(plane)) = (message, &mut self.way)
            {
                plane.add_urgent(now, &mut draft, &message, &self.source);
            }
            self.transmitted(now);
        }
        if let Way::Plane(plane) = &mut self.way
            && !draft.is_empty()
        {
            let frame = plane.frame(draft);
            self.send(PeerFrame::Batch(frame));
        }
    }

    /// Whether pages wait that the machine has sent already.
    fn carries(&self) -> bool {
        matches!(&self.way, Way::Plane(plane) if plane.carries())
    }

    /// Fills a batch for a bulk connection, as far as the machine has pages for it now.
    fn send_in_bulk(&mut self, now: Instant, writer: usize) {
        let Way::Plane(plane) = &mut self.way else { return };
        let mut draft = plane.begin_batch(writer, &self.source);
        let mut context = None;
        while draft.room() > 0
            && context.is_none()
            && !self.carries()
            && self.source.wants_link().is_some_and(|since| since <= now)
        {
            self.source.handle_input(now, SourceInput::LinkFree { room: draft.room() });
            while let Some(message) = self.next_message() {
                let Way::Plane(plane) = &mut self.way else { return };
                match message {
                    LinkMessage::Page(message) => {
                        plane.add_in_bulk(now, &mut draft, writer, message, &self.source);
                    }
                    LinkMessage::Context(handed_over) => context = Some(handed_over),
                }
            }
            self.transmitted(now);
        }
        let Way::Plane(plane) = &mut self.way else { return };
        if !draft.is_empty() {
            plane.send(writer, draft);
        }
        if let Some(context) = context {
            self.hand_over(now, &context);
        }
    }

    fn hand_over(&mut self, now: Instant, context: &Arc<Context>) {
        let Way::Plane(plane) = &mut self.way else { return };
        plane.note(now, context.bytes);
        plane.handed_over(&self.spec, context);
        self.send_context(context, now);
    }
}

impl Machine for SourceSide {
    type Input = SourceInput;

    fn handle_input(&mut self, now: Instant, input: SourceInput) {
        let is_modelled = matches!(self.way, Way::Modelled { .. });
        match &input {
            SourceInput::Transmitted if is_modelled && self.has_lost_leaving() => return,
            SourceInput::LinkLost { .. } => self.lost_leaving = self.leaving,
            SourceInput::Received(_) => self.undelivered -= 1,
            _ => {}
        }
        if !self.ended {
            self.source.handle_input(now, input);
        }
    }

    fn disk_due(&mut self, now: Instant) {
        self.source.handle_input(now, SourceInput::DiskDue);
    }

    fn link_free(&mut self, now: Instant) {
        let writer = match &self.way {
            Way::Modelled { .. } => {
                return self.source.handle_input(now, SourceInput::LinkFree { room: 1 });
            }
            Way::Plane(plane) => plane.idle_writer(),
        };
        if self.takes_urgent() {
            self.send_urgent(now);
        } else if let Some(writer) = writer {
            self.send_in_bulk(now, writer);
        }
    }

    fn run(&mut self, until: Instant, budget: u64) {
        self.source.run(until, budget);
    }

    fn next_timeout(&self) -> Option<Timeout> {
        self.source.poll_timeout()
    }

    fn next_link_choice(&self) -> Option<Instant> {
        if !self.source.has_handed_over() && !self.pulse.is_felt(WallInstant::now()) {
            return None;
        }
        let wanted_since = self.source.wants_link();
        match &self.way {
            Way::Modelled { link, .. } => Some(wanted_since?.max(link.free_at())),
            Way::Plane(plane) if plane.idle_writer().is_some() && plane.carries() => {
                Some(Instant::ZERO)
            }
            Way::Plane(plane) if plane.idle_writer().is_some() || self.takes_urgent() => {
                wanted_since
            }
            Way::Plane(_) => None,
        }
    }

    fn drain(&mut self) -> Drained<SourceInput> {
        let (last, message) = self.take_outputs();
        let follows = message.and_then(|(at, message)| match (&self.way, message) {
            // What the machine sends by itself: the context that a broken link had lost.
            (Way::Plane(_), LinkMessage::Context(context)) => {
                self.hand_over(at, &context);
                Some((at, at, SourceInput::Transmitted))
            }
            (_, message) => {
                let ends = self.transmit(at, &message)?;
                Some((ends, at, SourceInput::Transmitted))
            }
        });
        Drained { last, follows }
    }
}

impl Side for SourceSide {
    fn receive(&mut self, now: Instant, frame: PeerFrame) -> Result<Received<SourceInput>, String> {
        let (deliver_at, reply) = match (frame, &mut self.way) {
            (PeerFrame::Message(PeerMessage::Reply { deliver_at, reply }), _) => {
                (deliver_at, reply)
            }
            (
                PeerFrame::Message(PeerMessage::Acknowledged { connection, batches }),
                Way::Plane(plane),
            ) => {
                plane.acknowledged(connection, batches, &mut self.source)?;
                return Ok(Received::Noted);
            }
            (PeerFrame::Message(PeerMessage::Here), _) => {
                self.pulse.hear(WallInstant::now());
                return Ok(Received::Noted);
            }
            _ => return Err("the destination sent something else than a reply".to_owned()),
        };
        if matches!(reply, Reply::Complete) && !self.source.has_handed_over() {
            return Err("the destination said that it had what it was not given".to_owned());
        }
        if let (Reply::ThrownAway { .. }, Way::Plane(plane)) = (&reply, &self.way)
            && plane.has_given_up_memory()
        {
            return Err("it threw the guest away after it had acknowledged pages".to_owned());
        }
        if let Reply::Request { page } | Reply::Overwritten { page } = reply
            && page.0 >= self.spec.pages
        {
            return Err(format!("the destination named page {page} of {}", self.spec.pages));
        }
        let (at, said) = match &self.way {
            Way::Modelled { link, .. } => {
                (deliver_at, deliver_at.saturating_sub(link.parameters().latency))
            }
            Way::Plane(_) => (now, now),
        };
        self.undelivered += 1;
        Ok(Received::Deliver { at, said, input: SourceInput::Received(reply) })
    }

    fn longest_way(&self) -> Duration {
        match &self.way {
            Way::Modelled { link, .. } => link.parameters().latency,
            Way::Plane(_) => Duration::ZERO,
        }
    }

    /// On the page plane a reply is due when it comes: those that wait are of a destination that
    /// says more than it listens to.
    fn accepts_frames(&self) -> bool {
        matches!(self.way, Way::Modelled { .. }) || self.undelivered < MAX_UNDELIVERED
    }

    fn pump(&mut self, _now: Instant) -> Result<Pumped<SourceInput>, Broken> {
        let asks =
            self.needs_pulse() && self.pulse.asks(WallInstant::now()).map_err(Broken::Link)?;
        if asks {
            self.send(PeerFrame::Message(PeerMessage::AreYouThere));
        }
        let writes = match &mut self.way {
            Way::Modelled { .. } => false,
            Way::Plane(plane) => plane.write(&self.source).map_err(Broken::Link)?,
        };
        Ok(Pumped { progressed: asks || writes, received: Vec::new() })
    }

    async fn bulk_ready(&mut self) {
        let writable = async {
            match &self.way {
                Way::Modelled { .. } => std::future::pending().await,
                Way::Plane(plane) => plane.writable().await,
            }
        };
        tokio::select! {
            () = writable => {}
            () = self.pulse.is_due(), if self.needs_pulse() => {}
        }
    }

    fn keep_up(&mut self, now: Instant) {
        if let Way::Plane(_) = &self.way {
            self.source.keep_up(now, GREATEST_LAG);
        }
    }

    fn connection_lost(&mut self, broken: Broken) -> Option<SourceInput> {
        self.break_off(broken)
    }

    fn paused(&self) -> Option<(&str, Option<Result<String, String>>)> {
        let reason = self.lost.as_deref().unwrap_or("the link broke");
        let may = || self.may_reclaim().map(str::to_owned).map_err(str::to_owned);
        self.source.is_paused().then(|| (reason, Some(may())))
    }

    fn given_up(&mut self, after: std::time::Duration) -> SourceInput {
        self.give_destination_up(after)
    }

    fn answer_recovery(&self) -> RecoveryAnswer {
        RecoveryAnswer::Unknown
    }

    fn regain(&mut self, bulk: Vec<BulkStream>, word: Word) -> Result<Option<SourceInput>, String> {
        self.regain_link(bulk, word).map(Some)
    }

    fn reclaim(&mut self) -> Result<SourceInput, String> {
        self.take_back()
    }

    fn peer_ended(&mut self, how: PeerEnd, _: bool) -> Option<SourceInput> {
        self.destination_ended(how)
    }

    fn next_frame(&mut self) -> Option<PeerFrame> {
        match self.frames.front_mut()? {
            Waiting::Residency { context, from } => {
                let Some((part, next)) = encode_residency(&context.residency, *from) else {
                    self.frames.pop_front();
                    return self.next_frame();
                };
                *from = next;
                Some(PeerFrame::Residency(part))
            }
            Waiting::Frame(_) => match self.frames.pop_front() {
                Some(Waiting::Frame(frame)) => Some(frame),
                _ => None,
            },
        }
    }

    /// Pages that are of no use any more are part of the books, too.
    fn is_over(&self) -> bool {
        let flushed = match &self.way {
            Way::Plane(plane) if self.source.report().released_at.is_some() => plane.is_flushed(),
            _ => true,
        };
        self.ended && flushed
    }

    fn answer(&mut self, now: Instant, vm: &Vm, request: Request) -> Option<SourceInput> {
        match request.action {
            Action::Cancel { .. } if self.source.has_handed_over() => {
                let at = self.source.report().handover_at.unwrap_or_default();
                request.answer(Err(format!(
                    "the migration cannot be taken back: the guest was handed over at {at} of \
                     model time and is the destination's"
                )));
            }
            Action::Cancel { .. } => {
                self.cancelled = true;
                request.answer(Ok(ServerReply::Done));
                return Some(SourceInput::Cancelled { reason: CANCELLED.to_owned() });
            }
            _ => {
                let here = Here {
                    guest: self.guest(),
                    moving: Some((lazycopy_migration::Side::Source, now)),
                    left: self.source.left(),
                    memory: self.source.memory(),
                    arrivals: None,
                };
                vm.answer_while_migrating(VmPhase::MigratingOut, &here, request);
            }
        }
        None
    }

    fn publish(&mut self, _now: Instant, vm: &Vm) {
        vm.publish(VmPhase::MigratingOut, self.guest());
    }
}
