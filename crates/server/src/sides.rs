//! The sides of migrations on this server, and the reports that wait for the manager: whatever it
//! asks, a side that has begun here runs or has a report until the manager has acknowledged that.

use lazycopy_migration::{Outcome, Side};
use lazycopy_protocol::control::{FromServer, MigrationId, Pause, SideHeld, Transfer};
use std::collections::{BTreeMap, VecDeque};
use tracing::warn;

/// Reports that wait for a manager that is away. Each is of one migration's end or one guest's
/// failure, and guests that have left do not come back without a manager.
const MAX_WAITING_REPORTS: usize = 16_384;

/// A side that runs.
#[derive(Debug)]
struct Running {
    vm: String,
    side: Side,
    /// How far it is, as last told.
    transfer: Option<Transfer>,
    /// Whether its link is broken.
    pause: Option<Pause>,
}

/// Sides that run, and reports in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    running: BTreeMap<MigrationId, Running>,
    reports: VecDeque<FromServer>,
    /// So many of the first reports have been sent over this connection and wait to be
    /// acknowledged.
    sent: usize,
}

impl Sides {
    /// A side of a guest's migration begins here.
    pub(crate) fn begin(&mut self, migration: MigrationId, vm: &str, side: Side) {
        let vm = vm.to_owned();
        self.running.insert(migration, Running { vm, side, transfer: None, pause: None });
    }

    /// A side has come so far.
    pub(crate) fn progressed(&mut self, migration: MigrationId, transfer: Transfer) {
        if let Some(running) = self.running.get_mut(&migration) {
            running.transfer = Some(transfer);
        }
    }

    /// The link of a side that runs broke, or is whole again.
    pub(crate) fn link_changed(&mut self, migration: MigrationId, pause: Option<Pause>) {
        if let Some(running) = self.running.get_mut(&migration) {
            running.pause = pause;
        }
    }

    /// A side did not begin after all.
    pub(crate) fn withdraw(&mut self, migration: MigrationId) {
        self.running.remove(&migration);
    }

    /// A guest's task is gone, and what it was doing with it.
    pub(crate) fn withdraw_guest(&mut self, vm: &str) {
        self.running.retain(|_, running| running.vm != vm);
    }

    /// The guest of a side that runs.
    pub(crate) fn guest_of(&self, migration: MigrationId) -> Option<&str> {
        self.running.get(&migration).map(|running| &*running.vm)
    }

    /// The guest that leaves by that migration.
    pub(crate) fn leaving_by(&self, migration: MigrationId) -> Option<&str> {
        let running = self.running.get(&migration)?;
        (running.side == Side::Source).then_some(&*running.vm)
    }

    /// How a side ended whose report waits.
    pub(crate) fn ended(&self, migration: MigrationId) -> Option<Outcome> {
        self.reports.iter().find_map(|report| match report {
            FromServer::MigrationEnded(ended) if ended.migration == migration => {
                Some(ended.verdict.outcome)
            }
            _ => None,
        })
    }

    /// All of them.
    pub(crate) fn held(&self) -> Vec<SideHeld> {
        let running = self.running.iter().map(|(migration, running)| SideHeld {
            migration: *migration,
            vm: running.vm.clone(),
            side: running.side,
            ended: false,
            transfer: running.transfer,
            pause: running.pause.clone(),
        });
        let ended = self.reports.iter().filter_map(|report| match report {
            FromServer::MigrationEnded(ended) => Some(SideHeld {
                migration: ended.migration,
                vm: ended.vm.clone(),
                side: ended.side,
                ended: true,
                transfer: None,
                pause: None,
            }),
            _ => None,
        });
        running.chain(ended).collect()
    }

