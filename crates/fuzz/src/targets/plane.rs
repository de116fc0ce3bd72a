//! Batches over a bulk connection, cut anywhere, while the machine takes pages that come by
//! another way.

use super::guests::{MOST_PAGES, any_parameters, spec};
use arbitrary::{Result, Unstructured};
use lazycopy_guest::{Disk, GuestSpec, Memory, PageContents, Registers};
use lazycopy_migration::{
    Cause, Context, Destination, DestinationInput, LinkMessage, MigrationParameters, PageMessage,
    Residency, Scheme,
};
use lazycopy_protocol::plane::{
    BatchHeader, BatchKind, Encoding, PageEntry, checksum, content_hash,
};
use lazycopy_server::fuzzing::{Bit, receive_in_bulk};
use lazycopy_units::{PAGE_BYTES, PageNumber};
use std::sync::Arc;

const PAGE: usize = PAGE_BYTES as usize;

/// The most bytes of one connection, so that it never waits to be read.
const MOST_BYTES: usize = 1 << 18;

/// Batches that are mostly right.
pub fn plane(data: &[u8]) {
    let _ = bulk(&mut Unstructured::new(data));
}

enum Step {
    Bytes(Vec<u8>),
    Input(DestinationInput),
}

fn bulk(u: &mut Unstructured<'_>) -> Result<()> {
    let pages = u.int_in_range(1..=MOST_PAGES)?;
    let spec = GuestSpec { frames: pages, ..spec(pages) };
    let checks = u.arbitrary()?;
    let scheme = *u.choose(&[Scheme::PostCopy, Scheme::PreCopy])?;
    let parameters = MigrationParameters { scheme, ..any_parameters(u, false)? };
    let Ok(memory) = Memory::in_pages(pages, &spec) else { return Ok(()) };
    let definition = Arc::new(spec.clone());
    let mut destination = Destination::receiving_into(memory, definition, parameters);
    let steps = steps(u, &spec)?;
    let bits = steps.iter().map(|step| match step {
        Step::Bytes(bytes) => Bit::Bytes(bytes),
        Step::Input(input) => Bit::Input(input.clone()),
    });
    let came = receive_in_bulk(&spec, checks, &mut destination, bits);
    if let (Ok(came), true) = (came, checks) {
        assert!(came.iter().all(|message| message.page.0 + message.count <= pages));
        whole_pages_are_whole(&spec, &destination);
    }
    Ok(())
}

/// What is in memory as a page is one, as far as its two stamp words tell.
fn whole_pages_are_whole(spec: &GuestSpec, destination: &Destination) {
    let Some(memory) = destination.memory() else { return };
    let Some(bytes) = memory.bytes() else { return };
    for page in (0..spec.pages).map(PageNumber).filter(|page| memory.contains(*page)) {
        assert!(!PageContents::is_torn(bytes.page(page)), "page {page} is torn");
    }
}

fn steps(u: &mut Unstructured<'_>, spec: &GuestSpec) -> Result<Vec<Step>> {
    let (mut steps, mut number, mut total, mut context) = (Vec::new(), 0, 0, false);
    while !u.is_empty() && total < MOST_BYTES {
        match u.int_in_range(0..=7)? {
            0 if !context => {
                context = true;
                steps.push(Step::Input(context_of(u, spec)?));
            }
            1 => {
                let message = PageMessage {
                    page: PageNumber(u.int_in_range(0..=spec.pages - 1)?),
                    count: 1,
                    stamp: Some(u.arbitrary()?),
                    dirty: u.arbitrary()?,
                    cause: Cause::Demand,
                };
                steps.push(Step::Input(DestinationInput::Arrived(LinkMessage::Page(message))));
            }
            _ => {
                let mut bytes = batch(u, spec, &mut number)?;
                if u.ratio(1, 8)? && !bytes.is_empty() {
                    let at = u.choose_index(bytes.len())?;
                    bytes[at] ^= u.int_in_range(1..=255u8)?;
                }
                total += bytes.len();
                let cut = u.choose_index(bytes.len() + 1)?;
                let rest = bytes.split_off(cut);
                steps.push(Step::Bytes(bytes));
                steps.push(Step::Bytes(rest));
            }
        }
    }
    Ok(steps)
}

fn context_of(u: &mut Unstructured<'_>, spec: &GuestSpec) -> Result<DestinationInput> {
    let residency: Result<_> = (0..spec.pages)
        .map(|page| {
            let (dirty, current) = (u.arbitrary()?, u.arbitrary()?);
            Ok(Residency { page: PageNumber(page), dirty, current })
        })
        .collect();
    let context = Context {
        registers: Registers::default(),
        residency: residency?,
        disk: Disk::new(spec.seed),
        bytes: 0,
    };
    Ok(DestinationInput::Arrived(LinkMessage::Context(Arc::new(context))))
}

fn batch(u: &mut Unstructured<'_>, spec: &GuestSpec, number: &mut u64) -> Result<Vec<u8>> {
    let contents = PageContents::of(spec);
    let (mut entries, mut bodies, mut count) = (Vec::new(), Vec::new(), 0);
    let first = u.int_in_range(0..=spec.pages - 1)?;
    // A batch of none is a fence.
    for page in (first..spec.pages).take(u.int_in_range(0..=6)?).map(PageNumber) {
        let mut content = [0; PAGE];
        let encodings =
            [Encoding::Whole, Encoding::Whole, Encoding::Kept, Encoding::Zero, Encoding::Same];
        let mut encoding = *u.choose(&encodings)?;
        if encoding != Encoding::Zero {
            contents.fill(page, u.int_in_range(0..=3)?, &mut content);
        }
        let body = match encoding {
            Encoding::Zero => Vec::new(),
            Encoding::Same => u.int_in_range(0..=2u16)?.to_le_bytes().to_vec(),
            _ if u.ratio(1, 4)? => {
                encoding = Encoding::Lz4;
                lz4_flex::block::compress(&content)
            }
            _ => content.to_vec(),
        };
        entries.extend_from_slice(
            &PageEntry {
                page,
                encoding,
                body_bytes: body.len() as u16,
                cause: *u.choose(&[Cause::Round, Cause::Background])?,
                dirty: u.arbitrary()?,
                checksum: checksum(page, content_hash(&content)),
            }
            .encode(),
        );
        bodies.extend_from_slice(&body);
        count += 1;
    }
    let header = BatchHeader {
        kind: if count == 0 { BatchKind::Fence } else { BatchKind::Pages },
        pages: count,
        body_bytes: bodies.len() as u32,
        number: *number,
    };
    *number += 1;
    Ok([&header.encode()[..], &entries, &bodies].concat())
}
