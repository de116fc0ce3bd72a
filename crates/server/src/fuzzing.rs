//! Ways in for the fuzzer: what the other server of a migration can do to either side, without
//! sockets, and with a clock that stands where it is put.

use crate::ServerConfig;
use crate::clock::{ModelClock, Piece, Wake};
use crate::connection::BulkStream;
use crate::handshake::{answer_in, take_map, word_in};
use crate::host::Host;
use crate::migration::{
    Broken, DestinationSide, Driver, Log, Received, Side, SourceSide, Word, latest_delivery,
};
use crate::peers;
use crate::plane::{Arrived, Reader, Unpacking};
use crate::vm::Definition;
use lazycopy_guest::{Disk, Guest, GuestSpec, Memory, Registers};
use lazycopy_link::LinkSpec;
use lazycopy_migration::{
    Destination, DestinationInput, DestinationReport, LinkMessage, PageMessage, SourceInput,
    SourceReport, Verdict,
};
use lazycopy_protocol::control::PeerEnd;
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::pace::Pace;
use lazycopy_protocol::peer::{Offer, PeerMessage, recovery_frames};
use lazycopy_transport::{Door, Stream};
use lazycopy_units::{Duration, Instant};
use socket2::SockRef;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant as WallInstant;

/// Steps that a side takes in one go: a guest goes on for ever.
const MOST_STEPS: u32 = 1_024;

/// What both sides have around them: a host to whom nobody listens.
struct Surroundings {
    runtime: Runtime,
    host: Arc<Host>,
    listener: TcpListener,
}

fn surroundings() -> io::Result<&'static Surroundings> {
    static SURROUNDINGS: OnceLock<Surroundings> = OnceLock::new();
    if let Some(surroundings) = SURROUNDINGS.get() {
        return Ok(surroundings);
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ServerConfig {
        manager: String::new(),
        name: "alone".to_owned(),
        listen: anywhere,
        advertise: None,
        frames: 0,
        door: Door::default(),
    };
    let (host, _) = runtime.block_on(async { Host::new(&config, anywhere) })?;
    let listener = TcpListener::bind(anywhere)?;
    Ok(SURROUNDINGS.get_or_init(|| Surroundings { runtime, host, listener }))
}

/// Whether a server would take that guest in, as far as the offer says.
///
/// # Errors
/// In words, why not.
pub fn check_offer(offer: &Offer) -> Result<(), String> {
    peers::check(offer)?;
    Definition::of_offer(offer).map(|_| ())
}

/// A side of a migration by itself.
pub struct LoneSide {
    side: Which,
    clock: ModelClock,
    origin: WallInstant,
    connected: bool,
    /// Pages of the guest.
    pages: u32,
}

enum Which {
    Source(Box<Driver<SourceSide>>),
    Destination(Box<Driver<DestinationSide>>),
}

/// The same for either side.
macro_rules! either {
    ($side:expr, $driver:ident => $what:expr) => {
        match $side {
            Which::Source($driver) => $what,
            Which::Destination($driver) => $what,
        }
    };
}

impl LoneSide {
    fn new(side: Which, pages: u32) -> Self {
        let origin = WallInstant::now();
        let clock = ModelClock::from_zero(origin, 1, &Pace { frozen: true, ..Pace::default() });
        LoneSide { side, clock, origin, connected: true, pages }
    }

    /// The source of a guest that has completed its warm-up, over the offer's modelled link. Its
    /// migration has been asked for.
    ///
    /// # Errors
    /// In words, when there can be no such guest.
    pub fn source(offer: &Offer) -> Result<Self, String> {
        check_offer(offer)?;
        if offer.link.is_unlimited() {
            return Err("a source by itself has a modelled link".to_owned());
        }
        let mut guest =
            Guest::new(Arc::new(offer.spec.clone())).map_err(|error| error.to_string())?;
        guest
            .run_to(Instant::ZERO, offer.warmup_accesses, Duration::ZERO)
            .map_err(|error| error.to_string())?;
        let host = Arc::clone(&surroundings().map_err(|error| error.to_string())?.host);
        let log = Log::new(host, offer.migration, offer.watch);
        let side = SourceSide::new(guest, offer.parameters.clone(), &offer.link, Vec::new(), log);
        let mut side = LoneSide::new(Which::Source(Box::new(Driver::new(side))), offer.spec.pages);
        if let Which::Source(driver) = &mut side.side {
            driver.begin(side.clock, SourceInput::Requested);
        }
        Ok(side)
    }

