//! Processes of different versions that meet, and servers that say to be others.

use crate::common::{DEADLINE, Manager, SERVER, ctl, failure, frame, knocked};
use lazycopy_protocol::control::{
    FirstFrame, FromServer, PROTOCOL_VERSION, ServerHello, ServerReply, ToServer,
};
use lazycopy_protocol::pace::Pace;
use lazycopy_transport::Purpose;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a server of that version introduces itself.
fn hello(name: &str, version: &str, pid: u32, address: &str) -> Vec<u8> {
    let hello = FirstFrame::Server(ServerHello {
        version: version.to_owned(),
        name: name.to_owned(),
        pid,
        address: address.to_owned(),
        frames: 100,
        vms: Vec::new(),
        sides: Vec::new(),
        pace: Pace::default(),
    });
    frame(&serde_json::to_vec(&hello).unwrap())
}

/// What the manager says next.
async fn heard(stream: &mut TcpStream) -> ToServer {
    let length = stream.read_u32().await.expect("the manager says something");
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.expect("the whole of it");
    serde_json::from_slice(&payload).expect("a message to a server")
}

/// Answers one connection as a process of another version does.
fn of_another_version(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut knock = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut knock).unwrap();
    let newer = json!({"lazycopy": 99, "version": "9.9", "challenge": "of another kind"});
    stream.write_all(&frame(newer.to_string().as_bytes())).unwrap();
}

fn names_both(told: &str) {
    assert!(told.contains("99 (lazycopy 9.9)"), "{told}");
    assert!(told.contains(&format!("protocol {PROTOCOL_VERSION} (lazycopy ")), "{told}");
}

#[test]
fn a_server_whose_manager_is_of_another_version_ends_and_names_both() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Command::new(SERVER)
        .args(["--manager", &address, "--name", "a"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    of_another_version(&listener);
    let ended = server.wait_with_output().unwrap();
    assert!(!ended.status.success());
    names_both(&String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_server_of_another_release_that_speaks_the_same_protocol_is_welcome() {
    let manager = Manager::start(&[]);
    knocked(&manager.address, Purpose::Server, async |mut stream| {
        stream.write_all(&hello("old", "0.0.9", 1, "127.0.0.1:1")).await.unwrap();
        let welcome = heard(&mut stream).await;
        assert!(matches!(welcome, ToServer::Welcome { .. }), "{welcome:?}");
        let listed = manager.json("server list")["servers"][0].clone();
        assert_eq!(
            (&listed["name"], &listed["version"], &listed["connected"]),
            (&json!("old"), &json!("0.0.9"), &json!(true))
        );
    });
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_guest_does_not_leave_for_a_destination_of_another_version_which_is_named() {
    let manager = Manager::with_servers(&["--event-level", "off"]);
    manager.json("vm create v --on a");
    // A manager's output is one thread's.
    let at = manager.address.clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let refused: Output = std::thread::scope(|scope| {
        scope.spawn(|| of_another_version(&listener));
        knocked(&manager.address, Purpose::Server, async |mut stream| {
            stream.write_all(&hello("newer", "9.9", 1, &address)).await.unwrap();
            heard(&mut stream).await;
            let migrating = scope.spawn(|| ctl(&at, &["migrate v --to newer"]));
            // It expects the guest, as it is told; the source then finds out.
            loop {
                match heard(&mut stream).await {
                    ToServer::Command { id, .. } => {
                        let done = FromServer::Reply { id, result: Ok(ServerReply::Done) };
                        let done = frame(&serde_json::to_vec(&done).unwrap());
                        stream.write_all(&done).await.unwrap();
                        break;
                    }
                    ToServer::Heartbeat => {}
                    other => panic!("{other:?}"),
                }
            }
            migrating.join().unwrap()
        })
    });
    names_both(&failure(&refused));
    assert_eq!(manager.whereabouts("v"), ("a".to_owned(), "created".to_owned()));
    assert!(manager.ctl("quit --force").status.success());
}

#[test]
fn nobody_takes_the_name_of_a_server_that_is_there() {
    let mut manager = Manager::with_servers(&["--event-level", "off"]);
    manager.json("vm create v --on a");
    let pid = u32::try_from(manager.server_pid("a")).unwrap();
    // Whoever lists servers knows their process.
    for pid in [1, pid] {
        let answer = knocked(&manager.address, Purpose::Server, async |mut stream| {
            stream.write_all(&hello("a", "0", pid, "127.0.0.1:1")).await.unwrap();
            heard(&mut stream).await
        });
        match answer {
            ToServer::Refused { reason } => {
                assert!(reason.contains("there is a server \"a\" already"), "{reason}");
            }
            other => panic!("process {pid}: {other:?}"),
        }
    }
    manager.say("migrate v --to b --scheme post-copy --set link.bandwidth=1GB/s --wait");
    manager.expect("Migration 1 of \"v\": completed");
    let ended = manager.end();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.stdout.contains("Server \"a\" is gone"), "{}", ended.stdout);
}
