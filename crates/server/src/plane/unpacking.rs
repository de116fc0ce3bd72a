//! Making pages of what has come: where each body is received, and what becomes of it.

use super::draft::is_zero;
use super::kept::Kept;
use lazycopy_guest::{GuestSpec, Memory, PageContents, Pages};
use lazycopy_migration::{Destination, PageMessage};
use lazycopy_protocol::plane::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, ENTRY_BYTES, Encoding, PageEntry, decode_entries,
};
use lazycopy_units::{PAGE_BYTES, PageNumber};
use std::io::IoSliceMut;
use std::ops::Range;

const PAGE: usize = PAGE_BYTES as usize;

/// Bytes that are received and then checked in one go: they are still in the processor's own cache
/// when they are.
const RECEIVED_AT_ONCE: usize = 256 << 10;

/// Where bodies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Into the guest's memory.
    Memory,
    /// Aside, where they begin among the bodies: it is not the page as it is, or the page has been
    /// held here already.
    Aside,
    /// Aside, too, since the page came into memory by another way while its bytes were under way.
    Abandoned,
}

/// Entries of the batch at hand, one after another, whose bodies go to one place. In memory they
/// are pages whose numbers follow each other, and of which the same is said.
#[derive(Clone, Debug)]
struct Part {
    /// Which of the entries.
    entries: Range<usize>,
    place: Place,
    /// Where their bodies are among the bodies.
    bodies: Range<usize>,
}

/// A batch whose bodies are coming.
#[derive(Debug)]
pub(super) struct Coming {
    entries: Vec<PageEntry>,
    parts: Vec<Part>,
}

/// What it takes to make pages of what has come.
#[derive(Debug)]
pub(crate) struct Unpacking {
    /// Pages of the guest.
    pub(super) pages: u32,
    contents: PageContents,
    checks: bool,
    aside: Vec<u8>,
    kept: Kept,
}

impl Unpacking {
    /// For the pages of a guest of that definition, whose checksums are held against what came, or
    /// not.
    pub(crate) fn new(spec: &GuestSpec, checks: bool) -> Self {
        let contents = PageContents::of(spec);
        let (aside, kept) = (Vec::new(), Kept::default());
        Unpacking { contents, pages: spec.pages, checks, aside, kept }
    }

    /// Where the bodies of a batch go. One that is the page as it is goes where the page is to be,
    /// unless the page was held here already.
    pub(super) fn places(&mut self, entries: Vec<PageEntry>, destination: &Destination) -> Coming {
        let mut parts = Vec::new();
        let (mut next, mut begins) = (0, 0);
        while let Some(rest) = entries.get(next..).filter(|rest| !rest.is_empty()) {
            let entry = rest[0];
            let (place, count) = match entry.encoding {
                Encoding::Whole => {
                    match destination.may_receive_in_place(entry.page, run_of(rest)) {
                        (true, count) => (Place::Memory, count as usize),
                        (false, _) => (Place::Aside, 1),
                    }
                }
                _ => (Place::Aside, 1),
            };
            let ends = begins + count * usize::from(entry.body_bytes);
            parts.push(Part { entries: next..next + count, place, bodies: begins..ends });
            (next, begins) = (next + count, ends);
        }
        // Room for bodies in place, too, which may have to be abandoned.
        if self.aside.len() < begins {
            self.aside.resize(begins, 0);
        }
        Coming { entries, parts }
    }

