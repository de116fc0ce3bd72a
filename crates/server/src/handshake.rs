//! Before a migration: the source offers the guest, the destination accepts it, and both agree on
//! when model time begins.
//!
//! The source asks for the destination's clock several times. The answer with the least round
//! trip is taken; the destination's clock was read within it, at its middle give or take half.

use crate::connection::{BulkStream, Connection, Numbered, Traffic};
use crate::host::Host;
use crate::migration::{Awaiter, Regained, Seeker, Word};
use crate::plane::set_up;
use lazycopy_link::{LinkSpec, PlaneParameters};
use lazycopy_migration::{DestinationRecovery, PageMap, RecoveryAnswer, SourceRecovery};
use lazycopy_protocol::control::MigrationKey;
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::lists::decode_map;
use lazycopy_protocol::pace::Pace;
use lazycopy_protocol::peer::{Offer, PeerMessage, recovery_frames};
use lazycopy_transport::{Door, PageLink, Purpose, Role};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// How long a handshake may take on either side. Nothing in it needs more than round trips, so
/// that only a host that is gone or overloaded for seconds misses it.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// How long the destination may take to accept or refuse: it opens the guest's workload first,
/// and a long recording is read from its beginning.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Round trips from which the least is taken: scheduling seldom delays so many in a row.
pub(crate) const PINGS: u32 = 8;

/// From the agreement to the beginning of model time: enough for the last message of the
/// handshake to arrive, and for both sides to be ready, on a busy host.
pub(crate) const LEAD_TIME: Duration = Duration::from_millis(50);

/// How far from now a source may place the beginning of model time, or a change of how it goes.
pub(crate) const FARTHEST_ZERO: Duration = Duration::from_secs(10);

/// What source and destination have agreed on.
#[derive(Debug)]
pub(crate) struct Agreement {
    /// The connection between the two.
    pub(crate) connection: Connection,
    /// When the destination's wall clock read nothing, on this side's clock.
    pub(crate) origin: Instant,
    /// When model time begins, on this side's clock.
    pub(crate) zero: Instant,
    /// How it goes then.
    pub(crate) pace: Pace,
    /// By how much the clocks may disagree, in nanoseconds of wall time.
    pub(crate) uncertainty_ns: u64,
    /// The bulk connections, where there is no modelled link.
    pub(crate) bulk: Vec<BulkStream>,
}

/// The source's part. May be given up at any point.
///
/// # Errors
/// In words: the destination cannot be reached, refuses, or does not answer in time.
pub(crate) async fn offer_guest(
    door: &Door,
    key: &MigrationKey,
    address: &str,
    destination: &str,
    offer: Offer,
    host: &Host,
) -> Result<Agreement, String> {
    let late = |deadline: Duration| {
        let seconds = deadline.as_secs();
        format!("server \"{destination}\" at {address} did not answer within {seconds} s")
    };
    let lost = |reason| format!("server \"{destination}\" broke the handshake off: {reason}");
    let socket = timeout(HANDSHAKE_DEADLINE, door.reach(address))
        .await
        .map_err(|_| late(HANDSHAKE_DEADLINE))?
        .map_err(|error| format!("cannot reach server \"{destination}\" at {address}: {error}"))?;
    let (link, migration, source) = (offer.link.clone(), offer.migration, offer.source.clone());
    let pages = |link| Purpose::Pages { link, migration, source: source.clone() };
    let stream = door
        .go_through(socket, address, Role::Server, pages(PageLink::Offer), Some(key))
        .await
        .map_err(|error| format!("server \"{destination}\" at {address}: {error}"))?;
    let mut connection = Connection::new(stream, None);
    send(&mut connection, PeerMessage::Offer(Box::new(offer))).map_err(lost)?;
    let answer = timeout(ANSWER_DEADLINE, connection.next_message())
        .await
        .map_err(|_| late(ANSWER_DEADLINE))?;
    match answer.map_err(lost)? {
        PeerMessage::Accept => {}
        PeerMessage::Refuse { reason } => {
            return Err(format!("server \"{destination}\" refuses the guest: {reason}"));
        }
        other => return Err(lost(unexpected("Accept or Refuse", &other))),
    }
    let agreement = async {
        let bulk = match &link {
            LinkSpec::Modelled(_) => Vec::new(),
            LinkSpec::Unlimited(plane) => {
                open_bulk(door, key, address, plane, &pages(PageLink::Bulk)).await?
            }
        };
        agree_on_zero(connection, bulk, host).await
    };
    timeout(HANDSHAKE_DEADLINE, agreement)
        .await
        .map_err(|_| late(HANDSHAKE_DEADLINE))?
        .map_err(lost)
}

