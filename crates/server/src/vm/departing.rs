//! A guest that is about to leave: its server agrees with the destination while it goes on.

use super::definition::{LONGEST_SPAN, MOST_ACCESSES};
use super::idle::Idle;
use super::ordinary::Ordinary;
use super::{Action, Life, Vm};
use crate::clock::Wake;
use crate::handshake::{Agreement, offer_guest};
use crate::host::Answer;
use lazycopy_guest::Guest;
use lazycopy_link::LinkSpec;
use lazycopy_migration::{MigrationParameters, Side};
use lazycopy_protocol::control::{ServerReply, StartMigration, VmPhase};
use lazycopy_protocol::pace::Pace;
use lazycopy_protocol::peer::Offer;
use lazycopy_units::Duration as ModelDuration;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant as WallInstant;
use tracing::{info, warn};

/// Why a migration ended that a user took back while source and destination agreed.
pub(super) const CANCELLED: &str = "the migration was cancelled before it began";

/// A guest that is about to leave.
pub(super) struct Departing {
    pub(super) leaving: Leaving,
    pub(super) start: Box<StartMigration>,
    /// Where the answer to the command goes.
    pub(super) reply: oneshot::Sender<Answer>,
}

/// What the guest does meanwhile.
pub(super) enum Leaving {
    /// It runs.
    Running(Ordinary),
    /// It stands at the end of its warm-up.
    Warm {
        guest: Guest,
        /// What it was before, and is again if it cannot leave.
        phase: VmPhase,
    },
}

impl Leaving {
    fn guest(&self) -> &Guest {
        match self {
            Leaving::Running(ordinary) => &ordinary.guest,
            Leaving::Warm { guest, .. } => guest,
        }
    }

    fn catch_up(&mut self, wall: WallInstant) -> bool {
        match self {
            Leaving::Running(ordinary) => ordinary.catch_up(wall),
            Leaving::Warm { .. } => false,
        }
    }

    fn wake(&self, behind: bool) -> Wake {
        match self {
            Leaving::Running(ordinary) => ordinary.wake(behind),
            Leaving::Warm { .. } => Wake::Never,
        }
    }

    fn come_to(&mut self, pace: Pace) {
        if let Leaving::Running(ordinary) = self {
            ordinary.come_to(pace);
        }
    }

    /// The guest at the beginning of model time.
    async fn into_guest_at(self, zero: WallInstant) -> Guest {
        match self {
            Leaving::Running(ordinary) => ordinary.into_guest_at(zero).await,
            Leaving::Warm { guest, .. } => guest,
        }
    }
}

/// Refuses a link that cannot be.
pub(crate) fn check_link(link: &LinkSpec) -> Result<(), String> {
    match link {
        LinkSpec::Modelled(link) => check_span("link.latency", link.latency),
        LinkSpec::Unlimited(plane) => plane.validate().map_err(|error| error.to_string()),
    }
}

/// Refuses parameters with which time or a count could overflow.
pub(crate) fn check_parameters(parameters: &MigrationParameters) -> Result<(), String> {
    parameters.validate().map_err(|error| error.to_string())?;
    let spans = [
        ("disk.latency_source", parameters.disk_latency_source),
        ("disk.latency_destination", parameters.disk_latency_destination),
        ("migration.fault_penalty", parameters.fault_penalty),
        ("migration.first_write_cost", parameters.rounds.first_write_cost),
    ];
    spans.into_iter().try_for_each(|(key, span)| check_span(key, span))?;
    match parameters.measured_accesses {
        0..=MOST_ACCESSES => Ok(()),
        more => Err(format!("measured_accesses: {more} is above {MOST_ACCESSES}")),
    }
}

fn check_span(key: &str, span: ModelDuration) -> Result<(), String> {
    match span <= LONGEST_SPAN {
        true => Ok(()),
        false => Err(format!("{key}: {span} is above {LONGEST_SPAN}")),
    }
}