    /// The memory that the bodies from byte `received` on are to be received into next, in their
    /// order; `None` where a page is named twice.
    pub(super) fn room<'a>(
        &'a mut self,
        destination: &'a mut Destination,
        coming: &mut Coming,
        received: usize,
    ) -> Option<Vec<IoSliceMut<'a>>> {
        let until = received + RECEIVED_AT_ONCE;
        self.abandon(destination, coming, received..until);
        let first = coming.parts.partition_point(|part| part.bodies.end <= received);
        let wanted = coming.parts[first..].iter().take_while(|part| part.bodies.start < until);
        let mut runs: Vec<(PageNumber, u32)> = Vec::new();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut skip = None;
        for part in wanted {
            let pages = part.pages_within(received..until);
            let page = coming.entries[part.entries.start + pages.start].page;
            match (part.place, runs.last_mut(), pieces.last_mut()) {
                (Place::Memory, Some((from, count)), Some(Piece::Run))
                    if from.0 + *count == page.0 =>
                {
                    *count += pages.len() as u32;
                }
                (Place::Memory, _, _) => {
                    runs.push((page, pages.len() as u32));
                    pieces.push(Piece::Run);
                }
                (_, _, Some(Piece::Aside(before))) if before.end == part.bodies.start => {
                    before.end = part.bodies.end;
                }
                _ => pieces.push(Piece::Aside(part.bodies.clone())),
            }
            skip.get_or_insert_with(|| received - part.bodies.start - pages.start * PAGE);
        }
        let bytes = destination.memory_mut().and_then(|memory| memory.bytes_mut());
        let in_place = match bytes {
            Some(bytes) => bytes.disjoint_mut(&runs)?,
            None => Vec::new(),
        };
        Some(self.slices(in_place, &pieces, skip.unwrap_or_default()))
    }

    /// The pieces as slices, without the first `skip` bytes of the first one.
    fn slices<'a>(
        &'a mut self,
        in_place: Vec<&'a mut [u8]>,
        pieces: &[Piece],
        skip: usize,
    ) -> Vec<IoSliceMut<'a>> {
        let mut in_place = in_place.into_iter();
        let (mut aside, mut at) = (&mut self.aside[..], 0);
        let mut slices = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let slice = match piece {
                Piece::Run => in_place.next().unwrap_or_default(),
                Piece::Aside(range) => {
                    let (_, from_here) = aside.split_at_mut(range.start - at);
                    let (slice, rest) = from_here.split_at_mut(range.len());
                    (aside, at) = (rest, range.end);
                    slice
                }
            };
            let skip = if slices.is_empty() { skip } else { 0 };
            slices.push(IoSliceMut::new(&mut slice[skip..]));
        }
        slices
    }

    /// Pages of these bodies that are still to come and that have come into memory by another way:
    /// what comes goes aside, and what of it has been written over the page is mended.
    fn abandon(&self, destination: &mut Destination, coming: &mut Coming, bodies: Range<usize>) {
        let mut at = coming.parts.partition_point(|part| part.bodies.end <= bodies.start);
        while let Some(part) = coming.parts.get(at)
            && part.bodies.start < bodies.end
        {
            let pages = part.pages_within(bodies.clone());
            let first = coming.entries[part.entries.start + pages.start].page;
            let count = pages.len() as u32;
            let (may, alike) = destination.may_receive_in_place(first, count);
            if part.place != Place::Memory || may && alike == count {
                at += 1;
                continue;
            }
            let page = pages.start + if may { alike as usize } else { 0 };
            let abandoned = coming.entries[part.entries.start + page].page;
            let divided = part.divided_at(page);
            coming.parts.splice(at..=at, divided);
            // What is behind it is looked at in its turn.
            at += usize::from(page > 0) + 1;
            self.mend(destination, abandoned);
        }
    }

    /// Writes a page that is in memory once more: something else may have been received over it.
    fn mend(&self, destination: &mut Destination, page: PageNumber) {
        let Some(memory) = destination.memory_mut() else { return };
        let stamp = memory.stamp(page);
        if let (Some(stamp), Some(bytes)) = (stamp, memory.bytes_mut()) {
            self.contents.fill(page, stamp, bytes.page_mut(page));
        }
    }

    /// Checks the pages that are in place as a whole since `received` is more than it was `before`,
    /// as long as their bytes are still in the processor's cache.
    ///
    /// # Errors
    /// The first page that is not what was sent.
    pub(super) fn check_in_place(
        &self,
        destination: &Destination,
        coming: &Coming,
        before: usize,
        received: usize,
    ) -> Result<(), BatchError> {
        let Some(bytes) = destination.memory().and_then(Memory::bytes) else { return Ok(()) };
        let first = coming.parts.partition_point(|part| part.bodies.end <= before);
        let begun = coming.parts[first..].iter().take_while(|part| part.bodies.start < received);
        for part in begun.filter(|part| part.place == Place::Memory) {
            let whole = |received: usize| received.saturating_sub(part.bodies.start) / PAGE;
            let pages = whole(before)..whole(received.min(part.bodies.end));
            let Some(entries @ [first, ..]) = coming.entries[part.entries.clone()].get(pages)
            else {
                continue;
            };
            let (pages, _) = bytes.run(first.page, entries.len() as u32).as_chunks();
            for (entry, bytes) in entries.iter().zip(pages) {
                self.check(entry, bytes)?;
            }
        }
        Ok(())
    }

    /// Puts what has come as a whole in place, where it is not there yet, and checks it.
    ///
    /// # Errors
    /// The first page that is not what was sent.
    pub(super) fn unpack(
        &mut self,
        destination: &mut Destination,
        coming: &Coming,
    ) -> Result<Vec<PageMessage>, BatchError> {
        let mut messages = Vec::with_capacity(coming.parts.len());
        for part in &coming.parts {
            let entry = &coming.entries[part.entries.start];
            if part.place == Place::Aside {
                let (wanted, _) = destination.may_receive_in_place(entry.page, 1);
                let bytes = destination.memory_mut().and_then(Memory::bytes_mut);
                self.unpack_aside(entry, part.bodies.clone(), bytes.filter(|_| wanted))?;
            }
            let PageEntry { page, dirty, cause, .. } = *entry;
            let count = part.entries.len() as u32;
            messages.push(PageMessage { page, count, stamp: None, dirty, cause });
        }
        Ok(messages)
    }

    /// Makes a page of a body that was received aside, and puts it into place where it is wanted.
    fn unpack_aside(
        &mut self,
        entry: &PageEntry,
        body: Range<usize>,
        bytes: Option<&mut Pages>,
    ) -> Result<(), BatchError> {
        let page = entry.page;
        let mut unwanted = [0; PAGE];
        let target = match bytes {
            Some(bytes) => bytes.page_mut(page),
            None => &mut unwanted,
        };
        match entry.encoding {
            Encoding::Whole => target.copy_from_slice(&self.aside[body]),
            Encoding::Kept => {
                target.copy_from_slice(&self.aside[body]);
                self.kept.keep(target);
            }
            // Memory that was never written is zeros, and takes no room as long as it stays so.
            Encoding::Zero if is_zero(target) => {}
            Encoding::Zero => target.fill(0),
            Encoding::Same => {
                let place =
                    u16::from_le_bytes([self.aside[body.start], self.aside[body.start + 1]]);
                let kept = self.kept.len();
                let content = self.kept.content(place);
                let content = content.ok_or(BatchError::NotKept { page, place, kept })?;
                target.copy_from_slice(content);
            }
            Encoding::Lz4 => {
                let unpacked = lz4_flex::block::decompress_into(&self.aside[body], target);
                if unpacked.ok() != Some(PAGE) {
                    return Err(BatchError::Compressed { page });
                }
            }
        }
        self.check(entry, target)
    }

    /// Holds a page against what was announced.
    fn check(&self, entry: &PageEntry, bytes: &[u8; PAGE]) -> Result<(), BatchError> {
        if self.checks && entry.encoding != Encoding::Zero {
            entry.check(bytes)?;
        }
        match PageContents::is_torn(bytes) {
            true => Err(BatchError::Torn { page: entry.page }),
            false => Ok(()),
        }
    }

    /// The pages of a batch that came as one piece, with the number `expected`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(crate) fn unpack_frame(
        &mut self,
        destination: &mut Destination,
        frame: &[u8],
        expected: u64,
    ) -> Result<Vec<PageMessage>, BatchError> {
        let short = BatchError::Length { announced: BATCH_HEADER_BYTES, bytes: frame.len() };
        let (header, rest) = frame.split_first_chunk().ok_or(short)?;
        let header = BatchHeader::decode(header, expected)?;
        let announced = usize::from(header.pages) * ENTRY_BYTES;
        let short = BatchError::Length { announced, bytes: rest.len() };
        let (entries, bodies) = rest.split_at_checked(announced).ok_or(short)?;
        let entries = decode_entries(&header, entries, self.pages)?;
        if bodies.len() != header.body_bytes as usize {
            let announced = header.body_bytes as usize;
            return Err(BatchError::Length { announced, bytes: bodies.len() });
        }
        self.aside.clear();
        self.aside.extend_from_slice(bodies);
        let mut begins = 0;
        let mut parts = Vec::with_capacity(entries.len());
        for (number, entry) in entries.iter().enumerate() {
            let ends = begins + usize::from(entry.body_bytes);
            let entries = number..number + 1;
            parts.push(Part { entries, place: Place::Aside, bodies: begins..ends });
            begins = ends;
        }
        self.unpack(destination, &Coming { entries, parts })
    }
}

