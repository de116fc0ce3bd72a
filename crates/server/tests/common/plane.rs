//! The two ends of the page plane, as tests play them.

use super::{Fleet, PATIENCE, create_with, parameters};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use lazycopy_guest::{
    GuestSpec, PageContents, Registers, ResidentAtStart, WorkloadSpec, first_stamp,
};
use lazycopy_link::PlaneParameters;
use lazycopy_migration::{Cause, MigrationParameters, Reply, Residency, ResidencyList, Scheme};
use lazycopy_protocol::control::{CreateVm, MigrationId, MigrationKey, ServerCommand, Watch};
use lazycopy_protocol::frame::{FrameError, PeerCodec, PeerFrame};
use lazycopy_protocol::lists::encode_residency;
use lazycopy_protocol::pace::Pace;
use lazycopy_protocol::peer::{ContextFrame, Offer, PeerMessage};
use lazycopy_protocol::plane::{
    BATCH_HEADER_BYTES, BatchHeader, BatchKind, ENTRY_BYTES, Encoding, PageEntry, checksum,
    content_hash, decode_entries,
};
use lazycopy_transport::{DoorError, PageLink, Purpose, answer, knock};
use lazycopy_units::{Duration, Instant, PageNumber};
use std::io::{self, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::codec::Framed;

pub const PAGES: u32 = 64;

/// A guest whose pages all have a frame, and are all different.
pub fn plane_guest(seed: u64) -> GuestSpec {
    GuestSpec {
        seed,
        pages: PAGES,
        frames: PAGES,
        think_time: Duration::from_nanos(20_000),
        write_fraction: 0.3,
        whole_page_fraction: 0.0,
        zero_fraction: 0.0,
        compressible_fraction: 0.0,
        workload: WorkloadSpec::Zipf { exponent: 0.8 },
        resident_at_start: ResidentAtStart::All,
    }
}

pub fn creation(vm: &str, spec: &GuestSpec) -> ServerCommand {
    create_with(vm, spec.clone(), |it: &mut CreateVm| {
        it.time_scale = 1;
        it.warmup_accesses = 0;
        it.real_memory = true;
    })
}

pub fn moving(scheme: Scheme) -> MigrationParameters {
    MigrationParameters {
        measured_accesses: 100,
        disk_latency_destination: Duration::from_nanos(1_000),
        ..parameters(scheme)
    }
}

pub fn connections(connections: u8) -> PlaneParameters {
    PlaneParameters { connections, ..PlaneParameters::default() }
}

pub type Peer = Framed<TcpStream, PeerCodec>;

pub async fn tell(peer: &mut Peer, message: PeerMessage) {
    peer.send(PeerFrame::Message(message)).await.unwrap();
}

/// The next message; pages before it are skipped.
pub async fn hear(peer: &mut Peer) -> Option<PeerMessage> {
    loop {
        match timeout(PATIENCE, peer.next()).await.expect("the other server says nothing")? {
            Ok(PeerFrame::Message(message)) => return Some(message),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

/// A connection whose knock proves the key of all migrations here.
pub async fn through(
    address: &str,
    link: PageLink,
    migration: MigrationId,
    source: &str,
) -> Result<Peer, DoorError> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let purpose = Purpose::Pages { link, migration, source: source.to_owned() };
    knock(&mut stream, purpose, None, Some(&MigrationKey::new(super::KEY)), &[]).await?;
    Ok(Framed::new(stream, PeerCodec::new()))
}

/// Offers a guest that the server at that address is told of; what it answers.
pub async fn offer(address: &str, offer: Offer) -> (Peer, PeerMessage) {
    let (migration, source) = (offer.migration, offer.source.clone());
    super::expect(address, migration, &offer.vm, &source).await;
    let mut peer = through(address, PageLink::Offer, migration, &source).await.unwrap();
    tell(&mut peer, PeerMessage::Offer(Box::new(offer))).await;
    let answer = hear(&mut peer).await.unwrap();
    (peer, answer)
}

/// A source that the test plays.
pub struct PlayedSource {
    pub spec: GuestSpec,
    pub control: Peer,
    pub bulk: Vec<TcpStream>,
}

pub const PLAYED: &str = "played";

impl PlayedSource {
    pub fn offer(number: u64, spec: &GuestSpec, plane: &PlaneParameters) -> Offer {
        Offer {
            migration: MigrationId(number),
            source: PLAYED.to_owned(),
            vm: format!("played-{number}"),
            spec: spec.clone(),
            position: 0,
            warmup_accesses: 0,
            time_scale: 1,
            parameters: moving(Scheme::PreCopy),
            link: plane.clone().into(),
            watch: Watch::All,
            recover_within: super::RECOVER_WITHIN,
        }
    }

    /// Offers the guest, which the destination accepts.
    pub async fn offer_to(address: &str, offer: Offer) -> Self {
        let spec = offer.spec.clone();
        let (control, answer) = self::offer(address, offer).await;
        assert_eq!(answer, PeerMessage::Accept);
        PlayedSource { spec, control, bulk: Vec::new() }
    }

    /// Asks for a bulk connection; why it is refused, if it is.
    pub async fn open_bulk(&mut self, address: &str, number: u64) -> Option<String> {
        let mut peer = match through(address, PageLink::Bulk, MigrationId(number), PLAYED).await {
            Ok(peer) => peer,
            Err(error) => return Some(error.to_string()),
        };
        match hear(&mut peer).await.expect("the destination left") {
            PeerMessage::Accept => {
                self.bulk.push(peer.into_inner());
                None
            }
            PeerMessage::Refuse { reason } => Some(reason),
            other => panic!("a bulk connection was answered by {other:?}"),
        }
    }

    pub async fn begin(&mut self) {
        tell(
            &mut self.control,
            PeerMessage::Begin { zero_clock_ns: 0, uncertainty_ns: 0, pace: Pace::default() },
        )
        .await;
    }

    /// A migration to `b` that has begun, over so many bulk connections.
    pub async fn start(fleet: &Fleet, number: u64, connections: u8) -> Self {
        let address = &fleet.b.hello.address;
        let (spec, plane) = (plane_guest(number), self::connections(connections));
        let mut source = Self::offer_to(address, Self::offer(number, &spec, &plane)).await;
        for _ in 0..connections {
            assert_eq!(source.open_bulk(address, number).await, None);
        }
        source.begin().await;
        source
    }

    /// A page as it is before the guest's first access.
    pub fn page(&self, page: u32) -> (PageEntry, Vec<u8>) {
        self.page_with(page, first_stamp(self.spec.seed, PageNumber(page)))
    }

    pub fn page_with(&self, page: u32, stamp: u64) -> (PageEntry, Vec<u8>) {
        let page = PageNumber(page);
        let mut content = [0; 4_096];
        PageContents::of(&self.spec).fill(page, stamp, &mut content);
        let entry = PageEntry {
            page,
            encoding: Encoding::Whole,
            body_bytes: 4_096,
            cause: Cause::Round,
            dirty: true,
            checksum: checksum(page, content_hash(&content)),
        };
        (entry, content.to_vec())
    }

    pub fn all_pages(&self) -> Vec<(PageEntry, Vec<u8>)> {
        (0..self.spec.pages).map(|page| self.page(page)).collect()
    }

    /// Writes as far as the destination listens: it may hang up on the first wrong bytes, before
    /// the last ones are written, and its report tells why.
    pub async fn send(&mut self, connection: usize, bytes: &[u8]) {
        hung_up_or(self.bulk[connection - 1].write_all(bytes).await);
    }

    /// A page frame on the control connection, with the same patience.
    pub async fn send_urgent(&mut self, frame: PeerFrame) {
        let sent = self.control.send(frame).await;
        hung_up_or(sent.map_err(|error| match error {
            FrameError::Io(error) => error,
            error => panic!("{error}"),
        }));
    }

    /// The context of a guest before its first access, all of whose pages have been sent.
    pub async fn send_context(&mut self) {
        let all = (0..self.spec.pages).map(PageNumber);
        let list = ResidencyList::new(all, |page| Residency { page, dirty: true, current: true });
        let (part, _) = encode_residency(&list, 0).unwrap();
        self.control.send(PeerFrame::Residency(part)).await.unwrap();
        self.send_registers(Registers::default()).await;
    }

    /// Once more, as far as the destination listens.
    pub async fn send_context_again(&mut self) {
        let context =
            ContextFrame { deliver_at: Instant::ZERO, registers: Registers::default(), bytes: 0 };
        self.send_urgent(PeerFrame::Message(PeerMessage::Context(Box::new(context)))).await;
    }

    pub async fn send_registers(&mut self, registers: Registers) {
        let context = ContextFrame { deliver_at: Instant::ZERO, registers, bytes: 0 };
        tell(&mut self.control, PeerMessage::Context(Box::new(context))).await;
    }

    /// Waits until the destination has everything, and takes its leave.
    pub async fn release(&mut self) {
        loop {
            let message = hear(&mut self.control).await.expect("the destination left early");
            if matches!(message, PeerMessage::Reply { reply: Reply::Complete, .. }) {
                break;
            }
        }
        tell(&mut self.control, PeerMessage::Released).await;
        self.bulk.clear();
    }
}

fn hung_up_or(written: io::Result<()>) {
    if let Err(error) = written {
        let hung_up = matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        assert!(hung_up, "{error}");
    }
}

/// A batch as it crosses.
pub fn batch(number: u64, pages: &[(PageEntry, Vec<u8>)]) -> BytesMut {
    let header = BatchHeader {
        kind: BatchKind::Pages,
        pages: pages.len() as u16,
        body_bytes: pages.iter().map(|(_, body)| body.len() as u32).sum(),
        number,
    };
    let mut bytes = BytesMut::from(&header.encode()[..]);
    pages.iter().for_each(|(entry, _)| bytes.extend_from_slice(&entry.encode()));
    pages.iter().for_each(|(_, body)| bytes.extend_from_slice(body));
    bytes
}

pub fn mark(number: u64, kind: BatchKind) -> [u8; BATCH_HEADER_BYTES] {
    BatchHeader { kind, pages: 0, body_bytes: 0, number }.encode()
}

/// What came over a bulk connection.
#[derive(Debug)]
pub enum Piece {
    Pages(Vec<PageNumber>),
    Mark(BatchKind),
}

/// Reads a batch of a guest of so many pages; `None` where the source has closed the connection.
pub async fn read_batch(stream: &mut TcpStream, number: u64, pages: u32) -> Option<Piece> {
    let mut head = [0; BATCH_HEADER_BYTES];
    timeout(PATIENCE, stream.read_exact(&mut head)).await.expect("no batch comes").ok()?;
    let header = BatchHeader::decode(&head, number).unwrap();
    if header.kind != BatchKind::Pages {
        return Some(Piece::Mark(header.kind));
    }
    let mut entries = vec![0; usize::from(header.pages) * ENTRY_BYTES];
    stream.read_exact(&mut entries).await.ok()?;
    let mut bodies = vec![0; header.body_bytes as usize];
    stream.read_exact(&mut bodies).await.ok()?;
    let entries = decode_entries(&header, &entries, pages).unwrap();
    Some(Piece::Pages(entries.iter().map(|entry| entry.page).collect()))
}

/// A destination that the test plays.
pub struct PlayedDestination {
    listener: TcpListener,
    pub address: String,
}

impl PlayedDestination {
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Little that it does not read is kept for it.
        socket2::SockRef::from(&listener).set_recv_buffer_size(1 << 16).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        PlayedDestination { listener, address }
    }

    /// Lets somebody in who proves the key.
    pub async fn accept(&self) -> (Peer, PageLink) {
        let accepted = timeout(PATIENCE, self.listener.accept()).await.expect("nobody comes");
        let mut stream = accepted.unwrap().0;
        let key = |_: &Purpose| Ok(Some(MigrationKey::new(super::KEY)));
        match answer(&mut stream, None, &[], key).await.unwrap() {
            Purpose::Pages { link, .. } => (Framed::new(stream, PeerCodec::new()), link),
            other => panic!("{other:?}"),
        }
    }

    /// Takes a guest in, up to the beginning.
    pub async fn welcome(&self) -> (Peer, Vec<TcpStream>) {
        let (mut control, link) = self.accept().await;
        assert_eq!(link, PageLink::Offer);
        let Some(PeerMessage::Offer(offer)) = hear(&mut control).await else { panic!("no offer") };
        tell(&mut control, PeerMessage::Accept).await;
        let lazycopy_link::LinkSpec::Unlimited(plane) = &offer.link else { panic!("{offer:?}") };
        let mut bulk = Vec::new();
        for _ in 0..plane.connections {
            let (mut peer, link) = self.accept().await;
            assert_eq!(link, PageLink::Bulk);
            tell(&mut peer, PeerMessage::Accept).await;
            bulk.push(peer.into_inner());
        }
        loop {
            match hear(&mut control).await.expect("the source left") {
                PeerMessage::Ping { number } => {
                    tell(&mut control, PeerMessage::Pong { number, clock_ns: 0 }).await;
                }
                PeerMessage::Begin { .. } => return (control, bulk),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A batch for the control connection.
pub fn urgent(bytes: BytesMut) -> PeerFrame {
    PeerFrame::Batch(Bytes::from(bytes))
}
