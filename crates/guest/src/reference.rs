//! The reference run: the same guest, same seed, never migrated.

use crate::guest::Guest;
use crate::registers::Registers;
use crate::spec::GuestSpec;
use crate::workload::WorkloadError;
use lazycopy_units::{Duration, Instant};
use std::sync::Arc;

/// What a guest that was never migrated would have seen and done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its registers after the last access.
    pub registers: Registers,
    /// One hash over the stamps of all its pages then.
    pub pages_digest: u64,
    /// From the beginning of access number `from` to the completion of the last.
    pub measured_time: Duration,
}

/// Runs the guest from its start until `to` accesses are completed, loads taking `disk_latency`,
/// and times it from the beginning of access number `from`.
///
/// # Errors
/// When the workload fails on the way.
pub fn reference_run(
    spec: &Arc<GuestSpec>,
    disk_latency: Duration,
    from: u64,
    to: u64,
) -> Result<Reference, WorkloadError> {
    let mut guest = Guest::new(Arc::clone(spec))?;
    guest.run_to(Instant::ZERO, from, Duration::ZERO)?;
    let end = guest.run_to(Instant::ZERO, to.max(from), disk_latency)?;
    Ok(Reference {
        registers: guest.registers(),
        pages_digest: guest.pages_digest(),
        measured_time: end - Instant::ZERO,
    })
}
