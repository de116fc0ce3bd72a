//! The picture of the fleet: what the live page and the terminal's view show.
//!
//! ```text
//! servers ── manager ── hub (follows migrations: progress, causes, log) ──┐
//!    ^                                                                    ├─> view ─> snapshot
//!    └── watcher (asks, while somebody looks) ────────────────────────────┘
//! ```
//!
//! It costs servers nothing while nobody looks. Where neither a page nor a prompt wants it there
//! is none.

mod estimate;
pub(crate) mod hub;
pub(crate) mod metrics;
mod picks;
mod series;
pub(crate) mod snapshot;
mod track;
mod view;
mod watcher;

pub(crate) use estimate::Estimate;
pub(crate) use hub::{Hub, unix_ms};
pub(crate) use picks::Pick;
pub(crate) use watcher::PERIOD;

use crate::manager::Manager;
use picks::Picks;
use snapshot::Snapshot;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;
use watcher::Watcher;

/// The most pages of a guest whose migration logs page by page for the picture: its events are
/// thousands, not millions.
pub(crate) const WATCHED_PAGES: u32 = 4_096;

/// What is followed, and the newest picture of it.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    pub(crate) hub: Hub,
    picks: Picks,
    /// What is asked for the picture. Its lock is held while servers answer, the state's never.
    watcher: Mutex<Watcher>,
    newest: RwLock<Arc<Snapshot>>,
}

impl Picture {
    /// Has that guest's memory shown, beside those that are shown anyway, until the choice is
    /// dropped.
    pub(crate) fn pick(&self, vm: &str) -> Pick {
        self.picks.pick(vm)
    }

    /// The newest picture: a new one, if there can be one already.
    pub(crate) async fn look(&self, manager: &Manager) -> Arc<Snapshot> {
        let mut watcher = self.watcher.lock().await;
        if let Some(snapshot) = watcher.look(manager, &self.hub, &self.picks.newest()).await {
            *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        }
        Arc::clone(&self.newest.read().unwrap_or_else(PoisonError::into_inner))
    }
}
