//! The connections between the two servers, as TCP gives them: in order and at most once, until
//! they break.
//!
//! Duplicates are this layer's duty, not the machines': each connection numbers what it carries
//! in each direction, and a number that was delivered is not delivered again. What belongs to an
//! older connection is not delivered at all.

use super::fault::Way;
use super::parcel::Parcel;
use lazycopy_migration::{Notice, RecoveryAnswer, Reply, SourceRecovery};
use lazycopy_units::{Duration, Instant, PageNumber};
use std::collections::BTreeMap;

/// What the servers say to each other.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// Source: a message of the link.
    Link(Parcel),
    /// Source: a control message.
    Notice(Notice),
    /// Source: the first word after a recovery.
    Recover(Box<SourceRecovery>),
    /// Source, as the first of a new connection: what have you got?
    Ask,
    /// Source: it took the guest back.
    Withdrawn(String),
    /// Destination: a control message.
    Reply(Reply),
    /// Destination, to [`Payload::Ask`].
    Answer(Box<RecoveryAnswer>),
    /// Destination: it has taken these pages, so many from each on, and needs them no more.
    Taken(Vec<(PageNumber, u32)>),
    /// Either: I live.
    Beat,
    /// Either: this connection is no more.
    Reset,
}

/// Something on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Which connection: they are numbered from 1.
    pub(crate) connection: u32,
    number: u64,
    pub(crate) payload: Payload,
}

/// What is lost or held up on one way.
#[derive(Debug, Default)]
struct Lane {
    packets: BTreeMap<(Instant, u64), Packet>,
    /// Nothing comes through until then.
    blocked_until: Instant,
    delayed_until: Instant,
    delay: Duration,
    /// Control messages that will come twice.
    duplicates: u32,
    /// Of the connection: the number of the next packet, and the last delivery.
    sending: (u32, u64),
    last: Instant,
    /// Of the connection: the number of the next packet to deliver.
    receiving: (u32, u64),
}

/// Both ways.
#[derive(Debug)]
pub(crate) struct Wire {
    latency: Duration,
    lanes: [Lane; 2],
    sequence: u64,
    /// This connection and all before it were cut.
    cut: u32,
    /// Whether packets that come twice are told from others. Not to do so is one of the rules
    /// that can be broken on purpose.
    pub(crate) filters_duplicates: bool,
    /// Duplicates that were not delivered.
    pub(crate) filtered: u64,
    /// Pages that were lost, by connection.
    lost: BTreeMap<u32, u64>,
    /// Messages that were lost with several pages each.
    pub(crate) lost_runs: u64,
}

impl Wire {
    pub(crate) fn new(latency: Duration) -> Self {
        Wire {
            latency,
            lanes: Default::default(),
            sequence: 0,
            cut: 0,
            filters_duplicates: true,
            filtered: 0,
            lost: BTreeMap::new(),
            lost_runs: 0,
        }
    }

    /// `payload` is sent at `now`.
    pub(crate) fn send(&mut self, now: Instant, way: Way, connection: u32, payload: Payload) {
        if connection <= self.cut && !matches!(payload, Payload::Reset) {
            return self.lose(connection, &payload);
        }
        let lane = &mut self.lanes[way as usize];
        if lane.sending.0 != connection {
            lane.sending = (connection, 0);
            lane.last = Instant::ZERO;
        }
        let extra = if now < lane.delayed_until { lane.delay } else { Duration::ZERO };
        let at = now.saturating_add(self.latency).saturating_add(extra).max(lane.last);
        lane.last = at;
        let packet = Packet { connection, number: lane.sending.1, payload };
        lane.sending.1 += 1;
        if lane.duplicates > 0 && is_control(&packet.payload) {
            lane.duplicates -= 1;
            // Between others that are on their way, or behind them.
            let later = Duration::from_nanos(self.latency.as_nanos() * u64::from(lane.duplicates));
            self.sequence += 1;
            let copy = (at.saturating_add(later), self.sequence + (1 << 40));
            lane.packets.insert(copy, packet.clone());
        }
        self.sequence += 1;
        lane.packets.insert((at, self.sequence), packet);
    }

    /// When something is delivered next, and which way; a process that is stopped takes nothing
    /// before it goes on.
    pub(crate) fn next(&self, stopped_until: [Instant; 2]) -> Option<(Instant, Way)> {
        let at = |way: Way| {
            let lane = &self.lanes[way as usize];
            let ((at, _), _) = lane.packets.first_key_value()?;
            let receiver = stopped_until[1 - way as usize];
            Some((lane.blocked_until.max(*at).max(receiver), way))
        };
        [at(Way::Forward), at(Way::Backward)].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Takes what is delivered next on that way, unless it was delivered before.
    pub(crate) fn deliver(&mut self, way: Way) -> Option<Packet> {
        let lane = &mut self.lanes[way as usize];
        let (_, packet) = lane.packets.pop_first()?;
        if let Payload::Reset = packet.payload {
            return Some(packet);
        }
        if packet.connection > lane.receiving.0 {
            lane.receiving = (packet.connection, 0);
        }
        if packet.connection < lane.receiving.0 {
            return None;
        }
        if packet.number < lane.receiving.1 && self.filters_duplicates {
            self.filtered += 1;
            return None;
        }
        lane.receiving.1 = packet.number + 1;
        Some(packet)
    }

    /// What the connection carries is lost, and both ends hear of it.
    pub(crate) fn cut(&mut self, now: Instant, connection: u32) {
        self.cut = self.cut.max(connection);
        for way in [Way::Forward, Way::Backward] {
            for packet in std::mem::take(&mut self.lanes[way as usize].packets).into_values() {
                self.lose(packet.connection, &packet.payload);
            }
            self.send(now, way, connection, Payload::Reset);
        }
    }

    /// Something of a connection is lost, or came when it was closed.
    pub(crate) fn lose(&mut self, connection: u32, payload: &Payload) {
        if let Payload::Link(parcel) = payload {
            *self.lost.entry(connection).or_default() += u64::from(parcel.pages());
            self.lost_runs += u64::from(parcel.pages() > 1);
        }
    }

    /// Pages that this connection has lost.
    pub(crate) fn lost_of(&self, connection: u32) -> u64 {
        self.lost.get(&connection).copied().unwrap_or(0)
    }

    /// Whether a message of the link is on its way.
    pub(crate) fn carries_messages(&self) -> bool {
        let packets = self.lanes[Way::Forward as usize].packets.values();
        packets.into_iter().any(|packet| matches!(packet.payload, Payload::Link(_)))
    }

    /// Nothing comes through that way until then.
    pub(crate) fn block(&mut self, way: Way, until: Instant) {
        let lane = &mut self.lanes[way as usize];
        lane.blocked_until = lane.blocked_until.max(until);
    }

    /// Everything that is sent before `until` takes so much longer.
    pub(crate) fn delay(&mut self, by: Duration, until: Instant) {
        for lane in &mut self.lanes {
            (lane.delay, lane.delayed_until) = (by, until);
        }
    }

    /// So many of the next control messages of each way come twice.
    pub(crate) fn duplicate(&mut self, messages: u32) {
        self.lanes.iter_mut().for_each(|lane| lane.duplicates += messages);
    }
}

fn is_control(payload: &Payload) -> bool {
    !matches!(payload, Payload::Link(_) | Payload::Reset)
}