    /// The destination of the guest that is offered. Where its link is unlimited there are no bulk
    /// connections: all pages come over the control connection.
    ///
    /// # Errors
    /// In words, when a server refuses the guest.
    pub fn destination(offer: &Offer) -> Result<Self, String> {
        check_offer(offer)?;
        let spec = Arc::new(offer.spec.clone());
        let unlimited = offer.link.is_unlimited();
        let memory = unlimited.then(|| Memory::in_pages(spec.pages, &spec)).transpose();
        let memory = memory.map_err(|error| error.to_string())?;
        let registers = Registers { accesses: offer.position, ..Registers::default() };
        let disk = Disk::new(spec.seed);
        let guest = Guest::arriving(spec, registers, disk, Memory::none())
            .map_err(|error| error.to_string())?;
        let host = Arc::clone(&surroundings().map_err(|error| error.to_string())?.host);
        let log = Log::new(host, offer.migration, offer.watch);
        let mut side = DestinationSide::new(guest, memory, offer, log);
        if let LinkSpec::Unlimited(plane) = &offer.link {
            side.receive_over(plane, Vec::new()).map_err(|error| error.to_string())?;
        }
        let side = Which::Destination(Box::new(Driver::new(side)));
        Ok(LoneSide::new(side, offer.spec.pages))
    }

    /// What the model's clock reads.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// A frame of the other server comes. What it must not say closes the connection.
    pub fn hear(&mut self, frame: PeerFrame) {
        if !self.connected {
            return;
        }
        let clock = self.clock;
        let lost = either!(&mut self.side, driver => {
            if !driver.machine.accepts_frames() {
                return;
            }
            let received = driver.machine.receive(clock.now(), frame);
            take_in(driver, clock, received)
        });
        match lost {
            Heard::GoesOn => {}
            Heard::Parted => self.connected = false,
            Heard::Lost(reason) => self.break_off(Broken::Wrong(reason)),
        }
    }

    /// The connection is lost. It may come back.
    pub fn lose(&mut self, reason: String) {
        self.break_off(Broken::Link(reason));
    }

    fn break_off(&mut self, broken: Broken) {
        if !std::mem::replace(&mut self.connected, false) {
            return;
        }
        let clock = self.clock;
        either!(&mut self.side, driver => {
            if let Some(input) = driver.machine.connection_lost(broken) {
                driver.schedule_last(clock, input);
            }
        });
    }

    /// Whether the migration is paused here: the link is broken after the hand-over, as far as this
    /// side knows.
    pub fn is_paused(&self) -> bool {
        either!(&self.side, driver => driver.machine.paused().is_some())
    }

    /// The source asks a destination what it has, on a new connection: the frames of the answer, as
    /// soon as everything that came by the old one is done. One that is over has kept its answer.
    pub fn answer(&mut self) -> Option<Vec<PeerFrame>> {
        self.lose("the source has made a new connection".to_owned());
        match &self.side {
            Which::Destination(driver) if self.is_paused() || self.is_over() => {
                Some(recovery_frames(driver.machine.answer_recovery()))
            }
            _ => None,
        }
    }

