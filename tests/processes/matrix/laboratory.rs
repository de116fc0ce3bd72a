//! The processes of a cell: a manager that may be killed and come again, three servers that no
//! manager started, and what they say of themselves.

use super::network::{Host, Network};
use super::wire::Wire;
use crate::common::{LOOK_AGAIN, MANAGER, SERVER};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long what nothing delays may take. It decides nothing but failures.
pub const PROMPT: Duration = Duration::from_secs(30);

/// The servers, by name and place.
const SERVERS: [(Host, &str); 3] =
    [(Host::Source, "a"), (Host::Destination, "b"), (Host::Refuge, "c")];

/// A laboratory. All that it started ends with it.
pub struct Laboratory {
    pub network: Network,
    pub wire: Wire,
    by_relay: bool,
    manager: Option<Child>,
    /// How often a manager was started.
    lives: u32,
    servers: Vec<(Host, Child)>,
    /// Where the manager listens, once it does.
    address: String,
    directory: TempDir,
}

impl Laboratory {
    /// A manager that knows of three servers. The source reaches the destination by the relay, or
    /// by the network's own wire.
    pub fn open(network: Network, by_relay: bool) -> Result<Laboratory, String> {
        let wire = Wire::lay(&network).map_err(|error| format!("the relay: {error}"))?;
        let directory = TempDir::new().map_err(|error| error.to_string())?;
        let address = network.listens_at(Host::Manager);
        let (manager, servers) = (None, Vec::new());
        let mut laboratory =
            Laboratory { network, wire, by_relay, manager, lives: 0, servers, address, directory };
        laboratory.start_manager()?;
        for (host, name) in SERVERS {
            laboratory.start_server(host, name)?;
        }
        let log = laboratory.path("b.log");
        let target = await_in(&log, "listening for other servers", |line| {
            line.split(" address=").nth(1)?.split(' ').next().map(str::to_owned)
        })?;
        laboratory.wire.lead_to(target);
        laboratory.await_servers(SERVERS.len())?;
        Ok(laboratory)
    }

    /// Starts the manager, or the next one in its place.
    pub fn start_manager(&mut self) -> Result<(), String> {
        self.lives += 1;
        let said = self.path(&format!("manager-{}.out", self.lives));
        let errors = self.path(&format!("manager-{}.log", self.lives));
        let mut command = self.network.command(Host::Manager, MANAGER);
        command
            .args(["--listen", &self.address, "--event-level", "all"])
            .args(self.network.options(self.directory.path())?)
            .arg("serve")
            .current_dir(self.directory.path())
            .stdout(created(&said)?)
            .stderr(created(&errors)?);
        self.manager = Some(command.spawn().map_err(|error| error.to_string())?);
        self.address = await_in(&said, "The manager listens on ", |line| {
            Some(line.rsplit_once(' ')?.1.trim_end_matches('.').to_owned())
        })?;
        Ok(())
    }

    fn start_server(&mut self, host: Host, name: &str) -> Result<(), String> {
        let log = self.path(&format!("{name}.log"));
        let is_far = host == Host::Destination;
        let listen = match is_far && !self.by_relay {
            true => self.network.wire_listens_at().to_owned(),
            false => self.network.listens_at(host),
        };
        let mut command = self.network.command(host, SERVER);
        command
            .args(["--manager", &self.address, "--name", name, "--frames", "100"])
            .args(["--listen", &listen])
            .args(self.network.options(self.directory.path())?)
            .stderr(created(&log)?);
        if is_far && self.by_relay {
            command.args(["--advertise", &self.wire.address]);
        }
        let process = command.spawn().map_err(|error| error.to_string())?;
        self.servers.push((host, process));
        Ok(())
    }

    /// Waits until so many servers are connected.
    pub fn await_servers(&self, count: usize) -> Result<(), String> {
        self.await_that("the servers come", || {
            let listed = self.json("server list")?;
            let listed = listed["servers"].as_array().into_iter().flatten();
            Ok(listed.filter(|server| server["connected"] == true).count() >= count)
        })
    }

