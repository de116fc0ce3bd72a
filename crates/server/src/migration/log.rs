//! What one side of a migration logs.

use crate::host::Host;
use lazycopy_migration::Event;
use lazycopy_protocol::control::MigrationId;
use std::sync::Arc;
use tracing::warn;

/// The most events that one side keeps, some hundred megabytes: more than a guest of the largest
/// size has pages to log. Beyond it events are left out, and the log says so.
const MAX_EVENTS: usize = 1 << 22;

/// The events of one side, kept until it ends, and shown to the manager if it watches.
pub(crate) struct Log {
    host: Arc<Host>,
    migration: MigrationId,
    watched: bool,
    events: Vec<Event>,
}

impl Log {
    pub(crate) fn new(host: Arc<Host>, migration: MigrationId, watched: bool) -> Self {
        Log { host, migration, watched, events: Vec::new() }
    }

    pub(crate) fn record(&mut self, event: Event) {
        if self.watched {
            self.host.show_event(self.migration, &event);
        }
        if self.events.len() < MAX_EVENTS {
            self.events.push(event);
            if self.events.len() == MAX_EVENTS {
                warn!(migration = self.migration.0, "only {MAX_EVENTS} events are kept");
            }
        }
    }

    pub(crate) fn into_events(self) -> Vec<Event> {
        self.events
    }
}
