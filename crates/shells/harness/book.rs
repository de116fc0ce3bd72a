//! What is known of a run, by what the servers say; and the checkers that are asked as it goes.

use super::case::ShellCase;
use super::checkers::Violation;
use super::fault::{Moment, ShellFault};
use lazycopy_guest::GuestSnapshot;
use lazycopy_migration::{
    DestinationReport, Event, EventKind, Metrics, Outcome, Side, SourceReport,
};
use lazycopy_protocol::control::{SideEnded, SideReport, VmPhase, VmState};
use lazycopy_simulation::faults::{Phase, ReferenceGuest};
use lazycopy_transport::DEAD_LINK;
use lazycopy_units::PageNumber;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long it takes at most until a link that is whole again is found to be so: the longest pause
/// between two tries, and the longest try.
const FOUND_AGAIN: Duration = Duration::from_secs(5 + 2 * 10);

/// What a server showed of the guest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// When it was asked.
    pub(crate) asked_at: Duration,
    /// The guest; `None`: it is not there.
    pub(crate) state: Option<VmState>,
}

/// What is known of a run.
pub(crate) struct Book {
    reference: ReferenceGuest,
    /// How far the migration is, and since when it is known.
    phase: Option<(Moment, Duration)>,
    /// When a broken link was noticed first, and when one was mended.
    paused: Option<Duration>,
    recovered: Option<Duration>,
    /// A user's cancel was accepted.
    pub(crate) cancelled: bool,
    pub(crate) handed_over: bool,
    /// Something happened at the destination.
    pub(crate) has_begun_there: bool,
    /// Since when it is known that the guest ran at the destination.
    resumed: Option<Duration>,
    /// Since when it is known that the source has it back after the hand-over.
    returned: Option<Duration>,
    pub(crate) reclaimed: bool,
    pub(crate) ended: BTreeMap<Side, SideEnded>,
    pub(crate) shown: BTreeMap<Side, Shown>,
    /// When a side's process died.
    pub(crate) died: BTreeMap<Side, Duration>,
    /// What came of the command to migrate.
    pub(crate) begun: Option<Result<(), String>>,
    /// Faults that took place: when, in which moment, what.
    pub(crate) hits: Vec<(Duration, Moment, ShellFault)>,
    /// How many accesses the guest had completed when everything was over.
    pub(crate) accesses_at_end: Option<u64>,
    pub(crate) story: Vec<String>,
    pub(crate) violations: Vec<Violation>,
}

impl Book {
    pub(crate) fn new(case: &ShellCase) -> Self {
        Book {
            reference: ReferenceGuest::new(&Arc::new(case.moved.guest.clone())),
            phase: None,
            paused: None,
            recovered: None,
            cancelled: false,
            handed_over: false,
            has_begun_there: false,
            resumed: None,
            returned: None,
            reclaimed: false,
            ended: BTreeMap::new(),
            shown: BTreeMap::new(),
            died: BTreeMap::new(),
            begun: None,
            hits: Vec::new(),
            accesses_at_end: None,
            story: Vec::new(),
            violations: Vec::new(),
        }
    }

    pub(crate) fn tell(&mut self, now: Duration, what: impl AsRef<str>) {
        self.story.push(format!("{:>9.3} s  {}", now.as_secs_f64(), what.as_ref()));
    }

    pub(crate) fn blame(&mut self, now: Duration, checker: &'static str, problem: String) {
        self.tell(now, format!("{checker}: {problem}"));
        if self.violations.iter().all(|seen| seen.checker != checker) {
            self.violations.push(Violation { checker, problem, at: now });
        }
    }

    pub(crate) fn is_dead(&self, side: Side) -> bool {
        self.died.contains_key(&side)
    }

