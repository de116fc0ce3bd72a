//! What a source knows of the destination's wall clock, and how it reads it again.

use crate::connection::Connection;
use crate::handshake::{PINGS, Reading};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::peer::PeerMessage;
use std::time::Duration;
use tokio::time::Instant;
use tracing::debug;

/// By how much two clocks drift apart at most: a quartz is wrong by less than a ten-thousandth.
const DRIFT_DIVISOR: u32 = 10_000;

/// What the source knows of the destination's clock.
pub(super) struct Leading {
    /// When it was last read.
    read_at: Instant,
    uncertainty: Duration,
    rereading: Option<Rereading>,
}

/// Pings, of which one is under way until all are answered.
struct Rereading {
    number: u32,
    asked: Instant,
    best: Option<Reading>,
}

impl Leading {
    /// It has just been read, give or take that.
    pub(super) fn new(uncertainty: Duration) -> Self {
        Leading { read_at: Instant::now(), uncertainty, rereading: None }
    }

    /// How uncertain its last reading was.
    pub(super) fn uncertainty(&self) -> Duration {
        self.uncertainty
    }

    fn drift(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.read_at) / DRIFT_DIVISOR
    }

    /// Whether the two clocks may have drifted apart by more than was uncertain about them.
    pub(super) fn may_have_drifted(&self, now: Instant) -> bool {
        self.drift(now) > self.uncertainty
    }

    /// Whether it is being read.
    pub(super) fn is_reading(&self) -> bool {
        self.rereading.as_ref().is_some_and(|rereading| rereading.number < PINGS)
    }

    /// Whether it has been read again, and nobody has looked at what came of it.
    pub(super) fn has_read(&self) -> bool {
        self.rereading.is_some() && !self.is_reading()
    }

    /// Begins to read it again, if the connection takes that.
    pub(super) fn read_again(&mut self, connection: &mut Option<Connection>) -> bool {
        let rereading = Rereading { number: 0, asked: Instant::now(), best: None };
        let asked = rereading.ask(connection);
        self.rereading = asked.then_some(rereading);
        asked
    }

    /// When that clock read nothing, and how uncertain that is, where it has been read again and
    /// is known better than before.
    pub(super) fn take_reading(&mut self, now: Instant) -> Option<(Instant, Duration)> {
        let best = self.rereading.take()?.best?;
        let uncertainty = best.round_trip / 2;
        debug!(?uncertainty, "the destination's clock was read again");
        let known = self.uncertainty.saturating_add(self.drift(now));
        let origin = best.origin().filter(|_| uncertainty < known)?;
        (self.read_at, self.uncertainty) = (best.asked, uncertainty);
        Some((origin, uncertainty))
    }

    /// The destination answers a ping; the next one is sent.
    ///
    /// # Errors
    /// In words, when it was not asked.
    pub(super) fn heard(
        &mut self,
        number: u32,
        clock_ns: u64,
        connection: &mut Option<Connection>,
    ) -> Result<(), String> {
        let now = Instant::now();
        let asked =
            |rereading: &&mut Rereading| rereading.number == number && rereading.number < PINGS;
        let rereading = self.rereading.as_mut().filter(asked);
        let rereading = rereading.ok_or("the destination answers what it was not asked")?;
        let round_trip = now.saturating_duration_since(rereading.asked);
        let heard = Reading { asked: rereading.asked, round_trip, clock_ns };
        if rereading.best.is_none_or(|best| heard.round_trip < best.round_trip) {
            rereading.best = Some(heard);
        }
        (rereading.number, rereading.asked) = (number + 1, now);
        if rereading.number < PINGS {
            rereading.ask(connection);
        }
        Ok(())
    }
}

impl Rereading {
    fn ask(&self, connection: &mut Option<Connection>) -> bool {
        let ping = PeerFrame::Message(PeerMessage::Ping { number: self.number });
        connection.as_mut().is_some_and(|connection| connection.send(ping).is_ok())
    }
}
