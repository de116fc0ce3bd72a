//! Real processes under test: a manager with its servers, its output line by line, and the
//! certainty that nothing of it is left behind.

use lazycopy_transport::{Purpose, knock};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The program under test.
pub const MANAGER: &str = env!("CARGO_BIN_EXE_manager");

/// The servers' program.
pub const SERVER: &str = env!("CARGO_BIN_EXE_server");

/// How long anything may take before a test gives up. It decides nothing but failures.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The pause between two looks at what tells nobody of its changes: the system's processes.
pub const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Settings under which a migration of the paper's guest takes an eighth of a second; the link's
/// latency is still far above a socket's.
pub const FAST: &str = "--set time_scale=1000 --set link.latency=4s";

/// A manager that reads commands from a pipe that the test holds.
pub struct Manager {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
    errors: Option<JoinHandle<String>>,
    /// Where it listens.
    pub address: String,
    /// Its working directory.
    pub directory: TempDir,
}

/// What a manager left when it had ended.
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// All that it printed.
    pub stdout: String,
    /// All its errors.
    pub stderr: String,
    /// Its working directory.
    pub directory: TempDir,
}

impl Manager {
    /// Starts one on a port that the system chooses.
    pub fn start(arguments: &[&str]) -> Manager {
        Manager::start_at("127.0.0.1:0", arguments)
    }

    /// Starts one that listens at `address`.
    pub fn start_at(address: &str, arguments: &[&str]) -> Manager {
        let directory = TempDir::new().expect("a directory for the test");
        Manager::start_in(directory, address, arguments)
    }

    /// Starts one in a directory, where another may have been before it.
    pub fn start_in(directory: TempDir, address: &str, arguments: &[&str]) -> Manager {
        let mut process = Command::new(MANAGER)
            .args(["--listen", address])
            .args(arguments)
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the manager starts");
        let stdin = process.stdin.take();
        let lines = lines_of(process.stdout.take().expect("it is piped"));
        let errors = Some(text_of(process.stderr.take().expect("it is piped")));
        let mut manager = Manager {
            process,
            stdin,
            lines,
            seen: Vec::new(),
            errors,
            address: String::new(),
            directory,
        };
        let line = manager.expect("The manager listens on ");
        let (_, address) = line.rsplit_once(' ').expect("the line ends with the address");
        manager.address = address.trim_end_matches('.').to_owned();
        manager
    }

    /// Two servers, "a" and "b".
    pub fn with_servers(arguments: &[&str]) -> Manager {
        let mut manager = Manager::start(arguments);
        for server in ["a", "b"] {
            manager.say(&format!("server start {server}"));
            manager.expect(&format!("Server \"{server}\" runs"));
        }
        manager
    }

    /// Kills it. Gives its directory and its address to the next.
    pub fn kill(mut self) -> (TempDir, String) {
        self.process.kill().expect("it is a child of this process");
        self.process.wait().expect("it is a child of this process");
        let directory = TempDir::new().expect("another one");
        (std::mem::replace(&mut self.directory, directory), self.address.clone())
    }

    /// What it has said that was read so far.
    pub fn said(&self) -> String {
        self.seen.join("\n")
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        writeln!(stdin, "{line}").expect("the manager reads");
    }

    /// Ends its standard input, and does not wait for what comes of it.
    pub fn close_input(&mut self) {
        self.stdin.take();
    }

