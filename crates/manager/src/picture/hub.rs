//! What the manager tells the picture of its migrations while they run.

use super::metrics::Meters;
use super::snapshot::{MemoryView, MigrationPhase};
use super::track::{Counts, Track};
use super::view;
use crate::feed;
use crate::fleet::{Ended, Migration, Side};
use crate::grammar::EventLevel;
use lazycopy_migration::{Event, Scheme};
use lazycopy_protocol::control::{MigrationId, Transfer, VmPhase, VmState};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast;

/// Ended migrations that are still shown.
pub(crate) const SHOWN_ENDED: usize = 20;

/// Log entries that wait for the slowest viewer: a second of a small guest's. Older ones are left
/// out, and the viewer is told how many.
const LOG_ENTRIES: usize = 2_048;

/// Events of a migration that are kept in words: as many as the highest terminal shows.
const KEPT_LINES: usize = 100;

/// Log entries that are kept for who comes later: as much as is read back of a log on a page.
const RECENT_ENTRIES: usize = 400;

/// The most frames of a guest whose memory is still shown as it was when its migration had ended.
const REMEMBERED_FRAMES: u32 = 128;

/// Migrations as they are followed, and who listens.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Taken after the manager's state where both are, and never while anything is awaited.
    following: Mutex<Following>,
    log: broadcast::Sender<Arc<str>>,
    pub(crate) meters: Meters,
}

#[derive(Debug, Default)]
struct Following {
    migrations: BTreeMap<MigrationId, Followed>,
    ended: VecDeque<MigrationId>,
    entries: u64,
    recent: VecDeque<Arc<str>>,
}

/// A migration.
#[derive(Debug)]
pub(crate) struct Followed {
    vm: String,
    destination: String,
    scheme: Scheme,
    pub(crate) track: Track,
    /// What the meters have been told.
    metered: Counts,
    /// The destination's memory when it had ended.
    pub(crate) after: Option<MemoryView>,
    /// The last events in words.
    pub(crate) lines: VecDeque<String>,
}

/// An entry of the log.
#[derive(Serialize)]
struct LogEntry<'a> {
    seq: u64,
    migration: MigrationId,
    vm: &'a str,
    event: &'a Event,
}

impl Default for Hub {
    fn default() -> Self {
        let (log, _) = broadcast::channel(LOG_ENTRIES);
        Hub { following: Mutex::default(), log, meters: Meters::default() }
    }
}

impl Hub {
    fn following(&self) -> MutexGuard<'_, Following> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of the log so far, and the log from now on.
    pub(crate) fn log(&self) -> (Vec<Arc<str>>, broadcast::Receiver<Arc<str>>) {
        let following = self.following();
        (following.recent.iter().cloned().collect(), self.log.subscribe())
    }

