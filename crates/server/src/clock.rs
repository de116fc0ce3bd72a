//! Model time against wall time.

use crate::timer::Timer;
use lazycopy_protocol::pace::{MAX_SLOWER, Pace};
use lazycopy_units::{Duration, Instant};
use std::time::Duration as WallDuration;
use tokio::time::Instant as WallInstant;

/// The largest `time_scale`: with it, model time reaches for five hours of wall time, far beyond
/// any migration.
pub(crate) const MAX_TIME_SCALE: u64 = 1_000_000;

/// How time goes from an instant on: a straight line, and a level one where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// When it begins, in nanoseconds of wall time since the clock's origin.
    pub(crate) wall_ns: u64,
    /// What is read then, and before.
    pub(crate) at: Instant,
    /// So many times slower than the clock's scale.
    pub(crate) slower: u32,
    /// What is never passed.
    pub(crate) until: Option<Instant>,
}

impl Piece {
    fn limit(&self) -> Instant {
        self.until.map_or(Instant::MAX, |until| until.max(self.at))
    }

    fn read(&self, wall_ns: u64, scale: u64) -> Instant {
        let elapsed = u128::from(wall_ns.saturating_sub(self.wall_ns));
        let span = elapsed * u128::from(scale) / u128::from(self.slower);
        let span = Duration::from_nanos(u64::try_from(span).unwrap_or(u64::MAX));
        self.at.saturating_add(span).min(self.limit())
    }

    /// When it reads `at` or later first; `None` if never.
    fn reaches(&self, at: Instant, scale: u64) -> Option<u64> {
        if at > self.limit() {
            return None;
        }
        let span = u128::from(at.saturating_since(self.at).as_nanos());
        let elapsed = (span * u128::from(self.slower)).div_ceil(u128::from(scale));
        self.wall_ns.checked_add(u64::try_from(elapsed).ok()?)
    }
}

/// Maps wall time to model time, piece by piece: `scale` nanoseconds of model time per nanosecond,
/// or so many times fewer as the piece says. It never goes back, and reads the same wherever it
/// has the same pieces: all is in whole nanoseconds since the origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModelClock {
    origin: WallInstant,
    scale: u64,
    current: Piece,
    /// Takes the place of the current one when it begins.
    next: Option<Piece>,
}

impl ModelClock {
    /// A clock that reads zero until `zero_ns` after the origin, and goes on from there.
    pub(crate) fn beginning(origin: WallInstant, zero_ns: u64, scale: u64, pace: &Pace) -> Self {
        let at = Instant::ZERO;
        let until = pace.frozen.then_some(at);
        let slower = pace.slower.clamp(1, MAX_SLOWER);
        let current = Piece { wall_ns: zero_ns, at, slower, until };
        ModelClock { origin, scale: scale.max(1), current, next: None }
    }

    /// A clock that reads zero at `zero`, and before.
    pub(crate) fn from_zero(zero: WallInstant, scale: u64, pace: &Pace) -> Self {
        ModelClock::beginning(zero, 0, scale, pace)
    }

    /// This clock, put to `at` at the instant `wall`. What was left until it stands still is left.
    pub(crate) fn put_to(self, at: Instant, wall: WallInstant) -> Self {
        let last = self.last();
        let left = last.until.map(|until| until.saturating_since(self.at(wall)));
        let until = left.map(|left| at.saturating_add(left));
        let current = Piece { wall_ns: 0, at, slower: last.slower, until };
        ModelClock { origin: wall, scale: self.scale, current, next: None }
    }

    fn since_origin(&self, wall: WallInstant) -> u64 {
        let elapsed = wall.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(elapsed).unwrap_or(u64::MAX)
    }

    fn last(&self) -> &Piece {
        self.next.as_ref().unwrap_or(&self.current)
    }

    fn read(&self, wall_ns: u64) -> Instant {
        match &self.next {
            Some(next) if next.wall_ns <= wall_ns => next.read(wall_ns, self.scale),
            Some(next) => self.current.read(wall_ns, self.scale).min(next.at),
            None => self.current.read(wall_ns, self.scale),
        }
    }

    /// What it reads at the instant `wall`.
    pub(crate) fn at(&self, wall: WallInstant) -> Instant {
        self.read(self.since_origin(wall))
    }

