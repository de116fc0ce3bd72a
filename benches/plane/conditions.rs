//! Under what a figure was had: the machine, and what else it did meanwhile.

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};
use std::fs::read_to_string;
use std::time::Duration;

/// Processors that others may use while something counts as undisturbed.
pub const UNDISTURBED: f64 = 0.15;

/// How long it must have been quiet before a measurement begins.
const QUIET: Duration = Duration::from_secs(1);

/// What the clocks of the machine and of this process say at one time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// The monotonic clock, which all processes share, in seconds.
    pub at: f64,
    /// How long all processors together have not been idle, in seconds (ticks of 10 ms).
    pub busy: f64,
    /// Processor time that this process has had, in seconds.
    pub own: f64,
}

impl Moment {
    /// Reads the clocks.
    pub fn now() -> Result<Moment> {
        let seconds = |clock| clock_gettime(clock).map(|time| Duration::from(time).as_secs_f64());
        Ok(Moment {
            busy: busy()?,
            own: seconds(ClockId::CLOCK_PROCESS_CPUTIME_ID)?,
            at: seconds(ClockId::CLOCK_MONOTONIC)?,
        })
    }
}

/// How many processors were busy with something else between two moments, when the measured
/// processes had `own` seconds of processor time themselves.
pub fn others(first: &Moment, last: &Moment, own: f64) -> f64 {
    ((last.busy - first.busy - own) / (last.at - first.at)).max(0.0)
}

/// Waits for quiet moments while its patience lasts, all waits together.
#[derive(Debug)]
pub struct Patience {
    left: f64,
}

impl Patience {
    /// Patience for so many seconds.
    pub fn of(seconds: u32) -> Patience {
        Patience { left: f64::from(seconds) }
    }

    /// Whether there is any left.
    pub fn lasts(&self) -> bool {
        self.left > 0.0
    }

    /// Waits until others use next to nothing of the processors.
    pub fn await_quiet(&mut self) -> Result<()> {
        while self.lasts() {
            let first = Moment::now()?;
            std::thread::sleep(QUIET);
            let last = Moment::now()?;
            if others(&first, &last, 0.0) <= UNDISTURBED {
                return Ok(());
            }
            self.left -= last.at - first.at;
        }
        Ok(())
    }
}

/// Prints what does not change from one figure to the next.
pub fn print() {
    println!("machine: {}", machine());
    println!("load average: {}", load());
    println!("system's congestion control: {}", setting("sys/net/ipv4/tcp_congestion_control"));
}

/// Processor, cores and kernel.
fn machine() -> String {
    let processors = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores, Linux {}", setting("sys/kernel/osrelease"))
}

/// Processes that ran or waited to, on average over the last 1, 5 and 15 minutes.
fn load() -> String {
    setting("loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn setting(name: &str) -> String {
    read_to_string(format!("/proc/{name}")).unwrap_or_default().trim().to_owned()
}

/// Time of all processors together but idle time and waits for the disk, in seconds.
fn busy() -> Result<f64> {
    let stat = read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).flat_map(str::parse).collect();
    let [user, nice, system, _idle, _waiting, interrupts, soft, steal, ..] = ticks[..] else {
        anyhow::bail!("/proc/stat says: {line}");
    };
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the system has no tick")?;
    Ok((user + nice + system + interrupts + soft + steal) as f64 / per_second as f64)
}
