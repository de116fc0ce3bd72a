//! Servers on this machine that the manager started: they end with it, however it ends.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};

/// How long a server that was started may take to introduce itself.
pub const INTRODUCTION_DEADLINE: Duration = Duration::from_secs(15);

/// How long a server that was asked to end may take before it is killed.
pub const END_DEADLINE: Duration = Duration::from_secs(5);

/// Last lines of a server's log that are kept to explain its death.
const LOG_LINES: usize = 5;

/// How long the end of an ended server's log is waited for.
const LOG_DEADLINE: Duration = Duration::from_secs(1);

/// The longest line of a server's log that is read at once.
const LOG_LINE_BYTES: u64 = 4 * 1024;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The program of the manager itself is not known to the system.
    #[error("the program to run as a server cannot be found: {0}")]
    NoProgram(std::io::Error),
    /// The process could not be started.
    #[error("{} cannot be run: {problem}", program.display())]
    NotRun {
        /// The program.
        program: PathBuf,
        /// What the system said.
        problem: std::io::Error,
    },
    /// The process ended at once.
    #[error("server \"{name}\" ended before it had introduced itself: {how}")]
    Died {
        /// The server.
        name: String,
        /// How, and the end of its log.
        how: String,
    },
    /// The process did not introduce itself in time.
    #[error(
        "server \"{name}\" did not introduce itself within {} s", INTRODUCTION_DEADLINE.as_secs()
    )]
    Late {
        /// The server.
        name: String,
    },
}

/// How servers are started: a program, and the arguments that go before all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// The arguments that make it a server.
    pub arguments: Vec<String>,
}

impl Launcher {
    /// The `server` program beside the running one where there is one, else the running one with
    /// its subcommand `server`.
    ///
    /// # Errors
    /// When the running program's own path is unknown.
    pub fn beside_this_program() -> Result<Launcher, LaunchError> {
        let this = std::env::current_exe().map_err(LaunchError::NoProgram)?;
        let name = format!("server{}", std::env::consts::EXE_SUFFIX);
        let beside = this.with_file_name(name);
        Ok(match beside.is_file() {
            true => Launcher { program: beside, arguments: Vec::new() },
            false => Launcher { program: this, arguments: vec!["server".to_owned()] },
        })
    }

    /// Starts a server of that name, for the manager that listens on `manager`. It is killed when
    /// its [`Child`] is dropped, and ends by itself when this process does.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn launch(
        &self,
        manager: SocketAddr,
        name: &str,
        frames: Option<u64>,
    ) -> Result<Child, LaunchError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command.args(["--manager", &reachable(manager).to_string(), "--name", name]);
        command.args(["--listen", "127.0.0.1:0", "--until-stdin-closes"]);
        if let Some(frames) = frames {
            command.args(["--frames", &frames.to_string()]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        // A Ctrl-C at the terminal is for the manager, which ends its servers in good order.
        #[cfg(unix)]
        command.process_group(0);
        let process = command
            .spawn()
            .map_err(|problem| LaunchError::NotRun { program: self.program.clone(), problem })?;
        Ok(Child::watch(process))
    }
}

/// The address under which a process on this machine reaches a listener.
fn reachable(mut listener: SocketAddr) -> SocketAddr {
    match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listener.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listener.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listener
}

/// A server that was started.
#[derive(Clone, Debug)]
pub struct Child {
    end: watch::Receiver<Option<String>>,
    kill: mpsc::Sender<()>,
}

impl Child {
    fn watch(mut process: tokio::process::Child) -> Self {
        let (ended, end) = watch::channel(None);
        let (kill, mut killed) = mpsc::channel(1);
        let log = tokio::spawn(last_lines(process.stderr.take()));
        tokio::spawn(async move {
            let status = tokio::select! {
                status = process.wait() => status,
                _ = killed.recv() => kill_and_wait(&mut process).await,
            };
            let log = tokio::time::timeout(LOG_DEADLINE, log).await;
            let log = log.ok().and_then(Result::ok).unwrap_or_default();
            let _ = ended.send(Some(describe(status, &log)));
        });
        Child { end, kill }
    }

    /// How the process ended, once it has.
    pub async fn ended(&self) -> String {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(how) => how.clone().unwrap_or_default(),
            Err(_) => "nobody watched it".to_owned(),
        }
    }

    /// Waits until the process has ended, but not for long: then it is killed.
    pub async fn end_or_kill(&self) {
        if tokio::time::timeout(END_DEADLINE, self.ended()).await.is_err() {
            self.kill().await;
        }
    }

    /// Kills the process and waits for its end.
    pub async fn kill(&self) {
        let _ = self.kill.try_send(());
        self.ended().await;
    }
}

async fn kill_and_wait(process: &mut tokio::process::Child) -> std::io::Result<ExitStatus> {
    process.start_kill()?;
    process.wait().await
}

/// Reads a log to its end and keeps its last lines.
async fn last_lines(log: Option<impl AsyncRead + Unpin>) -> VecDeque<String> {
    let mut last = VecDeque::new();
    let Some(log) = log else { return last };
    let mut log = BufReader::new(log);
    loop {
        let mut line = Vec::new();
        match (&mut log).take(LOG_LINE_BYTES).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return last,
            Ok(_) => {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                tracing::debug!(target: "server", "{line}");
                if last.len() == LOG_LINES {
                    last.pop_front();
                }
                last.push_back(line);
            }
        }
    }
}

fn describe(status: std::io::Result<ExitStatus>, log: &VecDeque<String>) -> String {
    let mut how = match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    for line in log {
        how.push_str("\n  ");
        how.push_str(line);
    }
    how
}