    /// Looks at what is followed.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&BTreeMap<MigrationId, Followed>) -> T) -> T {
        look(&self.following().migrations)
    }

    /// A migration is asked for.
    pub(crate) fn began(&self, id: MigrationId, vm: &str, destination: &str, scheme: Scheme) {
        let followed = Followed {
            vm: vm.to_owned(),
            destination: destination.to_owned(),
            scheme,
            track: Track::new(unix_ms()),
            metered: Counts::default(),
            after: None,
            lines: VecDeque::new(),
        };
        self.following().migrations.insert(id, followed);
    }

    /// A migration that was asked for is refused: there was none.
    pub(crate) fn refused(&self, id: MigrationId) {
        self.following().migrations.remove(&id);
    }

    /// A side has seen something.
    pub(crate) fn saw(&self, id: MigrationId, event: &Event) {
        let mut following = self.following();
        let seq = following.entries + 1;
        let Some(followed) = following.migrations.get_mut(&id) else { return };
        followed.track.event(event);
        followed.tell(event);
        followed.meter(&self.meters);
        let entry = LogEntry { seq, migration: id, vm: &followed.vm, event };
        if let Ok(entry) = serde_json::to_string(&entry) {
            let entry: Arc<str> = entry.into();
            following.recent.push_back(Arc::clone(&entry));
            if following.recent.len() > RECENT_ENTRIES {
                following.recent.pop_front();
            }
            // In the order of their numbers, therefore under the lock; nobody may listen.
            let _ = self.log.send(entry);
        }
        following.entries = seq;
    }

    /// The destination has told how far it is.
    pub(crate) fn progressed(&self, id: MigrationId, transfer: &Transfer) {
        if let Some(followed) = self.following().migrations.get_mut(&id) {
            followed.track.transfer(transfer);
            followed.meter(&self.meters);
        }
    }

    /// A server has shown a guest while that migration moved it.
    pub(crate) fn shown(&self, id: MigrationId, state: &VmState) {
        if let Some(followed) = self.following().migrations.get_mut(&id) {
            followed.shown(state);
        }
    }

    /// A server has shown all pages of a guest at rest: what it has paged out since it came has
    /// not come by the migration any more.
    pub(crate) fn at_rest(&self, server: &str, state: &VmState) {
        let Some(snapshot) = &state.snapshot else { return };
        let vm = &state.summary.vm;
        if state.density.is_some() {
            return;
        }
        let mut following = self.following();
        let mut latest = following.migrations.values_mut().rev();
        if let Some(followed) = latest.find(|followed| followed.brought(vm, server)) {
            let resident: std::collections::BTreeSet<u32> =
                snapshot.resident.iter().map(|it| it.page.0).collect();
            followed.track.keep_causes(|page| resident.contains(&page));
        }
    }

    /// A migration is over.
    pub(crate) fn ended(&self, id: MigrationId, migration: &Migration, ended: &Ended) {
        let mut following = self.following();
        if let Some(followed) = following.migrations.get_mut(&id) {
            let metrics = ended.record.as_ref().map(|record| &record.metrics);
            followed.track.end(ended.verdict.outcome, metrics);
            followed.meter(&self.meters);
            let after = migration.reported(Side::Destination).map(|report| &report.after);
            let guest = after.and_then(|after| after.guest.as_ref());
            followed.after = guest
                .filter(|guest| guest.frames <= REMEMBERED_FRAMES)
                .map(|guest| view::cells(guest, |page| followed.track.cause(page)));
            self.meters.ended(followed.scheme, ended);
            following.ended.push_back(id);
        }
        while following.ended.len() > SHOWN_ENDED {
            if let Some(oldest) = following.ended.pop_front() {
                following.migrations.remove(&oldest);
            }
        }
    }
}

impl Followed {
    /// Adds what has been counted since the last time.
    fn meter(&mut self, meters: &Meters) {
        let counts = self.track.counts();
        meters.count(&self.metered, &counts);
        self.metered = counts;
    }

    /// Keeps the words of the last events.
    fn tell(&mut self, event: &Event) {
        if let Some(line) = feed::line(EventLevel::All, &self.vm, event) {
            if self.lines.len() == KEPT_LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(line);
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.track.phase() == MigrationPhase::Ended
    }

    /// Whether that is the guest, on the server that it went to.
    pub(crate) fn brought(&self, vm: &str, server: &str) -> bool {
        self.is_over() && self.vm == vm && self.destination == server
    }

    fn shown(&mut self, state: &VmState) {
        let Some(moving) = &state.moving else { return };
        self.track.reads(moving.at);
        // Who looks on later has not heard of the steps before, and sees them.
        match (moving.side, state.summary.phase) {
            (Side::Source, _) if moving.left.is_some() => self.track.reach(MigrationPhase::Down),
            (Side::Destination, VmPhase::Running) => self.track.reach(MigrationPhase::Measuring),
            (Side::Destination, _) if state.snapshot.is_some() && !self.track.has_suspended() => {
                self.track.reach(MigrationPhase::Pushing);
            }
            _ => {}
        }
        let registers = state.snapshot.as_ref().map(|snapshot| snapshot.registers);
        match (moving.side, registers, &moving.left) {
            (Side::Source, Some(registers), _) => {
                self.track.paged(moving.at, registers.accesses, registers.misses);
            }
            (Side::Source, None, Some(left)) if self.scheme.parts().forward_context => {
                self.track.leads(&left.registers);
            }
            (Side::Destination, Some(registers), _)
                if self.track.phase() >= MigrationPhase::Pushing =>
            {
                self.track.follows(moving.at, &registers);
            }
            _ => {}
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
