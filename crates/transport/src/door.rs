//! A process's door: what it asks of whoever comes in, and how it goes out itself.

use crate::handshake::{
    HANDSHAKE_DEADLINE, answer, bid_farewell, failed, knock, refused, write_refusal,
};
use crate::knock::Purpose;
use crate::socket::{Listener, Network, Socket};
use crate::stream::Stream;
use crate::tls::{FIRST_TLS_BYTE, Role, Tls, TlsError, check_role};
use crate::token::{Token, TokenError};
use clap::Args;
use lazycopy_protocol::control::{MigrationKey, PROTOCOL_VERSION};
use socket2::TcpKeepalive;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// A link through which nothing comes back for so long is broken: longer than a side waits until the
/// other one reads (ten seconds), and than a switch or a route takes to come back. A process that is
/// stopped is no dead link: its system still acknowledges.
pub const DEAD_LINK: Duration = Duration::from_secs(15);

/// While nothing is said the other side's system is asked so often whether it is there.
const PROBE_PERIOD: Duration = Duration::from_secs(5);

/// So many of these may stay unanswered.
const PROBES: u32 = 2;

/// What a process is told of its doors.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct DoorArguments {
    /// The cluster token, which every other process has to prove; needed beyond this machine
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "LAZYCOPY_TOKEN_FILE",
        hide_env_values = true
    )]
    pub token_file: Option<PathBuf>,
    /// Speak TLS with the certificates that `manager certs` has made in this directory
    #[arg(long, global = true, value_name = "DIR", env = "LAZYCOPY_TLS", hide_env_values = true)]
    pub tls: Option<PathBuf>,
}

impl DoorArguments {
    /// As arguments, for another process.
    pub fn words(&self) -> Vec<String> {
        let named = [("--token-file", &self.token_file), ("--tls", &self.tls)];
        let given = named.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?)));
        given.flat_map(|(name, path)| [name.to_owned(), path.display().to_string()]).collect()
    }
}

/// Why nobody goes through a door.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A token is needed beyond this machine.
    #[error(
        "{address} is beyond this machine, where a cluster token is needed: make one with manager \
         token --out FILE, and give every process a copy by --token-file FILE"
    )]
    NeedsToken {
        /// The address.
        address: String,
    },
    /// The token cannot be had.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The certificates cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Somebody was refused: this side, or by it.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// The other side went away instead of proving itself.
    #[error("it left without proving itself: perhaps it has another cluster token")]
    Unproven,
    /// The other side said nothing.
    #[error(
        "it closed the connection without a word: perhaps it is of an older version (here: \
         protocol {PROTOCOL_VERSION})"
    )]
    Closed,
    /// The other side was too slow.
    #[error("it did not complete the handshake within {} s", HANDSHAKE_DEADLINE.as_secs())]
    Late,
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Who came in, and what for.
#[derive(Debug)]
pub struct Admitted {
    /// The connection.
    pub stream: Stream,
    /// What it is for.
    pub purpose: Purpose,
}

/// A process's door.
#[derive(Clone, Debug, Default)]
pub struct Door {
    token: Option<Token>,
    tls: Option<Tls>,
    network: Network,
}

impl Door {
    /// The door of a process of that role.
    ///
    /// # Errors
    /// When the token or the certificates cannot be had.
    pub fn open(arguments: &DoorArguments, role: Role) -> Result<Door, DoorError> {
        let token = arguments.token_file.as_deref().map(Token::read).transpose()?;
        let tls = arguments.tls.as_deref().map(|directory| Tls::read(directory, role));
        Ok(Door { token, tls: tls.transpose()?, network: Network::System })
    }

    /// The door of a host of a simulation, whose processes share a token.
    #[cfg(feature = "simulated")]
    pub fn simulated(token: Token) -> Door {
        Door { token: Some(token), tls: None, network: Network::Simulated }
    }

    /// Where its sockets come from.
    pub fn network(&self) -> Network {
        self.network
    }

    /// The cluster token.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// Whether it speaks TLS.
    pub fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether it may listen there: on this machine always, elsewhere with a token.
    ///
    /// # Errors
    /// When a token is needed.
    pub fn check(&self, address: SocketAddr) -> Result<(), DoorError> {
        match address.ip().to_canonical().is_loopback() || self.token.is_some() {
            true => Ok(()),
            false => Err(DoorError::NeedsToken { address: address.to_string() }),
        }
    }

