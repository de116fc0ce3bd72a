//! How far a migration is, told to the manager while it runs.

use super::Arrivals;
use crate::host::Host;
use lazycopy_migration::{DestinationReport, LinkMessage};
use lazycopy_protocol::control::{MigrationId, Transfer};
use lazycopy_units::Instant as ModelInstant;
use std::time::Duration;
use tokio::time::Instant;

/// The least time from one message to the next: nobody reads faster, and so the messages grow with
/// migrations, not with pages.
const PERIOD: Duration = Duration::from_millis(100);

/// Tells the manager how far a migration is.
pub(crate) struct Herald {
    migration: MigrationId,
    /// Pages that have arrived.
    pages: u64,
    arrivals: Arrivals,
    expected: Option<u64>,
    bytes: u64,
    last: Instant,
    told: Transfer,
}

impl Herald {
    /// Of the migration of a guest with so many pages.
    pub(crate) fn new(migration: MigrationId, pages: u32) -> Self {
        let (last, told) = (Instant::now(), Transfer::default());
        let arrivals = Arrivals::new(pages);
        Herald { migration, pages: 0, arrivals, expected: None, bytes: 0, last, told }
    }

    /// Where pages have arrived.
    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// A message has arrived over the link.
    pub(crate) fn arrived(&mut self, message: &LinkMessage) {
        self.bytes += message.bytes();
        match message {
            LinkMessage::Page(page) => {
                self.pages += u64::from(page.count);
                self.arrivals.note(page);
            }
            LinkMessage::Context(context) => {
                let missing = context.residency.outdated().count();
                self.expected = Some(self.pages + missing as u64);
            }
        }
    }

    /// Tells it, if there is anything new and it is time to.
    pub(crate) fn tell(&mut self, at: ModelInstant, host: &Host, report: &DestinationReport) {
        if self.last.elapsed() < PERIOD {
            return;
        }
        let transfer = Transfer {
            arrived: report.arrived,
            expected: self.expected,
            bytes: self.bytes,
            faults: report.faults_remote + report.faults_disk,
            faults_disk: report.faults_disk,
            stall: report.stall_time,
            at,
        };
        if transfer != (Transfer { at, ..self.told }) {
            host.show_progress(self.migration, transfer);
            (self.told, self.last) = (transfer, Instant::now());
        }
    }
}
