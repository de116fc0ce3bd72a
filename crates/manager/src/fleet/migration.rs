//! One migration, as the manager follows it.

use super::verdict::{self, Whereabouts, compose};
use crate::state::KeptScenario;
use lazycopy_link::LinkSpec;
use lazycopy_migration::{MigrationParameters, Outcome, Verdict};
use lazycopy_protocol::control::{MigrationKey, Pause, SideEnded, Transfer, Watch};
use lazycopy_results::RunRecord;
use lazycopy_scenario::Scenario;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

pub use lazycopy_migration::Side;

/// A migration to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The guest.
    pub vm: String,
    /// The server that it goes to.
    pub destination: String,
    /// How it is moved.
    pub parameters: MigrationParameters,
    /// The link, the migration's own, or none.
    pub link: LinkSpec,
    /// The scenario that both are from.
    pub scenario: Arc<Scenario>,
    /// Which of its events the servers send while it runs.
    pub watch: Watch,
    /// What its two servers prove to each other.
    pub key: MigrationKey,
    /// When it was asked for, in milliseconds since 1970.
    pub began_unix_ms: u64,
}

/// What is known of one side.
#[derive(Clone, Debug, PartialEq)]
pub enum Account {
    /// It has yet to report.
    Awaited,
    /// It has reported.
    Reported(Box<SideEnded>),
    /// It died, or did not report in time.
    Silent,
}

/// How far a migration is.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// It runs, or its result is being written.
    Running {
        /// What the source says.
        source: Account,
        /// What the destination says.
        destination: Account,
    },
    /// It is over.
    Ended(Ended),
}

/// A migration that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// How it ended.
    pub verdict: Verdict,
    /// Where the guest is.
    pub whereabouts: Whereabouts,
    /// Its result.
    pub record: Option<Box<RunRecord>>,
    /// Its run directory, if it could be written.
    pub directory: Option<PathBuf>,
    /// What is wrong with the result, in words, if anything is.
    pub wrong: Option<String>,
}

impl Ended {
    /// Whether it ended as it should, or as a user has wished.
    pub fn is_well(&self) -> bool {
        matches!(self.verdict.outcome, Outcome::Completed | Outcome::Cancelled)
            && self.wrong.is_none()
    }
}

/// A migration.
#[derive(Clone, Debug, PartialEq)]
pub struct Migration {
    /// The guest.
    pub vm: String,
    /// The server that it leaves.
    pub source: String,
    /// The server that it goes to.
    pub destination: String,
    /// How it is moved.
    pub parameters: MigrationParameters,
    /// The link, or none.
    pub link: LinkSpec,
    /// The scenario that both are from.
    pub scenario: Arc<Scenario>,
    /// The scenario as it outlives the manager.
    pub(crate) kept: Option<Arc<KeptScenario>>,
    /// When it was asked for, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// How far it is.
    pub progress: Progress,
    /// What has been transferred, as last told while it runs.
    pub transfer: Transfer,
    /// Sides whose link is broken after the hand-over, as they have told.
    pub pauses: BTreeMap<Side, Pause>,
    /// Sides whose processes are certainly dead.
    pub(super) dead: BTreeSet<Side>,
    /// Sides whose servers were started anew meanwhile: what they had of the guest is gone.
    pub started_anew: BTreeSet<Side>,
    /// Whether somebody who waited for it has been told how it ended.
    pub told: bool,
    /// Whether an earlier life of the manager has asked for it, and its source has not said since
    /// that it has begun.
    pub in_doubt: bool,
    /// Whether a user has asked to take it back.
    pub cancelling: bool,
}

impl Progress {
    /// Nobody has reported.
    pub(super) fn awaited() -> Progress {
        Progress::Running { source: Account::Awaited, destination: Account::Awaited }
    }
}

impl Migration {
    pub(super) fn new(request: Request, source: String) -> Self {
        let Request { vm, destination, parameters, link, scenario, began_unix_ms, .. } = request;
        Migration {
            vm,
            source,
            destination,
            parameters,
            link,
            kept: super::kept::kept(&scenario),
            scenario,
            began_unix_ms,
            progress: Progress::awaited(),
            transfer: Transfer::default(),
            pauses: BTreeMap::new(),
            dead: BTreeSet::new(),
            started_anew: BTreeSet::new(),
            told: false,
            in_doubt: false,
            cancelling: false,
        }
    }

