//! What a guest's task last told of itself, for those who must not wait for it.

use lazycopy_protocol::control::{MigrationId, VmSummary};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The last published state of a guest.
#[derive(Debug)]
pub(crate) struct Status {
    shown: Mutex<Shown>,
}

#[derive(Debug)]
struct Shown {
    summary: VmSummary,
    departs_by: Option<MigrationId>,
}

impl Status {
    pub(crate) fn new(summary: VmSummary) -> Self {
        Status { shown: Mutex::new(Shown { summary, departs_by: None }) }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest in a list.
    pub(crate) fn summary(&self) -> VmSummary {
        self.shown().summary.clone()
    }

    /// The migration by which the guest leaves, if it does.
    pub(crate) fn departs_by(&self) -> Option<MigrationId> {
        self.shown().departs_by
    }

    /// The guest's task tells its state.
    pub(crate) fn publish(&self, summary: VmSummary) {
        self.shown().summary = summary;
    }

    /// The guest's task tells whether, and by which migration, it leaves.
    pub(crate) fn set_departure(&self, migration: Option<MigrationId>) {
        self.shown().departs_by = migration;
    }
}
