//! The destination's side: its machine, and the messages to and from the source.

mod link;
mod plane;

use super::driver::{Drained, Machine};
use super::{Broken, GREATEST_LAG, Herald, Log, MAX_UNDELIVERED, Pumped, Received, Side, Word};
use crate::connection::BulkStream;
use crate::vm::{Here, MOST_ACCESSES, Request, Vm};
use lazycopy_guest::{Disk, Guest, GuestSnapshot, GuestSpec, Memory, PageContents, Timeout};
use lazycopy_link::PlaneParameters;
use lazycopy_migration::{
    Context, Destination, DestinationInput, DestinationOutput, DestinationReport, EventKind,
    EventRun, LinkMessage, MigrationParameters, Notice, Outcome, PageMessage, RecoveryAnswer,
    Reply, ResidencyList, Verdict,
};
use lazycopy_protocol::control::{MAX_SHOWN_PAGES, PeerEnd, VmPhase};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::lists::{decode_disk, decode_residency};
use lazycopy_protocol::page::decode_page;
use lazycopy_protocol::peer::{ContextFrame, Offer, PeerMessage};
use lazycopy_units::{Duration, Instant, PAGE_MESSAGE_BYTES, PageNumber};
use plane::{Batch, DestinationPlane};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// What the machine is told, and what its driver is.
#[derive(Debug)]
pub(crate) enum DestinationSideInput {
    /// For the machine.
    Machine(DestinationInput),
    /// For the machine: these pages have arrived.
    Pages(Batch),
    /// The source has not said in time that it is done.
    SourceOverdue,
}

/// The destination's side of a migration.
pub(crate) struct DestinationSide {
    destination: Destination,
    spec: Arc<GuestSpec>,
    contents: PageContents,
    /// The page plane, where there is no modelled link.
    plane: Option<Box<DestinationPlane>>,
    latency: Duration,
    /// The longest that a message is on its way: the context of a guest whose frames are all taken,
    /// or a page.
    longest_way: Duration,
    /// The most bytes that the context may count.
    most_context_bytes: u64,
    /// After its end, how long the source's last word is waited for, in model time.
    patience: Duration,
    /// What of the context came before it: the residency list, and the disk.
    residency: ResidencyList,
    disk: Disk,
    written_back: u32,
    context_came: bool,
    frames: VecDeque<PeerFrame>,
    log: Log,
    herald: Herald,
    /// Messages of the source that have come and are not due yet.
    undelivered: u64,
    ended_at: Option<Instant>,
    /// The guest as it was then. It goes on while the source's last word is awaited.
    guest_at_end: Option<GuestSnapshot>,
    overdue_scheduled: bool,
    /// How the page plane is set up, where there is no modelled link.
    parameters: Option<PlaneParameters>,
    /// The link is broken.
    link_is_broken: bool,
    /// The source's process is dead, by the manager's word.
    source_is_dead: bool,
    /// The source wants to hear that this side is there; once is enough for many questions.
    is_asked_for: bool,
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
    /// The destination of the guest that is offered, and for which one stands by; where there is
    /// no modelled link, its pages are received into that memory.
    pub(crate) fn new(standing_by: Guest, memory: Option<Memory>, offer: &Offer, log: Log) -> Self {
        let spec = Arc::clone(standing_by.spec());
        let seed = spec.seed;
        let (definition, parameters) = (Arc::clone(&spec), offer.parameters.clone());
        let mut destination = match memory {
            Some(memory) => Destination::receiving_into(memory, definition, parameters),
            None => Destination::new(definition, parameters),
        };
        destination.stand_by(standing_by);
        let herald = Herald::new(offer.migration, spec.pages);
        let latency = offer.link.latency();
        let patience = Duration::from_secs(PATIENCE_SECS.saturating_mul(offer.time_scale));
        let most_bytes = most_context_bytes(&spec, &offer.parameters).max(PAGE_MESSAGE_BYTES);
        let transmission = offer.link.modelled().map(|link| link.bandwidth.time_for(most_bytes));
        let longest_way =
            latency.as_nanos().saturating_add(transmission.map_or(0, Duration::as_nanos));
        DestinationSide {
            destination,
            contents: PageContents::of(&spec),
            plane: None,
            latency,
            longest_way: Duration::from_nanos(longest_way),
            most_context_bytes: most_context_bytes(&spec, &offer.parameters),
            patience: patience + latency,
            spec,
            residency: ResidencyList::default(),
            disk: Disk::new(seed),
            written_back: 0,
            context_came: false,
            frames: VecDeque::new(),
            log,
            herald,
            undelivered: 0,
            ended_at: None,
            guest_at_end: None,
            overdue_scheduled: false,
            parameters: None,
            link_is_broken: false,
            source_is_dead: false,
            is_asked_for: false,
            source_is_done: false,
            withdrawn: None,
            thrown_away: None,
            lost: None,
        }
    }

