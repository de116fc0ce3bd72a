//! A guest on the move, seen from its task: leaving for another server, or coming from one.

use super::ordinary::Ordinary;
use super::warm_up::open_at;
use super::{Action, Here, Life, Request, Vm};
use crate::connection::Connection;
use crate::expected::Underway;
use crate::handshake::{Agreement, await_beginning};
use crate::migration::{
    DestinationSide, Driver, Log, Machine, OwnThread, Side as _, SourceSide, Timeline, WayBack,
};
use crate::plane::{Writer, set_up};
use crate::room::{Room, frees_meanwhile};
use lazycopy_guest::{Guest, GuestSnapshot};
use lazycopy_link::LinkSpec;
use lazycopy_migration::{RecoveryAnswer, Side, SourceInput, Verdict};
use lazycopy_protocol::control::{
    HostSnapshot, MigrationId, PlaneCounts, SideEnded, SideReport, StartMigration, VmPhase,
};
use lazycopy_protocol::peer::{Offer, uncertainty_in_model_time};
use lazycopy_units::Duration;
use std::io;
use std::sync::Arc;
use tracing::{info, warn};

/// What is known of a side when it is over, besides what it counted.
struct Books {
    migration: MigrationId,
    side: Side,
    verdict: Verdict,
    report: SideReport,
    slip: Duration,
    out_of_order: u64,
    before: HostSnapshot,
    plane: Option<PlaneCounts>,
}

impl Books {
    fn new<M: Machine>(
        driver: &Driver<M>,
        migration: MigrationId,
        verdict: Verdict,
        report: SideReport,
        uncertainty: Duration,
        before: HostSnapshot,
    ) -> Self {
        let side = match report {
            SideReport::Source(_) => Side::Source,
            SideReport::Destination(_) => Side::Destination,
        };
        let slip = driver.slip().as_nanos().saturating_add(uncertainty.as_nanos());
        let slip = Duration::from_nanos(slip);
        let out_of_order = driver.out_of_order();
        let plane = None;
        Books { migration, side, verdict, report, slip, out_of_order, before, plane }
    }
}

impl Vm {
    /// The guest leaves by a migration whose time begins now.
    pub(super) async fn leave(
        &mut self,
        guest: Guest,
        start: StartMigration,
        agreement: Agreement,
    ) -> Life {
        let scale = self.definition.time_scale;
        let mut timeline = Timeline::of_source(&agreement, &start.link, start.migration, scale);
        let log = Log::new(Arc::clone(&self.host), start.migration, start.watch);
        let mut way_back = WayBack::of_source(&self.host, &start, self.definition.spec.pages);
        let opened = OwnThread::of(&start.link).and_then(|own_thread| {
            let bulk = agreement.bulk.into_iter().map(Writer::new);
            let bulk: io::Result<Vec<Writer>> = own_thread.enter(|| bulk.collect());
            Ok((own_thread, bulk?))
        });
        let (own_thread, bulk, problem) = match opened {
            Ok((own_thread, bulk)) => (Some(own_thread), bulk, None),
            Err(error) => (None, Vec::new(), Some(error.to_string())),
        };
        let side = SourceSide::new(guest, start.parameters, &start.link, bulk, log);
        let mut driver = Driver::new(side);
        driver.begin(timeline.clock(), SourceInput::Requested);
        let before = self.host.snapshot(driver.machine.guest());
        let mut connection = Some(agreement.connection);
        match (own_thread, problem) {
            (Some(own_thread), _) => {
                let (connection, timeline) = (&mut connection, &mut timeline);
                own_thread.drive(self, &mut driver, connection, timeline, &mut way_back).await;
            }
            (None, problem) => {
                let reason = problem.unwrap_or_default();
                driver.handle_now(SourceInput::DestinationLost { reason });
            }
        }
        if let Some(mut connection) = connection {
            match connection.send(driver.machine.farewell()) {
                Ok(()) => self.host.see_off(connection),
                Err(error) => warn!(%error, "the destination cannot be told of the end"),
            }
        }
        let uncertainty = uncertainty_in_model_time(timeline.uncertainty_ns(), scale);
        let report = SideReport::Source(driver.machine.report());
        let verdict = driver.machine.verdict();
        let mut books = Books::new(&driver, start.migration, verdict, report, uncertainty, before);
        books.plane = driver.machine.plane_counts();
        let (guest, log) = driver.machine.into_parts();
        let after = self.host.snapshot(guest.as_ref()).guest;
        self.end(books, guest, after, log, &timeline)
    }

