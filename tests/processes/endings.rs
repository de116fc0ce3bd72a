//! How managers and servers end, and what outlives whom.

use crate::common::{MANAGER, Manager, SERVER, await_no_servers, ctl, failure, servers_of};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, Command, Stdio};

/// A server that no manager started.
pub struct Standalone(Child);

impl Standalone {
    /// Starts one with a hundred frames.
    pub fn start(name: &str, manager: &str) -> Standalone {
        let process = Command::new(SERVER)
            .args(["--manager", manager, "--name", name, "--frames", "100"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        Standalone(process)
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal to a process of this test.
pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process"));
    kill(pid, signal).expect("it is a process of this test");
}

#[test]
fn quit_and_server_stop_refuse_while_guests_would_be_lost() {
    let mut manager = Manager::with_servers(&[]);
    manager.say("vm create v --on a");
    manager.say("vm start v");
    manager.expect("\"v\" runs");
    let refusal = failure(&manager.ctl("quit"));
    assert!(refusal.contains("guest \"v\" on \"a\" would be lost"), "{refusal}");
    let refusal = failure(&manager.ctl("server stop a"));
    assert!(refusal.contains("server stop a --force"), "{refusal}");
    assert!(manager.ctl("server stop b").status.success());
    assert!(manager.ctl("server stop a --force").status.success());
    assert_eq!(manager.json("server list")["servers"].as_array().map(Vec::len), Some(0));
    await_no_servers(&manager.address);
    assert!(manager.ctl("quit").status.success());
    assert_eq!(manager.ended_by_itself().code, Some(0));
}

#[test]
fn quit_with_force_ends_the_servers_that_it_started() {
    let mut manager = Manager::with_servers(&["--event-level", "milestones"]);
    manager.say("vm create v --on a --set time_scale=1 --set migration.scheme=stop-and-copy");
    manager.say("migrate v --to b");
    manager.expect("v: Suspended at the source");
    let refusal = failure(&manager.ctl("quit"));
    assert!(refusal.contains("migration 1 of \"v\""), "{refusal}");
    assert_eq!(servers_of(&manager.address).len(), 2);
    manager.say("quit --force");
    assert_eq!(manager.ended_by_itself().code, Some(0));
}

#[test]
fn a_manager_that_is_told_to_end_by_a_signal_leaves_no_server_behind() {
    for (signal, code) in [(Signal::SIGINT, Some(130)), (Signal::SIGTERM, Some(143))] {
        let manager = Manager::with_servers(&[]);
        send(manager.pid(), signal);
        assert_eq!(manager.ended_by_itself().code, code);
    }
}

#[test]
fn a_manager_that_serves_outlives_its_standard_input_and_obeys_ctl() {
    let mut manager = Manager::start(&["serve"]);
    manager.close_input();
    assert!(manager.ctl("server start a").status.success());
    assert!(manager.ctl("quit").status.success());
    assert_eq!(manager.ended_by_itself().code, Some(0));
}

#[test]
fn servers_that_a_manager_started_end_even_if_it_is_killed() {
    let manager = Manager::with_servers(&[]);
    send(manager.pid(), Signal::SIGKILL);
    assert_eq!(manager.ended_by_itself().code, None);
}

#[test]
fn a_server_of_its_own_waits_for_a_manager_and_outlives_it() {
    let first = Manager::start(&[]);
    let address = first.address.clone();
    assert_eq!(first.end().code, Some(0));
    let server = Standalone::start("far", &address);
    let mut second = Manager::start_at(&address, &[]);
    second.expect("Server \"far\" is here");
    second.say("vm create v --on far");
    second.say("vm start v");
    second.expect("\"v\" runs");
    assert!(second.ctl("quit").status.success(), "the guest's server stays");
    drop(second);
    let mut third = Manager::start_at(&address, &[]);
    let line = third.expect("Server \"far\" is here");
    assert!(line.contains("brings 1 guest"), "{line}");
    assert_eq!(third.whereabouts("v"), ("far".to_owned(), "running".to_owned()));
    assert!(failure(&ctl(&address, &["server stop far"])).contains("guest \"v\""));
    third.say("server stop far --force");
    third.expect("has ended");
    drop(server);
    assert_eq!(third.end().code, Some(0));
}

#[test]
fn a_manager_without_a_server_program_beside_it_runs_itself_as_one() {
    let directory = tempfile::TempDir::new().unwrap();
    let alone = directory.path().join("manager");
    if std::fs::hard_link(MANAGER, &alone).is_err() {
        std::fs::copy(MANAGER, &alone).unwrap();
    }
    std::fs::write(directory.path().join("script"), "server start a\nserver show a\n").unwrap();
    let output = Command::new(&alone)
        .args(["--listen", "127.0.0.1:0", "run", "script"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(stdout.contains("Server \"a\": 0 of 65536 frames taken"), "{stdout}");
}
