//! A guest that stands by takes the place of one that arrives.

use lazycopy_guest::{Disk, Guest, GuestSpec, Memory, Registers, ResidentAtStart, WorkloadSpec};
use lazycopy_units::{Duration, Instant, PageNumber};
use std::path::PathBuf;
use std::sync::Arc;

fn workloads() -> Vec<WorkloadSpec> {
    let recording =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../traces/sort-500-numbers.lackey.gz");
    vec![
        WorkloadSpec::Queue { length: 100 },
        WorkloadSpec::List { pages: vec![PageNumber(3), PageNumber(17)] },
        WorkloadSpec::Zipf { exponent: 1.0 },
        WorkloadSpec::Sequential,
        WorkloadSpec::Trace { file: recording, instruction_time: Duration::from_nanos(10) },
    ]
}

#[test]
fn it_goes_on_as_if_it_had_been_opened_there() {
    for workload in workloads() {
        let spec = Arc::new(GuestSpec {
            seed: 4,
            pages: 1_000,
            frames: 1_000,
            think_time: Duration::from_nanos(7),
            write_fraction: 0.4,
            whole_page_fraction: 0.0,
            zero_fraction: 0.0,
            compressible_fraction: 0.0,
            workload,
            resident_at_start: ResidentAtStart::None,
        });
        let at = |accesses| Registers { accesses, digest: accesses, misses: 1 };
        let arriving = |accesses, disk| {
            let memory = Memory::new(spec.pages, spec.frames);
            Guest::arriving(Arc::clone(&spec), at(accesses), disk, memory).unwrap()
        };
        // Far ahead, not at all, just beyond a batch, and (against the rule) behind.
        for (position, arrival) in [(10, 3_010), (500, 500), (1, 258), (900, 100)] {
            let mut disk = Disk::new(spec.seed);
            disk.write_back(PageNumber(2), 77);
            let mut stood_by = arriving(position, Disk::new(spec.seed));
            stood_by = stood_by.arrive(at(arrival), disk.clone()).unwrap();
            let mut arrived = arriving(arrival, disk);
            assert_eq!(stood_by.registers(), at(arrival));
            for guest in [&mut stood_by, &mut arrived] {
                guest.run_to(Instant::ZERO, arrival + 2_000, Duration::ZERO).unwrap();
            }
            assert_eq!(stood_by.registers(), arrived.registers(), "{:?}", spec.workload);
            assert_eq!(stood_by.completed_at(), arrived.completed_at(), "{:?}", spec.workload);
            assert_eq!(stood_by.pages_digest(), arrived.pages_digest());
        }
    }
}
