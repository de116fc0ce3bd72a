//! What one side of a migration logs.

use crate::host::Host;
use lazycopy_migration::{EventLog, EventRun};
use lazycopy_protocol::control::{MigrationId, Watch};
use std::sync::Arc;
use tracing::warn;

/// The most entries that one side keeps, some hundred megabytes: as many as a guest of 16 GiB has
/// pages, which take one each where they do not follow each other. Beyond it events are left out,
/// and the log says so.
const MAX_ENTRIES: usize = 1 << 22;

/// The events of one side, kept until it ends, and shown to the manager as far as it watches.
pub(crate) struct Log {
    host: Arc<Host>,
    migration: MigrationId,
    watch: Watch,
    events: EventLog,
}

impl Log {
    pub(crate) fn new(host: Arc<Host>, migration: MigrationId, watch: Watch) -> Self {
        Log { host, migration, watch, events: EventLog::default() }
    }

    pub(crate) fn record(&mut self, run: EventRun) {
        if self.watch.shows(&run.first.kind) {
            for event in run.clone().events() {
                self.host.show_event(self.migration, event);
            }
        }
        if self.events.entries() < MAX_ENTRIES {
            self.events.record(run);
            if self.events.entries() >= MAX_ENTRIES {
                warn!(migration = self.migration.0, "only {MAX_ENTRIES} entries are kept");
            }
        }
    }

    pub(crate) fn into_events(self) -> EventLog {
        self.events
    }
}
