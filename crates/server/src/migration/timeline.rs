//! The time of a migration, and who says how it goes.
//!
//! A timeline has one authority. That is the source as long as the two servers talk to each other:
//! it announces each change to the destination, to be made at an instant that is still to come on
//! both sides, so that both make it at the same one. A side that is alone goes by its own server.
//! Both sides reckon in the destination's wall clock, and the source reads that clock again before
//! time goes on after a standstill: clocks that drift apart meanwhile do no harm.

mod reading;

use super::driver::{Driver, Machine};
use crate::clock::{ModelClock, Piece};
use crate::connection::Connection;
use crate::handshake::{Agreement, FARTHEST_ZERO, LEAD_TIME, unexpected};
use crate::vm::Request;
use lazycopy_link::LinkSpec;
use lazycopy_protocol::control::{MigrationId, ServerReply};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::pace::{Pace, Paced};
use lazycopy_protocol::peer::PeerMessage;
use lazycopy_units::Instant as ModelInstant;
use reading::Leading;
use std::time::Duration;
use tokio::time::Instant;

/// How many times the uncertainty of the agreement lies between a change's announcement and the
/// change, besides what a busy host needs: the uncertainty is half a round trip, so that these are
/// four round trips, of which the announcement takes a half.
const MARGIN_IN_UNCERTAINTIES: u32 = 8;

/// Who says how the time of a migration goes, seen from this side.
enum Authority {
    /// This server.
    Own,
    /// This server, which tells the destination.
    Leads(Leading),
    /// The source.
    Follows,
    /// Nobody: without a modelled link its instants are the clock's. One side tells who asks.
    Clock { tells: bool },
    /// Nobody any more: nothing of the guest will come.
    Released,
}

/// The clock of one side of a migration, and how it is changed.
pub(crate) struct Timeline {
    migration: MigrationId,
    clock: ModelClock,
    authority: Authority,
    /// The pace that the clock goes by, or will when what was announced has come.
    pace: Pace,
    origin: Instant,
    /// The greatest that there was.
    uncertainty: Duration,
    /// Who waits to hear from when on another pace holds.
    waiting: Vec<Request>,
    last_change: Option<Piece>,
    /// Who says how it goes while the two sides talk to each other.
    together: Together,
    /// There is a link again: the two sides may have gone by other paces meanwhile.
    rejoins: bool,
}

/// Who says how time goes while the two sides talk to each other.
#[derive(Clone, Copy)]
enum Together {
    Leads,
    Follows,
    Clock { tells: bool },
}

impl Timeline {
    /// The source's.
    pub(crate) fn of_source(
        agreement: &Agreement,
        link: &LinkSpec,
        migration: MigrationId,
        scale: u64,
    ) -> Self {
        let uncertainty = Duration::from_nanos(agreement.uncertainty_ns);
        let leading = Leading::new(uncertainty);
        let authority = match link {
            LinkSpec::Modelled(_) => Authority::Leads(leading),
            LinkSpec::Unlimited(_) => Authority::Clock { tells: true },
        };
        Timeline::new(agreement, migration, scale, authority)
    }

    /// The destination's.
    pub(crate) fn of_destination(
        agreement: &Agreement,
        link: &LinkSpec,
        migration: MigrationId,
        scale: u64,
    ) -> Self {
        let authority = match link {
            LinkSpec::Modelled(_) => Authority::Follows,
            LinkSpec::Unlimited(_) => Authority::Clock { tells: false },
        };
        Timeline::new(agreement, migration, scale, authority)
    }

    fn new(
        agreement: &Agreement,
        migration: MigrationId,
        scale: u64,
        authority: Authority,
    ) -> Self {
        let pace = match authority {
            Authority::Clock { .. } => Pace::default(),
            _ => agreement.pace,
        };
        let together = match authority {
            Authority::Leads(_) => Together::Leads,
            Authority::Clock { tells } => Together::Clock { tells },
            _ => Together::Follows,
        };
        let zero_ns = nanos(agreement.zero.saturating_duration_since(agreement.origin));
        Timeline {
            migration,
            clock: ModelClock::beginning(agreement.origin, zero_ns, scale, &pace),
            authority,
            pace,
            origin: agreement.origin,
            uncertainty: Duration::from_nanos(agreement.uncertainty_ns),
            waiting: Vec::new(),
            last_change: None,
            together,
            rejoins: false,
        }
    }

