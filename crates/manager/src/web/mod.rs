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

mod access;
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
use access::Access;
use lazycopy_transport::{Door, DoorError};
use live::Seats;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
    /// Beyond this machine a token is needed.
    #[error("--web: {0}")]
    Door(#[from] DoorError),
    /// Whoever listens would read the token.
    #[error(
        "--web={address}: beyond this machine the page is served over TLS, for which --tls DIR is \
         needed; --insecure-web serves it without, where nobody listens who must not"
    )]
    Insecure {
        /// The address.
        address: SocketAddr,
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
    /// How it is spoken to, and who has shown the token.
    door: Door,
    access: Access,
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
    /// Where the page is, for a browser.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.access.is_secure { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

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
    /// Serves the page from now on, until the manager is told to end. Returns where it is. Beyond
    /// this machine it is `insecure` without TLS.
    ///
    /// # Errors
    /// When the address cannot be listened on, others reach it and there is no token, or no TLS
    /// where that was not asked for, or there is a page already.
    pub async fn serve_page(
        &self,
        address: WebAddress,
        insecure: bool,
    ) -> Result<SocketAddr, WebError> {
        let address = address.0;
        let door = self.settings().door.clone();
        door.check(address)?;
        let is_secure = door.speaks_tls();
        if !(address.ip().is_loopback() || is_secure || insecure) {
            return Err(WebError::Insecure { address });
        }
        let unusable = |problem| WebError::Unusable { address, problem };
        let listener = TcpListener::bind(address).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let access = Access::new(door.token().cloned(), is_secure, address.port());
        let web = Arc::new(Web {
            address,
            picture: self.open_picture(),
            newest: watch::Sender::new(Newest::default()),
            seats: Seats::default(),
            commands: Semaphore::new(command::MAX_COMMANDS),
            door,
            access,
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
    let door = guard::FrontDoor { address: FUZZED_ADDRESS, scheme: "http" };
    let may = guard::check(door, request.method(), request.uri(), request.headers());
    may.is_ok() && (request.method() == "GET" || command::is_one(body))
}

/// Where a page is not.
const FUZZED_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7);

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
