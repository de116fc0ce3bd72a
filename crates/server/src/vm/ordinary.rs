//! A guest's ordinary life: it runs in scaled real time, in bursts, or is suspended.

use super::departing::{Departing, Leaving};
use super::{Action, Definition, Life, Request, Vm};
use crate::clock::{ModelClock, Wake};
use lazycopy_guest::{Guest, Stop, Timeout, TimeoutKind};
use lazycopy_protocol::control::{ServerReply, VmPhase};
use lazycopy_protocol::pace::Pace;
use lazycopy_units::{Duration, Instant};
use std::time::Duration as WallDuration;
use tokio::time::Instant as WallInstant;

/// Accesses of one burst: well below a millisecond, so that others get their turn.
const BURST_ACCESSES: u64 = 1 << 14;

/// A guest is woken this often at most: often enough that its state is fresh, seldom enough that
/// many fast guests do not cost more than their accesses.
const SHORTEST_PAUSE: WallDuration = WallDuration::from_millis(10);

/// How far a guest may fall behind its clock. One that is asked for more accesses than the
/// machine can take falls behind without end: its clock is then set back, so that catching up
/// stays possible.
const GREATEST_BACKLOG: WallDuration = WallDuration::from_millis(100);

/// From here on a guest's clock begins anew (36 years of model time), so that it never overflows.
const CLOCK_END: Instant = Instant::from_nanos(1 << 60);

/// A guest that runs or is suspended.
pub(super) struct Ordinary {
    pub(super) guest: Guest,
    clock: ModelClock,
    /// The server's, as far as the clock goes by it.
    pace: Pace,
    disk_latency: Duration,
    /// Where the clock stood when the guest was suspended.
    suspended_at: Option<Instant>,
}

impl Ordinary {
    /// A guest at the end of its warm-up, whose time begins now.
    pub(super) fn beginning(mut guest: Guest, pace: Pace, definition: &Definition) -> Self {
        guest.resume_thinking(Instant::ZERO);
        let clock = ModelClock::from_zero(WallInstant::now(), definition.time_scale, &pace);
        Ordinary::going_on(guest, clock, pace, definition)
    }

    /// A guest that runs, and goes on by that clock, which has gone by that pace.
    pub(super) fn going_on(
        mut guest: Guest,
        clock: ModelClock,
        pace: Pace,
        definition: &Definition,
    ) -> Self {
        guest.set_target(u64::MAX);
        let disk_latency = definition.disk_latency;
        Ordinary { guest, clock, pace, disk_latency, suspended_at: None }
    }

    /// Goes by that pace from now on.
    pub(super) fn come_to(&mut self, pace: Pace) {
        if pace != self.pace {
            let now = WallInstant::now();
            let piece = self.clock.turn(now, &self.pace, &pace);
            self.clock.follow(piece, now);
            self.pace = pace;
        }
    }

    fn phase(&self) -> VmPhase {
        match self.suspended_at {
            Some(_) => VmPhase::Suspended,
            None => VmPhase::Running,
        }
    }

    /// Does one burst of what is due at `until` or before. Returns whether more is due.
    fn burst(&mut self, until: Instant) -> bool {
        let end = self.guest.registers().accesses.saturating_add(BURST_ACCESSES);
        while let Some(Timeout { at, kind }) = self.guest.poll_timeout() {
            let taken = self.guest.registers().accesses;
            if at > until || taken >= end {
                return at <= until;
            }
            match kind {
                TimeoutKind::Disk => {
                    self.guest.complete_load(at);
                }
                TimeoutKind::Access => {
                    if let Stop::Missed(_) = self.guest.run(until, end - taken)
                        && let Some((_, since)) = self.guest.blocked_on()
                    {
                        self.guest.begin_load(since, self.disk_latency);
                    }
                }
            }
        }
        false
    }

    /// Does one burst of what is due by the clock at `wall`. Returns whether more is due.
    pub(super) fn catch_up(&mut self, wall: WallInstant) -> bool {
        if self.suspended_at.is_some() {
            return false;
        }
        let now = self.clock.at(wall);
        let behind = self.burst(now);
        if behind {
            self.set_back_if_hopeless(wall);
        }
        if now > CLOCK_END && !behind {
            self.begin_clock_anew(wall);
        }
        behind
    }

    fn set_back_if_hopeless(&mut self, wall: WallInstant) {
        let Some(due) = self.guest.poll_timeout() else { return };
        let backlog = self.clock.at(wall).saturating_since(due.at);
        if backlog > self.clock.span(GREATEST_BACKLOG) {
            self.clock = self.clock.put_to(due.at, wall);
        }
    }

    /// What was due at `wall` is due at zero. Nothing before it is left.
    fn begin_clock_anew(&mut self, wall: WallInstant) {
        self.guest.rebase(self.clock.at(wall).saturating_since(Instant::ZERO));
        self.clock = self.clock.put_to(Instant::ZERO, wall);
    }

