//! What viewers are sent while they look: the newest snapshot, and the log.

use super::Newest;
use super::failure::Failure;
use super::serving::Serving;
use crate::grammar::Name;
use crate::picture::Pick;
use axum::extract::{RawQuery, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Viewers at once; a further one is refused.
pub(super) const MAX_VIEWERS: usize = 64;

/// Log entries that are sent together, at most: an event of some hundred kilobytes.
const MAX_TOGETHER: usize = 1_024;

/// The least time from one part of the log to the next.
const LOG_PERIOD: Duration = Duration::from_millis(50);

/// Places for viewers.
#[derive(Debug)]
pub(super) struct Seats {
    taken: watch::Sender<usize>,
}

impl Default for Seats {
    fn default() -> Self {
        Seats { taken: watch::Sender::new(0) }
    }
}

impl Seats {
    /// Waits until there is a viewer.
    pub(super) async fn taken(&self) {
        // The sender lives as long as `self`.
        let _ = self.taken.subscribe().wait_for(|taken| *taken > 0).await;
    }

    /// A place, if one is free.
    fn take(&self) -> Option<Seat> {
        let has_room = self.taken.send_if_modified(|taken| {
            let has_room = *taken < MAX_VIEWERS;
            *taken += usize::from(has_room);
            has_room
        });
        has_room.then(|| Seat { taken: self.taken.clone() })
    }
}

/// A viewer's place, free again when it is dropped.
struct Seat {
    taken: watch::Sender<usize>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.send_modify(|taken| *taken -= 1);
    }
}

/// A viewer.
struct Viewer {
    snapshots: watch::Receiver<Newest>,
    /// The end of the log before it came, until it is sent.
    recent: Vec<Arc<str>>,
    log: broadcast::Receiver<Arc<str>>,
    /// No part of the log goes before.
    log_from: Instant,
    closing: CancellationToken,
    _seat: Seat,
    _pick: Option<Pick>,
}

pub(super) async fn live(
    State(serving): State<Serving>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let Serving { manager, web } = serving;
    let chosen = query.as_deref().map(chosen).transpose()?;
    let seat = web.seats.take().ok_or_else(|| {
        Failure::busy(format!("{MAX_VIEWERS} viewers look already: close another page"))
    })?;
    let pick = chosen.map(|vm| web.picture.pick(vm.as_str()));
    let (recent, log) = web.picture.hub.log();
    web.picture(&manager).await;
    let mut snapshots = web.newest.subscribe();
    snapshots.mark_changed();
    let closing = web.closing.clone();
    let log_from = Instant::now();
    let viewer = Viewer { snapshots, recent, log, log_from, closing, _seat: seat, _pick: pick };
    let events = stream::unfold(viewer, async |mut viewer| {
        let event = viewer.next().await?;
        Some((Ok::<_, Infallible>(event), viewer))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

impl Viewer {
    /// What it is sent next; `None` when the manager ends.
    async fn next(&mut self) -> Option<Event> {
        let Viewer { snapshots, recent, log, log_from, closing, .. } = self;
        let entry = async {
            tokio::time::sleep_until(*log_from).await;
            log.recv().await
        };
        let first = tokio::select! {
            biased;
            () = closing.cancelled() => return None,
            changed = snapshots.changed() => {
                changed.ok()?;
                let document = Arc::clone(&snapshots.borrow_and_update().document);
                return Some(Event::default().event("state").data(&*document));
            }
            () = std::future::ready(()), if !recent.is_empty() => {
                let entries = std::mem::take(recent).join(",");
                return Some(Event::default().event("recent").data(format!("[{entries}]")));
            }
            first = entry => first,
        };
        let first = match first {
            Ok(entry) => entry,
            Err(RecvError::Lagged(missed)) => left_out(missed),
            Err(RecvError::Closed) => return None,
        };
        *log_from = Instant::now() + LOG_PERIOD;
        Some(Event::default().event("log").data(together(first, log)))
    }
}

/// The guest that a viewer wants to see, of `show=NAME`.
fn chosen(query: &str) -> Result<Name, Failure> {
    let name = query.strip_prefix("show=").ok_or_else(|| {
        Failure::malformed(format!("\"{query}\" is no question here: ask for show=GUEST"))
    })?;
    name.parse().map_err(|problem: String| Failure::malformed(format!("show: {problem}")))
}

/// An array of the entries that are there.
fn together(first: Arc<str>, log: &mut broadcast::Receiver<Arc<str>>) -> String {
    let mut entries = format!("[{first}");
    for _ in 1..MAX_TOGETHER {
        let next = match log.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Lagged(missed)) => left_out(missed),
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        };
        entries.push(',');
        entries.push_str(&next);
    }
    entries.push(']');
    entries
}

/// In place of entries that a viewer was too slow for.
fn left_out(missed: u64) -> Arc<str> {
    format!("{{\"missed\":{missed}}}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_that_lags_is_told_how_many_entries_it_missed() {
        let (sender, mut log) = broadcast::channel::<Arc<str>>(4);
        for number in 0..10 {
            sender.send(number.to_string().into()).unwrap();
        }
        assert_eq!(together("\"first\"".into(), &mut log), r#"["first",{"missed":6},6,7,8,9]"#);
    }

    #[tokio::test]
    async fn there_are_so_many_places_and_they_are_free_again() {
        let seats = Seats::default();
        let mut taken: Vec<Seat> = (0..MAX_VIEWERS).map(|_| seats.take().unwrap()).collect();
        assert!(seats.take().is_none());
        seats.taken().await;
        taken.pop();
        assert!(seats.take().is_some());
    }
}