    /// Asks again and again until it is so.
    pub fn await_that(
        &self,
        what: &str,
        mut is_so: impl FnMut() -> Result<bool, String>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + PROMPT;
        loop {
            let said = is_so();
            if said == Ok(true) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{what}: not within {} s ({said:?})", PROMPT.as_secs()));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// A command by `ctl`, begun.
    pub fn begin(&self, options: &[&str], command: &str) -> Result<Child, String> {
        let mut ctl = self.network.command(Host::Manager, MANAGER);
        ctl.args(["ctl", "--connect", &self.address])
            .args(self.network.options(self.directory.path())?)
            .args(options)
            .arg(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        ctl.spawn().map_err(|error| error.to_string())
    }

    /// A command by `ctl`, to its end.
    pub fn command(&self, options: &[&str], command: &str) -> Result<Output, String> {
        let child = self.begin(options, command)?;
        child.wait_with_output().map_err(|error| error.to_string())
    }

    /// A command that has to succeed.
    pub fn obey(&self, command: &str) -> Result<(), String> {
        let done = self.command(&[], command)?;
        let said = String::from_utf8_lossy(&done.stderr);
        if done.status.success() { Ok(()) } else { Err(format!("{command}: {}", said.trim())) }
    }

    /// The JSON of a command that has to succeed.
    pub fn json(&self, command: &str) -> Result<Value, String> {
        let done = self.command(&["--json"], command)?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(format!("{command}: {}", said.trim()));
        }
        serde_json::from_slice(&done.stdout).map_err(|error| format!("{command}: {error}"))
    }

    /// What each server itself says that it does with a guest; servers that are dead say nothing.
    pub fn said_by_servers(&mut self, vm: &str) -> Vec<(&'static str, String)> {
        let mut said = Vec::new();
        for (host, name) in SERVERS {
            if !self.lives(host) {
                continue;
            }
            let Ok(shown) = self.json(&format!("server show {name}")) else { continue };
            let vms = shown["host"]["vms"].as_array().into_iter().flatten();
            let phases = vms.filter(|it| it["vm"] == vm).filter_map(|it| it["phase"].as_str());
            said.extend(phases.map(|phase| (name, phase.to_owned())));
        }
        said
    }

    /// Whether a process was not killed.
    pub fn lives(&mut self, host: Host) -> bool {
        self.process(host).is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    fn process(&mut self, host: Host) -> Option<&mut Child> {
        match host {
            Host::Manager => self.manager.as_mut(),
            _ => self.servers.iter_mut().find(|(it, _)| *it == host).map(|(_, child)| child),
        }
    }

    /// Kills a process, and sees it end.
    pub fn kill(&mut self, host: Host) -> Result<(), String> {
        let process = self.process(host).ok_or("it was not started")?;
        process.kill().and_then(|()| process.wait()).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Sends a signal to a process that was not killed.
    pub fn signal(&mut self, host: Host, signal: Signal) -> Result<(), String> {
        let process = self.process(host).ok_or("it was not started")?;
        let pid = i32::try_from(process.id()).map_err(|error| error.to_string())?;
        kill(Pid::from_raw(pid), signal).map_err(|error| error.to_string())
    }

    /// Directories of runs that are written, the oldest first.
    pub fn runs(&self) -> Vec<PathBuf> {
        crate::common::runs(self.directory.path())
    }

    /// All that the processes said, each with its file's name.
    pub fn logs(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.directory.path()).into_iter().flatten().flatten();
        let text = |path: &Path| fs::read(path).ok().map(|it| String::from_utf8_lossy(&it).into());
        let mut logs: Vec<(String, String)> = entries
            .filter_map(|it| Some((it.file_name().to_string_lossy().into(), text(&it.path())?)))
            .filter(|(name, _): &(String, String)| name.contains(".log") || name.contains(".out"))
            .collect();
        logs.sort();
        logs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Laboratory {
    fn drop(&mut self) {
        let servers = self.servers.iter_mut().map(|(_, process)| process);
        // Killing ends a process that is stopped, too.
        for process in servers.chain(self.manager.as_mut()) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn created(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Waits for a line in a file, and takes something out of it.
fn await_in(
    path: &Path,
    part: &str,
    take: impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let deadline = Instant::now() + PROMPT;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        // The last line may be written yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        if let Some(taken) = whole.lines().find(|line| line.contains(part)).and_then(&take) {
            return Ok(taken);
        }
        if Instant::now() > deadline {
            return Err(format!("no \"{part}\" in {}: {text}", path.display()));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
