//! The two machines of a migration, told in any order whatever a driver may tell them: with page
//! contents as stamps or as real bytes, one page at a time or several, over one way or two.

use super::guests::{any_parameters, any_spec};
use arbitrary::{Result, Unstructured};
use lazycopy_guest::{Guest, GuestSpec, Memory, PageContents, Timeout, TimeoutKind, reference_run};
use lazycopy_migration::{
    Cause, Destination, DestinationInput, DestinationOutput, Event, EventKind, LinkMessage,
    Metrics, Notice, Outcome, PageMessage, Reclaim, Reply, Source, SourceInput, SourceOutput,
    SourceRecovery, Verdict,
};
use lazycopy_units::{Duration, Instant, PAGE_BYTES, PageNumber};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

const PAGE: usize = PAGE_BYTES as usize;

/// Steps after which an undisturbed migration has ended.
const MOST_STEPS: u32 = 20_000;

/// Accesses of one burst.
const BURST: u64 = 64;

/// A migration whose driver does what it likes.
pub fn machines(data: &[u8]) {
    let _ = migration(&mut Unstructured::new(data));
}

/// What is on its way to the destination.
enum Coming {
    Message(LinkMessage, Vec<u8>),
    Notice(Notice),
    /// The source goes on.
    GoesOn(Box<SourceRecovery>),
}

struct Pair {
    now: Instant,
    source: Source,
    destination: Destination,
    in_pages: bool,
    /// A second way, for what is pushed in the background.
    in_bulk: bool,
    transmitting: Vec<Coming>,
    bulk: VecDeque<Coming>,
    control: VecDeque<Coming>,
    to_source: VecDeque<Reply>,
    events: Vec<Event>,
    source_ended: bool,
    destination_ended: bool,
    disturbed: bool,
}

fn migration(u: &mut Unstructured<'_>) -> Result<()> {
    let in_pages = u.ratio(1, 3)?;
    let (spec, parameters) = (Arc::new(any_spec(u)?), any_parameters(u, false)?);
    if parameters.validate().is_err() || spec.validate().is_err() {
        return Ok(());
    }
    let guest = if in_pages {
        Guest::new_in_pages(Arc::clone(&spec)).ok()
    } else {
        Guest::new(Arc::clone(&spec)).ok()
    };
    let Some(mut guest) = guest else { return Ok(()) };
    let before = u.int_in_range(0..=60)?;
    guest.run_to(Instant::ZERO, before, Duration::ZERO).expect("it has no recording");
    let destination = if in_pages {
        let Ok(memory) = Memory::in_pages(spec.pages, &spec) else { return Ok(()) };
        Destination::receiving_into(memory, Arc::clone(&spec), parameters.clone())
    } else {
        Destination::new(Arc::clone(&spec), parameters.clone())
    };
    let scheme = parameters.scheme;
    let mut pair = Pair {
        now: Instant::ZERO,
        source: Source::new(guest, parameters),
        destination,
        in_pages,
        in_bulk: in_pages && u.arbitrary()?,
        transmitting: Vec::new(),
        bulk: VecDeque::new(),
        control: VecDeque::new(),
        to_source: VecDeque::new(),
        events: Vec::new(),
        source_ended: false,
        destination_ended: false,
        disturbed: false,
    };
    pair.tell_source(SourceInput::Requested);
    while !u.is_empty() && !pair.is_over() {
        let room = u.int_in_range(1..=8)?;
        match u.int_in_range(0..=9)? {
            0 | 1 => pair.use_link(room),
            2 => pair.transmitted(),
            3 => pair.deliver_bulk(),
            4 => pair.deliver_control(),
            5 => pair.deliver_reply(),
            6 if u.ratio(1, 16)? => pair.cut(),
            6 if u.ratio(1, 4)? => pair.lose_link(u.arbitrary()?),
            7 if u.ratio(1, 2)? && pair.source.is_paused() => pair.recover(u.ratio(1, 4)?),
            7 if u.ratio(1, 16)? => pair.give_up_source(),
            7 if u.ratio(1, 16)? => pair.give_up_destination(),
            7 if u.ratio(1, 8)? => pair.reclaim(),
            7 if u.ratio(1, 16)? => pair.cancel(),
            _ => pair.go_on(Duration::from_nanos(u.int_in_range(0..=5_000_000)?)),
        }
        pair.one_owner();
    }
    for _ in 0..MOST_STEPS {
        if pair.is_over() {
            break;
        }
        if pair.source.is_paused() {
            pair.recover(false);
        }
        if pair.source_ended && pair.destination.is_paused() {
            // Nobody comes any more.
            pair.give_up_source();
        }
        pair.use_link(8);
        pair.transmitted();
        pair.deliver_bulk();
        pair.deliver_control();
        pair.deliver_reply();
        pair.go_on(Duration::from_millis(1));
        pair.one_owner();
    }
    pair.come_in();
    pair.ends_well(&spec, scheme);
    Ok(())
}

