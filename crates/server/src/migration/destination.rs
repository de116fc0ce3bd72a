//! The destination's side: its machine, and the messages to and from the source.

use super::driver::{Drained, Machine};
use super::{Herald, Log, Received, Side};
use crate::vm::{Request, Vm};
use lazycopy_guest::{Disk, Guest, GuestSpec, Timeout};
use lazycopy_migration::{
    Context, Destination, DestinationInput, DestinationOutput, DestinationReport, Event, EventKind,
    LinkMessage, Notice, Outcome, Reply, Verdict,
};
use lazycopy_protocol::control::VmPhase;
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::page::decode_page;
use lazycopy_protocol::peer::{ContextFrame, ContextLists, Offer, PeerMessage};
use lazycopy_units::{Duration, Instant, PageNumber};
use std::sync::Arc;

/// What the machine is told, and what its driver is.
#[derive(Debug)]
pub(crate) enum DestinationSideInput {
    /// For the machine.
    Machine(DestinationInput),
    /// The source has not said in time that it is done.
    SourceOverdue,
}

/// The destination's side of a migration.
pub(crate) struct DestinationSide {
    destination: Destination,
    spec: Arc<GuestSpec>,
    latency: Duration,
    /// After its end, how long the source's last word is waited for, in model time.
    patience: Duration,
    /// Parts of the context that came before it.
    lists: ContextLists,
    context_came: bool,
    frames: Vec<PeerFrame>,
    log: Log,
    herald: Herald,
    /// Messages of the source that have come and are not due yet.
    undelivered: u64,
    ended_at: Option<Instant>,
    overdue_scheduled: bool,
    /// The source says nothing more.
    source_is_done: bool,
    /// Why the guest is not here, as far as it is known.
    withdrawn: Option<Verdict>,
    thrown_away: Option<String>,
    lost: Option<String>,
}

/// How long the source's last word is waited for, in seconds of wall time, beyond the latency.
const PATIENCE_SECS: u64 = 10;

impl DestinationSide {
    /// The destination of the guest that is offered, and for which one stands by.
    pub(crate) fn new(standing_by: Guest, offer: &Offer, log: Log) -> Self {
        let spec = Arc::clone(standing_by.spec());
        let mut destination = Destination::new(Arc::clone(&spec), offer.parameters.clone());
        destination.stand_by(standing_by);
        let patience = Duration::from_secs(PATIENCE_SECS.saturating_mul(offer.time_scale));
        DestinationSide {
            destination,
            spec,
            latency: offer.link.latency,
            patience: patience + offer.link.latency,
            lists: ContextLists::default(),
            context_came: false,
            frames: Vec::new(),
            log,
            herald: Herald::new(offer.migration),
            undelivered: 0,
            ended_at: None,
            overdue_scheduled: false,
            source_is_done: false,
            withdrawn: None,
            thrown_away: None,
            lost: None,
        }
    }

    /// The guest, if it is here.
    pub(crate) fn guest(&self) -> Option<&Guest> {
        self.destination.guest()
    }

    /// What was counted.
    pub(crate) fn report(&self) -> DestinationReport {
        self.destination.report().clone()
    }

    /// How the migration ended, as far as the destination knows.
    pub(crate) fn verdict(&self) -> Verdict {
        let report = self.destination.report();
        let failed = |reason| Verdict { outcome: Outcome::Failed, reason };
        if let Some((_, reason)) = &report.lost {
            return Verdict { outcome: Outcome::Lost, reason: reason.clone() };
        }
        if report.completed_at.is_some() {
            let reason = "nothing of the guest is missing".to_owned();
            return Verdict { outcome: Outcome::Completed, reason };
        }
        match (&self.thrown_away, &self.withdrawn, &self.lost) {
            (Some(reason), _, _) => failed(format!("the guest could not be resumed: {reason}")),
            (None, Some(verdict), _) => verdict.clone(),
            (None, None, Some(reason)) => failed(reason.clone()),
            (None, None, None) => failed("the guest never came".to_owned()),
        }
    }

    /// What is left of this side: the guest, if it is here, and the log.
    pub(crate) fn into_parts(self) -> (Option<Guest>, Log) {
        (self.destination.into_guest(), self.log)
    }

    fn check(&self, page: PageNumber) -> Result<(), String> {
        match page.0 < self.spec.pages {
            true => Ok(()),
            false => Err(format!("the source named page {page} of {}", self.spec.pages)),
        }
    }

    /// Joins a part of the context's lists. They have at most an entry per frame and per page.
    fn join(&mut self, part: ContextLists) -> Result<(), String> {
        part.residency.iter().try_for_each(|entry| self.check(entry.page))?;
        part.disk.written.iter().try_for_each(|(page, _)| self.check(*page))?;
        self.lists.extend(part);
        let (frames, pages) = (self.spec.frames as usize, self.spec.pages as usize);
        if self.lists.residency.len() > frames || self.lists.disk.written.len() > pages {
            return Err("the context lists more pages than the guest has".to_owned());
        }
        Ok(())
    }

    fn receive_context(
        &mut self,
        frame: ContextFrame,
    ) -> Result<Received<DestinationSideInput>, String> {
        if std::mem::replace(&mut self.context_came, true) {
            return Err("the source sent a second context".to_owned());
        }
        self.join(frame.lists)?;
        let lists = std::mem::take(&mut self.lists);
        let context = Context {
            registers: frame.registers,
            residency: lists.residency.into_iter().collect(),
            disk: Disk::from_contents(self.spec.seed, &lists.disk),
            bytes: frame.bytes,
        };
        let input = DestinationInput::Arrived(LinkMessage::Context(Arc::new(context)));
        Ok(self.deliver(frame.deliver_at, input))
    }