/// Opens the bulk connections of a migration that was accepted.
async fn open_bulk(
    door: &Door,
    key: &MigrationKey,
    address: &str,
    plane: &PlaneParameters,
    purpose: &Purpose,
) -> Result<Vec<BulkStream>, String> {
    let mut bulk = Vec::new();
    for _ in 0..plane.connections {
        let socket = door.reach(address).await.map_err(|error| error.to_string())?;
        set_up(socket.options(), plane)?;
        let through = door.go_through(socket, address, Role::Server, purpose.clone(), Some(key));
        let stream = through.await.map_err(|error| error.to_string())?;
        let mut connection = Connection::new(stream, None);
        match connection.next_message().await? {
            PeerMessage::Accept => bulk.push(connection.into_stream().await?),
            PeerMessage::Refuse { reason } => return Err(reason),
            other => return Err(unexpected("Accept or Refuse", &other)),
        }
    }
    Ok(bulk)
}

/// A reading of the destination's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) asked: Instant,
    pub(crate) round_trip: Duration,
    pub(crate) clock_ns: u64,
}

impl Reading {
    /// When that clock read nothing, give or take half the round trip.
    pub(crate) fn origin(&self) -> Option<Instant> {
        (self.asked + self.round_trip / 2).checked_sub(Duration::from_nanos(self.clock_ns))
    }
}

async fn agree_on_zero(
    mut connection: Connection,
    bulk: Vec<BulkStream>,
    host: &Host,
) -> Result<Agreement, String> {
    let mut best: Option<Reading> = None;
    for number in 0..PINGS {
        let reading = read_clock(&mut connection, number).await?;
        if best.is_none_or(|best| reading.round_trip < best.round_trip) {
            best = Some(reading);
        }
    }
    let Some(best) = best else { return Err("no clock was read".to_owned()) };
    let origin = best.origin().ok_or("its clock is no clock")?;
    let zero = Instant::now() + LEAD_TIME;
    let zero_clock_ns = nanos(zero.saturating_duration_since(origin));
    let (uncertainty_ns, pace) = (nanos(best.round_trip / 2), host.pace());
    send(&mut connection, PeerMessage::Begin { zero_clock_ns, uncertainty_ns, pace })?;
    connection.flush().await?;
    Ok(Agreement { connection, origin, zero, pace, uncertainty_ns, bulk })
}

async fn read_clock(connection: &mut Connection, number: u32) -> Result<Reading, String> {
    let asked = Instant::now();
    send(connection, PeerMessage::Ping { number })?;
    match connection.next_message().await? {
        PeerMessage::Pong { number: answered, clock_ns } if answered == number => {
            Ok(Reading { asked, round_trip: asked.elapsed(), clock_ns })
        }
        other => Err(unexpected("Pong", &other)),
    }
}

/// The destination's part, after it has accepted the guest. Bulk connections of its migration,
/// of which there are so many, come through `expected`.
///
/// # Errors
/// In words: the source went away, says something unexpected, or is too slow.
pub(crate) async fn await_beginning(
    mut connection: Connection,
    mut expected: mpsc::Receiver<Numbered>,
    connections: usize,
) -> Result<Agreement, String> {
    let accepted = Instant::now();
    send(&mut connection, PeerMessage::Accept)?;
    let handshake = async {
        loop {
            match connection.next_message().await? {
                PeerMessage::Ping { number } => {
                    let clock_ns = nanos(accepted.elapsed());
                    send(&mut connection, PeerMessage::Pong { number, clock_ns })?;
                }
                PeerMessage::Begin { zero_clock_ns, uncertainty_ns, pace } => {
                    if !pace.is_valid() {
                        let slower = pace.slower;
                        return Err(format!("the source's time is {slower} times slower"));
                    }
                    let zero = accepted.checked_add(Duration::from_nanos(zero_clock_ns));
                    let farthest = Instant::now() + FARTHEST_ZERO;
                    let zero = zero.filter(|zero| *zero <= farthest).ok_or_else(|| {
                        let seconds = FARTHEST_ZERO.as_secs();
                        format!("the source wants to begin in more than {seconds} s")
                    })?;
                    let bulk = take_bulk(&mut expected, connections).await?;
                    return Ok((zero, uncertainty_ns, pace, bulk));
                }
                other => return Err(unexpected("Ping or Begin", &other)),
            }
        }
    };
    let (zero, uncertainty_ns, pace, bulk) = timeout(HANDSHAKE_DEADLINE, handshake)
        .await
        .unwrap_or_else(|_| Err("the source did not begin in time".to_owned()))?;
    Ok(Agreement { connection, origin: accepted, zero, pace, uncertainty_ns, bulk })
}