impl Pair {
    fn is_over(&self) -> bool {
        self.source_ended && self.destination_ended
    }

    /// What is still under way when both sides have ended counts, too.
    fn come_in(&mut self) {
        self.transmitted();
        while !self.bulk.is_empty() || !self.control.is_empty() {
            let left = self.bulk.len() + self.control.len();
            self.deliver_bulk();
            self.deliver_control();
            if self.bulk.len() + self.control.len() == left {
                break;
            }
        }
    }

    fn tell_source(&mut self, input: SourceInput) {
        if !self.source_ended {
            self.source.handle_input(self.now, input);
            self.drain_source();
        }
    }

    fn tell_destination(&mut self, input: DestinationInput) {
        self.destination.handle_input(self.now, input);
        self.drain_destination();
    }

    fn drain_source(&mut self) {
        while let Some(output) = self.source.poll_output() {
            match output {
                SourceOutput::Transmit { at, message } => {
                    assert!(at <= self.now, "a message is sent before its time");
                    let bytes = self.bytes_of(&message);
                    self.transmitting.push(Coming::Message(message, bytes));
                }
                SourceOutput::Notify { notice, .. } => {
                    self.control.push_back(Coming::Notice(notice));
                }
                SourceOutput::Recover { recovery, .. } => {
                    self.control.push_back(Coming::GoesOn(recovery));
                }
                SourceOutput::Event(run) => self.events.extend(run.events()),
                SourceOutput::Ended => {
                    assert!(!self.source_ended, "a source ended twice");
                    self.source_ended = true;
                }
            }
        }
    }

    fn drain_destination(&mut self) {
        while let Some(output) = self.destination.poll_output() {
            match output {
                DestinationOutput::Reply { reply, .. } => self.to_source.push_back(reply),
                DestinationOutput::Event(run) => self.events.extend(run.events()),
                DestinationOutput::Ended => {
                    assert!(!self.destination_ended, "a destination ended twice");
                    self.destination_ended = true;
                }
            }
        }
    }

    /// The bytes of pages whose message has no stamps, as they are when they leave.
    fn bytes_of(&self, message: &LinkMessage) -> Vec<u8> {
        match message {
            LinkMessage::Page(PageMessage { page, count, stamp: None, .. }) => {
                let memory = self.source.memory().and_then(Memory::bytes);
                memory.expect("pages without stamps are bytes").run(*page, *count).to_vec()
            }
            _ => Vec::new(),
        }
    }

    fn use_link(&mut self, room: u32) {
        if !self.transmitting.is_empty() || self.source_ended {
            return;
        }
        if self.in_bulk && self.source.wants_urgent_link() {
            self.tell_source(SourceInput::UrgentLinkFree);
        } else if self.source.wants_link().is_some_and(|at| at <= self.now) {
            let room = if self.in_pages { room } else { 1 };
            self.tell_source(SourceInput::LinkFree { room });
        }
    }

    /// What was sent goes its way: in bulk behind what went there before, all else in order.
    fn transmitted(&mut self) {
        if self.transmitting.is_empty() {
            return;
        }
        for coming in std::mem::take(&mut self.transmitting) {
            let in_bulk = matches!(
                &coming,
                Coming::Message(LinkMessage::Page(page), _)
                    if matches!(page.cause, Cause::Background | Cause::Round)
            );
            if self.in_bulk && in_bulk {
                self.bulk.push_back(coming);
            } else {
                self.control.push_back(coming);
            }
        }
        self.tell_source(SourceInput::Transmitted);
    }

    /// What was sent before the context comes before it, and what was sent after it after it.
    fn deliver_bulk(&mut self) {
        let is_round = |coming: &Coming| {
            let Coming::Message(LinkMessage::Page(page), _) = coming else { return false };
            page.cause == Cause::Round
        };
        let past = self.destination.is_past_context();
        if self.bulk.front().is_some_and(|coming| past || is_round(coming))
            && let Some(coming) = self.bulk.pop_front()
        {
            self.deliver(coming);
        }
    }

    fn deliver_control(&mut self) {
        let context =
            matches!(self.control.front(), Some(Coming::Message(LinkMessage::Context(_), _)));
        if context && !self.bulk.is_empty() && !self.destination.is_past_context() {
            return self.deliver_bulk_of_rounds();
        }
        if let Some(coming) = self.control.pop_front() {
            self.deliver(coming);
        }
    }

