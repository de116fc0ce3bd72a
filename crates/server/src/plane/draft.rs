//! A batch in the making.

use super::kept::{Choice, Repetitions};
use bytes::{Bytes, BytesMut};
use lazycopy_migration::PageMessage;
use lazycopy_protocol::control::PlaneCounts;
use lazycopy_protocol::plane::{
    BATCH_HEADER_BYTES, BatchHeader, BatchKind, ENTRY_BYTES, Encoding, MAX_BATCH_PAGES, PageEntry,
    checksum, content_hash,
};
use lazycopy_units::{PAGE_BYTES, PageNumber};
use std::ops::Range;

const PAGE: usize = PAGE_BYTES as usize;

/// Bytes that lz4 may make of a page at most.
const LZ4_MOST: usize = lz4_flex::block::get_maximum_output_size(PAGE);

/// A page is sent compressed where that spares a quarter of it: less is not worth the work at the
/// other end.
const WORTH_COMPRESSING: usize = PAGE * 3 / 4;

/// The content of a page that is to be sent.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    /// It stays as it is in the guest's memory until it has been written to the socket.
    InPlace(&'a [u8; PAGE]),
    /// It may change, and has to be copied.
    Fleeting(&'a [u8; PAGE]),
}

/// Where bytes of a batch are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// In the guest's memory, from that page on.
    InPlace { first: PageNumber, pages: u32 },
    /// In the batch's own bytes.
    Own(Range<usize>),
}

/// Pages that will go as one batch.
#[derive(Debug)]
pub(crate) struct Draft {
    entries: Vec<PageEntry>,
    segments: Vec<Segment>,
    own: Vec<u8>,
    /// Bytes of the bodies.
    body_bytes: usize,
    checks: bool,
    compresses: bool,
}

impl Draft {
    /// An empty batch.
    pub(crate) fn new(checks: bool, compresses: bool) -> Self {
        Draft {
            entries: Vec::with_capacity(MAX_BATCH_PAGES),
            segments: Vec::new(),
            own: Vec::new(),
            body_bytes: 0,
            checks,
            compresses,
        }
    }

    /// Whether it has as many pages as a batch may have.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() == MAX_BATCH_PAGES
    }

    /// Whether it has no page.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The page that was added last.
    pub(crate) fn last(&self) -> Option<PageNumber> {
        self.entries.last().map(|entry| entry.page)
    }

    /// Its pages, in their order.
    pub(crate) fn pages(&self) -> impl Iterator<Item = PageNumber> + '_ {
        self.entries.iter().map(|entry| entry.page)
    }

    /// Adds a page, sent as cheaply as may be: `repetitions` are those of its connection, if it has
    /// any.
    pub(super) fn add(
        &mut self,
        message: &PageMessage,
        content: Content<'_>,
        repetitions: Option<&mut Repetitions>,
        counts: &mut PlaneCounts,
    ) {
        let PageMessage { page, dirty, cause, .. } = *message;
        let before = self.body_bytes;
        let (encoding, checksum) = self.add_body(page, content, repetitions, counts);
        let body_bytes = (self.body_bytes - before) as u16;
        self.entries.push(PageEntry { page, encoding, body_bytes, cause, dirty, checksum });
        counts.body_bytes += u64::from(body_bytes);
        counts.bytes_sent += (ENTRY_BYTES + usize::from(body_bytes)) as u64;
    }

    /// Adds a page to a batch that goes as one piece.
    pub(crate) fn add_copied(
        &mut self,
        message: &PageMessage,
        bytes: &[u8; PAGE],
        counts: &mut PlaneCounts,
    ) {
        self.add(message, Content::Fleeting(bytes), None, counts);
    }

    fn add_body(
        &mut self,
        page: PageNumber,
        content: Content<'_>,
        repetitions: Option<&mut Repetitions>,
        counts: &mut PlaneCounts,
    ) -> (Encoding, u64) {
        let (Content::InPlace(bytes) | Content::Fleeting(bytes)) = content;
        if is_zero(bytes) {
            counts.pages_zero += 1;
            return (Encoding::Zero, 0);
        }
        let hash = if self.checks { content_hash(bytes) } else { 0 };
        let choice = match repetitions {
            Some(repetitions) if self.checks => repetitions.choose(hash, bytes),
            _ => Choice::Send,
        };
        let encoding = match choice {
            Choice::Same(place) => {
                counts.pages_same += 1;
                self.add_own(&place.to_le_bytes());
                Encoding::Same
            }
            Choice::Send if self.compresses && self.add_compressed(bytes) => {
                counts.pages_compressed += 1;
                Encoding::Lz4
            }
            choice => {
                match content {
                    Content::InPlace(_) => self.add_in_place(page),
                    Content::Fleeting(bytes) => self.add_own(bytes),
                }
                if choice == Choice::Keep { Encoding::Kept } else { Encoding::Whole }
            }
        };
        (encoding, if self.checks { checksum(page, hash) } else { 0 })
    }

    fn add_in_place(&mut self, page: PageNumber) {
        self.body_bytes += PAGE;
        match self.segments.last_mut() {
            Some(Segment::InPlace { first, pages }) if first.0 + *pages == page.0 => *pages += 1,
            _ => self.segments.push(Segment::InPlace { first: page, pages: 1 }),
        }
    }

    fn add_own(&mut self, bytes: &[u8]) {
        let start = self.own.len();
        self.own.extend_from_slice(bytes);
        self.note_own(start);
    }

    /// What was added to the batch's own bytes from `start` on is a body.
    fn note_own(&mut self, start: usize) {
        let end = self.own.len();
        self.body_bytes += end - start;
        match self.segments.last_mut() {
            Some(Segment::Own(range)) if range.end == start => range.end = end,
            _ => self.segments.push(Segment::Own(start..end)),
        }
    }

    /// Whether a page is worth compressing: then it is added.
    fn add_compressed(&mut self, bytes: &[u8; PAGE]) -> bool {
        let start = self.own.len();
        self.own.resize(start + LZ4_MOST, 0);
        let written = lz4_flex::block::compress_into(bytes, &mut self.own[start..]);
        match written {
            Ok(written) if written <= WORTH_COMPRESSING => {
                self.own.truncate(start + written);
                self.note_own(start);
                true
            }
            _ => {
                self.own.truncate(start);
                false
            }
        }
    }

    /// Header and entries of the batch, which has that number on its connection.
    pub(super) fn head(&self, number: u64) -> BytesMut {
        let kind = if self.is_empty() { BatchKind::Fence } else { BatchKind::Pages };
        let (pages, body_bytes) = (self.entries.len() as u16, self.body_bytes as u32);
        let mut head = BytesMut::with_capacity(BATCH_HEADER_BYTES + ENTRY_BYTES * 256);
        head.extend_from_slice(&BatchHeader { kind, pages, body_bytes, number }.encode());
        for entry in &self.entries {
            entry.encode(&mut head);
        }
        head
    }

    /// Where its bodies are, and its own bytes.
    pub(super) fn into_bodies(self) -> (Vec<Segment>, Vec<u8>) {
        (self.segments, self.own)
    }

    /// The batch as one piece, for the control connection; nothing in it is in place.
    pub(crate) fn into_frame(self, number: u64) -> Bytes {
        let mut frame = self.head(number);
        frame.extend_from_slice(&self.own);
        frame.freeze()
    }
}

/// Whether a page is zeros. One that is not is nearly always known by its first bytes.
pub(super) fn is_zero(bytes: &[u8; PAGE]) -> bool {
    let (chunks, _) = bytes.as_chunks::<64>();
    chunks.iter().all(|chunk| *chunk == [0; 64])
}
