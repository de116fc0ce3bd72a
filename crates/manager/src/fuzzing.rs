//! Ways in for the fuzzer: what this manager reads that is nobody else's business.

use crate::picture::Hub;
use crate::{accesses, state, web};
use lazycopy_migration::{Event, Scheme};
use lazycopy_protocol::control::{FromServer, MigrationId};
use lazycopy_results::RunRecord;
use std::collections::BTreeMap;

/// The most accesses that are made again: few, since they cost time.
const MOST_ACCESSES: u64 = 2_000;

/// The file of a manager's state: what could be read of it is read again from what is written.
///
/// # Panics
/// When it is not.
pub fn state(bytes: &[u8]) {
    state::read_again(bytes);
}

/// A request to the page: a method, a target and a line for each header, and a body after an empty
/// line. Whether it may ask, and for what.
pub fn web(bytes: &[u8]) -> bool {
    web::asks(bytes)
}

/// The accesses of a run's guest, as a report has them.
pub fn accesses(record: &RunRecord, events: &[Event]) -> Option<serde_json::Value> {
    let made = accesses::accesses(record, events, MOST_ACCESSES).ok()?;
    serde_json::to_value(made).ok()
}

/// What servers tell of migrations, as the picture of the fleet takes it in and shows it.
///
/// # Panics
/// When progress is no share, or shrinks.
pub fn picture(messages: impl Iterator<Item = FromServer>) {
    let hub = Hub::default();
    let mut progress: BTreeMap<MigrationId, f64> = BTreeMap::new();
    for message in messages {
        match message {
            FromServer::Event { migration, event } => {
                began(&hub, migration);
                hub.saw(migration, &event);
            }
            FromServer::Progress { migration, transfer } => {
                began(&hub, migration);
                hub.progressed(migration, &transfer);
            }
            _ => {}
        }
        hub.look(|followed| {
            for (id, followed) in followed {
                let track = &followed.track;
                let now = track.progress();
                let before = progress.insert(*id, now).unwrap_or_default();
                assert!((0.0..=1.0).contains(&now) && before <= now, "{before}, then {now}");
                let _ = (track.left_ns(), track.link(), track.misses(), track.phase());
            }
        });
    }
}

fn began(hub: &Hub, id: MigrationId) {
    if hub.look(|followed| !followed.contains_key(&id)) {
        hub.began(id, "guest", "destination", Scheme::LazyCopy);
    }
}
