//! A batch in the making.

use super::kept::{Choice, Repetitions};
use bytes::Bytes;
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

/// The contents of pages that are to be sent, one after another.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    /// They stay as they are in the guest's memory until they have been written to the socket.
    InPlace(&'a [u8]),
    /// They may change, and have to be copied.
    Fleeting(&'a [u8]),
}

/// Where bytes of a batch are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// In the guest's memory, from that page on.
    InPlace { first: PageNumber, pages: u32 },
    /// In the batch's own bytes.
    Own(Range<usize>),
}

/// A run of pages: the first, and how many.
pub(super) type Run = (PageNumber, u32);

/// Pages that will go as one batch.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Room for the header, and the entries.
    head: Vec<u8>,
    /// The pages of the entries.
    runs: Vec<Run>,
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
        let mut head = Vec::with_capacity(BATCH_HEADER_BYTES + ENTRY_BYTES * MAX_BATCH_PAGES);
        head.resize(BATCH_HEADER_BYTES, 0);
        Draft {
            head,
            runs: Vec::new(),
            segments: Vec::new(),
            own: Vec::new(),
            body_bytes: 0,
            checks,
            compresses,
        }
    }

    fn count(&self) -> usize {
        (self.head.len() - BATCH_HEADER_BYTES) / ENTRY_BYTES
    }

    /// How many more pages it takes.
    pub(crate) fn room(&self) -> u32 {
        (MAX_BATCH_PAGES - self.count()) as u32
    }

    /// Whether it has no page.
    pub(crate) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The page that was added last.
    pub(crate) fn last(&self) -> Option<PageNumber> {
        self.runs.last().map(|(first, count)| PageNumber(first.0 + count - 1))
    }

    /// Its pages, in their order.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Adds pages, for which there is room, sent as cheaply as may be: `repetitions` are those of
    /// the batch's connection, if it has any.
    pub(super) fn add(
        &mut self,
        message: &PageMessage,
        content: Content<'_>,
        mut repetitions: Option<&mut Repetitions>,
        counts: &mut PlaneCounts,
    ) {
        let PageMessage { page: first, count, dirty, cause, .. } = *message;
        let (Content::InPlace(bytes) | Content::Fleeting(bytes)) = content;
        let in_place = matches!(content, Content::InPlace(_));
        let (pages, before) = (bytes.as_chunks::<PAGE>().0, self.body_bytes);
        for (page, bytes) in message.pages().zip(pages) {
            let before = self.body_bytes;
            let (encoding, checksum) =
                self.add_body(page, bytes, in_place, repetitions.as_deref_mut(), counts);
            let body_bytes = (self.body_bytes - before) as u16;
            let entry = PageEntry { page, encoding, body_bytes, cause, dirty, checksum };
            self.head.extend_from_slice(&entry.encode());
        }
        match self.runs.last_mut() {
            Some((from, pages)) if from.0 + *pages == first.0 => *pages += count,
            _ => self.runs.push((first, count)),
        }
        let body_bytes = (self.body_bytes - before) as u64;
        counts.body_bytes += body_bytes;
        counts.bytes_sent += u64::from(count) * ENTRY_BYTES as u64 + body_bytes;
    }

    /// Adds a page to a batch that goes as one piece.
    pub(crate) fn add_copied(
        &mut self,
        message: &PageMessage,
        bytes: &[u8],
        counts: &mut PlaneCounts,
    ) {
        self.add(message, Content::Fleeting(bytes), None, counts);
    }

    fn add_body(
        &mut self,
        page: PageNumber,
        bytes: &[u8; PAGE],
        in_place: bool,
        repetitions: Option<&mut Repetitions>,
        counts: &mut PlaneCounts,
    ) -> (Encoding, u64) {
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
                if in_place {
                    self.add_in_place(page);
                } else {
                    self.add_own(bytes);
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

    /// The batch, which has that number on its connection: header and entries, where its bodies
    /// are, and its own bytes.
    pub(super) fn into_parts(mut self, number: u64) -> (Vec<u8>, Vec<Segment>, Vec<u8>) {
        let kind = if self.is_empty() { BatchKind::Fence } else { BatchKind::Pages };
        let (pages, body_bytes) = (self.count() as u16, self.body_bytes as u32);
        let header = BatchHeader { kind, pages, body_bytes, number };
        self.head[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode());
        (self.head, self.segments, self.own)
    }

    /// The batch as one piece, for the control connection; nothing in it is in place.
    pub(crate) fn into_frame(self, number: u64) -> Bytes {
        let (mut frame, _, own) = self.into_parts(number);
        frame.extend_from_slice(&own);
        frame.into()
    }
}

/// Whether a page is zeros. One that is not is nearly always known by its first words.
#[inline]
pub(super) fn is_zero(bytes: &[u8; PAGE]) -> bool {
    let (words, _) = bytes.as_chunks::<8>();
    let (blocks, _) = words.as_chunks::<4>();
    blocks.iter().all(|block| block.iter().all(|word| u64::from_le_bytes(*word) == 0))
}
