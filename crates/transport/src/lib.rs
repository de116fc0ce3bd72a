//! The doors of a process: who may connect, how both ends prove it, and what a connection is made
//! of then.
//!
//! ```text
//! who connects                                           who is connected to
//!   (with --tls: TLS 1.3, both certificates of one authority)
//!   Knock: version, purpose, nonce  ---------------------->
//!   <---------------------  Challenge: version, nonce, proof, or a Refusal
//!   Proof  ----------------------------------------------->
//!   what the connection is for                               or a Refusal
//! ```
//!
//! Every connection between processes begins so, with small frames and within
//! [`HANDSHAKE_DEADLINE`]; nothing else is read before. A proof is an HMAC by the cluster token,
//! where there is one, and the migration's key, where there is one, over everything that was said
//! so far, the role of who proves, and the TLS session. Without a token only loopback addresses
//! are listened on and connected to.

mod certificates;
mod descriptors;
mod door;
mod handshake;
mod knock;
mod lobby;
mod random;
#[cfg(feature = "simulated")]
pub mod simulated;
mod socket;
mod stream;
mod tls;
mod token;

pub use certificates::{CertificateError, make_certificates};
pub use descriptors::raise_descriptor_limit;
pub use door::{Admitted, DEAD_LINK, Door, DoorArguments, DoorError};
pub use handshake::{HANDSHAKE_DEADLINE, answer, knock, write_refusal};
pub use knock::{KNOCK_FRAME_BYTES, PageLink, Purpose, Secret};
pub use lobby::{Evicted, Lobby, Seat};
pub use random::{new_migration_key, random_bytes};
pub use socket::{Listener, Network, Socket};
pub use stream::{Resting, Stream};
pub use tls::{Role, Tls, TlsError};
pub use token::{TOKEN_BYTES, Token, TokenError};