impl Vm {
    /// What can be said of a migration before its destination is asked.
    pub(super) fn check_departure(&self, start: &StartMigration) -> Result<(), String> {
        if start.destination == self.host.name() {
            return Err(format!(
                "guest \"{}\" is on server \"{}\" already: name another one",
                start.vm, start.destination
            ));
        }
        match (&start.link, self.definition.real_memory) {
            (LinkSpec::Modelled(_), true) => {
                return Err(format!(
                    "guest \"{}\" was created for an unlimited link and cannot be moved over a \
                     modelled one: leave link.bandwidth as it is",
                    start.vm
                ));
            }
            (LinkSpec::Unlimited(_), false) => {
                return Err(format!(
                    "guest \"{}\" was created for a modelled link and cannot be moved over an \
                     unlimited one: create it with link.bandwidth = \"unlimited\"",
                    start.vm
                ));
            }
            _ => {}
        }
        if start.link.is_unlimited() && self.host.pace().frozen {
            return Err(format!(
                "time stands still, and guest \"{}\" would not: over an unlimited link instants \
                 are the clock's; let time go on first",
                start.vm
            ));
        }
        check_link(&start.link)?;
        check_parameters(&start.parameters)
    }

    fn offer(&self, start: &StartMigration, guest: &Guest) -> Offer {
        Offer {
            migration: start.migration,
            source: self.host.name().to_owned(),
            vm: start.vm.clone(),
            spec: (*self.definition.spec).clone(),
            position: guest.registers().accesses,
            warmup_accesses: self.definition.warmup_accesses,
            time_scale: self.definition.time_scale,
            parameters: start.parameters.clone(),
            link: start.link.clone(),
            watch: start.watch,
            recover_within: start.recover_within,
        }
    }

    pub(super) async fn depart(&mut self, departing: Departing) -> Life {
        let Departing { mut leaving, start, reply } = departing;
        self.host.sides().begin(start.migration, &start.vm, Side::Source);
        let agreed = self.agree(&mut leaving, &start).await;
        match agreed {
            Ok(agreement) => {
                info!(vm = self.name(), to = start.destination, "a guest leaves");
                let _ = reply.send(Ok(ServerReply::Done));
                let guest = self.await_zero(leaving, &agreement).await;
                self.leave(guest, *start, agreement).await
            }
            Err(reason) => {
                warn!(vm = self.name(), to = start.destination, reason, "a guest cannot leave");
                self.host.sides().withdraw(start.migration);
                let life = match leaving {
                    Leaving::Running(ordinary) => Life::Ordinary(ordinary),
                    Leaving::Warm { guest, phase: VmPhase::Created } => {
                        Life::Idle(Idle { phase: VmPhase::Created, guest: Some(guest) })
                    }
                    Leaving::Warm { phase, .. } => self.stopped(phase),
                };
                let _ = reply.send(Err(reason));
                life
            }
        }
    }

    /// Agrees with the destination, while the guest goes on. A user may take it back.
    async fn agree(
        &mut self,
        leaving: &mut Leaving,
        start: &StartMigration,
    ) -> Result<Agreement, String> {
        let offer = self.offer(start, leaving.guest());
        let host = Arc::clone(&self.host);
        let (address, destination) = (&start.destination_address, &start.destination);
        let handshake = offer_guest(host.door(), &start.key, address, destination, offer, &host);
        let mut handshake = pin!(handshake);
        loop {
            leaving.come_to(host.pace());
            let behind = leaving.catch_up(WallInstant::now());
            self.publish(VmPhase::MigratingOut, Some(leaving.guest()));
            tokio::select! {
                biased;
                agreed = &mut handshake => return agreed,
                Some(request) = self.requests.recv() => match request.action {
                    Action::Cancel { migration } if migration == start.migration => {
                        request.answer(Ok(ServerReply::Done));
                        return Err(CANCELLED.to_owned());
                    }
                    Action::Show { limit } => {
                        let guest = Some(leaving.guest());
                        let shown = self.show(VmPhase::MigratingOut, guest, limit);
                        request.answer(shown);
                    }
                    Action::Pace => request.answer_paced(),
                    _ => request.answer(self.migrating_refusal()),
                },
                () = leaving.wake(behind).wait(&self.host.timer) => {}
            }
        }
    }

    /// Lets the guest go on until model time begins.
    async fn await_zero(&mut self, mut leaving: Leaving, agreement: &Agreement) -> Guest {
        let just_before = agreement.zero - Duration::from_nanos(1);
        loop {
            let behind = leaving.catch_up(just_before.min(WallInstant::now()));
            tokio::select! {
                biased;
                () = self.host.timer.sleep_until(agreement.zero) => break,
                () = leaving.wake(behind).wait(&self.host.timer) => {}
            }
        }
        leaving.into_guest_at(agreement.zero).await
    }

    /// An error: nothing else can be done with a guest that migrates.
    pub(super) fn migrating_refusal(&self) -> Answer {
        self.refusal("is migrating", "wait for the end, or cancel the migration")
    }
}
