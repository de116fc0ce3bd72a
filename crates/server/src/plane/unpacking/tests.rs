//! Runs that are under way while others come.

use super::*;
use lazycopy_guest::{Disk, Registers, ResidentAtStart, WorkloadSpec};
use lazycopy_migration::{
    Cause, Context, DestinationInput, LinkMessage, MigrationParameters, PushOrder, Residency,
    RoundParameters, Scheme,
};
use lazycopy_protocol::plane::{checksum, content_hash};
use lazycopy_units::{Duration, Instant};
use std::sync::Arc;

const PAGES: u32 = 16;

fn spec() -> GuestSpec {
    GuestSpec {
        seed: 5,
        pages: PAGES,
        frames: PAGES,
        think_time: Duration::from_nanos(1),
        write_fraction: 0.0,
        whole_page_fraction: 0.0,
        zero_fraction: 0.0,
        compressible_fraction: 0.0,
        workload: WorkloadSpec::Sequential,
        resident_at_start: ResidentAtStart::All,
    }
}

/// One to which the context of a guest has come, and nothing else.
fn destination(spec: &GuestSpec) -> Destination {
    let parameters = MigrationParameters {
        scheme: Scheme::PostCopy,
        push_order: PushOrder::Address,
        context_bytes: 0,
        head_start: 0,
        max_lead: None,
        fault_penalty: Duration::ZERO,
        disk_latency_source: Duration::ZERO,
        disk_latency_destination: Duration::ZERO,
        measured_accesses: 1,
        rounds: RoundParameters::default(),
        pre_paging: Default::default(),
        whole_page_writes: false,
        push_rate: None,
        checkpoint: false,
    };
    let memory = Memory::in_pages(PAGES, spec).unwrap();
    let mut destination = Destination::receiving_into(memory, Arc::new(spec.clone()), parameters);
    let entry = |page| Residency { page: PageNumber(page), dirty: false, current: false };
    let context = Context {
        registers: Registers::default(),
        residency: (0..PAGES).map(entry).collect(),
        disk: Disk::new(spec.seed),
        bytes: 0,
    };
    let context = LinkMessage::Context(Arc::new(context));
    destination.handle_input(Instant::ZERO, DestinationInput::Arrived(context));
    destination
}

fn holds(destination: &mut Destination, page: u32, stamp: u64) {
    let (page, stamp) = (PageNumber(page), Some(stamp));
    let message = PageMessage { page, count: 1, stamp, dirty: true, cause: Cause::Demand };
    let input = DestinationInput::Arrived(LinkMessage::Page(message));
    destination.handle_input(Instant::ZERO, input);
}

/// Pages of one run come while others of it come into memory by another way, wherever the
/// bytes stop meanwhile: these stay as they are, and all others are received in place.
#[test]
fn a_run_under_way_leaves_pages_alone_that_are_held_meanwhile() {
    let spec = spec();
    let contents = PageContents::of(&spec);
    let whole = |page: u32, stamp| {
        let mut bytes = [0; PAGE];
        contents.fill(PageNumber(page), stamp, &mut bytes);
        bytes
    };
    let sent: Vec<[u8; PAGE]> = (0..PAGES).map(|page| whole(page, 1)).collect();
    let entries: Vec<PageEntry> = (0..PAGES)
        .map(|page| PageEntry {
            page: PageNumber(page),
            encoding: Encoding::Whole,
            body_bytes: PAGE as u16,
            cause: Cause::Background,
            dirty: false,
            checksum: checksum(PageNumber(page), content_hash(&sent[page as usize])),
        })
        .collect();
    let bodies = sent.concat();
    for stops_at in [1, PAGE, 4 * PAGE + 9, 5 * PAGE, 5 * PAGE + 1, 6 * PAGE - 1, 15 * PAGE] {
        let mut destination = destination(&spec);
        let mut unpacking = Unpacking::new(&spec, true);
        let mut coming = unpacking.places(entries.clone(), &destination);
        assert_eq!(coming.parts.len(), 1);
        let mut received = 0;
        for until in [stops_at, bodies.len()] {
            while received < until {
                let room = unpacking.room(&mut destination, &mut coming, received).unwrap();
                let before = received;
                for mut piece in room {
                    let count = piece.len().min(until - received);
                    piece[..count].copy_from_slice(&bodies[received..][..count]);
                    received += count;
                }
                unpacking.check_in_place(&destination, &coming, before, received).unwrap();
            }
            if until == stops_at {
                [0, 5, 6].into_iter().for_each(|page| holds(&mut destination, page, 77));
            }
        }
        for message in unpacking.unpack(&mut destination, &coming).unwrap() {
            let input = DestinationInput::Arrived(LinkMessage::Page(message));
            destination.handle_input(Instant::ZERO, input);
        }
        let report = destination.report();
        assert_eq!((report.duplicate, report.arrived.total()), (3, u64::from(PAGES) + 3));
        assert!(report.completed_at.is_some());
        let memory = destination.memory().unwrap();
        for page in 0..PAGES {
            let stamp = if [0, 5, 6].contains(&page) { 77 } else { 1 };
            let bytes = memory.bytes().unwrap().page(PageNumber(page));
            assert!(*bytes == whole(page, stamp), "page {page}, stopped at {stops_at}");
        }
    }
}
