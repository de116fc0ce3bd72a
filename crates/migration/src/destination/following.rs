//! The following context: the guest at the destination, from its context's arrival on.

mod pages;

use super::arrivals::Arrivals;
use crate::event::{EventKind, FaultEnd};
use crate::message::{Context, Reply};
use crate::parameters::MigrationParameters;
use crate::report::DestinationReport;
use lazycopy_guest::{Guest, Memory, Stop, Timeout, TimeoutKind, Victim};
use lazycopy_units::{Duration, Instant, PageNumber};

/// Room for effects from the beginning: so many may come of a burst.
const EFFECTS: usize = 64;

/// What a step here gave, in the order of its happening.
#[derive(Debug)]
pub(super) enum Effect {
    /// So many events, the first of this kind and the others of the pages after it.
    Event(Instant, EventKind, u32),
    Reply(Instant, Reply),
}

/// A page that came for a fault.
#[derive(Clone, Copy, Debug)]
struct Answered {
    by: FaultEnd,
    stamp: u64,
    dirty: bool,
}

/// The guest is blocked.
#[derive(Clone, Copy, Debug)]
struct Fault {
    page: PageNumber,
    since: Instant,
    /// It began while the migration lasted.
    counted: bool,
    /// Its page is here; what is left is the fault's penalty.
    answered: Option<Answered>,
}

/// The guest with all that is known of its migration.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) guest: Guest,
    pub(super) arrivals: Arrivals,
    fault: Option<Fault>,
    /// The page that was asked for and neither came nor was said to be not resident.
    request: Option<PageNumber>,
    /// Index of the first access after the resume.
    first_access: u64,
    reported_accesses: u64,
    migrating: bool,
    effects: Vec<Effect>,
}

impl Following {
    pub(super) fn new(guest: Guest, arrivals: Arrivals) -> Self {
        Following {
            first_access: guest.registers().accesses,
            guest,
            arrivals,
            fault: None,
            request: None,
            reported_accesses: 0,
            migrating: true,
            effects: Vec::with_capacity(EFFECTS),
        }
    }

    /// Makes memory of the pages that came before the context: those that it calls current, in
    /// the order of its residency list. The rest of the list is missing.
    pub(super) fn take_staged(&mut self, mut staged: Memory, context: &Context) {
        for entry in context.residency.iter() {
            if entry.current && staged.contains(entry.page) {
                self.arrivals.arrived(entry.page, 1);
                self.arrivals.hold(entry.page, 1);
                staged.watch_touch(entry.page);
                staged.make_most_recent(entry.page);
            }
            self.arrivals.list(entry.page);
        }
        let left: Vec<PageNumber> =
            staged.iter().filter(|page| !self.arrivals.was_held(*page)).collect();
        left.into_iter().for_each(|page| staged.remove(page));
        staged.set_frames(self.guest.spec().frames);
        *self.guest.memory_mut() = staged;
    }