    /// The guest comes from another server; its frames are taken.
    pub(super) async fn arrive(
        &mut self,
        connection: Connection,
        offer: Offer,
        underway: Underway,
    ) -> Life {
        let room = Room::here().filter(|_| self.definition.real_memory);
        let opened = match room.map_or(Ok(()), |room| self.fits(room, &connection, &offer)) {
            Ok(()) => open_at(&self.definition, offer.position).await,
            Err(reason) => Err(reason),
        };
        let (standing_by, memory) = match opened {
            Ok(opened) => opened,
            Err(reason) => {
                warn!(vm = self.name(), from = offer.source, reason, "refused a guest");
                let life = self.forget();
                connection.refuse(reason).await;
                return life;
            }
        };
        let log = Log::new(Arc::clone(&self.host), offer.migration, offer.watch);
        let mut side = DestinationSide::new(standing_by, memory, &offer, log);
        let before = self.host.snapshot(None);
        self.host.sides().begin(offer.migration, &offer.vm, Side::Destination);
        let begun = self.begin_to_arrive(connection, &offer, &mut side).await;
        let (own_thread, agreement) = match begun {
            Ok(begun) => begun,
            Err(reason) => {
                warn!(vm = self.name(), from = offer.source, reason, "a guest did not come");
                self.host.sides().withdraw(offer.migration);
                // The source may have begun all the same, and handed the guest over to nobody.
                underway.ends_by(RecoveryAnswer::ThrownAway { reason });
                return self.forget();
            }
        };
        let mut driver = Driver::new(side);
        let (scale, migration) = (offer.time_scale, offer.migration);
        let mut timeline = Timeline::of_destination(&agreement, &offer.link, migration, scale);
        let mut connection = Some(agreement.connection);
        let mut way_back = WayBack::of_destination(&self.host, &offer);
        let (open, time) = (&mut connection, &mut timeline);
        own_thread.drive(self, &mut driver, open, time, &mut way_back).await;
        // A source that has not heard of the end may still ask.
        underway.ends_by(driver.machine.answer_recovery());
        if let Some(connection) = connection {
            self.host.see_off(connection);
        }
        let uncertainty = uncertainty_in_model_time(timeline.uncertainty_ns(), scale);
        let report = SideReport::Destination(driver.machine.report());
        let verdict = driver.machine.verdict();
        let books = Books::new(&driver, offer.migration, verdict, report, uncertainty, before);
        let (guest, at_end, log) = driver.machine.into_parts();
        self.end(books, guest, at_end, log, &timeline)
    }

    /// Whether this machine has the memory for the guest that is offered.
    fn fits(&self, room: Room, connection: &Connection, offer: &Offer) -> Result<(), String> {
        let spec = &self.definition.spec;
        let frees = connection.is_within_machine() && frees_meanwhile(spec, &offer.parameters);
        room.check(self.name(), spec, frees)
    }

    /// Agrees with the source, and takes in the bulk connections.
    async fn begin_to_arrive(
        &self,
        connection: Connection,
        offer: &Offer,
        side: &mut DestinationSide,
    ) -> Result<(OwnThread, Agreement), String> {
        let connections = match &offer.link {
            LinkSpec::Modelled(_) => 0,
            LinkSpec::Unlimited(plane) => usize::from(plane.connections),
        };
        let (expected, _awaited) =
            self.host.await_bulk(&offer.source, offer.migration, connections);
        let mut agreement = await_beginning(connection, expected, connections).await?;
        let own_thread = OwnThread::of(&offer.link).map_err(|error| error.to_string())?;
        if let LinkSpec::Unlimited(plane) = &offer.link {
            let bulk = std::mem::take(&mut agreement.bulk);
            bulk.iter().try_for_each(|bulk| set_up(bulk.stream.options(), plane))?;
            own_thread.enter(|| side.receive_over(plane, bulk)).map_err(|it| it.to_string())?;
        }
        Ok((own_thread, agreement))
    }

    /// Closes the books of a side. A guest that is here goes on by the clock of its migration.
    fn end(
        &mut self,
        books: Books,
        guest: Option<Guest>,
        after: Option<GuestSnapshot>,
        log: Log,
        timeline: &Timeline,
    ) -> Life {
        let (vm, verdict) = (self.name().to_owned(), &books.verdict);
        info!(vm, outcome = %verdict.outcome, reason = verdict.reason, "a migration ended here");
        match &guest {
            Some(guest) => self.publish(VmPhase::Running, Some(guest)),
            None => self.host.pool().remove(&vm),
        }
        let events = log.into_events();
        let ended = SideEnded {
            migration: books.migration,
            vm,
            side: books.side,
            verdict: books.verdict,
            report: books.report,
            slip: books.slip,
            out_of_order: books.out_of_order,
            before: books.before,
            after: HostSnapshot { host: self.host.state(), guest: after },
            events: events.events(),
            plane: books.plane,
        };
        self.host.side_ended(ended, events.into_runs());
        match guest {
            Some(guest) => {
                let (clock, pace) = (timeline.clock(), timeline.pace());
                Life::Ordinary(Ordinary::going_on(guest, clock, pace, &self.definition))
            }
            None => Life::Gone,
        }
    }

    /// Answers what can be asked of a guest on the move.
    pub(crate) fn answer_while_migrating(&self, phase: VmPhase, here: &Here<'_>, request: Request) {
        let answer = match request.action {
            Action::Show { limit } => self.show_here(phase, here, limit),
            _ => self.migrating_refusal(),
        };
        request.answer(answer);
    }
}
