//! A mapping is as an array of pages that begin as zeros, and gives its memory back.

#![cfg(target_os = "linux")]

use lazycopy_pages::{HUGE_PAGE, PAGE, PAGES_PER_HUGE_PAGE, Pages};
use lazycopy_units::PageNumber;
use proptest::prelude::*;

/// What the system says of a mapping, in bytes: how much memory it takes, and how much of it in
/// huge pages.
fn memory_of(pages: &Pages) -> (usize, usize) {
    let first = pages.page(PageNumber(0)).as_ptr() as usize;
    let end = first + pages.count() as usize * PAGE;
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let (mut resident, mut huge, mut is_ours) = (0, 0, false);
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap();
        let bytes = || words.next().unwrap().parse::<usize>().unwrap() * 1_024;
        match name {
            "Rss:" if is_ours => resident += { bytes }(),
            "AnonHugePages:" if is_ours => huge += { bytes }(),
            _ => {}
        }
        if let Some((from, to)) = name.split_once('-') {
            let number = |text| usize::from_str_radix(text, 16).unwrap();
            is_ours = number(from) < end && number(to) > first;
        }
    }
    (resident, huge)
}

fn first_words(pages: &Pages) -> Vec<u8> {
    (0..pages.count()).map(|page| pages.page(PageNumber(page))[0]).collect()
}

#[test]
fn a_page_that_was_never_written_is_zeros_and_takes_no_memory() {
    let mut pages = Pages::map(1_000, false).unwrap();
    assert_eq!((pages.count(), memory_of(&pages)), (1_000, (0, 0)));
    pages.page_mut(PageNumber(999))[PAGE - 1] = 7;
    assert_eq!(memory_of(&pages), (PAGE, 0));
    let mut expected = vec![0; 2 * PAGE];
    *expected.last_mut().unwrap() = 7;
    assert_eq!(pages.run(PageNumber(998), 2), expected);
}

#[test]
fn what_is_discarded_is_zeros_and_gives_its_memory_back() {
    let mut pages = Pages::map(100, false).unwrap();
    pages.run_mut(PageNumber(0), 100).fill(9);
    assert_eq!(memory_of(&pages).0, 100 * PAGE);
    pages.discard(PageNumber(10), 30);
    pages.discard(PageNumber(99), 1);
    pages.discard(PageNumber(5), 0);
    assert_eq!(memory_of(&pages).0, 69 * PAGE);
    let expected = (0..100).map(|page| if (10..40).contains(&page) || page == 99 { 0 } else { 9 });
    assert!(first_words(&pages).into_iter().eq(expected));
    assert_eq!(pages.page(PageNumber(39)), &[0; PAGE]);
    // It can be written again.
    pages.page_mut(PageNumber(20)).fill(3);
    assert_eq!((pages.page(PageNumber(20))[17], pages.page(PageNumber(21))[17]), (3, 0));
}

#[test]
fn whole_runs_of_a_huge_page_are_aligned_and_leave_the_others_whole() {
    let count = 4 * PAGES_PER_HUGE_PAGE + 100;
    let mut pages = Pages::map(count, true).unwrap();
    assert!((pages.page(PageNumber(0)).as_ptr() as usize).is_multiple_of(HUGE_PAGE));
    pages.run_mut(PageNumber(0), count).fill(1);
    let (resident, huge) = memory_of(&pages);
    assert_eq!(resident, count as usize * PAGE, "the tail takes no huge page");
    pages.discard(PageNumber(PAGES_PER_HUGE_PAGE), 2 * PAGES_PER_HUGE_PAGE);
    assert_eq!(memory_of(&pages).0, resident - 2 * HUGE_PAGE);
    // A system without huge pages to spare gives none.
    if huge == 4 * HUGE_PAGE {
        assert_eq!(memory_of(&pages).1, 2 * HUGE_PAGE);
    }
}

#[test]
fn a_small_mapping_takes_no_huge_page() {
    let mut pages = Pages::map(50, true).unwrap();
    pages.page_mut(PageNumber(0)).fill(1);
    assert_eq!(memory_of(&pages), (PAGE, 0));
}

#[test]
fn a_mapping_of_no_pages_has_none() {
    let mut pages = Pages::map(0, true).unwrap();
    pages.discard(PageNumber(0), 0);
    assert!(pages.run(PageNumber(0), 0).is_empty());
    assert_eq!(pages.disjoint_mut(&[(PageNumber(0), 1)]), None);
}

#[test]
fn more_than_the_machine_has_is_refused() {
    // No process has the address space for all of them.
    let mappings = [u32::MAX; 16].map(|pages| Pages::map(pages, false));
    assert!(mappings.iter().any(Result::is_err));
}

#[test]
#[should_panic(expected = "pages up to 11 of 10")]
fn a_run_beyond_the_last_page_is_not_given_out() {
    let pages = Pages::map(10, false).unwrap();
    pages.run(PageNumber(9), 2);
}

proptest! {
    #[test]
    fn runs_are_given_out_together_where_they_are_disjoint(
        runs in proptest::collection::vec((0u32..60, 0u32..12), 0..6),
        huge in any::<bool>(),
    ) {
        const COUNT: u32 = 50;
        let mut pages = Pages::map(COUNT, huge).unwrap();
        let runs: Vec<_> = runs.iter().map(|(first, count)| (PageNumber(*first), *count)).collect();
        let mut expected = vec![0; COUNT as usize];
        let mut fits = true;
        for ((first, count), mark) in runs.iter().zip(1..) {
            for page in first.0..first.0 + count {
                match expected.get_mut(page as usize) {
                    Some(seen @ 0) => *seen = mark,
                    _ => fits = false,
                }
            }
        }
        // A run of no pages is nowhere, but not in the middle of another, nor out of range.
        let touches = |(first, count): &(PageNumber, u32)| {
            *count == 0 && (first.0 > COUNT || runs.iter().any(|(other, count)| {
                other.0 < first.0 && first.0 < other.0 + count
            }))
        };
        prop_assume!(!runs.iter().any(touches));
        let given = pages.disjoint_mut(&runs);
        prop_assert_eq!(given.is_some(), fits);
        if let Some(given) = given {
            for ((bytes, (_, count)), mark) in given.into_iter().zip(&runs).zip(1..) {
                prop_assert_eq!(bytes.len(), *count as usize * PAGE);
                bytes.fill(mark);
            }
            prop_assert_eq!(first_words(&pages), expected);
        }
    }
}
