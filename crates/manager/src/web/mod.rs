//! The live page: what the manager knows, shown to whoever opens it on this machine.
//!
//! ```text
//! the picture of the fleet (picture)
//!                │
//!                v
//! viewers <── guard <── serving: the page, /api/state, /api/live, /api/command, /api/runs, /metrics
//! ```
//!
//! Viewers cost the manager nothing that they do not read: each is given the newest snapshot when
//! it takes one, and a bounded part of the log. Without `--web` nothing here runs.

mod address;
mod assets;
mod command;
mod failure;
mod guard;
mod listener;
mod live;
mod runs;
mod serving;

pub use address::{AddressError, DEFAULT_ADDRESS, WebAddress};
pub(crate) use assets::page_file;

use crate::manager::Manager;
use crate::picture::{PERIOD, Picture, unix_ms};
use live::Seats;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// How long the end of the manager waits for what is being written to viewers.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The address cannot be listened on.
    #[error("--web={address}: {problem}; with port 0 the system chooses a free one")]
    Unusable {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        problem: std::io::Error,
    },
    /// It is there already.
    #[error("the page is served already")]
    Twice,
}

/// The page of a manager, and what it is made of.
#[derive(Debug)]
pub(crate) struct Web {
    address: SocketAddr,
    /// What it shows.
    pub(crate) picture: Arc<Picture>,
    /// The newest snapshot, as it is sent.
    newest: watch::Sender<Newest>,
    seats: Seats,
    commands: Semaphore,
    closing: CancellationToken,
    closed: CancellationToken,
}

/// A snapshot.
#[derive(Clone, Debug, Default)]
struct Newest {
    version: u64,
    body: Arc<str>,
    document: Arc<str>,
}

impl Web {
    /// Where the page is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The newest snapshot: a new one, if there can be one already.
    async fn picture(&self, manager: &Manager) -> Arc<str> {
        let body = self.picture.look(manager).await.body();
        self.newest.send_if_modified(|newest| newest.replace(body));
        Arc::clone(&self.newest.borrow().document)
    }

    /// Nothing is served any more, or not for long.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        let _ = tokio::time::timeout(LAST_WORDS, self.closed.cancelled()).await;
    }
}

impl Newest {
    /// Takes another body, if it says anything new.
    fn replace(&mut self, body: String) -> bool {
        if *self.body == *body {
            return false;
        }
        self.version += 1;
        let (version, now) = (self.version, unix_ms());
        // The body is an object: its members follow these two.
        let members = body.strip_prefix('{').unwrap_or(&body);
        self.document = format!("{{\"version\":{version},\"now_unix_ms\":{now},{members}").into();
        self.body = body.into();
        true
    }
}

impl Manager {
    /// Serves the page from now on, until the manager is told to end. Returns where it is.
    ///
    /// # Errors
    /// When the address cannot be listened on, or there is a page already.
    pub async fn serve_page(&self, address: WebAddress) -> Result<SocketAddr, WebError> {
        let address = address.0;
        let unusable = |problem| WebError::Unusable { address, problem };
        let listener = TcpListener::bind(address).await.map_err(unusable)?;
        let web = Arc::new(Web {
            address: listener.local_addr().map_err(unusable)?,
            picture: self.open_picture(),
            newest: watch::Sender::new(Newest::default()),
            seats: Seats::default(),
            commands: Semaphore::new(command::MAX_COMMANDS),
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
        });
        self.open_page(Arc::clone(&web)).map_err(|()| WebError::Twice)?;
        tokio::spawn(watch_while_looked_at(self.clone(), Arc::clone(&web)));
        tokio::spawn(serving::serve(listener, self.clone(), Arc::clone(&web)));
        tokio::spawn({
            let (manager, closing) = (self.clone(), web.closing.clone());
            async move {
                manager.told_to_quit().await;
                closing.cancel();
            }
        });
        Ok(web.address)
    }
}

/// Takes picture after picture while somebody looks.
async fn watch_while_looked_at(manager: Manager, web: Arc<Web>) {
    let watching = async {
        loop {
            web.seats.taken().await;
            web.picture(&manager).await;
            tokio::time::sleep(PERIOD).await;
        }
    };
    let _ = web.closing.run_until_cancelled(watching).await;
}

/// For the fuzzer: whether a request of these bytes may ask here, and says what is to be done.
pub(crate) fn asks(bytes: &[u8]) -> bool {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap_or(bytes.len());
    let (head, body) = (&bytes[..end], bytes.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n');
    let [method, target] = [lines.next(), lines.next()].map(Option::unwrap_or_default);
    let mut request = axum::http::Request::builder().method(method).uri(target);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        request = request.header(&line[..colon], line.get(colon + 1..).unwrap_or_default());
    }
    let Ok(request) = request.body(()) else { return false };
    let may = guard::check(FUZZED_PORT, request.method(), request.uri(), request.headers());
    may.is_ok() && (request.method() == "GET" || command::is_one(body))
}

/// The port of a page that is not there.
const FUZZED_PORT: u16 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_says_nothing_new_is_none() {
        let mut newest = Newest::default();
        assert!(newest.replace(r#"{"servers":[]}"#.to_owned()));
        assert!(!newest.replace(r#"{"servers":[]}"#.to_owned()));
        assert!(newest.replace(r#"{"servers":[1]}"#.to_owned()));
        let document: serde_json::Value = serde_json::from_str(&newest.document).unwrap();
        assert_eq!((&document["version"], &document["servers"][0]), (&2.into(), &1.into()));
    }
}
