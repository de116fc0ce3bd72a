//! Under what a figure was had: the machine, and what else it did.

use std::fs::read_to_string;

/// Prints them.
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
pub fn load() -> String {
    setting("loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn setting(name: &str) -> String {
    read_to_string(format!("/proc/{name}")).unwrap_or_default().trim().to_owned()
}
