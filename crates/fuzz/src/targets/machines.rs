//! The two machines of a migration, told in any order whatever a driver may tell them: with page
//! contents as stamps or as real bytes, one page at a time or several, over one way or two, whose
//! link breaks and comes back, and whose processes die or lie.

mod breaks;
mod ends;

use super::guests::{any_parameters, any_spec};
use arbitrary::{Result, Unstructured};
use breaks::Breaks;
use lazycopy_guest::{Guest, GuestSpec, Memory, Timeout, TimeoutKind};
use lazycopy_migration::{
    Cause, Destination, DestinationInput, DestinationOutput, Event, LinkMessage, Notice,
    PageMessage, RecoveryAnswer, Reply, Source, SourceInput, SourceOutput, SourceRecovery,
};
use lazycopy_units::{Duration, Instant, PAGE_BYTES, PageNumber};
use std::collections::VecDeque;
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
    /// The first word of a new connection: the migration goes on.
    GoesOn(Box<SourceRecovery>),
    /// The last word: the source has the guest.
    Withdrawn(String),
}

/// What is on its way to the source.
enum Said {
    Reply(Reply),
    /// These pages, so many from each on, have been taken.
    Taken(Vec<(PageNumber, u32)>),
    /// The first word of a new connection.
    Answer(RecoveryAnswer),
}

struct Pair {
    now: Instant,
    spec: Arc<GuestSpec>,
    source: Source,
    destination: Destination,
    in_pages: bool,
    /// A second way, for what is pushed in the background.
    in_bulk: bool,
    transmitting: Vec<Coming>,
    bulk: VecDeque<Coming>,
    control: VecDeque<Coming>,
    to_source: VecDeque<Said>,
    events: Vec<Event>,
    source_ended: bool,
    destination_ended: bool,
    disturbed: bool,
    breaks: Breaks,
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
        spec: Arc::clone(&spec),
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
        breaks: Breaks::default(),
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
            6 if u.ratio(1, 16)? => pair.fail(u)?,
            7 if u.ratio(1, 16)? => pair.cancel(),
            8 if pair.is_broken() => pair.go_on_after_a_break(u)?,
            _ => pair.go_on(Duration::from_nanos(u.int_in_range(0..=5_000_000)?)),
        }
        pair.one_owner();
    }
    for _ in 0..MOST_STEPS {
        if pair.is_over() {
            break;
        }
        pair.use_link(8);
        pair.transmitted();
        pair.deliver_bulk();
        pair.deliver_control();
        pair.deliver_reply();
        pair.go_on(Duration::from_millis(1));
        pair.mend();
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
        if !self.breaks.destination_is_dead {
            self.destination.handle_input(self.now, input);
            self.drain_destination();
        }
    }

    fn say_to_destination(&mut self, coming: Coming) {
        if self.breaks.wire_is_whole {
            self.control.push_back(coming);
        }
    }

    fn say_to_source(&mut self, said: Said) {
        if self.breaks.wire_is_whole {
            self.to_source.push_back(said);
        }
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
                    self.say_to_destination(Coming::Notice(notice));
                }
                SourceOutput::Recover { recovery, .. } => {
                    self.say_to_destination(Coming::GoesOn(recovery));
                }
                SourceOutput::Event(run) => self.events.extend(run.events()),
                SourceOutput::Ended => {
                    assert!(!self.source_ended, "a source ended twice");
                    self.source_ended = true;
                    self.bid_farewell();
                }
            }
        }
    }

    /// A source that has the guest says so; what it was about to send is of no use any more.
    fn bid_farewell(&mut self) {
        if let Some((_, reason)) = &self.source.report().returned {
            let farewell = Coming::Withdrawn(reason.clone());
            self.transmitting.clear();
            self.say_to_destination(farewell);
        }
    }

    fn drain_destination(&mut self) {
        while let Some(output) = self.destination.poll_output() {
            match output {
                DestinationOutput::Reply { reply, .. } => self.say_to_source(Said::Reply(reply)),
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
        if !self.transmitting.is_empty() || self.source_ended || !self.breaks.source_sees_link {
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
            self.breaks.note_sent(&coming);
            if !self.breaks.wire_is_whole {
                continue;
            }
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
        if !self.breaks.destination_sees_link {
            return;
        }
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
            // It has given up after its answer: the source is to ask again, and to hear that.
            Coming::GoesOn(_) if self.destination.report().lost.is_some() => {
                return self.break_wire();
            }
            Coming::GoesOn(word) => {
                self.breaks.destination_sees_link = true;
                return self.tell_destination(DestinationInput::Recovered(word));
            }
            Coming::Withdrawn(reason) => {
                return self.tell_destination(DestinationInput::Withdrawn { reason });
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
        self.acknowledge(pages);
    }

    fn deliver_reply(&mut self) {
        match self.to_source.pop_front() {
            Some(Said::Reply(reply)) => self.tell_source(SourceInput::Received(reply)),
            Some(Said::Taken(taken)) => self.give_up_memory(&taken),
            Some(Said::Answer(answer)) => self.hear_answer(answer),
            None => {}
        }
    }

    fn cancel(&mut self) {
        let handed_over = self.source.has_handed_over();
        self.disturbed |= !handed_over;
        self.tell_source(SourceInput::Cancelled { reason: "a user's wish".to_owned() });
        assert!(handed_over || self.source_ended, "a cancellation has no effect");
    }

    /// Time goes on, and each side does what is due.
    fn go_on(&mut self, span: Duration) {
        let until = self.now.saturating_add(span);
        for _ in 0..8 {
            let source = self.source.poll_timeout().filter(|_| !self.source_ended);
            let goes_on = !self.destination_ended && !self.breaks.destination_is_dead;
            let destination = self.destination.poll_timeout().filter(|_| goes_on);
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
}
