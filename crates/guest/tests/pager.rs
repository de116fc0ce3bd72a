//! The pager against the paper's own listing.

use lazycopy_guest::{Guest, GuestSpec, Memory, ResidentAtStart, WorkloadSpec};
use lazycopy_units::{Duration, Instant, PageNumber};
use proptest::prelude::*;
use std::sync::Arc;

/// The paper's `memoryReplacementLRU`: an array that is searched and shifted, least recently used
/// first.
#[derive(Default)]
struct ShiftingArray {
    memory: Vec<u32>,
    misses: u64,
}

impl ShiftingArray {
    fn access(&mut self, page: u32, memory_size: usize) {
        match self.memory.iter().position(|resident| *resident == page) {
            None => {
                self.misses += 1;
                if self.memory.len() == memory_size {
                    self.memory.remove(0);
                }
                self.memory.push(page);
            }
            Some(position) => {
                let page = self.memory.remove(position);
                self.memory.push(page);
            }
        }
    }
}

fn guest(pages: u32, frames: u32, write_fraction: f64, list: &[u32]) -> Guest {
    let workload = WorkloadSpec::List { pages: list.iter().copied().map(PageNumber).collect() };
    Guest::new(Arc::new(GuestSpec {
        seed: 5,
        pages,
        frames,
        think_time: Duration::from_nanos(1),
        write_fraction,
        whole_page_fraction: 0.0,
        zero_fraction: 0.0,
        compressible_fraction: 0.0,
        workload,
        resident_at_start: ResidentAtStart::None,
    }))
    .unwrap()
}

proptest! {
    #[test]
    fn memory_is_what_the_papers_listing_makes_of_it(
        list in proptest::collection::vec(0u32..50, 1..300),
        frames in 1u32..=50,
        write_fraction in prop_oneof![Just(0.0), Just(0.5)],
    ) {
        let mut guest = guest(50, frames, write_fraction, &list);
        let mut reference = ShiftingArray::default();
        for (access, page) in list.iter().cycle().take(2 * list.len()).enumerate() {
            reference.access(*page, frames as usize);
            guest.run_to(Instant::ZERO, access as u64 + 1, Duration::ZERO).unwrap();
            let memory: Vec<u32> = guest.memory().iter_lru().map(|page| page.0).collect();
            prop_assert_eq!(&memory, &reference.memory);
            prop_assert_eq!(guest.registers().misses, reference.misses);
        }
    }

    /// Registers, disk and workload position are all that a guest needs to go on elsewhere, its
    /// memory aside: what it sees is the same.
    #[test]
    fn a_guest_that_arrives_elsewhere_sees_the_same(
        list in proptest::collection::vec(0u32..20, 1..100),
        first in 0u64..200,
        then in 0u64..200,
    ) {
        let mut stays = guest(20, 7, 0.5, &list);
        stays.run_to(Instant::ZERO, first, Duration::ZERO).unwrap();
        let mut disk = stays.disk().clone();
        for page in stays.memory().iter_lru() {
            disk.write_back(page, stays.stamp(page));
        }
        let memory = Memory::new(20, 7);
        let mut moved =
            Guest::arriving(Arc::clone(stays.spec()), stays.registers(), disk, memory).unwrap();
        stays.run_to(Instant::ZERO, first + then, Duration::ZERO).unwrap();
        moved.run_to(Instant::ZERO, first + then, Duration::ZERO).unwrap();
        prop_assert_eq!(moved.registers().digest, stays.registers().digest);
        prop_assert_eq!(moved.pages_digest(), stays.pages_digest());
    }
}

#[test]
fn an_abandoned_access_is_taken_again_and_counted_once() {
    let mut guest = guest(4, 2, 0.0, &[0, 1, 2, 3]);
    guest.resume(Instant::ZERO);
    guest.run(Instant::MAX, 10);
    assert_eq!(guest.blocked_on().map(|(page, _)| page), Some(PageNumber(0)));
    guest.begin_load(Instant::ZERO, Duration::from_secs(1));
    guest.suspend();
    assert_eq!((guest.registers().accesses, guest.registers().misses), (0, 0));
    guest.resume(Instant::from_nanos(50));
    guest.run(Instant::MAX, 10);
    assert_eq!(guest.blocked_on(), Some((PageNumber(0), Instant::from_nanos(50))));
    assert_eq!(guest.registers().misses, 1);
}

#[test]
fn think_time_runs_from_the_completion_of_the_access_before() {
    let mut guest = guest(4, 4, 0.0, &[0, 1, 0, 1]);
    let end = guest.run_to(Instant::ZERO, 3, Duration::from_nanos(10)).unwrap();
    // At 0 a miss of 10, a think time of 1, a miss of 10, a think time of 1, a hit.
    assert_eq!(end, Instant::from_nanos(22));
}