    /// The manager must learn that. A side's end takes the place of what runs.
    pub(crate) fn report(&mut self, report: FromServer) {
        if let FromServer::MigrationEnded(ended) = &report {
            self.running.remove(&ended.migration);
        }
        if self.reports.len() == MAX_WAITING_REPORTS {
            warn!("{MAX_WAITING_REPORTS} reports wait for the manager: the oldest is given up");
            self.reports.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
        self.reports.push_back(report);
    }

    /// The first report that has not been sent over this connection.
    pub(crate) fn unsent(&self) -> Option<&FromServer> {
        self.reports.get(self.sent)
    }

    /// That report has been sent. The end of a side waits to be acknowledged; a guest's failure
    /// shows in every list.
    pub(crate) fn note_sent(&mut self) {
        match self.reports.get(self.sent) {
            Some(FromServer::MigrationEnded(_)) => self.sent += 1,
            Some(_) => drop(self.reports.remove(self.sent)),
            None => {}
        }
    }

    /// There is another connection: what was not acknowledged is sent again.
    pub(crate) fn send_again(&mut self) {
        self.sent = 0;
    }

    /// The end of a migration here is acknowledged.
    pub(crate) fn acknowledge(&mut self, migration: MigrationId) {
        let of_it = |report: &FromServer| matches!(report, FromServer::MigrationEnded(ended) if ended.migration == migration);
        while let Some(index) = self.reports.iter().position(of_it) {
            self.reports.remove(index);
            if index < self.sent {
                self.sent -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_migration::{SourceReport, Verdict};
    use lazycopy_protocol::control::{HostSnapshot, HostState, SideEnded, SideReport};
    use lazycopy_units::Duration;

    fn ended(number: u64) -> FromServer {
        let host =
            HostState { server: "a".to_owned(), frames: 1, frames_taken: 0, vms: Vec::new() };
        let snapshot = HostSnapshot { host, guest: None };
        FromServer::MigrationEnded(Box::new(SideEnded {
            migration: MigrationId(number),
            vm: format!("v{number}"),
            side: Side::Source,
            verdict: Verdict { outcome: Outcome::Cancelled, reason: String::new() },
            report: SideReport::Source(SourceReport::default()),
            slip: Duration::ZERO,
            out_of_order: 0,
            before: snapshot.clone(),
            after: snapshot,
            events: 0,
            plane: None,
        }))
    }

    fn failed(vm: &str) -> FromServer {
        FromServer::VmFailed { vm: vm.to_owned(), reason: String::new() }
    }

    #[test]
    fn a_side_runs_or_has_a_report_until_that_is_acknowledged() {
        let mut sides = Sides::default();
        let held = |sides: &Sides| -> Vec<(u64, bool)> {
            sides.held().iter().map(|side| (side.migration.0, side.ended)).collect()
        };
        sides.begin(MigrationId(1), "v1", Side::Source);
        assert_eq!(sides.leaving_by(MigrationId(1)), Some("v1"));
        assert_eq!(held(&sides), [(1, false)]);
        sides.report(ended(1));
        assert_eq!(held(&sides), [(1, true)]);
        assert_eq!(sides.ended(MigrationId(1)), Some(Outcome::Cancelled));
        sides.note_sent();
        assert_eq!(held(&sides), [(1, true)]);
        sides.acknowledge(MigrationId(1));
        assert_eq!(held(&sides), []);
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_over_the_next_connection() {
        let mut sides = Sides::default();
        for report in [ended(1), failed("w"), ended(2), ended(3)] {
            sides.report(report);
        }
        let send_all = |sides: &mut Sides| {
            let mut sent = 0;
            while sides.unsent().is_some() {
                sides.note_sent();
                sent += 1;
            }
            sent
        };
        assert_eq!(send_all(&mut sides), 4);
        sides.acknowledge(MigrationId(2));
        assert!(sides.unsent().is_none());
        sides.report(ended(4));
        assert_eq!(send_all(&mut sides), 1);
        sides.send_again();
        assert_eq!(send_all(&mut sides), 3, "all but the failure and what was acknowledged");
    }
}
