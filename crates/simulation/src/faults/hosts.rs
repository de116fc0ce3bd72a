//! The two server processes: what drives a machine where links break. It is as little as a driver
//! can be: it notices silence, asks again, waits no longer than it may, and passes words on.

use super::case::Patience;
use lazycopy_migration::{Destination, Source};
use lazycopy_units::Instant;

/// A process, with the machine that it holds.
#[derive(Debug)]
pub(crate) struct Host<M> {
    /// `None` when it has died.
    pub(crate) machine: Option<M>,
    /// It does nothing until then.
    pub(crate) stopped_until: Instant,
    /// It died, and another process of its name answers, from then on.
    pub(crate) restarts_at: Option<Instant>,
    /// The machine has said that it is done.
    pub(crate) ended: bool,
    pub(crate) session: Session,
    /// When the manager tells it that the other process is dead.
    pub(crate) told_at: Option<Instant>,
}

/// Its end of the connection, and what it waits for.
#[derive(Debug)]
pub(crate) struct Session {
    /// The latest connection: they are numbered from 1.
    pub(crate) connection: u32,
    pub(crate) is_up: bool,
    pub(crate) heard_at: Instant,
    pub(crate) beats_at: Instant,
    /// When it tries to connect again (the source alone does).
    pub(crate) tries_at: Option<Instant>,
    /// When it gives the other side up.
    pub(crate) gives_up_at: Option<Instant>,
    /// When an operator tells it to take the guest back.
    pub(crate) reclaims_at: Option<Instant>,
}

impl<M> Host<M> {
    pub(crate) fn new(machine: M, patience: &Patience) -> Self {
        Host {
            machine: Some(machine),
            stopped_until: Instant::ZERO,
            restarts_at: None,
            ended: false,
            session: Session {
                connection: 1,
                is_up: true,
                heard_at: Instant::ZERO,
                beats_at: Instant::ZERO.saturating_add(patience.beat),
                tries_at: None,
                gives_up_at: None,
                reclaims_at: None,
            },
            told_at: None,
        }
    }

    /// Whether nothing more can happen here.
    pub(crate) fn is_done(&self) -> bool {
        self.machine.is_none() || self.ended && self.session.tries_at.is_none()
    }

    /// Whether it knows of no failure and says that it lives.
    fn beats(&self) -> bool {
        self.machine.is_some() && self.session.is_up && !self.ended
    }

    /// When one of its own clocks is due, with the silence that it takes for a broken link.
    pub(crate) fn next_clock(&self, patience: &Patience) -> Option<Instant> {
        let session = &self.session;
        self.machine.as_ref()?;
        let beats = self.beats();
        let clocks = [
            beats.then_some(session.beats_at),
            beats.then(|| session.heard_at.saturating_add(patience.silence)),
            session.tries_at,
            session.gives_up_at,
            session.reclaims_at,
            self.told_at,
        ];
        let next = clocks.into_iter().flatten().min()?;
        Some(next.max(self.stopped_until))
    }
}

/// A clock that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Told,
    Beat,
    Silence,
    Reclaim,
    GiveUp,
    Try,
}

impl<M> Host<M> {
    /// Which clock is due at `now`, if one is; it is wound up again, or stopped.
    pub(crate) fn take_clock(&mut self, now: Instant, patience: &Patience) -> Option<Clock> {
        let beats = self.beats();
        let session = &mut self.session;
        let is_due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if is_due(&mut self.told_at) {
            return Some(Clock::Told);
        }
        if beats && session.beats_at <= now {
            session.beats_at = now.saturating_add(patience.beat);
            return Some(Clock::Beat);
        }
        if beats && session.heard_at.saturating_add(patience.silence) <= now {
            return Some(Clock::Silence);
        }
        if is_due(&mut session.reclaims_at) {
            return Some(Clock::Reclaim);
        }
        if is_due(&mut session.gives_up_at) {
            return Some(Clock::GiveUp);
        }
        if is_due(&mut session.tries_at) {
            session.tries_at = Some(now.saturating_add(patience.retry));
            return Some(Clock::Try);
        }
        None
    }
}

/// Both processes.
#[derive(Debug)]
pub(crate) struct Hosts {
    pub(crate) source: Host<Source>,
    pub(crate) destination: Host<Destination>,
}