    /// Listens on `address`.
    ///
    /// # Errors
    /// What the system says. Whether it may listen there, [`Door::check`] tells.
    pub async fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        self.network.listen(address).await
    }

    /// Opens a socket to `address`: `host:port`. What is to be set before anything is said is up to
    /// the caller; [`Door::go_through`] is next.
    ///
    /// # Errors
    /// When nobody listens there, or a token is needed.
    pub async fn reach(&self, address: &str) -> Result<Socket, DoorError> {
        let mut last = None;
        for place in lookup_host(address).await? {
            self.check(place).map_err(|_| DoorError::NeedsToken { address: address.to_owned() })?;
            match self.network.connect(place).await {
                Ok(socket) => return Ok(socket),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("it is no host's name")).into())
    }

    /// Knocks at the door of `role` over a fresh socket to `address`, and proves this side.
    ///
    /// # Errors
    /// When the other side refuses, has not proven itself, or takes too long.
    pub async fn go_through(
        &self,
        socket: impl Into<Socket>,
        address: &str,
        role: Role,
        purpose: Purpose,
        key: Option<&MigrationKey>,
    ) -> Result<Stream, DoorError> {
        let socket = socket.into();
        let handshake = async {
            set_up(&socket)?;
            let mut stream = match &self.tls {
                None => Stream::plain(socket),
                Some(tls) => {
                    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                    let connection = tls.connect(host).map_err(refused)?;
                    let mut stream = Stream::tls(socket, connection);
                    stream.shake_hands().await.map_err(failed)?;
                    check_certificate(&stream, role)?;
                    stream
                }
            };
            let session = stream.session()?;
            knock(&mut stream, purpose, self.token.as_ref(), key, &session).await?;
            Ok(stream)
        };
        timeout(HANDSHAKE_DEADLINE, handshake).await.map_err(|_| DoorError::Late)?
    }

    /// Lets somebody in who has proven to belong here. `key_of` tells the key that its purpose
    /// wants, or refuses it.
    ///
    /// # Errors
    /// When it does not belong here, or takes too long.
    pub async fn admit(
        &self,
        socket: impl Into<Socket>,
        key_of: impl FnOnce(&Purpose) -> Result<Option<MigrationKey>, String>,
    ) -> Result<Admitted, DoorError> {
        let socket = socket.into();
        let handshake = async {
            set_up(&socket)?;
            let mut stream = self.begin(socket).await?;
            let session = stream.session()?;
            let token = self.token.as_ref();
            let certified = stream.connection().map(|connection| {
                Role::ALL.into_iter().find(|role| check_role(connection, *role).is_ok())
            });
            let key_of = |purpose: &Purpose| {
                check_purpose(certified, purpose)?;
                key_of(purpose)
            };
            let purpose = answer(&mut stream, token, &session, key_of).await?;
            Ok(Admitted { stream, purpose })
        };
        timeout(HANDSHAKE_DEADLINE, handshake).await.map_err(|_| DoorError::Late)?
    }

    /// The connection of a browser, which has a token at most; TLS begins while it is read.
    ///
    /// # Errors
    /// When TLS cannot begin.
    pub fn admit_browser(&self, socket: impl Into<Socket>) -> Result<Stream, DoorError> {
        let socket = socket.into();
        socket.set_nodelay()?;
        Ok(match &self.tls {
            None => Stream::plain(socket),
            Some(tls) => Stream::tls(socket, tls.accept_browser().map_err(refused)?),
        })
    }

    /// Finds out whether the other side speaks as this one does.
    async fn begin(&self, socket: Socket) -> Result<Stream, DoorError> {
        let mut first = [0];
        if socket.peek(&mut first).await? == 0 {
            return Err(DoorError::Closed);
        }
        let reason = match (&self.tls, first[0] == FIRST_TLS_BYTE) {
            (None, false) => return Ok(Stream::plain(socket)),
            (Some(tls), true) => {
                let mut stream = Stream::tls(socket, tls.accept().map_err(refused)?);
                if let Err(error) = stream.shake_hands().await {
                    bid_farewell(&mut stream.into_socket()).await;
                    return Err(failed(error));
                }
                return Ok(stream);
            }
            (None, true) => "TLS is not spoken here: start this side with --tls, too",
            (Some(_), false) => "TLS is spoken here: give --tls DIR",
        };
        write_refusal(&mut Stream::plain(socket), reason).await;
        Err(refused(reason.to_owned()))
    }
}

/// What every socket between processes has: nothing waits to be sent, and a link through which
/// nothing comes back is a broken connection after [`DEAD_LINK`], also while nothing is said.
fn set_up(socket: &Socket) -> io::Result<()> {
    socket.set_nodelay()?;
    #[cfg(feature = "simulated")]
    if matches!(socket, Socket::Simulated(_)) {
        return Ok(());
    }
    let probes = TcpKeepalive::new().with_time(PROBE_PERIOD).with_interval(PROBE_PERIOD);
    let socket = socket.options()?;
    socket.set_tcp_keepalive(&probes.with_retries(PROBES))?;
    // Without it the system sends again for a quarter of an hour what nobody acknowledges.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(DEAD_LINK))?;
    Ok(())
}

/// What a certificate of that role is good for.
fn check_purpose(certified: Option<Option<Role>>, purpose: &Purpose) -> Result<(), String> {
    let wanted = match purpose {
        Purpose::Server | Purpose::Pages { .. } => Role::Server,
        Purpose::Ctl => Role::Ctl,
    };
    match certified {
        None => Ok(()),
        Some(role) if role == Some(wanted) => Ok(()),
        Some(role) => Err(format!(
            "a certificate of a {} is needed, this is one of {}",
            wanted.name(),
            role.map_or("nobody here", Role::name),
        )),
    }
}

fn check_certificate(stream: &Stream, role: Role) -> Result<(), DoorError> {
    stream.connection().map_or(Ok(()), |connection| check_role(connection, role)).map_err(refused)
}
