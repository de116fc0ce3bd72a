//! Connections to the page: a bounded number of them, none of which may take its time to ask.

use super::Web;
use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use lazycopy_transport::{Door, Lobby, Seat};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tower::ServiceExt;

/// Connections at once that have asked for something they may have: browsers open six each.
const MAX_CONNECTIONS: usize = 128;

/// Connections that have not, yet: where another one comes, the one that has waited longest leaves.
const MAX_STRANGERS: usize = 128;

/// How long a connection may take to ask, the first time and between two requests.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);

/// The largest head of a request, in bytes and in headers.
const MAX_HEAD_BYTES: usize = 32 << 10;
const MAX_HEADERS: usize = 64;

/// The pause after a failed accept (for instance without free file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection's way to say that it has asked for something that it may have.
#[derive(Clone, Debug)]
pub(super) struct Known(Arc<Notify>);

impl Known {
    /// It has.
    pub(super) fn now(&self) {
        self.0.notify_one();
    }
}

/// Serves the page until it is closed, and ends connections in good order then.
pub(super) async fn serve(listener: TcpListener, app: Router, web: &Web) {
    let (lobby, places) = (Lobby::new(MAX_STRANGERS), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = web.closing.cancelled() => break,
        };
        match accepted {
            Ok((socket, from)) => {
                let (seat, places) = (lobby.enter(), Arc::clone(&places));
                let watcher = graceful.watcher();
                let (app, door) = (app.clone(), web.door.clone());
                tokio::spawn(converse(socket, from, app, door, seat, places, watcher));
            }
            Err(error) => {
                tracing::warn!("a viewer could not be accepted: {error}");
                lobby.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

/// One connection.
async fn converse(
    socket: TcpStream,
    from: SocketAddr,
    app: Router,
    door: Door,
    seat: Seat,
    places: Arc<Semaphore>,
    watcher: Watcher,
) {
    let stream = match door.admit_browser(socket) {
        Ok(stream) => TokioIo::new(stream),
        Err(error) => return tracing::debug!("the viewer at {from}: {error}"),
    };
    let asked = Arc::new(Notify::new());
    let known = Known(Arc::clone(&asked));
    let service = hyper::service::service_fn(move |request: hyper::Request<_>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(known.clone());
        app.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    let mut connection = pin!(watcher.watch(http.serve_connection(stream, service)));
    let as_stranger = seat.wait_for(async {
        tokio::select! {
            biased;
            () = asked.notified() => true,
            _ = &mut connection => false,
        }
    });
    let Ok(true) = as_stranger.await else { return };
    let Ok(_place) = places.try_acquire() else { return };
    if let Err(error) = connection.await {
        tracing::debug!("the viewer at {from}: {error}");
    }
}
