//! Pages that come in bulk faster than the machine takes them.

use super::*;
use crate::ServerConfig;
use crate::host::Host;
use futures_util::FutureExt;
use lazycopy_guest::{Registers, ResidentAtStart, WorkloadSpec};
use lazycopy_migration::{Cause, PrePaging, PushOrder, RoundParameters, Scheme};
use lazycopy_protocol::control::{MigrationId, Watch};
use lazycopy_protocol::plane::{BatchHeader, BatchKind, Encoding, PageEntry};
use lazycopy_transport::{Door, Stream};
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

const PAGES: u32 = 16;

fn offer() -> Offer {
    let spec = GuestSpec {
        seed: 5,
        pages: PAGES,
        frames: PAGES,
        think_time: Duration::from_nanos(1),
        write_fraction: 0.0,
        whole_page_fraction: 0.0,
        zero_fraction: 1.0,
        compressible_fraction: 0.0,
        workload: WorkloadSpec::Sequential,
        resident_at_start: ResidentAtStart::All,
    };
    let parameters = MigrationParameters {
        scheme: Scheme::PreCopy,
        push_order: PushOrder::Address,
        context_bytes: 0,
        head_start: 0,
        max_lead: None,
        fault_penalty: Duration::ZERO,
        disk_latency_source: Duration::ZERO,
        disk_latency_destination: Duration::ZERO,
        measured_accesses: 1,
        rounds: RoundParameters::default(),
        pre_paging: PrePaging::default(),
        whole_page_writes: false,
        push_rate: None,
        checkpoint: false,
    };
    Offer {
        migration: MigrationId(1),
        source: "source".to_owned(),
        vm: "g".to_owned(),
        spec,
        position: 0,
        warmup_accesses: 0,
        time_scale: 1,
        parameters,
        link: PlaneParameters::default().into(),
        watch: Watch::Off,
        recover_within: Duration::ZERO,
    }
}

/// The destination of a guest that comes over one bulk connection, and the other end of it.
async fn destination() -> (DestinationSide, TcpStream) {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ServerConfig {
        manager: String::new(),
        name: "alone".to_owned(),
        listen: anywhere,
        advertise: None,
        frames: 0,
        door: Door::default(),
    };
    let (host, _) = Host::new(&config, anywhere).unwrap();
    let offer = offer();
    let spec = Arc::new(offer.spec.clone());
    let memory = Memory::in_pages(PAGES, &spec).unwrap();
    let disk = Disk::new(spec.seed);
    let guest = Guest::arriving(spec, Registers::default(), disk, Memory::none()).unwrap();
    let log = Log::new(host, offer.migration, offer.watch);
    let mut side = DestinationSide::new(guest, Some(memory), &offer, log);
    let listener = TcpListener::bind(anywhere).await.unwrap();
    let source = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let stream = Stream::plain(stream).rest().unwrap();
    let bulk = vec![BulkStream { stream, place: None }];
    side.receive_over(&PlaneParameters::default(), bulk).unwrap();
    (side, source)
}

/// A batch of one page of zeros.
fn batch(number: u64) -> Vec<u8> {
    let header = BatchHeader { kind: BatchKind::Pages, pages: 1, body_bytes: 0, number };
    let entry = PageEntry {
        page: PageNumber(3),
        encoding: Encoding::Zero,
        body_bytes: 0,
        cause: Cause::Round,
        dirty: false,
        checksum: 0,
    };
    [&header.encode()[..], &entry.encode()].concat()
}

#[tokio::test]
async fn no_more_comes_in_bulk_than_may_wait_for_the_machine() {
    let (mut side, mut source) = destination().await;
    let batches: Vec<u8> = (0..MAX_UNDELIVERED + 2).flat_map(batch).collect();
    source.write_all(&batches).await.unwrap();
    let mut waiting = VecDeque::new();
    while (waiting.len() as u64) < MAX_UNDELIVERED {
        side.bulk_ready().await;
        waiting.extend(side.pump(Instant::ZERO).unwrap().received);
    }
    for _ in 0..2 {
        // There is more; but as long as the machine takes nothing it stays where it is.
        assert!(side.bulk_ready().now_or_never().is_none());
        let pumped = side.pump(Instant::ZERO).unwrap();
        assert!(!pumped.progressed && pumped.received.is_empty());
        let Some(Received::Deliver { input, .. }) = waiting.pop_front() else { panic!("a batch") };
        side.handle_input(Instant::ZERO, input);
        side.bulk_ready().await;
        waiting.extend(side.pump(Instant::ZERO).unwrap().received);
        assert_eq!(waiting.len() as u64, MAX_UNDELIVERED);
    }
}
