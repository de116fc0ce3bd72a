//! The source's side: its machine, the modelled link, and the messages to the destination.

use super::driver::{Drained, Machine};
use super::{Log, Received, Side};
use crate::vm::{Action, Request, Vm};
use bytes::BytesMut;
use lazycopy_guest::{Guest, Timeout};
use lazycopy_link::{Link, LinkParameters};
use lazycopy_migration::{
    Context, LinkMessage, MigrationParameters, Outcome, PageMessage, Reply, Source, SourceInput,
    SourceOutput, SourceReport, Verdict,
};
use lazycopy_protocol::control::{ServerReply, VmPhase};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::page::encode_page;
use lazycopy_protocol::peer::{ContextFrame, ContextLists, PeerMessage};
use lazycopy_units::Instant;

/// The reason in the verdict of a migration that a user took back.
const CANCELLED: &str = "cancelled by a user";

/// The source's side of a migration.
pub(crate) struct SourceSide {
    source: Source,
    link: Link,
    seed: u64,
    pages: u32,
    frames: Vec<PeerFrame>,
    log: Log,
    cancelled: bool,
    lost: Option<String>,
    ended: bool,
}

impl SourceSide {
    /// The source of `guest`, which is suspended for its migration at the beginning of time.
    pub(crate) fn new(
        guest: Guest,
        parameters: MigrationParameters,
        link: LinkParameters,
        log: Log,
    ) -> Self {
        let (seed, pages) = (guest.spec().seed, guest.spec().pages);
        SourceSide {
            source: Source::new(guest, parameters),
            link: Link::new(link),
            seed,
            pages,
            frames: Vec::new(),
            log,
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
        report.bandwidth_peak = Some(self.link.meter().peak_bytes_per_sec());
        report.link_used_until = Some(self.link.free_at());
        report
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

    /// Occupies the link with a message and sends it off. The destination gets it early and hands
    /// it to its machine when it is due.
    fn transmit(&mut self, at: Instant, message: &LinkMessage) -> Instant {
        let transmission = self.link.transmit(at, message.bytes());
        match message {
            LinkMessage::Page(page) => self.send_page(page, transmission.delivered),
            LinkMessage::Context(context) => self.send_context(context, transmission.delivered),
        }
        transmission.ends
    }

    fn send_page(&mut self, page: &PageMessage, deliver_at: Instant) {
        let mut payload = BytesMut::new();
        encode_page(self.seed, page, deliver_at, &mut payload);
        self.frames.push(PeerFrame::Page(payload.freeze()));
    }

    fn send_context(&mut self, context: &Context, deliver_at: Instant) {
        let residency = context.residency.iter().collect();
        let lists = ContextLists { residency, disk: context.disk.contents() };
        let mut parts = lists.into_parts();
        let lists = parts.pop().unwrap_or_default();
        let parts = parts.into_iter().map(PeerMessage::ContextPart);
        self.frames.extend(parts.map(PeerFrame::Message));
        let (registers, bytes) = (context.registers, context.bytes);
        let frame = ContextFrame { deliver_at, registers, lists, bytes };
        self.frames.push(PeerFrame::Message(PeerMessage::Context(Box::new(frame))));
    }
}

impl Machine for SourceSide {
    type Input = SourceInput;

    fn handle_input(&mut self, now: Instant, input: SourceInput) {
        if !self.ended {
            self.source.handle_input(now, input);
        }
    }

    fn disk_due(&mut self, now: Instant) {
        self.source.handle_input(now, SourceInput::DiskDue);
    }

    fn link_free(&mut self, now: Instant) {
        self.source.handle_input(now, SourceInput::LinkFree);
    }

    fn run(&mut self, until: Instant, budget: u64) {
        self.source.run(until, budget);
    }

    fn next_timeout(&self) -> Option<Timeout> {
        self.source.poll_timeout()
    }

    fn next_link_choice(&self) -> Option<Instant> {
        Some(self.source.wants_link()?.max(self.link.free_at()))
    }

    fn drain(&mut self) -> Drained<SourceInput> {
        let mut last = None;
        while let Some(output) = self.source.poll_output() {
            match output {
                SourceOutput::Transmit { at, message } => {
                    let ends = self.transmit(at, &message);
                    return Drained {
                        last: last.max(Some(at)),
                        follows: Some((ends, at, SourceInput::Transmitted)),
                    };
                }
                SourceOutput::Notify { at, notice } => {
                    last = last.max(Some(at));
                    let deliver_at = at.saturating_add(self.link.parameters().latency);
                    let message = PeerMessage::Notice { deliver_at, notice };
                    self.frames.push(PeerFrame::Message(message));
                }
                SourceOutput::Event(event) => {
                    last = last.max(Some(event.at));
                    self.log.record(event);
                }
                SourceOutput::Ended => self.ended = true,
            }
        }
        Drained { last, follows: None }
    }
}

impl Side for SourceSide {
    fn receive(&mut self, frame: PeerFrame) -> Result<Received<SourceInput>, String> {
        let PeerFrame::Message(PeerMessage::Reply { deliver_at, reply }) = frame else {
            return Err("the destination sent something else than a reply".to_owned());
        };
        if let Reply::Request { page } | Reply::Overwritten { page } = reply
            && page.0 >= self.pages
        {
            return Err(format!("the destination named page {page} of {}", self.pages));
        }
        let said = deliver_at.saturating_sub(self.link.parameters().latency);
        Ok(Received::Deliver { at: deliver_at, said, input: SourceInput::Received(reply) })
    }

    fn connection_lost(&mut self, reason: String) -> Option<SourceInput> {
        let reason = format!("the destination was lost: {reason}");
        self.lost = Some(reason.clone());
        Some(SourceInput::DestinationLost { reason })
    }

    fn take_frames(&mut self) -> Vec<PeerFrame> {
        std::mem::take(&mut self.frames)
    }

    fn is_over(&self) -> bool {
        self.ended
    }

    fn answer(&mut self, vm: &Vm, request: Request) -> Option<SourceInput> {
        match request.action {
            Action::Cancel if self.source.has_handed_over() => {
                let at = self.source.report().handover_at.unwrap_or_default();
                request.answer(Err(format!(
                    "the migration cannot be taken back: the guest was handed over at {at} of \
                     model time and is the destination's"
                )));
            }
            Action::Cancel => {
                self.cancelled = true;
                request.answer(Ok(ServerReply::Done));
                return Some(SourceInput::Cancelled { reason: CANCELLED.to_owned() });
            }
            _ => vm.answer_while_migrating(VmPhase::MigratingOut, self.guest(), request),
        }
        None
    }

    fn publish(&mut self, vm: &Vm) {
        vm.publish(VmPhase::MigratingOut, self.guest());
    }
}
