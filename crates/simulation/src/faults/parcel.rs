//! Pages that are real bytes: what a driver does with them, and with the memory that they leave.

use super::fault::Way;
use super::wire::Payload;
use super::world::World;
use lazycopy_guest::Memory;
use lazycopy_migration::{Cause, Destination, LinkMessage, PageMessage, Source, SourceInput};
use lazycopy_units::{Instant, PAGE_BYTES, PageNumber};
use std::sync::Arc;

const PAGE: usize = PAGE_BYTES as usize;

/// What becomes of memory that is given up: no page is like that.
const GIVEN_UP: u8 = 0xa5;

/// A message of the link, with the bytes of its pages where these are the content.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) message: LinkMessage,
    bytes: Arc<[u8]>,
}

impl Parcel {
    /// The message as the source sends it now.
    pub(crate) fn new(message: LinkMessage, source: Option<&Source>) -> Self {
        let memory = source.and_then(Source::memory).and_then(Memory::bytes);
        let bytes = match (&message, memory) {
            (LinkMessage::Page(PageMessage { page, count, stamp: None, .. }), Some(memory)) => {
                memory.run(*page, *count).into()
            }
            _ => Arc::default(),
        };
        Parcel { message, bytes }
    }

    /// How many pages it carries.
    pub(crate) fn pages(&self) -> u32 {
        match &self.message {
            LinkMessage::Page(message) => message.count,
            LinkMessage::Context(_) => 0,
        }
    }

    /// Puts its bytes where they belong, as far as nobody else may have written there.
    fn put_in_place(&self, destination: &mut Destination) {
        let LinkMessage::Page(PageMessage { page, count, stamp: None, .. }) = self.message else {
            return;
        };
        let (mut first, mut left, mut bytes) = (page, count, &self.bytes[..]);
        while left > 0 {
            let (may, alike) = destination.may_receive_in_place(first, left);
            let (these, rest) = bytes.split_at(alike as usize * PAGE);
            if may && let Some(memory) = destination.memory_mut().and_then(Memory::bytes_mut) {
                memory.run_mut(first, alike).copy_from_slice(these);
            }
            (first.0, left, bytes) = (first.0 + alike, left - alike, rest);
        }
    }
}

impl World<'_> {
    /// The link is occupied with that message, behind what it is occupied with already.
    pub(super) fn occupy_link(&mut self, at: Instant, message: LinkMessage) {
        let takes = self.case.link.bandwidth.time_for(message.bytes());
        let from = self.sending.back().map_or(at.max(self.now), |(until, _)| *until);
        let parcel = Parcel::new(message, self.hosts.source.machine.as_ref());
        self.tally.runs += u64::from(parcel.pages() > 1);
        self.sending.push_back((from + takes, parcel));
    }

    /// An urgent page goes at once, past what occupies the link.
    pub(super) fn send_urgent(&mut self) {
        let before = self.sending.len();
        self.tell_source(SourceInput::UrgentLinkFree);
        for (_, parcel) in self.sending.split_off(before) {
            self.send(Way::Forward, Payload::Link(parcel));
        }
        self.tell_source(SourceInput::Transmitted);
    }

    /// A message of the link is at the destination: its bytes come into place before its machine
    /// is told.
    pub(super) fn receive(&mut self, parcel: &Parcel) {
        if let Some(machine) = &mut self.hosts.destination.machine {
            parcel.put_in_place(machine);
        }
        // A copy of before the hand-over need not be the last one.
        if let LinkMessage::Page(PageMessage { page, count, cause, .. }) = parcel.message
            && cause != Cause::Round
        {
            self.taken.push((page, count));
        }
    }

    /// The destination acknowledges what it has taken, but only when the guest runs there: then
    /// nobody can come back to the source for it, neither for a page nor for the guest.
    pub(super) fn acknowledge(&mut self) {
        let machine = self.hosts.destination.machine.as_ref();
        let may = machine.is_some_and(Destination::may_acknowledge) || self.acknowledges_early;
        if may && !self.taken.is_empty() {
            let taken = std::mem::take(&mut self.taken);
            self.send(Way::Backward, Payload::Taken(taken));
        }
    }

    /// The source gives up what is acknowledged.
    pub(super) fn give_up(&mut self, taken: &[(PageNumber, u32)]) {
        let machine = self.hosts.source.machine.as_mut();
        let memory = machine.and_then(Source::handed_over_memory).and_then(Memory::bytes_mut);
        let Some(memory) = memory else { return };
        for (first, count) in taken {
            memory.run_mut(*first, *count).fill(GIVEN_UP);
            self.tally.pages_given_up += u64::from(*count);
        }
    }
}
