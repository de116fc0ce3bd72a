//! What the system says of a manager and its servers over time, and whether it grows.

use super::{Laboratory, Process, megabytes, servers_of};
use std::time::Duration;

/// The processes at one instant.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Migrations that had ended.
    pub migrations: f64,
    /// The lasting servers.
    lasting: usize,
    /// Bytes of the manager.
    pub manager_memory: f64,
    /// Its descriptors.
    pub manager_descriptors: f64,
    /// Bytes of the lasting servers in all.
    pub servers_memory: f64,
    /// Their descriptors in all.
    pub servers_descriptors: f64,
    /// The manager and all its servers.
    pub processes: f64,
}

impl Sample {
    /// Looks at a manager and its lasting servers after so many migrations.
    pub fn take(laboratory: &Laboratory, lasting: &[Process], migrations: u64) -> Sample {
        let manager = laboratory.process();
        let sum = |of: fn(Process) -> f64| lasting.iter().map(|server| of(*server)).sum();
        Sample {
            migrations: migrations as f64,
            lasting: lasting.len(),
            manager_memory: manager.resident() as f64,
            manager_descriptors: manager.descriptors() as f64,
            servers_memory: sum(|server| server.resident() as f64),
            servers_descriptors: sum(|server| server.descriptors() as f64),
            processes: servers_of(&laboratory.address).len() as f64 + 1.0,
        }
    }

    /// Prints it.
    pub fn print(&self, after: Duration) {
        println!(
            "{:>5.0} s {:>6} migrations: manager {}, {} descriptors; {} lasting servers {}, \
             {} descriptors; {} processes",
            after.as_secs_f64(),
            self.migrations,
            megabytes(self.manager_memory as u64),
            self.manager_descriptors,
            self.lasting,
            megabytes(self.servers_memory as u64),
            self.servers_descriptors,
            self.processes
        );
    }
}

/// The slope of the least-squares line through the points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len().max(1) as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let over: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let under: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if under == 0.0 { 0.0 } else { over / under }
}

/// Prints the last quarter beside the first. Gives by how much it grows with each migration, the
/// first quarter left out.
pub fn compare(what: &str, unit: f64, samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let quarter = samples.len().div_ceil(4);
    let most = |part: &[Sample]| part.iter().map(of).fold(0.0, f64::max);
    let (first, last) = (most(&samples[..quarter]), most(&samples[samples.len() - quarter..]));
    let points: Vec<(f64, f64)> =
        samples[quarter..].iter().map(|sample| (sample.migrations, of(sample))).collect();
    let slope = slope(&points);
    println!(
        "{what}: most in the first quarter {:.1}, in the last {:.1}; {:+.3} for each 1000 \
         migrations (least squares, the first quarter left out)",
        first / unit,
        last / unit,
        slope * 1000.0 / unit,
    );
    slope
}
