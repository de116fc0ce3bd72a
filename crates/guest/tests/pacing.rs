//! What the dirty log costs a guest, by the way that it paces its accesses.

use lazycopy_guest::{Guest, GuestSpec, ResidentAtStart, Stop, WorkloadSpec};
use lazycopy_units::{Duration, Instant, PageNumber};
use std::sync::Arc;

const PAGES: u32 = 4;

/// When the accesses of a writer begin that writes each page twice in turn, one every 10 ns, while
/// the first write to each page costs `cost`.
fn begins(cost: u64, keeps_pace: bool, throttle_percent: u8) -> Vec<u64> {
    let mut guest = Guest::new(Arc::new(GuestSpec {
        seed: 1,
        pages: PAGES,
        frames: PAGES,
        think_time: Duration::from_nanos(10),
        write_fraction: 1.0,
        whole_page_fraction: 0.0,
        zero_fraction: 0.0,
        compressible_fraction: 0.0,
        workload: WorkloadSpec::Sequential,
        resident_at_start: ResidentAtStart::All,
    }))
    .unwrap();
    for page in 0..PAGES {
        guest.memory_mut().watch_write(PageNumber(page));
    }
    guest.set_first_write_cost(Duration::from_nanos(cost));
    guest.set_keeps_pace(keeps_pace);
    guest.set_throttle(throttle_percent);
    guest.resume(Instant::ZERO);
    let mut begins = Vec::new();
    while begins.len() < 2 * PAGES as usize {
        assert_eq!(guest.run(Instant::MAX, 1), Stop::Budget);
        begins.push(guest.completed_at().as_nanos());
    }
    begins
}

#[test]
fn a_cost_is_added_to_the_think_time() {
    assert_eq!(begins(4, false, 0), [0, 14, 28, 42, 56, 66, 76, 86]);
}

#[test]
fn a_cost_hides_in_the_think_time_of_a_guest_that_keeps_its_pace() {
    assert_eq!(begins(4, true, 0), [0, 10, 20, 30, 40, 50, 60, 70]);
    assert_eq!(begins(10, true, 0), [0, 10, 20, 30, 40, 50, 60, 70]);
}

#[test]
fn what_is_longer_than_the_think_time_is_lost_for_good() {
    assert_eq!(begins(25, true, 0), [0, 25, 50, 75, 100, 110, 120, 130]);
}

#[test]
fn a_throttled_guest_takes_longer_over_the_cost_too() {
    assert_eq!(begins(25, true, 50), [0, 50, 100, 150, 200, 220, 240, 260]);
}