    /// A side has logged something.
    pub(crate) fn note(&mut self, now: Duration, event: &Event) {
        use EventKind as Kind;
        self.tell(now, format!("{:?} {:?}", event.side, event.kind));
        let phase = match (&event.kind, event.side) {
            (Kind::RoundBegan { .. }, _) => Some(Phase::Rounds),
            (Kind::Suspended { .. }, _) => Some(Phase::Suspended),
            (Kind::Handover { .. }, _) => Some(Phase::ContextInFlight),
            (Kind::ContextArrived, _) => Some(Phase::Pushing),
            (Kind::Resumed { .. }, _) => Some(Phase::Resumed),
            (Kind::Completed, _) => Some(Phase::Measuring),
            _ => None,
        };
        if let Some(moment) = phase.map(Moment::In) {
            self.is_in(now, moment);
        }
        self.has_begun_there |= event.side == Side::Destination;
        match &event.kind {
            Kind::Paused { .. } => self.paused = self.paused.or(Some(now)),
            Kind::Recovered => self.recovered = self.recovered.or(Some(now)),
            Kind::Handover { .. } => self.handed_over = true,
            Kind::Resumed { .. } => self.runs_at_destination(now),
            Kind::Returned { .. } if self.handed_over => self.returns(now),
            _ => {}
        }
    }

    /// The migration has come so far.
    pub(crate) fn is_in(&mut self, now: Duration, moment: Moment) {
        if self.phase.is_none_or(|(known, _)| known < moment) {
            self.phase = Some((moment, now));
        }
    }

    /// Since when it is that moment, if it is.
    pub(crate) fn began(&self, moment: Moment) -> Option<Duration> {
        match moment {
            Moment::Paused => self.paused,
            Moment::Recovered => self.recovered,
            moment => self.phase.filter(|(known, _)| *known == moment).map(|(_, since)| since),
        }
    }

    fn runs_at_destination(&mut self, now: Duration) {
        self.resumed = self.resumed.or(Some(now));
        if let Some(since) = self.returned {
            let problem = format!("the source has had the guest back since {since:?}");
            self.blame(now, "single-owner", problem);
        }
    }

    fn returns(&mut self, now: Duration) {
        self.returned = self.returned.or(Some(now));
        if let Some(since) = self.resumed {
            let problem = format!("the guest has run at the destination since {since:?}");
            self.blame(now, "not-taken-back", problem);
        }
    }

    /// A server has shown the guest, or that it has none.
    pub(crate) fn show(&mut self, now: Duration, side: Side, shown: Shown) {
        if let Some(state) = &shown.state {
            let runs = state.summary.phase == VmPhase::Running;
            let is_here = runs || state.snapshot.is_some();
            match side {
                Side::Source if is_here && self.resumed.is_some_and(|it| it < shown.asked_at) => {
                    let problem = "it is at the source after it ran at the destination";
                    self.blame(now, "single-owner", problem.to_owned());
                }
                Side::Source if runs && self.handed_over && self.returned.is_none() => {
                    self.returns(now);
                }
                Side::Destination if runs => self.runs_at_destination(now),
                _ => {}
            }
            if let Some(snapshot) = &state.snapshot {
                self.compare(now, snapshot);
            }
        }
        self.shown.insert(side, shown);
    }

    fn compare(&mut self, now: Duration, snapshot: &GuestSnapshot) {
        let found = self.reference.check(&snapshot.registers).map(|reference| {
            let differs = |page: PageNumber, stamp| reference.stamp(page) != stamp;
            snapshot.resident.iter().find(|it| differs(it.page, it.stamp)).map(|it| it.page)
        });
        let accesses = snapshot.registers.accesses;
        match found {
            Err(problem) => self.blame(now, "same-as-reference", problem),
            Ok(Some(page)) => {
                let problem = format!("page {page} has another stamp after {accesses} accesses");
                self.blame(now, "same-as-reference", problem);
            }
            Ok(None) => {}
        }
    }

    /// A side's part is over.
    pub(crate) fn end(&mut self, now: Duration, ended: SideEnded) {
        let (side, verdict) = (ended.side, &ended.verdict);
        self.tell(now, format!("{side:?} has ended: {} ({})", verdict.outcome, verdict.reason));
        if verdict.reason.is_empty() {
            self.blame(now, "named-outcome", "the outcome has no reason".to_owned());
        }
        match &ended.report {
            SideReport::Source(report) if report.handover_at.is_some() => {
                self.handed_over = true;
                if report.returned.is_some() {
                    self.returns(now);
                }
            }
            SideReport::Destination(report) => {
                if report.resumed_at.is_some() {
                    self.runs_at_destination(now);
                }
                if let Some(registers) = report.ended_registers {
                    let digest = self.reference.check(&registers).map(|it| it.pages_digest());
                    if digest != report.ended_pages_digest.ok_or_else(String::new) {
                        let problem = "it ended with other pages".to_owned();
                        self.blame(now, "same-as-reference", problem);
                    }
                }
            }
            SideReport::Source(_) => {}
        }
        self.ended.insert(side, ended);
    }

