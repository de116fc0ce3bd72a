//! The product's own processes: a manager and two servers, commanded by `ctl`, and the certainty
//! that none of them is left behind.

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MANAGER: &str = env!("CARGO_BIN_EXE_manager");
const SERVER: &str = env!("CARGO_BIN_EXE_server");

/// The servers of each laboratory.
pub const SERVERS: [&str; 2] = ["a", "b"];

/// How the manager's first line begins.
const LISTENS: &str = "The manager listens on ";

/// How long the processes may take to end when asked to. They are killed then.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// The pause between two looks at whether a process has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A manager and two servers, "a" and "b".
pub struct Laboratory {
    manager: Child,
    /// Open as long as the manager is to run.
    input: Option<ChildStdin>,
    address: String,
    servers: Vec<i32>,
    /// Servers that were started here, to be waited for.
    counted: Vec<Child>,
    /// Where each migration's results go; gone at the end.
    _directory: TempDir,
}

/// A process's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// At most, since it started.
    pub peak: u64,
}

impl Laboratory {
    /// Starts them, each server with so many frames for guests. The servers' logs go to this
    /// process's standard error, at the level of RUST_LOG.
    pub fn start(frames: u64) -> Result<Laboratory> {
        let mut laboratory = Laboratory::without_servers()?;
        for server in SERVERS {
            laboratory.ctl(&format!("server start {server} --frames {frames}"))?;
            laboratory.servers.push(laboratory.server_pid(server)?);
        }
        Ok(laboratory)
    }