/// What is received in one go.
enum Piece {
    /// The next run of pages in place.
    Run,
    /// A part of what is received aside.
    Aside(Range<usize>),
}

impl Part {
    /// Which of its pages, counted from its first, have bytes of their bodies in that range, which
    /// has some of the part's; of what goes aside all.
    fn pages_within(&self, bodies: Range<usize>) -> Range<usize> {
        if self.place != Place::Memory {
            return 0..self.entries.len();
        }
        let from = bodies.start.saturating_sub(self.bodies.start) / PAGE;
        let until = bodies.end.min(self.bodies.end) - self.bodies.start;
        from..until.div_ceil(PAGE)
    }

    /// The part in memory without that page of its own, which is abandoned: what is before it, it,
    /// and what is behind it.
    fn divided_at(&self, page: usize) -> impl Iterator<Item = Part> + use<> {
        let part = |pages: Range<usize>, place| Part {
            entries: self.entries.start + pages.start..self.entries.start + pages.end,
            bodies: self.bodies.start + pages.start * PAGE..self.bodies.start + pages.end * PAGE,
            place,
        };
        let parts = [
            part(0..page, Place::Memory),
            part(page..page + 1, Place::Abandoned),
            part(page + 1..self.entries.len(), Place::Memory),
        ];
        parts.into_iter().filter(|part| !part.entries.is_empty())
    }
}

/// How many of these entries, from the first on, are of pages whose numbers follow each other, that
/// are sent as they are, and of which the same is said.
fn run_of(entries: &[PageEntry]) -> u32 {
    let PageEntry { page, cause, dirty, .. } = entries[0];
    let mut next = page.0;
    let mut goes_on = |entry: &&PageEntry| {
        let follows = entry.page.0 == next && entry.encoding == Encoding::Whole;
        next += 1;
        follows && entry.cause == cause && entry.dirty == dirty
    };
    entries.iter().take_while(|entry| goes_on(entry)).count() as u32
}

#[cfg(test)]
mod tests;