    /// Reads its output until a line has `part` in it.
    pub fn expect(&mut self, part: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(end) => {
                    let seen = self.seen.join("\n");
                    let _ = self.process.kill();
                    let errors = self.errors.take().map(|errors| errors.join()).transpose();
                    panic!("no \"{part}\" in ({end}):\n{seen}\n{errors:?}")
                }
            }
        }
    }

    /// Sends a command by `manager ctl`.
    pub fn ctl(&self, command: &str) -> Output {
        ctl(&self.address, &[command])
    }

    /// The JSON of a command that succeeds.
    pub fn json(&self, command: &str) -> Value {
        let output = ctl(&self.address, &["--json", command]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}: {text}");
        serde_json::from_str(&text).expect("ctl --json prints JSON")
    }

    /// The process of one of its servers.
    pub fn server_pid(&self, server: &str) -> i32 {
        let servers = &self.json("server list")["servers"];
        let server =
            servers.as_array().and_then(|all| all.iter().find(|one| one["name"] == server));
        let pid = server.and_then(|server| server["pid"].as_i64()).expect("the server is listed");
        i32::try_from(pid).expect("it is a process")
    }

    /// The server that a guest is on, and what the guest does.
    pub fn whereabouts(&self, vm: &str) -> (String, String) {
        let shown = self.json(&format!("vm show {vm}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&shown["server"]), text(&shown["vm"]["summary"]["phase"]))
    }

    /// Ends its input, and waits for its end and that of all its servers.
    pub fn end(mut self) -> Ended {
        self.stdin.take();
        let status = wait(&mut self.process);
        self.ended(status)
    }

    /// Waits for its end, its input open.
    pub fn ended_by_itself(mut self) -> Ended {
        let status = wait(&mut self.process);
        self.ended(status)
    }

    fn ended(mut self, status: ExitStatus) -> Ended {
        await_no_servers(&self.address);
        self.seen.extend(self.lines.iter());
        let errors = self.errors.take().expect("nobody has taken it");
        Ended {
            code: status.code(),
            stdout: self.seen.join("\n"),
            stderr: errors.join().expect("its errors are read"),
            directory: std::mem::replace(&mut self.directory, TempDir::new().expect("another one")),
        }
    }
}

/// A test that fails leaves nothing behind either.
impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs `manager` to its end, without input.
pub fn manager(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(MANAGER)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("the manager runs")
}

/// Runs `manager ctl` to its end.
pub fn ctl(address: &str, arguments: &[&str]) -> Output {
    let mut all = vec!["ctl", "--connect", address];
    all.extend(arguments);
    manager(Path::new("."), &all)
}

/// Ends a process of this test at once.
pub fn kill_process(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is a process of this test");
}

/// Waits until no server of the manager at `address` runs.
pub fn await_no_servers(address: &str) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let left = servers_of(address);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "servers are left behind: {left:?}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Command lines of processes that are servers of the manager at `address`.
pub fn servers_of(address: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("the system lists its processes");
    let lines = processes.flatten().filter_map(|process| {
        let line = std::fs::read(process.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(&format!("--manager {address} "))).collect()
}

/// The directories of the runs in `results`, by name.
pub fn runs(directory: &Path) -> Vec<PathBuf> {
    let results = directory.join("results");
    let Ok(entries) = std::fs::read_dir(&results) else { return Vec::new() };
    // What begins with a dot is no run: the state, and what is being written.
    let is_run = |name: &std::ffi::OsStr| !name.to_string_lossy().starts_with('.');
    let runs = entries.flatten().filter(|entry| is_run(&entry.file_name()));
    let mut runs: Vec<PathBuf> = runs.map(|entry| entry.path()).collect();
    runs.sort();
    runs
}

/// The result in a run's directory.
pub fn result(run: &Path) -> Value {
    let text = std::fs::read_to_string(run.join("result.json")).expect("a run has a result");
    serde_json::from_str(&text).expect("it is JSON")
}

/// What a command printed where it failed.
pub fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn wait(process: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = process.try_wait().expect("it is a child of this process") {
            return status;
        }
        if Instant::now() > deadline {
            let _ = process.kill();
            panic!("the manager did not end");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn text_of(mut output: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = output.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Sends bytes and reads until the other side closes.
pub fn closed_after(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // It may be closed before all is written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => answer,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => answer,
        Err(error) => panic!("{address} did not close: {error}"),
    }
}

/// A payload as a frame.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(payload);
    frame
}

/// A connection that has knocked, and what is done with it.
pub fn knocked<T>(
    address: &str,
    purpose: Purpose,
    then: impl AsyncFnOnce(tokio::net::TcpStream) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("somebody listens");
        knock(&mut stream, purpose, None, None, &[]).await.expect("it is let in");
        tokio::time::timeout(DEADLINE, then(stream)).await.expect("it does not end")
    })
}