    /// When the guest wants to be driven again.
    pub(super) fn wake(&self, behind: bool) -> Wake {
        if behind {
            return Wake::Soon;
        }
        let due = self.guest.poll_timeout().filter(|_| self.suspended_at.is_none());
        match due.map(|due| self.clock.wake_at(due.at)) {
            Some(Wake::At(wall)) => Wake::At(wall.max(WallInstant::now() + SHORTEST_PAUSE)),
            _ => Wake::Never,
        }
    }

    /// The guest as it is at `wall`, when its migration's time begins: what is due then is due at
    /// zero. What it cannot catch up with in time waits, as if its clock had been late.
    pub(super) async fn into_guest_at(mut self, wall: WallInstant) -> Guest {
        let just_before = self.clock.at(wall).saturating_sub(Duration::from_nanos(1));
        let patience = WallInstant::now() + GREATEST_BACKLOG;
        while self.burst(just_before) && WallInstant::now() < patience {
            tokio::task::yield_now().await;
        }
        let due = self.guest.poll_timeout().map_or(Instant::MAX, |due| due.at);
        let zero = self.clock.at(wall).min(due);
        self.guest.rebase(zero.saturating_since(Instant::ZERO));
        self.guest
    }

    fn suspend(&mut self) {
        self.suspended_at = Some(self.clock.now());
        self.guest.suspend();
    }

    /// Goes on; an access that was abandoned is taken at once.
    fn resume(&mut self, at: Instant) {
        self.clock = self.clock.put_to(at, WallInstant::now());
        self.guest.resume(at);
        self.suspended_at = None;
    }
}

impl Vm {
    pub(super) async fn ordinary(&mut self, mut ordinary: Ordinary) -> Life {
        loop {
            ordinary.come_to(self.host.pace());
            let behind = ordinary.catch_up(WallInstant::now());
            if let Some(failure) = ordinary.guest.failure() {
                return self.failed(failure.to_string());
            }
            self.publish(ordinary.phase(), Some(&ordinary.guest));
            let request = tokio::select! {
                biased;
                request = self.requests.recv() => request,
                () = ordinary.wake(behind).wait(&self.host.timer) => continue,
            };
            let Some(request) = request else { return Life::Gone };
            ordinary.catch_up(WallInstant::now());
            ordinary = match self.apply(ordinary, request) {
                Life::Ordinary(ordinary) => ordinary,
                other => return other,
            };
        }
    }

    /// Decides what a request does to a guest that runs or is suspended.
    fn apply(&mut self, mut ordinary: Ordinary, request: Request) -> Life {
        let done = Ok(ServerReply::Done);
        match (request.action, ordinary.suspended_at) {
            (Action::Show { limit }, _) => {
                let shown = self.show(ordinary.phase(), Some(&ordinary.guest), limit);
                let _ = request.reply.send(shown);
            }
            (Action::Pace, _) => {
                // It comes to that pace before anything else, whatever woke it.
                let _ = request.reply.send(Ok(ServerReply::Paced { migrations: Vec::new() }));
            }
            (Action::Suspend, None) => {
                ordinary.suspend();
                let _ = request.reply.send(done);
            }
            (Action::Resume, Some(at)) => {
                ordinary.resume(at);
                let _ = request.reply.send(done);
            }
            (Action::Stop, _) => {
                let life = self.stopped(VmPhase::Stopped);
                self.publish(VmPhase::Stopped, None);
                let _ = request.reply.send(done);
                return life;
            }
            (Action::Delete { force }, suspended) if force || suspended.is_some() => {
                let life = self.forget();
                let _ = request.reply.send(done);
                return life;
            }
            (Action::Migrate(start), None) => match self.check_departure(&start) {
                Ok(()) => {
                    let leaving = Leaving::Running(ordinary);
                    let departing = Departing { leaving, start, reply: request.reply };
                    return Life::Departing(Box::new(departing));
                }
                Err(reason) => {
                    let _ = request.reply.send(Err(reason));
                }
            },
            (action, suspended) => {
                let _ = request.reply.send(self.ordinary_refusal(&action, suspended.is_some()));
            }
        }
        Life::Ordinary(ordinary)
    }

    fn ordinary_refusal(&self, action: &Action, suspended: bool) -> crate::host::Answer {
        match action {
            Action::Migrate(_) => self.refusal("is suspended", "resume it first"),
            Action::Delete { .. } => self.refusal("is running", "stop it first, or use force"),
            Action::Start if suspended => self.refusal("is suspended", "resume it"),
            Action::Start => self.refusal("is running already", "nothing to do"),
            Action::Suspend => self.refusal("is suspended already", "resume it"),
            Action::Resume => self.refusal("is running", "only a suspended guest is resumed"),
            Action::Cancel { migration } => self.host.has_ended(*migration),
            _ => self.refusal("is not migrating", "nothing to do"),
        }
    }
}