/// The bulk connections, all of which were answered before the source said when to begin. Each has
/// its place since then, though the task that answered may not have handed it over yet.
async fn take_bulk(
    expected: &mut mpsc::Receiver<Numbered>,
    connections: usize,
) -> Result<Vec<BulkStream>, String> {
    let answered = expected.max_capacity() - expected.capacity();
    if answered < connections {
        return Err(format!("the source opened {answered} of {connections} bulk connections"));
    }
    let mut bulk = Vec::new();
    while bulk.len() < connections {
        let lost = "a bulk connection was lost before the migration began";
        bulk.push(expected.recv().await.ok_or(lost)?);
    }
    bulk.sort_by_key(|(number, _)| *number);
    Ok(bulk.into_iter().map(|(_, stream)| stream).collect())
}

/// The source's part where the link broke: it knocks again, and hears what the destination has. Bulk
/// connections are opened anew where the migration goes on.
///
/// # Errors
/// In words: the destination cannot be reached, or does not let this side in.
pub(crate) async fn come_back(seeker: Arc<Seeker>) -> Result<Regained, String> {
    let (start, door) = (&seeker.start, seeker.host.door());
    let (to, address) = (&start.destination, &start.destination_address);
    let failed = |error: String| format!("server \"{to}\" at {address}: {error}");
    let pages = |link| Purpose::Pages {
        link,
        migration: start.migration,
        source: seeker.host.name().to_owned(),
    };
    let socket = door.reach(address).await.map_err(|error| failed(error.to_string()))?;
    let recover = pages(PageLink::Recover);
    let through = door.go_through(socket, address, Role::Server, recover, Some(&start.key));
    let stream = through.await.map_err(|error| failed(error.to_string()))?;
    let mut connection = Connection::new(stream, None);
    let (map, message) = next_with_map(&mut connection, seeker.pages).await.map_err(failed)?;
    let answer = answer_in(map, message).map_err(failed)?;
    let bulk = match (&answer, &start.link) {
        (RecoveryAnswer::Goes(recovery), LinkSpec::Unlimited(plane)) if !recovery.complete => {
            let purpose = pages(PageLink::Bulk);
            open_bulk(door, &start.key, address, plane, &purpose).await.map_err(failed)?
        }
        _ => Vec::new(),
    };
    Ok(Regained { connection, bulk, word: Word::Answer(answer) })
}

/// The destination's part where the link broke: it tells what it has, and hears how the source goes
/// on.
///
/// # Errors
/// In words: the source went away, or says something unexpected.
pub(crate) async fn await_return(
    awaiter: Arc<Awaiter>,
    connection: Connection,
    answer: RecoveryAnswer,
) -> Result<Regained, String> {
    let mut connection = connection.moved_here().map_err(|error| error.to_string())?;
    let connections = match &awaiter.link {
        LinkSpec::Modelled(_) => 0,
        LinkSpec::Unlimited(plane) => usize::from(plane.connections),
    };
    let host = &awaiter.host;
    let (mut expected, _awaited) = host.await_bulk(&awaiter.source, awaiter.migration, connections);
    for frame in recovery_frames(answer) {
        connection.send(frame).map_err(|error| error.to_string())?;
    }
    let (map, message) = next_with_map(&mut connection, awaiter.pages).await?;
    let word = word_in(map, message)?;
    let mut bulk = Vec::new();
    if let Word::GoesOn(_) = word {
        bulk = take_bulk(&mut expected, connections).await?;
        if let LinkSpec::Unlimited(plane) = &awaiter.link {
            bulk.iter().try_for_each(|bulk| set_up(bulk.stream.options(), plane))?;
        }
    }
    Ok(Regained { connection, bulk, word })
}

