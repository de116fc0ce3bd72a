//! A manager process with its servers, what is asked of it, and what the system says of them.

#![allow(dead_code, reason = "each benchmark uses what it needs")]
pub mod sample;

use lazycopy_manager::arguments::CtlArguments;
use lazycopy_manager::ctl;
use lazycopy_protocol::control::CtlReply;
use lazycopy_transport::Door;
use serde_json::Value;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MANAGER: &str = env!("CARGO_BIN_EXE_manager");

/// How long anything may take that is not measured.
const DEADLINE: Duration = Duration::from_secs(60);

/// The pause between two looks at what tells nobody of its changes.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A manager that writes its results into a directory of its own.
pub struct Laboratory {
    process: Child,
    stdin: Option<ChildStdin>,
    /// Where it listens.
    pub address: String,
    directory: TempDir,
}

impl Laboratory {
    /// Starts a manager. What it prints comes line by line.
    pub fn open() -> (Laboratory, Receiver<String>) {
        let directory = TempDir::new().expect("a directory for the results");
        let mut process = Command::new(MANAGER)
            .args(["--listen", "127.0.0.1:0", "--event-level", "off"])
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the manager starts");
        let stdin = process.stdin.take();
        let output = process.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let first = lines.recv_timeout(DEADLINE).expect("the manager says where it listens");
        let (_, address) = first.rsplit_once(' ').expect("the line ends with the address");
        let address = address.trim_end_matches('.').to_owned();
        (Laboratory { process, stdin, address, directory }, lines)
    }

    /// The client of its port.
    pub fn ctl(&self) -> Ctl {
        Ctl { address: self.address.clone() }
    }

    /// What the system says of it.
    pub fn process(&self) -> Process {
        Process { pid: self.process.id() }
    }

    /// The directories of its runs, those that are whole.
    pub fn runs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("results"));
        let whole = |name: &str| !name.starts_with('.');
        let entries = entries.into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_str().is_some_and(whole))
            .map(|entry| entry.path())
            .collect()
    }

    /// Removes the directories of its runs, which grow by design.
    pub fn clear_results(&self) {
        self.runs().iter().for_each(|run| drop(fs::remove_dir_all(run)));
    }

    /// Ends it and its servers, and waits until none of them is left.
    ///
    /// # Panics
    /// When it or one of its servers does not end.
    pub fn end(mut self) {
        self.stdin.take();
        let deadline = Instant::now() + DEADLINE;
        while self.process.try_wait().expect("it is a child of this process").is_none() {
            assert!(Instant::now() < deadline, "the manager does not end");
            std::thread::sleep(LOOK_AGAIN);
        }
        while !servers_of(&self.address).is_empty() {
            assert!(Instant::now() < deadline, "servers are left behind");
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Whatever goes wrong, nothing is left behind: servers end with their manager.
impl Drop for Laboratory {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What `manager ctl` is: a connection for each command.
#[derive(Clone)]
pub struct Ctl {
    address: String,
}

impl Ctl {
    /// Sends a command and waits for its reply.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn ask(&self, command: &str, json: bool) -> io::Result<CtlReply> {
        let (connect, command) = (self.address.clone(), vec![command.to_owned()]);
        let arguments = CtlArguments { connect, request_id: None, command };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sent = async { ctl::send(&arguments, json, &Door::default()).await };
        runtime.block_on(sent).map_err(io::Error::other)
    }

    /// The JSON of a command that succeeds.
    ///
    /// # Panics
    /// When it does not.
    pub fn json(&self, command: &str) -> Value {
        let reply = self.ask(command, true).expect("the manager answers");
        assert!(reply.ok, "{command}: {}", reply.output);
        serde_json::from_str(&reply.output).expect("a reply in JSON")
    }

    /// Starts a server; gives its process.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_server(&self, name: &str) -> Process {
        let pid = self.json(&format!("server start {name}"))["pid"].as_u64();
        Process { pid: pid.and_then(|pid| pid.try_into().ok()).expect("a server has a process") }
    }
}

/// A process, and what the system says of it.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
}

impl Process {
    /// Bytes of its memory now; 0 where it has ended.
    pub fn resident(self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most bytes that its memory has had.
    pub fn peak_resident(self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.unwrap_or_default() * 1024
    }

    /// Its open descriptors.
    pub fn descriptors(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, Iterator::count)
    }
}

/// The processes that are servers of the manager at `address`.
pub fn servers_of(address: &str) -> Vec<u32> {
    let wanted = format!("--manager {address} ");
    let processes = fs::read_dir("/proc").expect("the system lists its processes");
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_one = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(&wanted)
    };
    pids.filter(is_one).collect()
}

/// The result in a run's directory.
pub fn result(run: &Path) -> Value {
    let text = fs::read_to_string(run.join("result.json")).expect("a run has a result");
    serde_json::from_str(&text).expect("it is JSON")
}

/// Bytes as megabytes.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// What else the machine has to do, for whoever reads the figures.
pub fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let last_minute = load.split(' ').next().unwrap_or("unknown").to_owned();
    format!("{cores} cores, load before it {last_minute}")
}