    /// The other side says its first word on a new connection: a page map or none, and a message.
    /// Without effect on a side that is not paused.
    ///
    /// # Errors
    /// In words, when it must not say so. Then this side is as it was.
    pub fn regain(&mut self, frames: Vec<PeerFrame>) -> Result<(), String> {
        if self.connected || !self.is_paused() {
            return Ok(());
        }
        let (mut map, mut message) = (None, None);
        for frame in frames {
            message = take_map(&mut map, frame, self.pages)?;
        }
        let map = map.unwrap_or_default();
        let message = message.ok_or("there is a map without a message")?;
        let word = match &self.side {
            Which::Source(_) => Word::Answer(answer_in(map, message)?),
            Which::Destination(_) => word_in(map, message)?,
        };
        let clock = self.clock;
        either!(&mut self.side, driver => {
            if let Some(input) = driver.machine.regain(Vec::new(), word)? {
                driver.handle_at(clock, input);
            }
        });
        // A source whose destination has no guest any more may wait for its operator.
        self.connected = !matches!(&self.side, Which::Source(_)) || !self.is_paused();
        Ok(())
    }

    /// The other side was waited for long enough. A source whose guest an operator may still take
    /// back waits for that.
    pub fn give_up(&mut self) {
        let clock = self.clock;
        either!(&mut self.side, driver => {
            if let Some((_, None | Some(Err(_)))) = driver.machine.paused() {
                let input = driver.machine.given_up(std::time::Duration::from_secs(1));
                driver.handle_at(clock, input);
            }
        });
    }

    /// An operator wants the guest back.
    ///
    /// # Errors
    /// In words, why it must not be.
    pub fn reclaim(&mut self) -> Result<(), String> {
        either!(&mut self.side, driver => {
            let input = driver.machine.reclaim()?;
            driver.handle_now(input);
        });
        Ok(())
    }

    /// The manager says what became of the other side.
    pub fn peer_ended(&mut self, how: PeerEnd) {
        let (clock, is_connected) = (self.clock, self.connected);
        either!(&mut self.side, driver => {
            if let Some(input) = driver.machine.peer_ended(how, is_connected) {
                self.connected = false;
                driver.schedule_last(clock, input);
            }
        });
    }

    /// A user takes the migration back, where that is possible.
    pub fn cancel(&mut self) {
        if let Which::Source(driver) = &mut self.side
            && driver.machine.report().handover_at.is_none()
        {
            driver.handle_now(SourceInput::Cancelled { reason: "a user's wish".to_owned() });
        }
    }

    /// The clock goes on to that instant, and stands still there: everything that is due until
    /// then is done, or so much of it as goes at once. Whether it was everything.
    pub fn go_on_to(&mut self, at: Instant) -> bool {
        let at = at.max(self.clock.now());
        let piece = Piece { wall_ns: 0, at, slower: 1, until: Some(at) };
        let clock = &mut self.clock;
        // Twice: what it went by before is gone.
        clock.follow(piece, self.origin);
        clock.follow(piece, self.origin);
        if self.connected
            && let Which::Source(driver) = &mut self.side
        {
            // Nobody asks here, and how long a test takes decides nothing.
            let _ = driver.machine.receive(at, PeerFrame::Message(PeerMessage::Here));
        }
        (0..MOST_STEPS).any(|_| {
            let wake = either!(&mut self.side, driver => driver.step(*clock));
            wake != Wake::Soon
        })
    }

