//! Whether this machine has the memory for a guest whose pages are real bytes.
//!
//! The pool's frames are the administrator's word; this is the system's. A guest that the machine
//! has no room for would not be refused by the system but killed, and the server with it, when its
//! pages are written.

use lazycopy_guest::GuestSpec;
use lazycopy_migration::{BeforeHandover, MigrationParameters, PushOrder};
use lazycopy_units::PAGE_BYTES;
use std::fs;

/// Where Linux tells it.
const MEMINFO: &str = "/proc/meminfo";

/// The memory of a machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// What can be had without pushing others out.
    available: u64,
    /// All that there is.
    total: u64,
}

impl Room {
    /// That of this machine now; `None` where the system does not tell.
    pub(crate) fn here() -> Option<Room> {
        Room::told(&fs::read_to_string(MEMINFO).ok()?)
    }

    fn told(meminfo: &str) -> Option<Room> {
        let kilobytes = |key: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
            line.strip_prefix(':')?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        };
        let bytes = |key| Some(kilobytes(key)?.saturating_mul(1 << 10));
        Some(Room { available: bytes("MemAvailable")?, total: bytes("MemTotal")? })
    }

    /// Refuses a guest whose frames do not fit. Where its source `frees` as much of this machine
    /// meanwhile, what is available does not count.
    ///
    /// # Errors
    /// In words, with what it needs and what there is.
    pub(crate) fn check(&self, vm: &str, spec: &GuestSpec, frees: bool) -> Result<(), String> {
        let needed = u64::from(spec.frames) * PAGE_BYTES;
        let (has, what) =
            if frees { (self.total, "in all") } else { (self.available, "available") };
        if needed <= has {
            return Ok(());
        }
        Err(format!(
            "guest \"{vm}\" needs {} MiB of memory for its {} frames, this machine has {} MiB \
             {what}: give it fewer guest.frames, or make room",
            needed.div_ceil(1 << 20),
            spec.frames,
            has >> 20,
        ))
    }
}

/// Whether the source of a migration gives its memory back as fast as the destination takes it:
/// nothing is held twice before the hand-over, and what is sent makes whole huge pages. If the
/// source is on this machine, the guest then needs no more than it has already.
pub(crate) fn frees_meanwhile(spec: &GuestSpec, parameters: &MigrationParameters) -> bool {
    let parts = parameters.scheme.parts();
    parts.before_handover == BeforeHandover::Nothing
        && !parts.yields
        && parameters.push_order == PushOrder::Address
        && spec.frames == spec.pages
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_guest::{ResidentAtStart, WorkloadSpec};
    use lazycopy_migration::{PrePaging, RoundParameters, Scheme};
    use lazycopy_units::Duration;

    const MEBIBYTE: u64 = 1 << 20;

    fn guest(frames: u32) -> GuestSpec {
        GuestSpec {
            seed: 1,
            pages: 1 << 10,
            frames,
            think_time: Duration::ZERO,
            write_fraction: 0.0,
            whole_page_fraction: 0.0,
            zero_fraction: 0.0,
            compressible_fraction: 0.0,
            workload: WorkloadSpec::Sequential,
            resident_at_start: ResidentAtStart::All,
        }
    }

    #[test]
    fn a_guest_fits_what_is_available_to_the_page() {
        let room = Room { available: 2 * MEBIBYTE, total: 8 * MEBIBYTE };
        assert_eq!(room.check("g", &guest(512), false), Ok(()));
        let refusal = room.check("g", &guest(513), false).unwrap_err();
        assert!(refusal.contains("\"g\" needs 3 MiB"), "{refusal}");
        assert!(refusal.contains("513 frames") && refusal.contains("2 MiB available"), "{refusal}");
    }

    #[test]
    fn where_the_source_frees_as_much_the_whole_machine_counts() {
        let room = Room { available: MEBIBYTE, total: 2 * MEBIBYTE };
        assert_eq!(room.check("g", &guest(512), true), Ok(()));
        let refusal = room.check("g", &guest(513), true).unwrap_err();
        assert!(refusal.contains("3 MiB") && refusal.contains("2 MiB in all"), "{refusal}");
    }

    #[test]
    fn a_source_frees_what_is_pushed_by_address_of_a_guest_that_does_not_page() {
        let moved = |scheme, push_order| MigrationParameters {
            scheme,
            push_order,
            context_bytes: 0,
            head_start: 0,
            max_lead: None,
            fault_penalty: Duration::ZERO,
            disk_latency_source: Duration::ZERO,
            disk_latency_destination: Duration::ZERO,
            measured_accesses: 1,
            rounds: RoundParameters::default(),
            pre_paging: PrePaging::default(),
            whole_page_writes: false,
            push_rate: None,
            checkpoint: false,
        };
        let all = guest(1 << 10);
        for scheme in Scheme::ALL {
            let frees = frees_meanwhile(&all, &moved(scheme, PushOrder::Address));
            assert_eq!(frees, matches!(scheme, Scheme::PostCopy | Scheme::LazyCopy), "{scheme}");
            assert!(!frees_meanwhile(&all, &moved(scheme, PushOrder::Lru)));
            assert!(!frees_meanwhile(&guest(512), &moved(scheme, PushOrder::Address)));
        }
    }

    #[test]
    fn what_the_system_tells_is_read_to_the_kilobyte() {
        let told = "MemTotal:       24653052 kB\nMemFree:  1 kB\nMemAvailable:   9 kB\n";
        let (available, total) = (9 << 10, 24_653_052 << 10);
        assert_eq!(Room::told(told), Some(Room { available, total }));
        assert_eq!(Room::told("MemTotal: 9 kB\n"), None);
        assert_eq!(Room::told("MemTotal: 9 kB\nMemAvailable: nine kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_tells_its_memory() {
        let room = Room::here().unwrap();
        assert!(0 < room.available && room.available <= room.total);
    }
}