    /// Where there is no modelled link: the bulk connections over which pages will come.
    ///
    /// # Errors
    /// What the system says about one of them.
    pub(crate) fn receive_over(
        &mut self,
        parameters: &PlaneParameters,
        bulk: Vec<BulkStream>,
    ) -> io::Result<()> {
        self.parameters = Some(parameters.clone());
        self.plane = Some(Box::new(DestinationPlane::new(&self.spec, parameters, bulk)?));
        Ok(())
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
            let reason = match &report.source_lost {
                None => "nothing of the guest is missing".to_owned(),
                Some((_, reason)) => {
                    format!("what was missing of the guest is on the disk; but {reason}")
                }
            };
            return Verdict { outcome: Outcome::Completed, reason };
        }
        match (&self.thrown_away, &self.withdrawn, &self.lost) {
            (Some(reason), _, _) => failed(format!("the guest could not be resumed: {reason}")),
            (None, Some(verdict), _) => verdict.clone(),
            (None, None, Some(reason)) => failed(reason.clone()),
            (None, None, None) => failed("the guest never came".to_owned()),
        }
    }

    /// What is left of this side: the guest, if it is here, what it was when its books were
    /// closed, and the log.
    pub(crate) fn into_parts(self) -> (Option<Guest>, Option<GuestSnapshot>, Log) {
        (self.destination.into_guest(), self.guest_at_end, self.log)
    }

    /// What the guest is doing: once nothing of it is missing, it is this server's alone, also while
    /// its run is still measured.
    fn phase(&self) -> VmPhase {
        match self.destination.report().completed_at {
            Some(_) => VmPhase::Running,
            None => VmPhase::MigratingIn,
        }
    }

    fn check(&self, page: PageNumber) -> Result<(), String> {
        match page.0 < self.spec.pages {
            true => Ok(()),
            false => Err(format!("the source named page {page} of {}", self.spec.pages)),
        }
    }

    /// Joins a part of the residency list, which has at most an entry per frame.
    fn join_residency(&mut self, part: &[u8]) -> Result<(), String> {
        let residency = &mut self.residency;
        if residency.is_empty() {
            residency.reserve(self.spec.frames as usize);
        }
        decode_residency(part, self.spec.pages, |entry| residency.push(entry))
            .map_err(|error| error.to_string())?;
        self.check_lists()
    }

    /// Joins a part of the disk, which has at most an entry per page.
    fn join_disk(&mut self, part: &[u8]) -> Result<(), String> {
        let (disk, written_back) = (&mut self.disk, &mut self.written_back);
        decode_disk(part, self.spec.pages, |page, stamp| {
            disk.write_back(page, stamp);
            *written_back += 1;
        })
        .map_err(|error| error.to_string())?;
        self.check_lists()
    }

    fn check_lists(&self) -> Result<(), String> {
        let fits = self.residency.len() <= self.spec.frames as usize
            && self.written_back <= self.spec.pages
            && !self.context_came;
        match fits {
            true => Ok(()),
            false => Err("the context lists more pages than the guest has".to_owned()),
        }
    }

    fn receive_context(
        &mut self,
        now: Instant,
        frame: ContextFrame,
    ) -> Result<Received<DestinationSideInput>, String> {
        if std::mem::replace(&mut self.context_came, true) {
            return Err("the source sent a second context".to_owned());
        }
        let accesses = frame.registers.accesses;
        if accesses > MOST_ACCESSES {
            return Err(format!(
                "the context's guest has {accesses} accesses behind it, at most {MOST_ACCESSES} \
                 are possible"
            ));
        }
        if frame.registers.misses > accesses || frame.bytes > self.most_context_bytes {
            return Err(format!(
                "the context counts {} misses in {accesses} accesses and {} bytes, at most {} are \
                 possible",
                frame.registers.misses, frame.bytes, self.most_context_bytes
            ));
        }
        match &mut self.plane {
            None => Ok(self.deliver_context(frame.deliver_at, frame)),
            Some(plane) => {
                plane.keep(frame);
                Ok(self.deliver_kept_context(now).unwrap_or(Received::Noted))
            }
        }
    }

    /// On the page plane the context waits for what was sent before it.
    fn deliver_kept_context(&mut self, now: Instant) -> Option<Received<DestinationSideInput>> {
        let frame = self.plane.as_mut()?.take_context()?;
        Some(self.deliver_context(now, frame))
    }

    fn deliver_context(
        &mut self,
        at: Instant,
        frame: ContextFrame,
    ) -> Received<DestinationSideInput> {
        let context = Context {
            registers: frame.registers,
            residency: std::mem::take(&mut self.residency),
            disk: std::mem::replace(&mut self.disk, Disk::new(self.spec.seed)),
            bytes: frame.bytes,
        };
        let input = DestinationInput::Arrived(LinkMessage::Context(Arc::new(context)));
        self.deliver(at, DestinationSideInput::Machine(input))
    }

    /// Hands the pages of a batch to the machine. What it does not install takes no memory.
    fn pages_arrived(&mut self, now: Instant, batch: Batch) {
        let mut coming = 0;
        let resident = self.resident();
        for page in &batch.pages {
            coming += page.count;
            let message = LinkMessage::Page(*page);
            self.herald.arrived(&message);
            let input = DestinationInput::Arrived(message);
            self.destination.handle_input(now, input);
        }
        if self.resident() != resident + coming {
            self.discard_what_is_not_installed(&batch);
        }
        let runs = self.destination.may_acknowledge();
        let acknowledgement =
            self.plane.as_mut().and_then(|plane| plane.note_taken(batch.connection, runs));
        self.frames.extend(acknowledgement.map(PeerFrame::Message));
    }

    /// Whether the machine has taken so much of what has come that more may come. It takes nothing
    /// while the source does not listen to its requests.
    fn takes_more(&self) -> bool {
        self.undelivered < MAX_UNDELIVERED
    }

    fn resident(&self) -> u32 {
        self.destination.memory().map_or(0, Memory::resident)
    }

    fn discard_what_is_not_installed(&mut self, batch: &Batch) {
        let Some(memory) = self.destination.memory_mut() else { return };
        for page in batch.pages.iter().flat_map(PageMessage::pages) {
            if !memory.contains(page)
                && let Some(bytes) = memory.bytes_mut()
            {
                bytes.discard(page, 1);
            }
        }
    }

    /// All messages come from the source alone, in the order in which it said them.
    fn deliver(
        &mut self,
        at: Instant,
        input: DestinationSideInput,
    ) -> Received<DestinationSideInput> {
        self.undelivered += 1;
        Received::Deliver { at, said: Instant::ZERO, input }
    }

    /// After the end the guest's ordinary paging is no part of the migration's story any more.
    fn record(&mut self, run: EventRun) {
        if self.ended_at.is_none() || !matches!(run.first.kind, EventKind::Missed { .. }) {
            self.log.record(run);
        }
    }

    /// Nothing comes from the source any more: this is what the machine is told.
    fn source_is_gone(&mut self, input: DestinationInput) -> DestinationSideInput {
        self.source_is_done = true;
        self.nothing_comes(input)
    }

    /// Nothing comes by the connections that there were.
    fn nothing_comes(&mut self, input: DestinationInput) -> DestinationSideInput {
        if let Some(plane) = &mut self.plane {
            plane.give_up();
        }
        self.undelivered += 1;
        DestinationSideInput::Machine(input)
    }
}