    /// The clock, as it is now.
    pub(crate) fn clock(&self) -> ModelClock {
        self.clock
    }

    /// The pace that the clock goes by.
    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    /// By how much the clocks of the two servers may have disagreed at most.
    pub(crate) fn uncertainty_ns(&self) -> u64 {
        nanos(self.uncertainty)
    }

    /// Takes the question from when on another pace holds. It is answered when that is known.
    pub(crate) fn ask(&mut self, request: Request) {
        self.waiting.push(request);
    }

    /// Comes to the pace of this server, where this side is to say so, and answers who asked.
    /// Returns when that is to be tried again, if by then nothing else happens.
    pub(crate) fn tend(
        &mut self,
        own: &Pace,
        connection: &mut Option<Connection>,
    ) -> Option<Instant> {
        if connection.is_none() {
            self.be_alone();
        }
        let now = Instant::now();
        let asked_for = !self.waiting.is_empty() || own.revision > self.pace.revision;
        if *own == self.pace || !asked_for || !self.decides() {
            self.answer_all();
            return None;
        }
        if let Some(pending) = self.clock.pending(now) {
            return Some(pending);
        }
        if self.reads_clock_first(own, now, connection) {
            return None;
        }
        let margin = match &self.authority {
            Authority::Leads(leading) => {
                LEAD_TIME + leading.uncertainty() * MARGIN_IN_UNCERTAINTIES
            }
            _ => Duration::ZERO,
        };
        let piece = self.clock.turn(now + margin, &self.pace, own);
        self.clock.follow(piece, now);
        (self.pace, self.last_change) = (*own, Some(piece));
        self.announce(piece, connection);
        self.answer_all();
        None
    }

    fn decides(&self) -> bool {
        matches!(self.authority, Authority::Own | Authority::Leads(_))
    }

    /// A side that is alone goes by its own server.
    fn be_alone(&mut self) {
        self.authority = match self.authority {
            Authority::Released => Authority::Released,
            Authority::Clock { .. } => Authority::Clock { tells: true },
            _ => Authority::Own,
        };
    }

    /// The two sides talk to each other again: it goes as the source says.
    pub(crate) fn regain(&mut self, connection: &mut Option<Connection>) {
        if matches!(self.authority, Authority::Released) {
            return;
        }
        self.authority = match self.together {
            Together::Leads => Authority::Leads(Leading::new(self.uncertainty)),
            Together::Follows => Authority::Follows,
            Together::Clock { tells } => Authority::Clock { tells },
        };
        self.rejoins = true;
        let now = Instant::now();
        let Some(last) = self.last_change.filter(|_| self.decides()) else { return };
        let piece = match self.clock.pending(now) {
            Some(_) => last,
            None => {
                let piece = self.clock.turn(now + LEAD_TIME, &self.pace, &self.pace);
                self.clock.follow(piece, now);
                piece
            }
        };
        self.announce(piece, connection);
    }

    fn announce(&self, piece: Piece, connection: &mut Option<Connection>) {
        let (Authority::Leads(_), Some(connection)) = (&self.authority, connection) else { return };
        let Piece { wall_ns: clock_ns, at, until, .. } = piece;
        let message = PeerMessage::Pace { clock_ns, at, until, pace: self.pace };
        // So small a frame can always be sent.
        let _ = connection.send(PeerFrame::Message(message));
    }

    /// Says what is known by now; a destination leaves that to the source.
    fn answer_all(&mut self) {
        let (from, until) = match self.last_change {
            Some(Piece { at, until, .. }) => (Some(at), until),
            None => (Some(ModelInstant::ZERO), self.pace.frozen.then_some(ModelInstant::ZERO)),
        };
        let known = match self.authority {
            Authority::Own | Authority::Leads(_) => Some((from, until)),
            Authority::Clock { tells: true } => Some((None, None)),
            Authority::Clock { tells: false } | Authority::Follows | Authority::Released => None,
        };
        let paced = known.map(|(from, until)| Paced { migration: self.migration, from, until });
        for request in self.waiting.drain(..) {
            let migrations = paced.into_iter().collect();
            request.answer(Ok(ServerReply::Paced { migrations }));
        }
    }

