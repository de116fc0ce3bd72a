//! A private authority, and the certificates of all roles.

use crate::tls::{AUTHORITY, Role};
use crate::token::write_private;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

/// How long certificates are valid: a laboratory's, which is set up anew now and then.
const VALID_FOR: Duration = Duration::days(2 * 365);

/// How far clocks may differ.
const VALID_BEFORE: Duration = Duration::days(1);

/// Names of this machine for itself, which every certificate has.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why certificates cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be written, or is there already.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: io::Error,
    },
    /// There is an authority already.
    #[error(
        "{} has an authority already: give another directory, since what was made there would \
         not be of the new one",
        path.display()
    )]
    There {
        /// The directory.
        path: PathBuf,
    },
    /// A name cannot stand in a certificate.
    #[error("{0}")]
    Made(#[from] rcgen::Error),
}

/// Makes an authority, and a certificate for each role that names this machine and `names`, and
/// writes all of them to `directory`. Keys are for their owner alone. Gives the files.
///
/// # Errors
/// When a name is none, a file cannot be written, or an authority is there already.
pub fn make_certificates(
    directory: &Path,
    names: &[String],
) -> Result<Vec<PathBuf>, CertificateError> {
    let now = OffsetDateTime::now_utc();
    make_valid(directory, names, now - VALID_BEFORE, now + VALID_FOR)
}

/// As [`make_certificates`], valid at other times.
pub(crate) fn make_valid(
    directory: &Path,
    names: &[String],
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<Vec<PathBuf>, CertificateError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        |problem| CertificateError::File { path, problem }
    };
    fs::create_dir_all(directory).map_err(file(directory))?;
    if directory.join(format!("{AUTHORITY}.pem")).exists() {
        return Err(CertificateError::There { path: directory.to_owned() });
    }
    let mut parameters = CertificateParams::new(Vec::new())?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.distinguished_name.push(DnType::CommonName, "lazycopy authority");
    (parameters.not_before, parameters.not_after) = (from, to);
    let key = KeyPair::generate()?;
    let mut made = vec![(AUTHORITY, parameters.self_signed(&key)?.pem(), key.serialize_pem())];
    let issuer = Issuer::new(parameters, key);
    for role in Role::ALL {
        let (certificate, key) = certificate_of(role, names, from, to, &issuer)?;
        made.push((role.name(), certificate, key));
    }
    let mut written = Vec::new();
    for (name, certificate, key) in made {
        let path = directory.join(format!("{name}.pem"));
        fs::write(&path, certificate).map_err(file(&path))?;
        written.push(path);
        let path = directory.join(format!("{name}.key"));
        write_private(&path, key.as_bytes()).map_err(file(&path))?;
        written.push(path);
    }
    Ok(written)
}

fn certificate_of(
    role: Role,
    names: &[String],
    from: OffsetDateTime,
    to: OffsetDateTime,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(String, String), rcgen::Error> {
    let here = HERE.iter().map(|name| (*name).to_owned());
    let all = here.chain(names.iter().cloned()).chain([role.in_certificate()]);
    let mut parameters = CertificateParams::new(all.collect::<Vec<_>>())?;
    parameters.distinguished_name.push(DnType::CommonName, format!("lazycopy {}", role.name()));
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    (parameters.not_before, parameters.not_after) = (from, to);
    let key = KeyPair::generate()?;
    let certificate = parameters.signed_by(&key, issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Door, DoorArguments, Purpose};
    use tempfile::TempDir;
    use tokio::net::{TcpListener, TcpStream};

    fn door(directory: &Path, role: Role) -> Door {
        let arguments = DoorArguments { token_file: None, tls: Some(directory.to_owned()) };
        Door::open(&arguments, role).unwrap()
    }

    #[tokio::test]
    async fn certificates_out_of_their_time_are_refused_by_name() {
        let directory = TempDir::new().unwrap();
        let (now, day) = (OffsetDateTime::now_utc(), Duration::days(1));
        for (name, from, to, told) in [
            ("old", now - day * 3, now - day, "has expired: make new ones"),
            ("early", now + day, now + day * 3, "is not valid yet: compare the clocks"),
        ] {
            let path = directory.path().join(name);
            make_valid(&path, &[], from, to).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let (one, other) = (door(&path, Role::Ctl), door(&path, Role::Manager));
            let knocking = async {
                let socket = TcpStream::connect(&address).await.unwrap();
                one.go_through(socket, &address, Role::Manager, Purpose::Ctl, None).await
            };
            let answering =
                async { other.admit(listener.accept().await.unwrap().0, |_| Ok(None)).await };
            let (knocked, answered) = tokio::join!(knocking, answering);
            let refusal = knocked.unwrap_err().to_string();
            assert!(refusal.contains(told), "{refusal}");
            assert!(answered.is_err());
        }
    }
}