    /// The context waits for its fence.
    fn deliver_bulk_of_rounds(&mut self) {
        while !self.destination.is_past_context() {
            let left = self.bulk.len();
            self.deliver_bulk();
            if self.bulk.len() == left {
                break;
            }
        }
        if let Some(context) = self.control.pop_front() {
            self.deliver(context);
        }
    }

    fn deliver(&mut self, coming: Coming) {
        let (message, bytes) = match coming {
            Coming::Notice(notice) => {
                return self.tell_destination(DestinationInput::Received(notice));
            }
            Coming::GoesOn(word) => {
                return self.tell_destination(DestinationInput::Recovered(word));
            }
            Coming::Message(message, bytes) => (message, bytes),
        };
        let pages = match &message {
            LinkMessage::Page(page) => Some(*page),
            LinkMessage::Context(_) => None,
        };
        for (page, bytes) in
            pages.iter().flat_map(PageMessage::pages).zip(bytes.as_chunks::<PAGE>().0)
        {
            let (may, _) = self.destination.may_receive_in_place(page, 1);
            let memory = self.destination.memory_mut().and_then(Memory::bytes_mut);
            if let Some(memory) = memory.filter(|_| may) {
                memory.page_mut(page).copy_from_slice(bytes);
            }
        }
        self.tell_destination(DestinationInput::Arrived(message));
        if let Some(memory) = self.destination.memory_mut().filter(|_| self.in_pages) {
            for page in pages.iter().flat_map(PageMessage::pages) {
                if !memory.contains(page)
                    && let Some(bytes) = memory.bytes_mut()
                {
                    bytes.discard(page, 1);
                }
            }
        }
    }

    fn deliver_reply(&mut self) {
        if let Some(reply) = self.to_source.pop_front() {
            self.tell_source(SourceInput::Received(reply));
        }
    }

    /// What is on its way is lost, at both sides or, as far as the destination knows, at one.
    fn lose_link(&mut self, is_known: bool) {
        if self.source_ended || self.source.report().returned.is_some() {
            return;
        }
        let before = !self.source.has_handed_over();
        self.disturbed |= before;
        (self.control, self.bulk, self.to_source) = Default::default();
        let reason = || "the link broke".to_owned();
        self.tell_source(SourceInput::LinkLost { reason: reason() });
        (self.transmitting, self.control) = Default::default();
        if is_known || before {
            self.tell_destination(DestinationInput::LinkLost { reason: reason() });
        }
        if before {
            let reason = reason();
            self.tell_destination(DestinationInput::SourceLost { reason, is_dead: false });
        }
    }

    /// A handshake; the connection may break in the middle of it.
    fn recover(&mut self, breaks: bool) {
        let reason = "the source has come back".to_owned();
        self.tell_destination(DestinationInput::LinkLost { reason });
        let answer = self.destination.answer_recovery();
        if !breaks {
            self.tell_source(SourceInput::Recovered(answer));
        }
    }

    /// The destination waits no longer; a source that has not asked may have the guest again.
    fn give_up_source(&mut self) {
        if self.destination.is_paused() && self.control.is_empty() {
            self.disturbed = true;
            let reason = "it did not come back".to_owned();
            self.tell_destination(DestinationInput::SourceLost { reason, is_dead: false });
        }
    }

    /// The source waits no longer, unless its operator may have the guest back.
    fn give_up_destination(&mut self) {
        if self.source.is_paused() && !matches!(self.source.reclaim(), Reclaim::Safe(_)) {
            self.disturbed = true;
            let reason = "it was not found".to_owned();
            self.tell_source(SourceInput::DestinationLost { reason });
        }
    }

    /// By an operator's word; the destination hears of it.
    fn reclaim(&mut self) {
        if self.source.is_paused() && matches!(self.source.reclaim(), Reclaim::Safe(_)) {
            self.disturbed = true;
            let reason = || "taken back".to_owned();
            self.tell_source(SourceInput::Reclaimed { reason: reason() });
            assert!(self.source.guest().is_some(), "what is safe to take back is not here");
            self.tell_destination(DestinationInput::Withdrawn { reason: reason() });
        }
    }

    fn cut(&mut self) {
        self.disturbed = true;
        (self.control, self.bulk, self.to_source) = Default::default();
        let reason = || "it was cut".to_owned();
        self.tell_source(SourceInput::DestinationLost { reason: reason() });
        self.transmitting.clear();
        self.control.clear();
        self.tell_destination(DestinationInput::SourceLost { reason: reason(), is_dead: true });
    }

