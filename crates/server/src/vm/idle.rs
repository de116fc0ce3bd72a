//! A guest that does not run: created, stopped or failed.

use super::departing::{CANCELLED, Departing, Leaving};
use super::ordinary::Ordinary;
use super::warm_up::WarmUp;
use super::{Action, Life, Request, Vm};
use lazycopy_guest::Guest;
use lazycopy_migration::Side;
use lazycopy_protocol::control::{ServerReply, StartMigration, VmPhase};

/// A guest that does not run.
pub(super) struct Idle {
    /// Created, stopped or failed.
    pub(super) phase: VmPhase,
    /// The guest, if it has been opened already.
    pub(super) guest: Option<Guest>,
}

impl Vm {
    pub(super) async fn idle(&mut self, mut idle: Idle) -> Life {
        self.publish(idle.phase, idle.guest.as_ref());
        loop {
            let Some(request) = self.requests.recv().await else { return Life::Gone };
            match request.action {
                Action::Start => return self.start(idle, request).await,
                Action::Migrate(start) => {
                    return self.warm_up_and_depart(idle, start, request.reply).await;
                }
                Action::Delete { .. } => {
                    let life = self.forget();
                    request.answer(Ok(ServerReply::Done));
                    return life;
                }
                Action::Show { limit } => {
                    let shown = self.show(idle.phase, idle.guest.as_ref(), limit);
                    request.answer(shown);
                }
                Action::Stop if idle.phase == VmPhase::Created => {
                    idle = Idle { phase: VmPhase::Stopped, guest: None };
                    self.host.pool().release_frames(self.name());
                    self.publish(idle.phase, None);
                    request.answer(Ok(ServerReply::Done));
                }
                Action::Stop => request.answer(self.refusal("is stopped already", "start it")),
                Action::Suspend | Action::Resume => {
                    request.answer(self.refusal("does not run", "start it first"));
                }
                Action::Pace => request.answer_paced(),
                Action::Link(_) => {
                    request.answer(self.refusal("is not migrating", "nothing to do"));
                }
                Action::Cancel { migration } => {
                    let ended = self.host.has_ended(migration);
                    request.answer(ended);
                }
            }
        }
    }

    async fn start(&mut self, idle: Idle, request: Request) -> Life {
        if let Err(reason) = self.take_frames() {
            request.answer(Err(reason));
            return Life::Idle(idle);
        }
        match self.warm_up(idle.guest).await {
            WarmUp::Done(guest) => {
                request.answer(Ok(ServerReply::Done));
                Life::Ordinary(Ordinary::beginning(*guest, self.host.pace(), &self.definition))
            }
            WarmUp::Failed(reason) => {
                request.answer(Err(reason));
                self.stopped(VmPhase::Failed)
            }
            WarmUp::GivenUp(instead) => {
                request.answer(self.refusal("was stopped in its warm-up", "start it again"));
                self.give_up(instead)
            }
        }
    }

    /// A guest that did not run and was not moved after all; its warm-up begins anew when it is
    /// wanted.
    fn as_before(&self, phase: VmPhase) -> Life {
        match phase {
            VmPhase::Created => Life::Idle(Idle { phase, guest: None }),
            phase => self.stopped(phase),
        }
    }

    fn take_frames(&self) -> Result<(), String> {
        self.host.pool().take_frames(self.name(), self.definition.spec.frames.into())
    }

    /// A guest that does not run is moved at the very end of its warm-up.
    async fn warm_up_and_depart(
        &mut self,
        idle: Idle,
        start: Box<StartMigration>,
        reply: tokio::sync::oneshot::Sender<crate::host::Answer>,
    ) -> Life {
        let checked = self.check_departure(&start).and_then(|()| self.take_frames());
        if let Err(reason) = checked {
            let _ = reply.send(Err(reason));
            return Life::Idle(idle);
        }
        // From here on it can be taken back.
        self.host.sides().begin(start.migration, &start.vm, Side::Source);
        let warm = self.warm_up(idle.guest).await;
        if !matches!(warm, WarmUp::Done(_)) {
            self.host.sides().withdraw(start.migration);
        }
        match warm {
            WarmUp::Done(guest) => {
                let leaving = Leaving::Warm { guest: *guest, phase: idle.phase };
                Life::Departing(Box::new(Departing { leaving, start, reply }))
            }
            WarmUp::Failed(reason) => {
                let _ = reply.send(Err(reason));
                self.stopped(VmPhase::Failed)
            }
            WarmUp::GivenUp(instead) => {
                if let Action::Cancel { .. } = instead.action {
                    let _ = reply.send(Err(CANCELLED.to_owned()));
                    instead.answer(Ok(ServerReply::Done));
                    return self.as_before(idle.phase);
                }
                let refusal = self.refusal("was stopped in its warm-up", "migrate it again");
                let _ = reply.send(refusal);
                self.give_up(instead)
            }
        }
    }
}
