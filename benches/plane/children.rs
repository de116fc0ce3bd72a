//! This program again, as processes of their own that answer in lines of JSON.

use crate::{roundtrip, stream};
use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a child may take to its next line. The slowest, 4 GiB filled and sent on a machine that
/// does much else, takes some ten seconds.
const DEADLINE: Duration = Duration::from_secs(120);

/// The pause between two looks at whether a child has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// What a child is to do, and on which core; anywhere where it has none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// Its part.
    pub part: Part,
    /// Its core.
    pub core: Option<usize>,
}

/// The parts that a child can play.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Sends a stream to who connects.
    Send(stream::Transfer),
    /// Receives a stream from the address.
    Receive(stream::Transfer, SocketAddr),
    /// Sends requests to the address, one at a time.
    Ask(roundtrip::Exchange, SocketAddr),
    /// Answers requests.
    Answer(roundtrip::Exchange),
}

/// The first line of a child that listens.
#[derive(Serialize, Deserialize)]
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
}

/// A child that runs. It is killed where it is dropped before its end.
pub struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
}

impl Child {
    /// Starts this program with a role.
    pub fn start(part: Part, core: Option<usize>) -> Result<Child> {
        let role = serde_json::to_string(&Role { part, core })?;
        let mut process = Command::new(std::env::current_exe()?)
            .args(["child", &role])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("this program cannot be started again")?;
        let output = process.stdout.take().context("its output is piped")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Child { process, lines })
    }

    /// Its next line.
    pub fn line<T: DeserializeOwned>(&self) -> Result<T> {
        let line = self.lines.recv_timeout(DEADLINE);
        let line = line.with_context(|| format!("child {} said nothing", self.process.id()))?;
        serde_json::from_str(&line).with_context(|| format!("a child said: {line}"))
    }

    /// Its last line, when it has ended well.
    pub fn end<T: DeserializeOwned>(mut self) -> Result<T> {
        let last = self.line()?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.process.try_wait()? {
                Some(status) if status.success() => return Ok(last),
                Some(status) => bail!("a child failed: {status}"),
                None if Instant::now() > deadline => bail!("a child does not end"),
                None => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Does what a child is to do.
pub fn play(role: &Role) -> Result<()> {
    if let Some(core) = role.core {
        let mut cores = CpuSet::new();
        cores.set(core)?;
        sched_setaffinity(Pid::from_raw(0), &cores)
            .with_context(|| format!("core {core} cannot be had"))?;
    }
    match &role.part {
        Part::Send(transfer) => say(&transfer.send()?),
        Part::Receive(transfer, address) => say(&transfer.receive(*address)?),
        Part::Ask(exchange, address) => say(&exchange.ask(*address)?),
        Part::Answer(exchange) => say(&exchange.answer()?),
    }
}

/// Says a line to the parent.
pub fn say(line: &impl Serialize) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(line)?)?;
    Ok(output.flush()?)
}