    /// The source's last word gets to the destination.
    fn cancel(&mut self) {
        let handed_over = self.source.has_handed_over();
        self.tell_source(SourceInput::Cancelled { reason: "a user's wish".to_owned() });
        if !handed_over && self.source_ended {
            self.disturbed = true;
            self.transmitting.clear();
            let reason = "cancelled".to_owned();
            self.tell_destination(DestinationInput::SourceLost { reason, is_dead: true });
        }
    }

    /// Time goes on, and each side does what is due.
    fn go_on(&mut self, span: Duration) {
        let until = self.now.saturating_add(span);
        for _ in 0..8 {
            let source = self.source.poll_timeout().filter(|_| !self.source_ended);
            let destination = self.destination.poll_timeout().filter(|_| !self.destination_ended);
            let due = |timeout: &Option<Timeout>| timeout.map_or(Instant::MAX, |it| it.at);
            let (first, of_source) = match due(&source) <= due(&destination) {
                true => (source, true),
                false => (destination, false),
            };
            let Some(timeout) = first.filter(|timeout| timeout.at <= until) else { break };
            // A driver may be late, and is never early.
            self.now = self.now.max(timeout.at);
            match (timeout.kind, of_source) {
                (TimeoutKind::Disk, true) => self.tell_source(SourceInput::DiskDue),
                (TimeoutKind::Disk, false) => self.tell_destination(DestinationInput::DiskDue),
                (TimeoutKind::Access, true) => {
                    self.source.run(self.now, BURST);
                    self.drain_source();
                }
                (TimeoutKind::Access, false) => {
                    self.destination.run(self.now, BURST);
                    self.drain_destination();
                }
            }
        }
        self.now = until;
    }

    fn one_owner(&self) {
        let resumed = self.destination.report().resumed_at.is_some();
        assert!(!(self.source.guest().is_some() && resumed), "a guest has two owners");
        let handed_over = self.source.has_handed_over();
        let returned = self.source.report().returned.is_some();
        assert_eq!(self.source.guest().is_some(), !handed_over || returned);
    }

    /// What must hold of a migration that has come to its end.
    fn ends_well(&self, spec: &Arc<GuestSpec>, scheme: lazycopy_migration::Scheme) {
        let (source, destination) = (self.source.report(), self.destination.report());
        self.crosses_once(source.handover_at);
        if source.handover_at.is_none() {
            let gave_up = self.disturbed || source.never_converges_in.is_some();
            assert!(gave_up, "an undisturbed migration came to no end: {source:?}");
            return;
        }
        if destination.lost.is_some() {
            assert!(self.disturbed, "an undisturbed guest is lost: {destination:?}");
            return;
        }
        assert!(self.disturbed || self.is_over(), "no end: {source:?} {destination:?}");
        let Some(ended) = destination.ended_registers else { return };
        let reference = reference_run(spec, Duration::ZERO, 0, ended.accesses);
        let reference = reference.expect("it has no recording");
        assert_eq!(
            (ended.digest, destination.ended_pages_digest),
            (reference.registers.digest, Some(reference.pages_digest)),
            "the guest is not what it would have been"
        );
        if !self.disturbed {
            let verdict = Verdict { outcome: Outcome::Completed, reason: String::new() };
            let metrics = Metrics::from_reports(scheme, source, destination, verdict);
            metrics.check(source, destination).expect("the books agree");
        }
        self.every_byte(spec);
    }

    /// After the hand-over a page crosses at most once, but for one that was lost on its way.
    fn crosses_once(&self, handover: Option<Instant>) {
        let mut sent = BTreeSet::new();
        let mut handed_over = false;
        for event in &self.events {
            match event.kind {
                EventKind::Handover { .. } => handed_over = handover.is_some(),
                EventKind::PageSent { page, .. } if handed_over => {
                    assert!(sent.insert(page), "page {page} crossed twice");
                }
                // It did not come, and crosses anew.
                EventKind::PageLost { page } => drop(sent.remove(&page)),
                _ => {}
            }
        }
    }

    /// Real pages have the bytes that their stamps tell.
    fn every_byte(&self, spec: &GuestSpec) {
        let Some(memory) = self.destination.memory().filter(|_| self.in_pages) else { return };
        let contents = PageContents::of(spec);
        let bytes = memory.bytes().expect("it is in pages");
        for page in (0..spec.pages).map(PageNumber) {
            if let Some(stamp) = memory.stamp(page) {
                assert!(contents.matches(page, stamp, bytes.page(page)), "page {page} differs");
            }
        }
    }
}