    /// Whether it has ended and its result is written.
    pub fn is_over(&self) -> bool {
        matches!(self.progress, Progress::Ended(_))
    }

    /// Whether nothing more is awaited from its sides.
    pub fn is_decided(&self) -> bool {
        let awaited = |account: &Account| *account == Account::Awaited;
        match &self.progress {
            Progress::Running { source, destination } => !awaited(source) && !awaited(destination),
            Progress::Ended(_) => true,
        }
    }

    /// Whether the source has nothing more to send: it has said so, or will say nothing any more.
    /// What is left of the run, the measured accesses above all, needs the link no longer.
    pub fn has_left_the_link(&self) -> bool {
        !self.awaits(Side::Source)
    }

    /// Whether the guest is the destination's for good: the source has given it away, and nothing
    /// of it is missing there. Its run may still be measured.
    pub fn has_arrived(&self) -> bool {
        let report = self.reported(Side::Source);
        report.is_some_and(|report| report.verdict.outcome == Outcome::Completed)
    }

    /// How it ended, once it is over.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.progress {
            Progress::Ended(ended) => Some(ended),
            Progress::Running { .. } => None,
        }
    }

    /// What a side has reported, while the result is not written yet.
    pub fn reported(&self, side: Side) -> Option<&SideEnded> {
        let Progress::Running { source, destination } = &self.progress else { return None };
        match if side == Side::Source { source } else { destination } {
            Account::Reported(report) => Some(report),
            _ => None,
        }
    }

    /// Whether a side has yet to report.
    pub fn awaits(&self, side: Side) -> bool {
        let Progress::Running { source, destination } = &self.progress else { return false };
        *(if side == Side::Source { source } else { destination }) == Account::Awaited
    }

    /// The verdict from what both sides say, and where the guest is; a side that has yet to report
    /// counts as silent.
    pub fn verdict(&self) -> (Verdict, Whereabouts) {
        let account = |side, server| match self.reported(side) {
            Some(report) => verdict::Account::Says(&report.verdict),
            None => verdict::Account::Silent { server },
        };
        match &self.progress {
            Progress::Ended(ended) => (ended.verdict.clone(), ended.whereabouts),
            Progress::Running { .. } => compose(
                account(Side::Source, &self.source),
                account(Side::Destination, &self.destination),
            ),
        }
    }

    /// A side reports; its first word counts.
    pub(super) fn report(&mut self, ended: SideEnded) -> bool {
        let Progress::Running { source, destination } = &mut self.progress else { return false };
        let account = if ended.side == Side::Source { source } else { destination };
        let first = *account == Account::Awaited;
        if first {
            *account = Account::Reported(Box::new(ended));
        }
        first
    }

    /// A server is gone; returns whether a side of this migration fell silent with it.
    pub(super) fn silence(&mut self, server: &str) -> bool {
        let (is_source, is_destination) = (self.source == server, self.destination == server);
        let Progress::Running { source, destination } = &mut self.progress else { return false };
        let mut fell_silent = false;
        for (concerned, account) in [(is_source, source), (is_destination, destination)] {
            if concerned && *account == Account::Awaited {
                *account = Account::Silent;
                fell_silent = true;
            }
        }
        fell_silent
    }

    /// A server of that name has come that has nothing of what an earlier one had.
    pub(super) fn server_started_anew(&mut self, server: &str) {
        for (side, name) in [(Side::Source, &self.source), (Side::Destination, &self.destination)] {
            if name == server {
                self.started_anew.insert(side);
            }
        }
    }

    pub(super) fn silence_all(&mut self) -> bool {
        let (source, destination) = (self.source.clone(), self.destination.clone());
        self.silence(&source) | self.silence(&destination)
    }

    pub(super) fn end(&mut self, ended: Ended) {
        self.progress = Progress::Ended(ended);
    }
}