/// The destination's first word on a new connection.
///
/// # Errors
/// In words, when it is none.
pub(crate) fn answer_in(map: PageMap, message: PeerMessage) -> Result<RecoveryAnswer, String> {
    match message {
        PeerMessage::Recovery(answer) => Ok(match *answer {
            RecoveryAnswer::Goes(recovery) => {
                RecoveryAnswer::Goes(DestinationRecovery { arrived: map, ..recovery })
            }
            other => other,
        }),
        PeerMessage::Refuse { reason } => Err(reason),
        other => Err(unexpected("Recovery", &other)),
    }
}

/// The source's first word on a new connection, once it has heard the destination's.
///
/// # Errors
/// In words, when it is none.
pub(crate) fn word_in(map: PageMap, message: PeerMessage) -> Result<Word, String> {
    match message {
        PeerMessage::GoesOn(word) => {
            Ok(Word::GoesOn(Box::new(SourceRecovery { on_disk: map, ..*word })))
        }
        PeerMessage::Released => Ok(Word::Released),
        PeerMessage::Withdrawn { verdict } => Ok(Word::Withdrawn(verdict)),
        other => Err(unexpected("GoesOn", &other)),
    }
}

/// Answers a source that comes back to a migration which is over here.
///
/// # Errors
/// In words, when a frame cannot be sent.
pub(crate) async fn answer_of_old(
    mut connection: Connection,
    answer: RecoveryAnswer,
) -> Result<(), String> {
    for frame in recovery_frames(answer) {
        connection.send(frame).map_err(|error| error.to_string())?;
    }
    connection.bid_farewell().await;
    Ok(())
}

/// The next message, and the page map before it, if there is one.
async fn next_with_map(
    connection: &mut Connection,
    pages: u32,
) -> Result<(PageMap, PeerMessage), String> {
    let mut map = None;
    loop {
        match connection.next().await {
            Traffic::Arrived(frame) => {
                if let Some(message) = take_map(&mut map, frame, pages)? {
                    return Ok((map.unwrap_or_default(), message));
                }
            }
            Traffic::Wrote => {}
            Traffic::Lost(reason) => return Err(reason),
        }
    }
}

/// Takes the page map, or gives the message that follows it.
///
/// # Errors
/// In words, when the frame is neither, or the map is of another guest.
pub(crate) fn take_map(
    map: &mut Option<PageMap>,
    frame: PeerFrame,
    pages: u32,
) -> Result<Option<PeerMessage>, String> {
    match frame {
        PeerFrame::Map(frame) if map.is_none() => {
            *map = Some(decode_map(&frame, pages).map_err(|error| error.to_string())?);
            Ok(None)
        }
        PeerFrame::Message(message) => Ok(Some(message)),
        _ => Err("a page map or a message was expected".to_owned()),
    }
}

fn send(connection: &mut Connection, message: PeerMessage) -> Result<(), String> {
    connection.send(PeerFrame::Message(message)).map_err(|error| error.to_string())
}

pub(crate) fn unexpected(expected: &str, seen: &PeerMessage) -> String {
    let mut seen = format!("{seen:?}");
    if let Some((cut, _)) = seen.char_indices().nth(80) {
        seen.truncate(cut);
    }
    format!("expected {expected}, seen {seen}")
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_transport::Stream;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn bulk_connections_have_the_source_s_order_whichever_is_handed_over_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bulk = async || {
            let socket = TcpStream::connect(address).await.unwrap();
            let port = socket.local_addr().unwrap().port();
            (BulkStream { stream: Stream::plain(socket).rest().unwrap(), place: None }, port)
        };
        let ((first, first_port), (second, second_port)) = (bulk().await, bulk().await);
        let (handed_over, mut expected) = mpsc::channel::<Numbered>(2);
        handed_over.send((1, second)).await.unwrap();
        handed_over.send((0, first)).await.unwrap();
        let taken = take_bulk(&mut expected, 2).await.unwrap();
        let ports = taken.into_iter().map(|bulk| {
            let stream = bulk.stream.awake().unwrap();
            stream.socket().local_addr().unwrap().port()
        });
        assert_eq!(ports.collect::<Vec<_>>(), [first_port, second_port]);
    }
}