    /// The next frame for the other server.
    pub fn next_frame(&mut self) -> Option<PeerFrame> {
        either!(&mut self.side, driver => driver.machine.next_frame())
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether nothing is left to do.
    pub fn is_over(&self) -> bool {
        either!(&self.side, driver => driver.machine.is_over())
    }

    /// The last word of a source that is over.
    pub fn farewell(&self) -> Option<PeerFrame> {
        match &self.side {
            Which::Source(driver) => Some(driver.machine.farewell()),
            Which::Destination(_) => None,
        }
    }

    /// How the migration ended, as far as this side knows.
    pub fn verdict(&self) -> Verdict {
        either!(&self.side, driver => driver.machine.verdict())
    }

    /// The guest, as far as this side holds it.
    pub fn guest(&self) -> Option<&Guest> {
        either!(&self.side, driver => driver.machine.guest())
    }

    /// What a source counted.
    pub fn source_report(&self) -> Option<SourceReport> {
        match &self.side {
            Which::Source(driver) => Some(driver.machine.report()),
            Which::Destination(_) => None,
        }
    }

    /// What a destination counted.
    pub fn destination_report(&self) -> Option<DestinationReport> {
        match &self.side {
            Which::Source(_) => None,
            Which::Destination(driver) => Some(driver.machine.report()),
        }
    }
}

/// What a frame meant for the connection.
enum Heard {
    GoesOn,
    Parted,
    Lost(String),
}

fn take_in<S: Side>(
    driver: &mut Driver<S>,
    clock: ModelClock,
    received: Result<Received<S::Input>, String>,
) -> Heard {
    match received {
        Ok(Received::Deliver { at, said, input }) => {
            let latest = latest_delivery(&driver.machine, clock);
            driver.schedule(at.min(latest), said, input);
        }
        Ok(Received::DeliverLast(input)) => driver.schedule_last(clock, input),
        Ok(Received::Noted) => {}
        Ok(Received::Farewell) => return Heard::Parted,
        Err(reason) => return Heard::Lost(reason),
    }
    Heard::GoesOn
}

/// What comes over a bulk connection, bit by bit, and what happens between.
pub enum Bit<'a> {
    /// These bytes come.
    Bytes(&'a [u8]),
    /// The machine learns of this by another way.
    Input(DestinationInput),
}

/// Receives batches over a bulk connection for a destination that awaits the guest: gives what has
/// come as whole batches, and hands it to the machine.
///
/// # Errors
/// What is wrong with the bytes, or the system says.
pub fn receive_in_bulk<'a>(
    spec: &GuestSpec,
    checks: bool,
    destination: &mut Destination,
    bits: impl Iterator<Item = Bit<'a>>,
) -> Result<Vec<PageMessage>, String> {
    let surroundings = surroundings().map_err(|error| error.to_string())?;
    let pair = || {
        let mut writer = TcpStream::connect(surroundings.listener.local_addr()?)?;
        let (reader, _) = surroundings.listener.accept()?;
        reader.set_nonblocking(true)?;
        // No port stays taken after it.
        SockRef::from(&reader).set_linger(Some(std::time::Duration::ZERO))?;
        writer.flush()?;
        Ok((writer, reader))
    };
    let (mut writer, stream) = pair().map_err(|error: io::Error| error.to_string())?;
    surroundings.runtime.block_on(async {
        let socket = tokio::net::TcpStream::from_std(stream).map_err(|error| error.to_string())?;
        let stream = Stream::plain(socket).rest().map_err(|error| error.to_string())?;
        let bulk = BulkStream { stream, place: None };
        let reader = Reader::new(bulk, Unpacking::new(spec, checks));
        let mut reader = reader.map_err(|error| error.to_string())?;
        let mut came = Vec::new();
        for bit in bits {
            match bit {
                Bit::Bytes(bytes) if bytes.is_empty() || reader.has_ended() => continue,
                Bit::Bytes(bytes) => writer.write_all(bytes).map_err(|error| error.to_string())?,
                Bit::Input(input) => {
                    destination.handle_input(Instant::ZERO, input);
                    continue;
                }
            }
            read_all(&mut reader, destination, &mut came).await?;
        }
        writer.shutdown(Shutdown::Write).map_err(|error| error.to_string())?;
        read_all(&mut reader, destination, &mut came).await?;
        Ok(came)
    })
}

async fn read_all(
    reader: &mut Reader,
    destination: &mut Destination,
    came: &mut Vec<PageMessage>,
) -> Result<(), String> {
    loop {
        if destination.is_past_context() {
            reader.pass_fence();
        }
        if reader.is_at_fence() || reader.has_ended() {
            return Ok(());
        }
        reader.readable().await;
        match reader.read(destination).map_err(|error| error.to_string())? {
            Arrived::Pages(pages) => {
                for page in &pages {
                    let input = DestinationInput::Arrived(LinkMessage::Page(*page));
                    destination.handle_input(Instant::ZERO, input);
                }
                came.extend(pages);
            }
            Arrived::Some | Arrived::Nothing => return Ok(()),
            Arrived::End => reader.end(),
        }
    }
}