    /// As [`Laboratory::start`], with each server's instructions counted and written, when it
    /// ends, into the file of its name in that directory.
    pub fn start_counted(frames: u64, counts: &Path) -> Result<Laboratory> {
        let mut laboratory = Laboratory::without_servers()?;
        for server in SERVERS {
            let child = Command::new("valgrind")
                .args(["--tool=callgrind", "--quiet", "--fair-sched=yes"])
                .arg(format!("--callgrind-out-file={}", counts.join(server).display()))
                .arg(SERVER)
                .args(["--name", server, "--manager", &laboratory.address])
                .args(["--frames", &frames.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .context("valgrind counts the instructions; it does not start")?;
            laboratory.servers.push(child.id() as i32);
            laboratory.counted.push(child);
        }
        let deadline = Instant::now() + END_DEADLINE;
        while SERVERS.iter().any(|server| laboratory.server_pid(server).is_err()) {
            ensure!(Instant::now() < deadline, "the counted servers do not come");
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(laboratory)
    }

    fn without_servers() -> Result<Laboratory> {
        let directory = tempfile::tempdir()?;
        let mut manager = Command::new(MANAGER)
            .args(["--listen", "127.0.0.1:0", "--event-level", "off", "--out"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{MANAGER} does not start"))?;
        let input = manager.stdin.take();
        let output = manager.stdout.take().context("its output is piped")?;
        let mut laboratory = Laboratory {
            manager,
            input,
            address: String::new(),
            servers: Vec::new(),
            counted: Vec::new(),
            _directory: directory,
        };
        let mut lines = BufReader::new(output).lines();
        let first = lines.next().context("the manager ended at once")??;
        let address = first.strip_prefix(LISTENS).with_context(|| format!("it says: {first}"))?;
        laboratory.address = address.trim_end_matches('.').to_owned();
        // What it goes on to print is read, so that it never waits for a full pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(laboratory)
    }

    /// Has the manager carry out a command, and gives its answer.
    pub fn ctl(&self, command: &str) -> Result<Value> {
        let output = Command::new(MANAGER)
            .args(["ctl", "--connect", &self.address, "--json", command])
            .stdin(Stdio::null())
            .output()?;
        let problem = String::from_utf8_lossy(&output.stderr);
        let answer = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{command}: {} {}", answer.trim(), problem.trim());
        serde_json::from_str(&answer).with_context(|| format!("{command}: {answer}"))
    }

    /// Moves a guest, waits for the end, and gives what the run's `result.json` says, and its
    /// directory. The guest must be there whole.
    pub fn migrate_into(
        &self,
        vm: &str,
        to: &str,
        scheme: &str,
        settings: &[String],
    ) -> Result<(Value, PathBuf)> {
        let settings: String = settings.iter().map(|one| format!(" --set {one}")).collect();
        let answer =
            self.ctl(&format!("migrate {vm} --to {to} --scheme {scheme}{settings} --wait"))?;
        let directory = answer["directory"].as_str().context("the answer names no directory")?;
        let directory = PathBuf::from(directory);
        let text = std::fs::read_to_string(directory.join("result.json"))?;
        let result: Value = serde_json::from_str(&text)?;
        if result["outcome"] != "completed" || result["digest_matches"] != true {
            bail!("the migration went wrong: {result}");
        }
        Ok((result, directory))
    }

    /// The process of a server.
    pub fn server_pid(&self, server: &str) -> Result<i32> {
        let listed = self.ctl("server list")?;
        let mut servers = listed["servers"].as_array().into_iter().flatten();
        let pid = servers.find(|one| one["name"] == server).and_then(|one| one["pid"].as_i64());
        Ok(i32::try_from(pid.with_context(|| format!("there is no server \"{server}\""))?)?)
    }

    /// Puts a server on a core, or on any.
    pub fn place(&self, server: &str, core: Option<usize>) -> Result<()> {
        let mut cores = CpuSet::new();
        let any = 0..CpuSet::count();
        core.map_or(any, |core| core..core + 1).try_for_each(|core| cores.set(core))?;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.server_pid(server)?))? {
            let thread = thread?.file_name();
            let thread = thread.to_str().and_then(|name| name.parse().ok());
            sched_setaffinity(Pid::from_raw(thread.context("a thread has a number")?), &cores)?;
        }
        Ok(())
    }

    /// The memory of a server.
    pub fn resident(&self, server: &str) -> Result<Resident> {
        let status = format!("/proc/{}/status", self.server_pid(server)?);
        let status = std::fs::read_to_string(status)?;
        let bytes = |key: &str| -> Result<u64> {
            let value = status.lines().find_map(|line| line.strip_prefix(key));
            let kib = value.and_then(|value| value.split_whitespace().next());
            Ok(kib.with_context(|| format!("no {key}"))?.parse::<u64>()? * 1024)
        };
        Ok(Resident { peak: bytes("VmHWM:")? })
    }

    /// Ends all of them, and fails where one had to be killed.
    pub fn end(mut self) -> Result<()> {
        if !self.counted.is_empty() {
            // The manager ends those alone that it has started.
            SERVERS.iter().try_for_each(|server| {
                self.ctl(&format!("server stop {server} --force")).map(drop)
            })?;
        }
        self.ctl("quit --force")?;
        self.input.take();
        let deadline = Instant::now() + END_DEADLINE;
        let mut alive = self.servers.clone();
        for mut server in self.counted.drain(..) {
            server.wait()?;
        }
        loop {
            let manager_ended = self.manager.try_wait()?.is_some();
            alive.retain(|pid| self.is_server(*pid));
            if manager_ended && alive.is_empty() {
                self.servers.clear();
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the manager or servers {alive:?} do not end");
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Whether a process is a server of this manager: its number may be another's by now.
    fn is_server(&self, pid: i32) -> bool {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&format!("--manager {} ", self.address))
    }
}

/// What fails in the midst leaves nothing behind.
impl Drop for Laboratory {
    fn drop(&mut self) {
        let _ = self.manager.kill();
        let _ = self.manager.wait();
        for server in self.servers.iter().filter(|pid| self.is_server(**pid)) {
            let _ = kill(Pid::from_raw(*server), Signal::SIGKILL);
        }
    }
}