    fn source_report(&self) -> Option<&SourceReport> {
        match &self.ended.get(&Side::Source)?.report {
            SideReport::Source(report) => Some(report),
            SideReport::Destination(_) => None,
        }
    }

    fn destination_report(&self) -> Option<&DestinationReport> {
        match &self.ended.get(&Side::Destination)?.report {
            SideReport::Destination(report) => Some(report),
            SideReport::Source(_) => None,
        }
    }

    /// How it ended, by who has the guest, or had it.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let of = |side| self.ended.get(&side).map(|ended| ended.verdict.outcome);
        match (of(Side::Source), of(Side::Destination)) {
            (_, Some(outcome @ (Outcome::Completed | Outcome::Lost))) => Some(outcome),
            (outcome @ Some(_), _) | (None, outcome) => outcome,
        }
    }

    /// How long the two servers may have been out of each other's reach in one go, at most.
    fn apart(&self) -> Duration {
        let spans = self.hits.iter().filter_map(|(at, _, fault)| match fault {
            ShellFault::Partition(lasts) | ShellFault::OneWay(_, lasts) => {
                Some((*at, *at + (*lasts).max(DEAD_LINK)))
            }
            ShellFault::Hold(lasts) => Some((*at, *at + *lasts)),
            ShellFault::Delay { takes, lasts } => Some((*at, *at + *lasts + 8 * *takes)),
            ShellFault::Cut | ShellFault::CutAt(_) => Some((*at, *at)),
            _ => None,
        });
        let hull = spans.reduce(|all, span| (all.0.min(span.0), all.1.max(span.1)));
        hull.map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// Whether the guest runs there, by what was shown last.
    pub(crate) fn runs_at(&self, side: Side) -> bool {
        let shown = self.shown.get(&side).and_then(|shown| shown.state.as_ref());
        !self.is_dead(side) && shown.is_some_and(|it| it.summary.phase == VmPhase::Running)
    }

    /// How many accesses the guest has completed, wherever it runs.
    pub(crate) fn accesses(&self) -> Option<u64> {
        let side = [Side::Source, Side::Destination].into_iter().find(|it| self.runs_at(*it))?;
        let state = self.shown.get(&side)?.state.as_ref()?;
        Some(state.snapshot.as_ref()?.registers.accesses)
    }

    /// Everything is over: what came of it.
    pub(crate) fn finish(&mut self, case: &ShellCase, now: Duration) {
        let runs = [Side::Source, Side::Destination].map(|side| self.runs_at(side));
        let dead = [Side::Source, Side::Destination].map(|side| self.is_dead(side));
        let lost = self.outcome() == Some(Outcome::Lost);
        if runs == [true, true] {
            self.blame(now, "single-owner", "it runs at both servers in the end".to_owned());
        }
        if !self.handed_over && !dead[0] && !runs[0] {
            let problem = "it was not handed over, and does not run at the source".to_owned();
            self.blame(now, "stays-before-hand-over", problem);
        }
        self.check_outcome(now, runs, dead);
        if !dead[0] {
            self.check_cancel(now);
        }
        self.check_loss(case, now, dead, lost);
        if runs != [false, false] && self.accesses() <= self.accesses_at_end {
            self.blame(now, "lives-on", "the guest stands still in the end".to_owned());
        }
        if self.returned.is_some() && !self.reclaimed && !dead[1] {
            let thrown_away = self.destination_report().is_some_and(|it| it.thrown_away.is_some());
            let never_came = self.destination_report().is_none_or(|it| it.resumed_at.is_none());
            if !thrown_away && !never_came {
                self.blame(now, "not-taken-back", "nobody had said so".to_owned());
            }
        }
        self.check_freeing(now);
        self.add_up(now);
    }

    fn check_outcome(&mut self, now: Duration, runs: [bool; 2], dead: [bool; 2]) {
        let told: Vec<_> =
            self.ended.iter().map(|(side, it)| (*side, it.verdict.clone())).collect();
        for (side, verdict) in told {
            let is_true = match (side, verdict.outcome) {
                (_, Outcome::Completed) => !runs[0] && (runs[1] || dead[1]),
                (Side::Source, Outcome::Lost) => !runs[0],
                (Side::Destination, Outcome::Lost) => !runs[1],
                (Side::Source, _) => runs[0] || dead[0],
                (Side::Destination, _) => !runs[1],
            };
            if !is_true {
                let problem = format!(
                    "the {side:?} tells \"{}\" ({}); the guest runs at the source: {}, at the \
                     destination: {}",
                    verdict.outcome, verdict.reason, runs[0], runs[1]
                );
                self.blame(now, "named-outcome", problem);
            }
        }
    }

    /// A cancel that was accepted leaves the guest at the source.
    fn check_cancel(&mut self, now: Duration) {
        let began = matches!(self.begun, Some(Ok(())));
        let outcome = self.ended.get(&Side::Source).map(|it| it.verdict.outcome);
        if self.cancelled && began && outcome != Some(Outcome::Cancelled) {
            let problem = format!("a cancel was accepted, and the source tells {outcome:?}");
            self.blame(now, "named-outcome", problem);
        }
    }

    fn check_loss(&mut self, case: &ShellCase, now: Duration, dead: [bool; 2], lost: bool) {
        if dead != [false, false] {
            return;
        }
        let apart = self.apart();
        let was_apart = apart + FOUND_AGAIN >= case.recover_within;
        let told = self.ended.values().map(|it| it.verdict.reason.clone()).collect::<Vec<_>>();
        if lost && !was_apart {
            let problem = format!("both servers live, and were apart for {apart:?}: {told:?}");
            self.blame(now, "lost-only-if-gone", problem);
        }
        let completed = self.outcome() == Some(Outcome::Completed);
        // A destination that did not hear the source begin gives up sooner.
        let began = self.has_begun_there;
        if self.handed_over && began && !completed && !self.reclaimed && !was_apart {
            let problem = format!("it was not completed; apart for {apart:?}: {told:?}");
            self.blame(now, "costs-time-only", problem);
        }
        let runs = self.runs_at(Side::Source) || self.runs_at(Side::Destination);
        if !lost && !runs {
            self.blame(now, "lives-on", "the guest runs nowhere, and nobody lost it".to_owned());
        }
    }

    /// The source frees nothing that is still missing, by the model's clock as both read it.
    fn check_freeing(&mut self, now: Duration) {
        let (Some(left), Some(arrived)) = (self.source_report(), self.destination_report()) else {
            return;
        };
        let Some(released) = left.released_at else { return };
        let slips = self.ended.values().map(|ended| ended.slip.as_nanos()).sum();
        let latest = released.saturating_add(lazycopy_units::Duration::from_nanos(slips));
        let completed = arrived.completed_at;
        if completed.is_none_or(|at| at > latest) {
            let problem = format!("freed at {released}, and complete at {completed:?}");
            self.blame(now, "freed-when-complete", problem);
        }
    }

    fn add_up(&mut self, now: Duration) {
        let (Some(left), Some(arrived)) = (self.source_report(), self.destination_report()) else {
            return;
        };
        let verdict = self.ended[&Side::Destination].verdict.clone();
        let broke = self.hits.iter().any(|(_, _, fault)| fault.breaks_links());
        let problem = if broke {
            // What was on its way on a link that broke when all was done nobody counted.
            let known = left.lost_in_flight.total() + arrived.arrived.total();
            let sent = left.sent.total();
            (known > sent).then(|| format!("{sent} pages were sent, {known} arrived or were lost"))
        } else {
            let scheme = lazycopy_migration::Scheme::PostCopy;
            Metrics::from_reports(scheme, left, arrived, verdict).check(left, arrived).err()
        };
        if let Some(problem) = problem {
            self.blame(now, "parts-add-up", problem);
        }
    }
}

impl ShellFault {
    fn breaks_links(&self) -> bool {
        !matches!(
            self,
            ShellFault::HoldManager(_)
                | ShellFault::CutManager
                | ShellFault::Cancel
                | ShellFault::Recover
                | ShellFault::Reclaim
        )
    }
}