    pub(super) fn take_effects(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    fn log(&mut self, at: Instant, kind: EventKind) {
        self.effects.push(Effect::Event(at, kind, 1));
    }

    /// Whether nothing is missing any more and no request is open.
    pub(super) fn has_everything(&self) -> bool {
        self.arrivals.missing() == 0 && self.request.is_none()
    }

    pub(super) fn end_migration(&mut self) {
        self.migrating = false;
    }

    pub(super) fn has_counted_fault(&self) -> bool {
        self.fault.is_some_and(|fault| fault.counted)
    }

    #[inline]
    pub(super) fn poll_timeout(&self) -> Option<Timeout> {
        self.guest.poll_timeout()
    }

    fn accesses(&self) -> u64 {
        self.guest.registers().accesses - self.first_access
    }

    /// Lets the guest run until somebody must know. When the migration is over its paging concerns
    /// nobody else: loads that are due by `until` are part of the burst, until the measured
    /// accesses are completed.
    pub(super) fn run(
        &mut self,
        until: Instant,
        budget: u64,
        parameters: &MigrationParameters,
        report: &mut DestinationReport,
    ) {
        self.run_through(until, budget, parameters, report);
        for run in self.guest.take_full_progress() {
            self.log(run.first, EventKind::Progress { step: run.step, count: run.count });
        }
    }

    fn run_through(
        &mut self,
        until: Instant,
        budget: u64,
        parameters: &MigrationParameters,
        report: &mut DestinationReport,
    ) {
        let end = self.accesses().saturating_add(budget);
        loop {
            self.run_to_stop(until, end - self.accesses(), parameters, report);
            let pages_alone = !self.migrating && report.measured_at.is_none();
            match self.poll_timeout() {
                Some(Timeout { at, kind: TimeoutKind::Disk }) if pages_alone && at <= until => {
                    self.disk_due(at, parameters, report);
                }
                _ => return,
            }
            if report.measured_at.is_some() {
                return;
            }
        }
    }

    fn run_to_stop(
        &mut self,
        until: Instant,
        budget: u64,
        parameters: &MigrationParameters,
        report: &mut DestinationReport,
    ) {
        let before_report = match parameters.progress_step() {
            Some(step) if self.migrating => step - self.accesses() % step,
            _ => u64::MAX,
        };
        match self.guest.run(until, budget.min(before_report)) {
            Stop::Missed(page) => self.missed(page, parameters, report),
            Stop::Touched(page) => {
                if self.arrivals.touch(page) && self.migrating {
                    report.first_touches += 1;
                    report.first_touches_found += 1;
                }
                report.forward_touched += u64::from(self.arrivals.end_forward_wait(page));
                self.completed_accesses(parameters, report);
            }
            Stop::Limit | Stop::Budget | Stop::Idle => self.completed_accesses(parameters, report),
        }
    }

    fn missed(
        &mut self,
        page: PageNumber,
        parameters: &MigrationParameters,
        report: &mut DestinationReport,
    ) {
        let (_, since) = self.guest.blocked_on().expect("it has just missed");
        if self.migrating && parameters.whole_page_writes && self.guest.is_overwriting() {
            return self.overwrite(since, page, parameters, report);
        }
        self.fault = Some(Fault { page, since, counted: self.migrating, answered: None });
        if !self.migrating {
            self.guest.begin_load(since, parameters.disk_latency_source);
            self.log(since, EventKind::Missed { page });
            return;
        }
        report.first_touches += u64::from(self.arrivals.touch(page));
        let asked = self.arrivals.may_be_at_source(page);
        self.log(since, EventKind::FaultBegan { page, asked });
        if asked {
            self.request = Some(page);
            self.effects.push(Effect::Reply(since, Reply::Request { page }));
        } else {
            self.guest.begin_load(since, parameters.disk_latency_destination);
        }
    }

    /// The missing page is written as a whole: nothing of what it was is needed.
    fn overwrite(
        &mut self,
        now: Instant,
        page: PageNumber,
        parameters: &MigrationParameters,
        report: &mut DestinationReport,
    ) {
        report.first_touches += u64::from(self.arrivals.touch(page));
        self.log(now, EventKind::Overwritten { page });
        if self.arrivals.may_be_at_source(page) {
            self.effects.push(Effect::Reply(now, Reply::Overwritten { page }));
        }
        self.arrivals.overwritten(page);
        let victim = self.guest.complete_blocked(now, 0, true);
        self.evicted(victim);
        self.completed_accesses(parameters, report);
    }

    /// Reports what is to be reported after accesses were completed.
    fn completed_accesses(
        &mut self,
        parameters: &MigrationParameters,
        report: &mut DestinationReport,
    ) {
        let (at, accesses) = (self.guest.completed_at(), self.accesses());
        if accesses == parameters.measured_accesses && report.measured_at.is_none() {
            let registers = self.guest.registers();
            report.measured_at = Some(at);
            report.measured_registers = Some(registers);
            self.guest.set_target(u64::MAX);
            self.log(at, EventKind::Measured { registers });
        }
        if let Some(step) = parameters.progress_step()
            && self.migrating
            && accesses.is_multiple_of(step)
            && accesses > self.reported_accesses
        {
            self.reported_accesses = accesses;
            self.effects.push(Effect::Reply(at, Reply::Progress { accesses }));
        }
    }

    /// The source says that `page` is on the disk.
    pub(super) fn learn_not_resident(
        &mut self,
        now: Instant,
        page: PageNumber,
        parameters: &MigrationParameters,
    ) {
        self.log(now, EventKind::PageNotResident { page });
        self.arrivals.not_resident(page);
        if self.request == Some(page) {
            self.request = None;
            self.guest.begin_load(now, parameters.disk_latency_destination);
        }
    }

    fn evicted(&mut self, victim: Option<Victim>) {
        if let Some(victim) = victim {
            self.arrivals.end_forward_wait(victim.page);
        }
    }

    /// What the disk was asked for is here, or a fault's penalty is over.
    pub(super) fn disk_due(
        &mut self,
        now: Instant,
        parameters: &MigrationParameters,
        report: &mut DestinationReport,
    ) {
        let Some(fault) = self.fault else { return };
        match fault.answered {
            Some(answered) => self.end_fault(now, answered, parameters, report),
            None => {
                self.arrivals.hold(fault.page, 1);
                let stamp = self.guest.disk().stamp(fault.page);
                let answered = Answered { by: FaultEnd::Disk, stamp, dirty: false };
                self.answer_fault(now, answered, parameters, report);
            }
        }
    }

    /// The fault's page is here: it ends at once, or after its penalty.
    fn answer_fault(
        &mut self,
        now: Instant,
        answered: Answered,
        parameters: &MigrationParameters,
        report: &mut DestinationReport,
    ) {
        if self.has_counted_fault() && parameters.fault_penalty > Duration::ZERO {
            if let Some(fault) = &mut self.fault {
                fault.answered = Some(answered);
            }
            self.guest.begin_load(now, parameters.fault_penalty);
        } else {
            self.end_fault(now, answered, parameters, report);
        }
    }

    fn end_fault(
        &mut self,
        now: Instant,
        answered: Answered,
        parameters: &MigrationParameters,
        report: &mut DestinationReport,
    ) {
        let Some(fault) = self.fault.take() else { return };
        let victim = self.guest.complete_blocked(now, answered.stamp, answered.dirty);
        self.evicted(victim);
        if fault.counted {
            let stalled = now - fault.since;
            match answered.by {
                FaultEnd::Remote => report.faults_remote += 1,
                FaultEnd::Disk => report.faults_disk += 1,
            }
            report.stall_time += stalled;
            report.last_fault_at = Some(now);
            let ended = EventKind::FaultEnded { page: fault.page, by: answered.by, stalled };
            self.log(now, ended);
        }
        self.completed_accesses(parameters, report);
    }
}