    /// What it reads now.
    pub(crate) fn now(&self) -> Instant {
        self.at(WallInstant::now())
    }

    /// The first instant at which it reads `at` or later; `None` if it never does, or wall time
    /// does not reach so far.
    pub(crate) fn wall(&self, at: Instant) -> Option<WallInstant> {
        let reached = |piece: &Piece| piece.reaches(at, self.scale);
        let wall_ns = match &self.next {
            None => reached(&self.current)?,
            Some(next) if at <= next.at => {
                reached(&self.current).map_or(next.wall_ns, |wall| wall.min(next.wall_ns))
            }
            Some(next) => reached(next)?,
        };
        self.origin.checked_add(WallDuration::from_nanos(wall_ns))
    }

    /// When the clock reads `at`.
    pub(crate) fn wake_at(&self, at: Instant) -> Wake {
        self.wall(at).map_or(Wake::Never, Wake::At)
    }

    /// So much of wall time in model time, where it goes as fast as it can.
    pub(crate) fn span(&self, wall: WallDuration) -> Duration {
        let nanos = u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos.saturating_mul(self.scale))
    }

    /// Whether it stands still at the instant `wall`, and from then on.
    pub(crate) fn is_held(&self, wall: WallInstant) -> bool {
        self.pending(wall).is_none() && self.last().until == Some(self.at(wall))
    }

    /// Until when the last change is still to come, seen from the instant `wall`.
    pub(crate) fn pending(&self, wall: WallInstant) -> Option<WallInstant> {
        let begins = self.origin.checked_add(WallDuration::from_nanos(self.next?.wall_ns));
        begins.filter(|begins| *begins > wall)
    }

    /// How time goes from the instant `wall` on, where one pace takes the place of another.
    pub(crate) fn turn(&self, wall: WallInstant, from: &Pace, to: &Pace) -> Piece {
        let (wall_ns, at) = (self.since_origin(wall), self.at(wall));
        let stood = self.last().until.filter(|_| from.frozen).unwrap_or(at);
        let step =
            Duration::from_nanos(to.stepped.as_nanos().saturating_sub(from.stepped.as_nanos()));
        let until = to.frozen.then(|| stood.saturating_add(step));
        Piece { wall_ns, at, slower: to.slower.clamp(1, MAX_SLOWER), until }
    }

    /// Goes by `piece` from its beginning on. Returns by how much it had gone too far at the
    /// instant `wall`: where it learns too late of a standstill.
    pub(crate) fn follow(&mut self, piece: Piece, wall: WallInstant) -> Duration {
        let before = self.at(wall);
        if let Some(next) = self.next.take() {
            self.current = next;
        }
        self.next = Some(piece);
        before.saturating_since(self.at(wall))
    }

    /// Goes on without end from what it reads at `wall`, as fast as it can.
    pub(crate) fn release(&mut self, wall: WallInstant) {
        let wall_ns = self.since_origin(wall);
        self.current = Piece { wall_ns, at: self.at(wall), slower: 1, until: None };
        self.next = None;
    }

    /// Its origin was then, as is found out while it stands still at what it reads at `wall`.
    pub(crate) fn set_origin(&mut self, origin: WallInstant, wall: WallInstant) {
        let (at, slower) = (self.at(wall), self.last().slower);
        self.current = Piece { wall_ns: 0, at, slower, until: Some(at) };
        (self.origin, self.next) = (origin, None);
    }
}

/// When a task is to go on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// As soon as others had their turn.
    Soon,
    /// At that instant.
    At(WallInstant),
    /// Not by itself.
    Never,
}

impl Wake {
    /// The same, or at that instant if it is earlier.
    pub(crate) fn or_at(self, wall: Option<WallInstant>) -> Wake {
        match (self, wall) {
            (Wake::At(due), Some(wall)) => Wake::At(due.min(wall)),
            (Wake::Never, Some(wall)) => Wake::At(wall),
            (wake, _) => wake,
        }
    }

    /// Waits for it.
    pub(crate) async fn wait(self, timer: &Timer) {
        match self {
            Wake::Soon => tokio::task::yield_now().await,
            Wake::At(wall) => timer.sleep_until(wall).await,
            Wake::Never => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