/// The most bytes that the context of that guest counts on the link.
fn most_context_bytes(spec: &GuestSpec, parameters: &MigrationParameters) -> u64 {
    Context::bytes_for(parameters.context_bytes, spec.frames as usize)
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
                self.destination.handle_input(now, self.unless_it_runs_here(input));
            }
            DestinationSideInput::Pages(batch) => {
                self.undelivered -= 1;
                self.pages_arrived(now, batch);
            }
            DestinationSideInput::SourceOverdue => {
                self.source_is_done = true;
                if let Some(plane) = &mut self.plane {
                    plane.give_up();
                }
            }
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
                    self.frames.push_back(PeerFrame::Message(message));
                }
                DestinationOutput::Event(run) => {
                    last = last.max(Some(run.first.at));
                    self.record(run);
                }
                DestinationOutput::Ended => {
                    self.ended_at = Some(last.unwrap_or_default());
                    let guest = self.destination.guest();
                    self.guest_at_end = guest.map(|guest| guest.snapshot(MAX_SHOWN_PAGES as usize));
                }
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
    fn receive(
        &mut self,
        now: Instant,
        frame: PeerFrame,
    ) -> Result<Received<DestinationSideInput>, String> {
        if self.source_is_done {
            return Err("the source went on after its last word".to_owned());
        }
        let message = match (frame, &mut self.plane) {
            (PeerFrame::Message(message), _) => message,
            (PeerFrame::Residency(part), _) => {
                return self.join_residency(&part).map(|()| Received::Noted);
            }
            (PeerFrame::Disk(part), _) => return self.join_disk(&part).map(|()| Received::Noted),
            (PeerFrame::Batch(frame), Some(plane)) => {
                let batch = plane.receive_urgent(&mut self.destination, &frame)?;
                return Ok(self.deliver(now, DestinationSideInput::Pages(batch)));
            }
            (PeerFrame::Page(bytes), None) => {
                let (page, at) = decode_page(&self.contents, self.spec.pages, &bytes)
                    .map_err(|error| error.to_string())?;
                let input = DestinationInput::Arrived(LinkMessage::Page(page));
                return Ok(self.deliver(at, DestinationSideInput::Machine(input)));
            }
            (PeerFrame::Map(_), _) => return Err("the source sent a page map unasked".to_owned()),
            (PeerFrame::Page(_) | PeerFrame::Batch(_), _) => {
                return Err("the source sent pages in another way than was agreed".to_owned());
            }
        };
        match message {
            PeerMessage::Context(frame) => self.receive_context(now, *frame),
            PeerMessage::Notice { deliver_at, notice } => {
                if let Notice::NotResident { page } | Notice::Dropped { page } = notice {
                    self.check(page)?;
                }
                let at = if self.plane.is_some() { now } else { deliver_at };
                let input = DestinationInput::Received(notice);
                Ok(self.deliver(at, DestinationSideInput::Machine(input)))
            }
            PeerMessage::AreYouThere => {
                self.is_asked_for = true;
                Ok(Received::Noted)
            }
            PeerMessage::Released if self.destination.report().completed_at.is_none() => {
                Err("the source released a guest of which something is missing".to_owned())
            }
            PeerMessage::Released => {
                self.source_is_done = true;
                if let Some(plane) = &mut self.plane {
                    plane.await_end();
                }
                Ok(Received::Farewell)
            }
            PeerMessage::Withdrawn { verdict } => {
                let reason = verdict.reason.clone();
                self.withdrawn = Some(verdict);
                let input = DestinationInput::Withdrawn { reason };
                Ok(Received::DeliverLast(self.source_is_gone(input)))
            }
            other => Err(crate::handshake::unexpected("a part of the migration", &other)),
        }
    }

    fn longest_way(&self) -> Duration {
        self.longest_way
    }

    fn connection_lost(&mut self, broken: Broken) -> Option<DestinationSideInput> {
        self.break_off(broken)
    }

    fn paused(&self) -> Option<(&str, Option<Result<String, String>>)> {
        let reason = self.lost.as_deref().unwrap_or("the link broke");
        self.destination.is_paused().then_some((reason, None))
    }

    fn given_up(&mut self, after: std::time::Duration) -> DestinationSideInput {
        self.give_source_up(after)
    }

    fn answer_recovery(&self) -> RecoveryAnswer {
        self.destination.answer_recovery()
    }

    fn regain(
        &mut self,
        bulk: Vec<BulkStream>,
        word: Word,
    ) -> Result<Option<DestinationSideInput>, String> {
        self.regain_link(bulk, word)
    }

    fn reclaim(&mut self) -> Result<DestinationSideInput, String> {
        Err("the guest is to be taken back at its source".to_owned())
    }

    fn peer_ended(&mut self, how: PeerEnd, is_connected: bool) -> Option<DestinationSideInput> {
        self.source_ended(how, is_connected)
    }

    fn next_frame(&mut self) -> Option<PeerFrame> {
        if std::mem::take(&mut self.is_asked_for) {
            return Some(PeerFrame::Message(PeerMessage::Here));
        }
        self.frames.pop_front()
    }

    /// On the page plane what comes after the context may be for a guest that is not here before
    /// the machine has taken it.
    fn accepts_frames(&self) -> bool {
        self.plane.is_none()
            || self.takes_more() && (!self.context_came || self.destination.is_past_context())
    }

    fn pump(&mut self, now: Instant) -> Result<Pumped<DestinationSideInput>, Broken> {
        let takes_more = self.takes_more();
        let Some(plane) = self.plane.as_mut().filter(|_| takes_more) else {
            return Ok(Pumped::default());
        };
        let mut batches = Vec::new();
        let progressed = plane.read(&mut self.destination, &mut batches)?;
        let mut received: Vec<_> = batches
            .into_iter()
            .map(|batch| self.deliver(now, DestinationSideInput::Pages(batch)))
            .collect();
        received.extend(self.deliver_kept_context(now));
        Ok(Pumped { progressed, received })
    }

    async fn bulk_ready(&mut self) {
        match &self.plane {
            Some(plane) if self.takes_more() => plane.readable().await,
            _ => std::future::pending().await,
        }
    }

    fn keep_up(&mut self, now: Instant) {
        if self.plane.is_some() {
            self.destination.keep_up(now, GREATEST_LAG);
        }
    }

    /// What has come and is not due yet counts: pages that come late are part of the books, too.
    fn is_over(&self) -> bool {
        let all_came = self.plane.as_ref().is_none_or(|plane| plane.has_ended());
        let is_heard_out = self.source_is_done || self.link_is_broken;
        self.ended_at.is_some() && is_heard_out && all_came && self.undelivered == 0
    }

    fn answer(&mut self, now: Instant, vm: &Vm, request: Request) -> Option<DestinationSideInput> {
        let here = Here {
            guest: self.guest(),
            moving: Some((lazycopy_migration::Side::Destination, now)),
            left: None,
            memory: self.destination.memory(),
            arrivals: Some(self.herald.arrivals()),
        };
        vm.answer_while_migrating(self.phase(), &here, request);
        None
    }

    fn publish(&mut self, now: Instant, vm: &Vm) {
        vm.publish(self.phase(), self.guest());
        self.herald.tell(now, &vm.host, self.destination.report());
    }
}

#[cfg(test)]
mod tests;
