//! TLS 1.3 with the certificates of a private authority on both sides.
//!
//! A certificate says two things: the hosts that it stands for, and the role of its holder. Who
//! connects holds both against what it wanted, who is connected to holds the role.

use crate::token::{TokenError, read_private};
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Connection, Error,
    RootCertStore, ServerConfig, ServerConnection,
};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest file with a certificate or a key.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The authority's certificate in its directory.
pub(crate) const AUTHORITY: &str = "authority";

/// The first byte of a TLS connection; the frames of this program begin with a smaller one.
pub(crate) const FIRST_TLS_BYTE: u8 = 0x16;

/// What binds a knock to its TLS session.
const SESSION_LABEL: &[u8] = b"EXPERIMENTAL lazycopy door";

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The manager.
    Manager,
    /// A server.
    Server,
    /// A `ctl`.
    Ctl,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Manager, Role::Server, Role::Ctl];

    /// Its name, that of its files, too.
    pub fn name(self) -> &'static str {
        match self {
            Role::Manager => "manager",
            Role::Server => "server",
            Role::Ctl => "ctl",
        }
    }

    /// As a certificate says it: a name of no host.
    pub(crate) fn in_certificate(self) -> String {
        format!("{}.lazycopy.internal", self.name())
    }
}

/// The certificates of a process.
#[derive(Clone)]
pub struct Tls {
    connecting: Arc<ClientConfig>,
    listening: Arc<ServerConfig>,
    browsers: Arc<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls(..)")
    }
}

/// What is wrong with a directory of certificates.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A key cannot be read, or others can read it.
    #[error("--tls: {0}")]
    Key(#[from] TokenError),
    /// A file is not what it should be.
    #[error("--tls: {}: {problem}; make them with: manager certs --out DIR", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl Tls {
    /// The certificates of a role, from the directory that they were made in.
    ///
    /// # Errors
    /// When a file is missing or not what it should be, or others can read the key.
    pub fn read(directory: &Path, role: Role) -> Result<Tls, TlsError> {
        let certificate_path = directory.join(format!("{}.pem", role.name()));
        let authority_path = directory.join(format!("{AUTHORITY}.pem"));
        let key_path = directory.join(format!("{}.key", role.name()));
        let wrong = |path: &Path, problem: &dyn fmt::Display| TlsError::File {
            path: path.to_owned(),
            problem: problem.to_string(),
        };
        let certificate = CertificateDer::from_pem_file(&certificate_path)
            .map_err(|error| wrong(&certificate_path, &error))?;
        let authority = CertificateDer::from_pem_file(&authority_path)
            .map_err(|error| wrong(&authority_path, &error))?;
        let pem = read_private(&key_path, MAX_FILE_BYTES)?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| wrong(&key_path, &"it is no private key"))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(|error| wrong(&authority_path, &error))?;
        Tls::of(Arc::new(roots), certificate, key)
            .map_err(|error| wrong(&certificate_path, &problem_of(&error)))
    }

    fn of(
        roots: Arc<RootCertStore>,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Tls, Error> {
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
        let mut connecting = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.clone()], key.clone_key())?;
        connecting.resumption = Resumption::disabled();
        let builder = || {
            ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[&TLS13])
        };
        let mut listening = builder()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.clone()], key.clone_key())?;
        let mut browsers =
            builder()?.with_no_client_auth().with_single_cert(vec![certificate], key)?;
        for config in [&mut listening, &mut browsers] {
            // Every session proves both sides anew.
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        let (connecting, listening) = (Arc::new(connecting), Arc::new(listening));
        Ok(Tls { connecting, listening, browsers: Arc::new(browsers) })
    }

    pub(crate) fn connect(&self, host: &str) -> Result<Connection, String> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| format!("\"{host}\" is no name of a host"))?;
        let connection = ClientConnection::new(Arc::clone(&self.connecting), name);
        connection.map(Connection::from).map_err(|error| problem_of(&error))
    }

    pub(crate) fn accept(&self) -> Result<Connection, String> {
        let connection = ServerConnection::new(Arc::clone(&self.listening));
        connection.map(Connection::from).map_err(|error| problem_of(&error))
    }

    pub(crate) fn accept_browser(&self) -> Result<Connection, String> {
        let connection = ServerConnection::new(Arc::clone(&self.browsers));
        connection.map(Connection::from).map_err(|error| problem_of(&error))
    }
}

/// Whether the other side's certificate is of that role.
///
/// # Errors
/// In words, when it is of another one.
pub(crate) fn check_role(connection: &Connection, role: Role) -> Result<(), String> {
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.ok_or("the other side has no certificate")?;
    let parsed = ParsedCertificate::try_from(certificate).map_err(|error| problem_of(&error))?;
    let name = ServerName::try_from(role.in_certificate()).map_err(|error| error.to_string())?;
    verify_server_name(&parsed, &name).map_err(|_| {
        format!("the other side's certificate is not that of a {role}", role = role.name())
    })
}

/// What tells a session from all others.
pub(crate) fn session_of(connection: &Connection) -> io::Result<Vec<u8>> {
    let bytes = connection.export_keying_material([0; 32], SESSION_LABEL, None);
    bytes.map(|bytes| bytes.to_vec()).map_err(io::Error::other)
}

/// What is wrong, in words for who has to mend it.
pub(crate) fn problem_of(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(problem) => certificate_problem(problem),
        Error::AlertReceived(alert) => alert_problem(*alert),
        Error::InvalidMessage(_) => "the other side does not speak TLS: start it with --tls, too, \
                                     or leave it out on both"
            .to_owned(),
        Error::NoCertificatesPresented => {
            "the other side shows no certificate: start it with --tls".to_owned()
        }
        other => format!("TLS: {other}"),
    }
}

fn certificate_problem(problem: &CertificateError) -> String {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the other side's certificate has expired: make new ones with manager certs".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the other side's certificate is not valid yet: compare the clocks".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the other side's certificate is of another authority: give both sides certificates \
             of one manager certs"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the other side's certificate does not name this host: make it with manager certs \
             --name HOST"
                .to_owned()
        }
        other => format!("the other side's certificate: {other}"),
    }
}

/// What the other side says of this one.
fn alert_problem(alert: AlertDescription) -> String {
    let what = match alert {
        AlertDescription::CertificateExpired => "has expired: make new ones with manager certs",
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "is of another authority: give both sides certificates of one manager certs"
        }
        AlertDescription::CertificateRequired => "is missing",
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => "is not valid",
        other => return format!("the other side ended TLS: {other:?}"),
    };
    format!("the other side says that the certificate of this one {what}")
}
