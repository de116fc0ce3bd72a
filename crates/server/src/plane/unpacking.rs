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

/// Where the body of a page goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Into the guest's memory.
    Memory,
    /// Aside, at this offset: it is not the page as it is, or the page has been held here already.
    Aside(usize),
    /// Aside, too, since the page came into memory by another way while its bytes were under way.
    Abandoned(usize),
}

/// A page of the batch at hand.
#[derive(Debug)]
pub(super) struct Coming {
    entry: PageEntry,
    place: Place,
    /// Where its body begins among the bodies.
    begins: usize,
    /// Its stamp, where it was received in place and found right.
    found_right: Option<u64>,
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
    pub(super) fn places(
        &mut self,
        entries: Vec<PageEntry>,
        destination: &Destination,
    ) -> Vec<Coming> {
        let mut begins = 0;
        let mut coming = Vec::with_capacity(entries.len());
        for entry in entries {
            let in_place =
                entry.encoding == Encoding::Whole && destination.may_receive_in_place(entry.page);
            let place = if in_place { Place::Memory } else { Place::Aside(begins) };
            coming.push(Coming { entry, place, begins, found_right: None });
            begins += usize::from(entry.body_bytes);
        }
        // Room for bodies in place, too, which may have to be abandoned.
        if self.aside.len() < begins {
            self.aside.resize(begins, 0);
        }
        coming
    }

    /// The memory that the bodies from byte `received` on are to be received into next, in their
    /// order; `None` where a page is named twice.
    pub(super) fn room<'a>(
        &'a mut self,
        destination: &'a mut Destination,
        coming: &mut [Coming],
        received: usize,
    ) -> Option<Vec<IoSliceMut<'a>>> {
        let first = coming.partition_point(|coming| coming.ends() <= received);
        let end = coming.partition_point(|coming| coming.begins < received + RECEIVED_AT_ONCE);
        let coming = &mut coming[first..end];
        self.abandon(destination, coming);
        let mut runs: Vec<(PageNumber, u32)> = Vec::new();
        let mut pieces: Vec<Piece> = Vec::new();
        for coming in coming.iter() {
            let page = coming.entry.page;
            match (coming.aside(), runs.last_mut(), pieces.last_mut()) {
                (Some(range), _, Some(Piece::Aside(before))) if before.end == range.start => {
                    before.end = range.end;
                }
                (Some(range), _, _) => pieces.push(Piece::Aside(range)),
                (None, Some((from, count)), Some(Piece::Run)) if from.0 + *count == page.0 => {
                    *count += 1;
                }
                (None, _, _) => {
                    runs.push((page, 1));
                    pieces.push(Piece::Run);
                }
            }
        }
        let skip = coming.first().map_or(0, |coming| received - coming.begins);
        let bytes = destination.memory_mut().and_then(|memory| memory.bytes_mut());
        let in_place = match bytes {
            Some(bytes) => bytes.disjoint_mut(&runs)?,
            None => Vec::new(),
        };
        Some(self.slices(in_place, &pieces, skip))
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

    /// Pages whose bodies are still to come and that have come into memory by another way: what
    /// comes goes aside, and what of it has been written over the page is mended.
    fn abandon(&self, destination: &mut Destination, coming: &mut [Coming]) {
        for coming in coming {
            let page = coming.entry.page;
            if coming.place != Place::Memory || destination.may_receive_in_place(page) {
                continue;
            }
            coming.place = Place::Abandoned(coming.begins);
            let Some(memory) = destination.memory_mut() else { continue };
            let stamp = memory.stamp(page);
            if let (Some(stamp), Some(bytes)) = (stamp, memory.bytes_mut()) {
                self.contents.fill(page, stamp, bytes.page_mut(page));
            }
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
        coming: &mut [Coming],
        before: usize,
        received: usize,
    ) -> Result<(), BatchError> {
        let Some(bytes) = destination.memory().and_then(Memory::bytes) else { return Ok(()) };
        let first = coming.partition_point(|coming| coming.ends() <= before);
        let whole = coming[first..].iter_mut().take_while(|coming| coming.ends() <= received);
        for coming in whole.filter(|coming| coming.place == Place::Memory) {
            if destination.may_receive_in_place(coming.entry.page) {
                let found = self.check(&coming.entry, bytes.page(coming.entry.page))?;
                coming.found_right = Some(found);
            }
        }
        Ok(())
    }

    /// Checks what has come as a whole, and puts in place what is not there yet.
    ///
    /// # Errors
    /// The first page that is not what was sent.
    pub(super) fn unpack(
        &mut self,
        destination: &mut Destination,
        coming: &[Coming],
    ) -> Result<Vec<PageMessage>, BatchError> {
        let mut pages = Vec::with_capacity(coming.len());
        for Coming { entry, place, found_right, .. } in coming {
            let wanted = destination.may_receive_in_place(entry.page);
            let stamp = match place {
                Place::Memory | Place::Abandoned(_) => found_right.unwrap_or_default(),
                Place::Aside(offset) => {
                    let bytes = destination.memory_mut().and_then(Memory::bytes_mut);
                    let body = *offset..offset + usize::from(entry.body_bytes);
                    self.unpack_aside(entry, body, bytes.filter(|_| wanted))?
                }
            };
            let PageEntry { page, dirty, cause, .. } = *entry;
            pages.push(PageMessage { page, stamp, dirty, cause });
        }
        Ok(pages)
    }

    /// Makes a page of a body that was received aside, and puts it into place where it is wanted.
    fn unpack_aside(
        &mut self,
        entry: &PageEntry,
        body: Range<usize>,
        bytes: Option<&mut Pages>,
    ) -> Result<u64, BatchError> {
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

    /// Holds a page against what was announced; its stamp.
    fn check(&self, entry: &PageEntry, bytes: &[u8; PAGE]) -> Result<u64, BatchError> {
        if self.checks && entry.encoding != Encoding::Zero {
            entry.check(bytes)?;
        }
        let page = entry.page;
        self.contents.stamp_in(page, bytes).ok_or(BatchError::Torn { page })
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
        let mut coming = Vec::with_capacity(entries.len());
        for entry in entries {
            let place = Place::Aside(begins);
            coming.push(Coming { entry, place, begins, found_right: None });
            begins += usize::from(entry.body_bytes);
        }
        self.unpack(destination, &coming)
    }
}

/// What is received in one go.
enum Piece {
    /// The next run of pages in place.
    Run,
    /// A part of what is received aside.
    Aside(Range<usize>),
}

impl Coming {
    /// Where its body ends among the bodies.
    fn ends(&self) -> usize {
        self.begins + usize::from(self.entry.body_bytes)
    }

    /// Where its body goes, unless in place.
    fn aside(&self) -> Option<Range<usize>> {
        match self.place {
            Place::Memory => None,
            Place::Aside(offset) | Place::Abandoned(offset) => {
                Some(offset..offset + usize::from(self.entry.body_bytes))
            }
        }
    }
}
