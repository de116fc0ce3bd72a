//! What a guest's task last told of itself, for those who must not wait for it.

use lazycopy_protocol::control::VmSummary;
use std::sync::{Mutex, PoisonError};

/// The last published state of a guest.
#[derive(Debug)]
pub(crate) struct Status {
    shown: Mutex<VmSummary>,
}

impl Status {
    pub(crate) fn new(summary: VmSummary) -> Self {
        Status { shown: Mutex::new(summary) }
    }

    /// The guest in a list.
    pub(crate) fn summary(&self) -> VmSummary {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The guest's task tells its state.
    pub(crate) fn publish(&self, summary: VmSummary) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = summary;
    }
}
