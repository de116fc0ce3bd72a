//! A guest whose pages are real bytes is the same guest.

use lazycopy_guest::{
    Disk, Guest, GuestSpec, Memory, PageContents, ResidentAtStart, WorkloadSpec, first_stamp,
};
use lazycopy_units::{Duration, Instant, PageNumber};
use proptest::prelude::*;
use std::sync::Arc;

const PAGE: usize = 4_096;

fn spec(pages: u32, frames: u32, workload: WorkloadSpec) -> GuestSpec {
    GuestSpec {
        seed: 5,
        pages,
        frames,
        think_time: Duration::from_nanos(1),
        write_fraction: 0.4,
        whole_page_fraction: 0.3,
        zero_fraction: 0.25,
        compressible_fraction: 0.25,
        workload,
        resident_at_start: ResidentAtStart::None,
    }
}

fn any_spec() -> impl Strategy<Value = GuestSpec> {
    let workload = prop_oneof![
        (1u32..200).prop_map(|length| WorkloadSpec::Queue { length }),
        Just(WorkloadSpec::Zipf { exponent: 1.0 }),
        Just(WorkloadSpec::Sequential),
    ];
    let fraction = || prop_oneof![Just(0.0), Just(0.4), Just(1.0)];
    (1u32..120, 0.0..1.0, workload, (fraction(), fraction()), 0usize..3, any::<u64>()).prop_map(
        |(pages, share, workload, (write_fraction, whole_page_fraction), at_start, seed)| {
            let frames = if at_start == 0 { 1 + (share * f64::from(pages)) as u32 } else { pages };
            let resident_at_start =
                if at_start == 2 { ResidentAtStart::All } else { ResidentAtStart::None };
            GuestSpec {
                seed,
                write_fraction,
                whole_page_fraction,
                resident_at_start,
                ..spec(pages, frames.min(pages), workload)
            }
        },
    )
}

/// Every resident page has its bytes; and where a guest pages, no other has any.
fn check_bytes(guest: &Guest) {
    let (contents, memory) = (PageContents::of(guest.spec()), guest.memory());
    let bytes = memory.bytes().expect("its pages are real bytes");
    for page in (0..guest.spec().pages).map(PageNumber) {
        match memory.stamp(page) {
            Some(stamp) => assert!(contents.matches(page, stamp, bytes.page(page)), "page {page}"),
            None if memory.frames() < guest.spec().pages => {
                assert_eq!(bytes.page(page), &[0; PAGE], "page {page}");
            }
            None => {}
        }
    }
}

/// Registers, memory in its order, and every stamp.
fn check_equal(guest: &Guest, other: &Guest) {
    assert_eq!(guest.registers(), other.registers());
    assert_eq!(guest.snapshot(usize::MAX).resident, other.snapshot(usize::MAX).resident);
    assert_eq!(guest.pages_digest(), other.pages_digest());
}

