//! TLS between the doors of two processes: who is let in, and what is said to who is not.

use lazycopy_transport::{
    Admitted, Door, DoorArguments, DoorError, Purpose, Role, Stream, Token, make_certificates,
};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An authority and its certificates, and a token.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        make_certificates(&directory.path().join("tls"), &[]).unwrap();
        make_certificates(&directory.path().join("other"), &[]).unwrap();
        Token::create(&directory.path().join("token")).unwrap();
        Files { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn door(&self, tls: Option<&str>, role: Role) -> Door {
        let tls = tls.map(|name| self.path(name));
        let token_file = Some(self.path("token"));
        Door::open(&DoorArguments { token_file, tls }, role).unwrap()
    }
}

/// What comes of it when one knocks at the door of the other, reached at `host`.
async fn meet(
    host: &str,
    one: Door,
    other: Door,
    role: Role,
    purpose: Purpose,
) -> (Result<Stream, DoorError>, Result<Admitted, DoorError>) {
    let listener = TcpListener::bind((host, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let knocking = async move {
        let socket = TcpStream::connect(&address).await.unwrap();
        one.go_through(socket, &address, role, purpose, None).await
    };
    let answering =
        async move { other.admit(listener.accept().await.unwrap().0, |_| Ok(None)).await };
    tokio::join!(knocking, answering)
}

async fn refusal(files: &Files, one: Option<&str>, other: Option<&str>) -> (String, String) {
    let (one, other) = (files.door(one, Role::Ctl), files.door(other, Role::Manager));
    let (knocked, answered) = meet("127.0.0.1", one, other, Role::Manager, Purpose::Ctl).await;
    (knocked.unwrap_err().to_string(), answered.unwrap_err().to_string())
}

#[tokio::test]
async fn certificates_of_one_authority_let_each_other_in_and_bytes_come_through() {
    let files = Files::new();
    let (one, other) =
        (files.door(Some("tls"), Role::Server), files.door(Some("tls"), Role::Manager));
    let (near, far) = meet("127.0.0.1", one, other, Role::Manager, Purpose::Server).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap().stream);
    // More than the sockets hold, so that writing has to wait, and over another runtime's socket.
    let sent: Vec<u8> = (0..20_000_000_u32).map(|number| ((number * 7) >> 5) as u8).collect();
    let expected = sent.clone();
    let writing = async move {
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
        near
    };
    let reading = async move {
        let mut first = vec![0; 1_000];
        far.read_exact(&mut first).await.unwrap();
        let mut far = far.rest().unwrap().awake().unwrap();
        far.read_to_end(&mut first).await.unwrap();
        first
    };
    let (_near, received) = tokio::join!(writing, reading);
    assert!(received == expected);
}

#[tokio::test]
async fn another_authority_is_refused_by_name_on_both_sides() {
    let files = Files::new();
    let (knocked, answered) = refusal(&files, Some("other"), Some("tls")).await;
    assert!(knocked.contains("is of another authority"), "{knocked}");
    assert!(answered.contains("is of another authority"), "{answered}");
}

#[tokio::test]
async fn tls_on_one_side_alone_is_told_clearly() {
    let files = Files::new();
    let (knocked, _) = refusal(&files, None, Some("tls")).await;
    assert!(knocked.contains("TLS is spoken here: give --tls DIR"), "{knocked}");
    let (knocked, answered) = refusal(&files, Some("tls"), None).await;
    assert!(knocked.contains("does not speak TLS"), "{knocked}");
    assert!(answered.contains("TLS is not spoken here"), "{answered}");
}

#[tokio::test]
async fn a_certificate_is_good_for_its_role_and_its_hosts_alone() {
    let files = Files::new();
    let door = |role| files.door(Some("tls"), role);
    // A server's certificate does not command.
    let (knocked, _) =
        meet("127.0.0.1", door(Role::Server), door(Role::Manager), Role::Manager, Purpose::Ctl)
            .await;
    let told = knocked.unwrap_err().to_string();
    assert!(told.contains("a certificate of a ctl is needed, this is one of server"), "{told}");
    // A server does not stand for the manager.
    let (knocked, _) =
        meet("127.0.0.1", door(Role::Ctl), door(Role::Server), Role::Manager, Purpose::Ctl).await;
    let told = knocked.unwrap_err().to_string();
    assert!(told.contains("is not that of a manager"), "{told}");
    // A host that no certificate names.
    let (knocked, _) =
        meet("127.0.0.9", door(Role::Ctl), door(Role::Manager), Role::Manager, Purpose::Ctl).await;
    let told = knocked.unwrap_err().to_string();
    assert!(told.contains("does not name this host"), "{told}");
}

#[test]
fn files_that_are_missing_open_or_no_certificates_are_refused_by_name() {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    let tls = files.path("tls");
    let open = |tls: &Path| {
        let arguments = DoorArguments { token_file: None, tls: Some(tls.to_owned()) };
        Door::open(&arguments, Role::Server).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(open(&tls), Ok(()));
    fs::set_permissions(tls.join("server.key"), Permissions::from_mode(0o644)).unwrap();
    assert!(open(&tls).unwrap_err().contains("(mode 0644): run chmod 600"));
    fs::set_permissions(tls.join("server.key"), Permissions::from_mode(0o600)).unwrap();
    fs::copy(tls.join("ctl.pem"), tls.join("server.pem")).unwrap();
    assert!(open(&tls).is_err(), "the key is of another certificate");
    fs::write(tls.join("server.pem"), "nothing").unwrap();
    assert!(open(&tls).unwrap_err().contains("server.pem"));
    assert!(open(&files.path("nowhere")).unwrap_err().contains("manager certs --out"));
    let again = make_certificates(&tls, &[]).unwrap_err().to_string();
    assert!(again.contains("has an authority already"), "{again}");
}

#[test]
fn beyond_this_machine_a_token_is_needed() {
    let files = Files::new();
    let without = Door::default();
    let with = files.door(None, Role::Manager);
    for address in ["127.0.0.1:1", "[::1]:1", "127.9.9.9:1", "[::ffff:127.0.0.1]:1"] {
        assert!(without.check(address.parse().unwrap()).is_ok(), "{address}");
    }
    for address in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"] {
        let error = without.check(address.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("manager token --out"), "{error}");
        assert!(with.check(address.parse().unwrap()).is_ok(), "{address}");
    }
}