    /// All messages come from the source alone, in the order in which it said them.
    fn deliver(&mut self, at: Instant, input: DestinationInput) -> Received<DestinationSideInput> {
        self.undelivered += 1;
        let input = DestinationSideInput::Machine(input);
        Received::Deliver { at, said: Instant::ZERO, input }
    }

    /// After the end the guest's ordinary paging is no part of the migration's story any more.
    fn record(&mut self, event: Event) {
        if self.ended_at.is_none() || !matches!(event.kind, EventKind::Missed { .. }) {
            self.log.record(event);
        }
    }

    fn source_lost(&mut self, reason: String) -> DestinationSideInput {
        self.undelivered += 1;
        DestinationSideInput::Machine(DestinationInput::SourceLost { reason })
    }
}

impl Machine for DestinationSide {
    type Input = DestinationSideInput;

    fn handle_input(&mut self, now: Instant, input: DestinationSideInput) {
        match input {
            DestinationSideInput::Machine(input) => {
                self.undelivered -= 1;
                if let DestinationInput::Arrived(message) = &input {
                    self.herald.arrived(message);
                }
                self.destination.handle_input(now, input);
            }
            DestinationSideInput::SourceOverdue => self.source_is_done = true,
        }
    }

    fn disk_due(&mut self, now: Instant) {
        self.destination.handle_input(now, DestinationInput::DiskDue);
    }

    fn link_free(&mut self, _now: Instant) {}

    fn run(&mut self, until: Instant, budget: u64) {
        self.destination.run(until, budget);
    }

    fn next_timeout(&self) -> Option<Timeout> {
        self.destination.poll_timeout()
    }

    fn next_link_choice(&self) -> Option<Instant> {
        None
    }

    fn drain(&mut self) -> Drained<DestinationSideInput> {
        let mut last = None;
        while let Some(output) = self.destination.poll_output() {
            match output {
                DestinationOutput::Reply { at, reply } => {
                    last = last.max(Some(at));
                    if let Reply::ThrownAway { reason } = &reply {
                        self.thrown_away = Some(reason.clone());
                    }
                    let deliver_at = at.saturating_add(self.latency);
                    let message = PeerMessage::Reply { deliver_at, reply };
                    self.frames.push(PeerFrame::Message(message));
                }
                DestinationOutput::Event(event) => {
                    last = last.max(Some(event.at));
                    self.record(event);
                }
                DestinationOutput::Ended => self.ended_at = Some(last.unwrap_or_default()),
            }
        }
        let overdue = self.ended_at.filter(|_| !self.overdue_scheduled && !self.source_is_done);
        let follows = overdue.map(|ended_at| {
            self.overdue_scheduled = true;
            let at = ended_at.saturating_add(self.patience);
            (at, ended_at, DestinationSideInput::SourceOverdue)
        });
        Drained { last, follows }
    }
}

impl Side for DestinationSide {
    fn receive(&mut self, frame: PeerFrame) -> Result<Received<DestinationSideInput>, String> {
        let message = match frame {
            PeerFrame::Message(message) => message,
            PeerFrame::Page(bytes) => {
                let (page, at) = decode_page(self.spec.seed, self.spec.pages, &bytes)
                    .map_err(|error| error.to_string())?;
                return Ok(self.deliver(at, DestinationInput::Arrived(LinkMessage::Page(page))));
            }
        };
        match message {
            PeerMessage::ContextPart(part) => self.join(part).map(|()| Received::Noted),
            PeerMessage::Context(frame) => self.receive_context(*frame),
            PeerMessage::Notice { deliver_at, notice } => {
                if let Notice::NotResident { page } | Notice::Dropped { page } = notice {
                    self.check(page)?;
                }
                Ok(self.deliver(deliver_at, DestinationInput::Received(notice)))
            }
            PeerMessage::Released => {
                self.source_is_done = true;
                Ok(Received::Farewell)
            }
            PeerMessage::Withdrawn { verdict } => {
                self.source_is_done = true;
                let reason = verdict.reason.clone();
                self.withdrawn = Some(verdict);
                Ok(Received::DeliverLast(self.source_lost(reason)))
            }
            other => Err(crate::handshake::unexpected("a part of the migration", &other)),
        }
    }

    fn connection_lost(&mut self, reason: String) -> Option<DestinationSideInput> {
        if std::mem::replace(&mut self.source_is_done, true) {
            return None;
        }
        let reason = format!("the source was lost: {reason}");
        self.lost = Some(reason.clone());
        Some(self.source_lost(reason))
    }

    fn take_frames(&mut self) -> Vec<PeerFrame> {
        std::mem::take(&mut self.frames)
    }

    /// What has come and is not due yet counts: pages that come late are part of the books, too.
    fn is_over(&self) -> bool {
        self.ended_at.is_some() && self.source_is_done && self.undelivered == 0
    }

    fn answer(&mut self, vm: &Vm, request: Request) -> Option<DestinationSideInput> {
        vm.answer_while_migrating(VmPhase::MigratingIn, self.guest(), request);
        None
    }

    fn publish(&mut self, vm: &Vm) {
        vm.publish(VmPhase::MigratingIn, self.guest());
        self.herald.tell(&vm.host, self.destination.report());
    }
}