fn run(guest: &mut Guest, accesses: u64) {
    let end = guest.registers().accesses + accesses;
    guest.run_to(Instant::ZERO, end, Duration::from_nanos(3)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn it_sees_does_and_holds_the_same(
        spec in any_spec(),
        steps in proptest::collection::vec(0u64..300, 1..5),
    ) {
        let spec = Arc::new(spec);
        let mut ordinary = Guest::new(Arc::clone(&spec)).unwrap();
        let mut in_pages = Guest::new_in_pages(spec).unwrap();
        for accesses in steps {
            check_equal(&in_pages, &ordinary);
            check_bytes(&in_pages);
            run(&mut ordinary, accesses);
            run(&mut in_pages, accesses);
        }
        check_equal(&in_pages, &ordinary);
        check_bytes(&in_pages);
    }

    /// As a migration does it: pages are received into place, some of them again, into a memory
    /// with a frame for each; and then it becomes the guest's, for the frames that there are.
    #[test]
    fn its_pages_can_be_received_into_place(
        spec in any_spec(),
        before in 0u64..300,
        between in 0u64..100,
    ) {
        let spec = Arc::new(spec);
        let mut guest = Guest::new_in_pages(Arc::clone(&spec)).unwrap();
        let mut staged = Memory::in_pages(spec.pages, &spec).unwrap();
        let mapped_at = staged.bytes().unwrap().page(PageNumber(0)).as_ptr();
        for accesses in [before, between] {
            run(&mut guest, accesses);
            let order: Vec<PageNumber> = guest.memory().iter_lru().collect();
            for page in order {
                let received = *guest.memory().bytes().unwrap().page(page);
                *staged.bytes_mut().unwrap().page_mut(page) = received;
                staged.replace(page, guest.stamp(page), guest.memory().is_dirty(page));
            }
        }
        for page in (0..spec.pages).map(PageNumber) {
            if staged.contains(page) && !guest.memory().contains(page) {
                staged.remove(page);
            }
        }
        staged.set_frames(spec.frames);
        let (registers, disk) = (guest.registers(), guest.disk().clone());
        let mut arrived = Guest::arriving(spec, registers, disk, staged).unwrap();
        check_equal(&arrived, &guest);
        check_bytes(&arrived);
        prop_assert_eq!(arrived.memory().bytes().unwrap().page(PageNumber(0)).as_ptr(), mapped_at);
        run(&mut guest, 200);
        run(&mut arrived, 200);
        prop_assert_eq!(arrived.registers().digest, guest.registers().digest);
        check_equal(&arrived, &guest);
        check_bytes(&arrived);
    }
}

#[test]
fn a_page_that_nobody_put_in_place_is_made() {
    let spec = spec(64, 64, WorkloadSpec::Sequential);
    let contents = PageContents::of(&spec);
    let mut memory = Memory::in_pages(64, &spec).unwrap();
    for page in (0..64).map(PageNumber) {
        // Nothing of it is there, or a part.
        let mut whole = [0; PAGE];
        contents.fill(page, 1, &mut whole);
        let there = page.index() * PAGE / 64;
        memory.bytes_mut().unwrap().page_mut(page)[..there].copy_from_slice(&whole[..there]);
        match page.0 % 4 {
            0 => assert_eq!(memory.install_most_recent(page, 42, true), None),
            1 => memory.install_least_recent(page, 42, true),
            2 => assert_eq!(memory.load(page, || 42), None),
            _ => memory.replace(page, 42, false),
        }
        assert!(contents.matches(page, 42, memory.bytes().unwrap().page(page)), "page {page}");
    }
}

#[test]
fn taken_back_it_keeps_its_mapping() {
    for frames in [20, 50] {
        let spec = Arc::new(spec(50, frames, WorkloadSpec::Zipf { exponent: 0.5 }));
        let mut guest = Guest::new_in_pages(Arc::clone(&spec)).unwrap();
        run(&mut guest, 400);
        let (registers, disk) = (guest.registers(), guest.disk().clone());
        let held: Vec<_> = guest.snapshot(usize::MAX).resident;
        let mapped_at = guest.memory().bytes().unwrap().page(PageNumber(0)).as_ptr();
        let mut stays = {
            let memory = Memory::new(50, frames);
            Guest::arriving(spec, registers, disk.clone(), memory).unwrap()
        };
        for page in &held {
            stays.install_most_recent(page.page, page.stamp, page.dirty);
        }
        run(&mut guest, 300);
        guest.rewind(registers, disk);
        assert_eq!((guest.memory().resident(), guest.is_running()), (0, false));
        check_bytes(&guest);
        for page in &held {
            guest.install_most_recent(page.page, page.stamp, page.dirty);
        }
        check_equal(&guest, &stays);
        run(&mut guest, 300);
        run(&mut stays, 300);
        check_equal(&guest, &stays);
        check_bytes(&guest);
        assert_eq!(guest.memory().bytes().unwrap().page(PageNumber(0)).as_ptr(), mapped_at);
    }
}

#[test]
fn a_memory_without_real_bytes_has_none() {
    let guest = Guest::new(Arc::new(spec(50, 20, WorkloadSpec::Sequential))).unwrap();
    assert!(guest.memory().bytes().is_none());
    assert!(Memory::new(50, 50).bytes_mut().is_none());
}

#[test]
fn more_frames_and_fewer_leave_its_pages_as_they_are() {
    let spec = spec(50, 20, WorkloadSpec::Sequential);
    let mut memory = Memory::in_pages(20, &spec).unwrap();
    for page in (0..30).map(PageNumber) {
        let stamp = first_stamp(spec.seed, page);
        let victim = memory.load(page, || stamp).map(|victim| victim.page.0);
        assert_eq!(victim, page.0.checked_sub(20));
    }
    let disk = Disk::new(spec.seed);
    for frames in [50, 20, 49, 50] {
        memory.set_frames(frames);
        assert!(memory.iter_lru().eq((10..30).map(PageNumber)));
        assert_eq!((memory.frames(), memory.resident()), (frames, 20));
        let contents = PageContents::of(&spec);
        for page in (10..30).map(PageNumber) {
            assert_eq!(memory.stamp(page), Some(disk.stamp(page)));
            let bytes = memory.bytes().unwrap().page(page);
            assert!(contents.matches(page, disk.stamp(page), bytes));
        }
    }
}

#[test]
fn pages_that_are_in_place_are_installed_together() {
    for frames in [100, 40] {
        let spec = spec(100, frames, WorkloadSpec::Sequential);
        let contents = PageContents::of(&spec);
        let mut memory = Memory::in_pages(frames, &spec).unwrap();
        let stamp = |page: PageNumber| u64::from(page.0) + 7;
        for page in (0..100).map(PageNumber) {
            let bytes = memory.bytes_mut().unwrap().page_mut(page);
            contents.fill(page, stamp(page), bytes);
            assert_eq!(memory.stamp_in_place(page), Some(stamp(page)));
        }
        memory.install_in_place(PageNumber(10), 20, false, false);
        memory.install_in_place(PageNumber(30), 5, true, true);
        assert!(memory.iter_lru().eq((10..35).rev().map(PageNumber)));
        assert_eq!((memory.resident(), memory.is_dirty(PageNumber(29))), (25, false));
        for page in (10..35).map(PageNumber) {
            assert_eq!(memory.stamp(page), Some(stamp(page)));
            assert_eq!(memory.is_dirty(page), page.0 >= 30);
            assert!(contents.matches(page, stamp(page), memory.bytes().unwrap().page(page)));
        }
        assert_eq!(memory.alike(PageNumber(0), 100), 10);
        assert_eq!(memory.alike(PageNumber(12), 100 - 12), 18);
        assert_eq!(memory.alike(PageNumber(12), 3), 3);
        let runs = [(PageNumber(10), 20), (PageNumber(30), 5)];
        assert!(memory.runs().eq(runs));
    }
}

#[test]
#[should_panic = "page 12 was installed twice"]
fn a_page_that_is_resident_is_not_installed_in_place() {
    let spec = spec(50, 50, WorkloadSpec::Sequential);
    let mut memory = Memory::in_pages(50, &spec).unwrap();
    memory.install_most_recent(PageNumber(12), 1, false);
    memory.install_in_place(PageNumber(10), 5, false, false);
}
