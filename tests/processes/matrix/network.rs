//! Where the processes of a cell are: on loopback, or each in a network namespace of its own.

use crate::common::MANAGER;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Who is where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    Manager,
    Source,
    Destination,
    /// A third server, which no failure meets.
    Refuge,
}

/// All hosts: their namespace's last letter, and the last byte of their address.
const HOSTS: [(Host, &str, u8); 4] = [
    (Host::Manager, "m", 1),
    (Host::Source, "a", 2),
    (Host::Destination, "b", 3),
    (Host::Refuge, "c", 4),
];

/// Networks that this process has made: names that no other has.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A network, until it is dropped.
pub enum Network {
    /// This machine's loopback.
    Loopback,
    /// A namespace for each host on a bridge, and a wire of their own for source and destination.
    Namespaces {
        /// What their names begin with.
        mark: String,
    },
}

impl Network {
    /// A new network of namespaces.
    pub fn namespaces() -> Result<Network, String> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let mark = format!("lzm{}x{number}", std::process::id());
        let lan = format!("{mark}-lan");
        // From here on it is taken down again, however far it got.
        let network = Network::Namespaces { mark: mark.clone() };
        ip(&format!("netns add {lan}"))?;
        ip(&format!("-netns {lan} link add name lan type bridge"))?;
        ip(&format!("-netns {lan} link set lan up"))?;
        for (_, letter, byte) in HOSTS {
            let space = format!("{mark}-{letter}");
            ip(&format!("netns add {space}"))?;
            ip(&format!("-netns {space} link set lo up"))?;
            let pair = format!("link add name to-{letter} type veth peer name eth0 netns {space}");
            ip(&format!("-netns {lan} {pair}"))?;
            ip(&format!("-netns {lan} link set to-{letter} master lan up"))?;
            ip(&format!("-netns {space} address add 10.20.30.{byte}/24 dev eth0"))?;
            ip(&format!("-netns {space} link set eth0 up"))?;
        }
        let (source, destination) = (format!("{mark}-a"), format!("{mark}-b"));
        let pair = format!("link add name wire type veth peer name wire netns {destination}");
        ip(&format!("-netns {source} {pair}"))?;
        for (space, byte) in [(source, 2), (destination, 3)] {
            ip(&format!("-netns {space} address add 10.20.31.{byte}/24 dev wire"))?;
            ip(&format!("-netns {space} link set wire up"))?;
        }
        Ok(network)
    }

    /// A command there.
    pub fn command(&self, host: Host, program: &str) -> Command {
        let mut command = match self {
            Network::Loopback => Command::new(program),
            Network::Namespaces { .. } => {
                // It becomes the program: the process is the same.
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &self.space(host), program]);
                command
            }
        };
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// Where a process listens, its port chosen by the system.
    pub fn listens_at(&self, host: Host) -> String {
        match self {
            Network::Loopback => "127.0.0.1:0".to_owned(),
            Network::Namespaces { .. } => format!("10.20.30.{}:0", of(host).2),
        }
    }

    /// Where the relay before the destination listens.
    pub fn wire_listens_at(&self) -> &'static str {
        match self {
            Network::Loopback => "127.0.0.1:0",
            Network::Namespaces { .. } => "10.20.31.3:0",
        }
    }

    /// What every process is given to be let in.
    pub fn options(&self, directory: &Path) -> Result<Vec<String>, String> {
        if let Network::Loopback = self {
            return Ok(Vec::new());
        }
        let token = directory.join("cluster.token").display().to_string();
        if !Path::new(&token).exists() {
            let made = Command::new(MANAGER).args(["token", "--out", &token]).output();
            made.map_err(|error| error.to_string())?;
        }
        Ok(vec!["--token-file".to_owned(), token])
    }

    /// Cuts the wire itself, so that nothing comes through and nobody is told, or mends it. Returns
    /// whether there is one.
    pub fn cut_wire(&self, is_cut: bool) -> Result<bool, String> {
        if let Network::Loopback = self {
            return Ok(false);
        }
        let way = if is_cut { "down" } else { "up" };
        ip(&format!("-netns {} link set wire {way}", self.space(Host::Source)))?;
        Ok(true)
    }

    /// Has the wire itself deliver later by so much. Returns whether there is one, and the kernel can.
    pub fn delay_wire(&self, delay: Duration) -> bool {
        let Network::Namespaces { .. } = self else { return false };
        let by = delay.as_millis();
        let rule = format!("qdisc add dev wire root netem delay {by}ms");
        let space = self.space(Host::Source);
        run("tc", &format!("-netns {space} {rule}")).is_ok()
    }

    /// Does something where the destination is.
    pub fn in_destination<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.spawn_in_destination(what).join().expect("it does not panic")
    }

    /// A thread where the destination is.
    pub fn spawn_in_destination<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let space = match self {
            Network::Loopback => None,
            Network::Namespaces { .. } => Some(self.space(Host::Destination)),
        };
        std::thread::spawn(move || {
            if let Some(space) = space {
                let space = File::open(format!("/run/netns/{space}")).expect("it was made");
                setns(space, CloneFlags::CLONE_NEWNET).expect("root may go there");
            }
            what()
        })
    }

    fn space(&self, host: Host) -> String {
        match self {
            Network::Loopback => String::new(),
            Network::Namespaces { mark } => format!("{mark}-{}", of(host).1),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Network::Namespaces { mark } = self {
            for letter in HOSTS.map(|(_, letter, _)| letter).into_iter().chain(["lan"]) {
                let _ = ip(&format!("netns delete {mark}-{letter}"));
            }
        }
    }
}

fn of(host: Host) -> (Host, &'static str, u8) {
    HOSTS.into_iter().find(|(it, ..)| *it == host).expect("all are there")
}

fn ip(arguments: &str) -> Result<(), String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &str) -> Result<(), String> {
    let done = Command::new(program).args(arguments.split(' ')).output();
    let done = done.map_err(|error| format!("{program} is missing: {error}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    match done.status.success() {
        true => Ok(()),
        false => Err(format!("{program} {arguments}: {}", said.trim())),
    }
}