    /// This side is over: nobody waits any longer.
    pub(crate) fn end(&mut self) {
        self.waiting.drain(..).for_each(Request::answer_paced);
    }

    /// Nothing of the guest will come: what is still under way is taken in without delay, however
    /// time goes elsewhere.
    pub(crate) fn release(&mut self) {
        self.authority = Authority::Released;
        self.clock.release(Instant::now());
    }

    /// Takes what the other server says about time; gives back what is about anything else.
    ///
    /// # Errors
    /// In words, when it must not say so.
    pub(crate) fn hear<M: Machine>(
        &mut self,
        frame: PeerFrame,
        connection: &mut Option<Connection>,
        driver: &mut Driver<M>,
    ) -> Result<Option<PeerFrame>, String> {
        match (frame, &mut self.authority) {
            (PeerFrame::Message(PeerMessage::Ping { number }), Authority::Follows) => {
                let clock_ns = nanos(self.origin.elapsed());
                let pong = PeerFrame::Message(PeerMessage::Pong { number, clock_ns });
                let Some(connection) = connection else { return Ok(None) };
                if !connection.has_room() {
                    return Err("the source asks for the clock and does not listen".to_owned());
                }
                connection.send(pong).map_err(|error| error.to_string())?;
            }
            (PeerFrame::Message(PeerMessage::Pong { number, clock_ns }), Authority::Leads(it)) => {
                it.heard(number, clock_ns, connection)?;
            }
            (
                PeerFrame::Message(PeerMessage::Pace { clock_ns, at, until, pace }),
                Authority::Follows,
            ) => {
                let piece = Piece { wall_ns: clock_ns, at, slower: pace.slower, until };
                self.obey(piece, pace, driver)?;
            }
            (
                PeerFrame::Message(
                    message @ (PeerMessage::Ping { .. }
                    | PeerMessage::Pong { .. }
                    | PeerMessage::Pace { .. }),
                ),
                _,
            ) => return Err(unexpected("a part of the migration", &message)),
            (frame, _) => return Ok(Some(frame)),
        }
        Ok(None)
    }

    /// The source says how time goes from an instant on.
    fn obey<M: Machine>(
        &mut self,
        piece: Piece,
        pace: Pace,
        driver: &mut Driver<M>,
    ) -> Result<(), String> {
        if !pace.is_valid() {
            return Err(format!("the source wants a time that is {} times slower", pace.slower));
        }
        let now = Instant::now();
        let begins = self.origin.checked_add(Duration::from_nanos(piece.wall_ns));
        let begins = begins.filter(|begins| *begins <= now + FARTHEST_ZERO).ok_or_else(|| {
            let seconds = FARTHEST_ZERO.as_secs();
            format!("the source wants to change its time in more than {seconds} s")
        })?;
        if !std::mem::take(&mut self.rejoins) && piece.at > self.clock.at(begins) {
            return Err("the source wants its time to jump".to_owned());
        }
        driver.went_too_far_by(self.clock.follow(piece, now));
        (self.pace, self.last_change) = (pace, Some(piece));
        Ok(())
    }
}

/// Before time goes on after a standstill, the source reads the destination's clock again.
impl Timeline {
    /// Whether the clock is being read, so that time goes on a little later.
    fn reads_clock_first(
        &mut self,
        to: &Pace,
        now: Instant,
        connection: &mut Option<Connection>,
    ) -> bool {
        let goes_on = !to.frozen || to.stepped > self.pace.stepped;
        let held = self.clock.is_held(now);
        let Authority::Leads(leading) = &mut self.authority else { return false };
        if leading.is_reading() {
            return true;
        }
        if leading.has_read() {
            if let Some((origin, uncertainty)) = leading.take_reading(now).filter(|_| held) {
                self.clock.set_origin(origin, now);
                self.uncertainty = self.uncertainty.max(uncertainty);
            }
            return false;
        }
        goes_on && held && leading.may_have_drifted(now) && leading.read_again(connection)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
