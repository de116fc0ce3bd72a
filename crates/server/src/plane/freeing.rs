//! Giving up the source's memory while pages move: a page's bytes are of no use any more when the
//! destination has said that it has them.

use super::draft::Run;
use lazycopy_migration::{PageMap, ResidencyList};
use lazycopy_pages::{PAGES_PER_HUGE_PAGE, Pages};
use lazycopy_units::PageNumber;
use std::collections::VecDeque;

/// What of the source's memory can be given up. It goes in whole huge pages: smaller pieces would
/// split them, and cost a system call each.
///
/// Only of a guest whose pages all have a frame: where a guest pages, a page of such a run may
/// still be loaded by the forward context.
#[derive(Debug)]
pub(crate) struct Freeing {
    /// Pages of each run of the size of a huge page that are still needed.
    needed: Vec<u32>,
    /// By connection, the batches that are not acknowledged: number, and pages. A destination that
    /// never acknowledges anything cannot make it grow beyond the guest: after the hand-over a page
    /// is sent once, no batch is kept that has none, and what was sent before a broken link is
    /// forgotten when there is a new one. So there are no more batches, nor runs, than pages.
    unacknowledged: Vec<VecDeque<(u64, Vec<Run>)>>,
    /// Something has been given up.
    began: bool,
}

impl Freeing {
    /// At the hand-over of a guest that has these pages, over so many connections.
    pub(crate) fn new(pages: u32, residency: &ResidencyList, connections: usize) -> Self {
        let mut needed = vec![0; pages.div_ceil(PAGES_PER_HUGE_PAGE) as usize];
        for page in residency.outdated() {
            needed[(page.0 / PAGES_PER_HUGE_PAGE) as usize] += 1;
        }
        Freeing { needed, unacknowledged: vec![VecDeque::new(); connections], began: false }
    }

    /// After a recovery: what has arrived is needed no more, and what was not acknowledged is
    /// acknowledged anew when it has been sent again. Where the guest `runs` at the destination,
    /// what is whole is given up at once.
    pub(crate) fn begin_anew(
        &mut self,
        residency: &ResidencyList,
        arrived: &PageMap,
        runs: bool,
        memory: &mut Pages,
    ) {
        self.unacknowledged.iter_mut().for_each(VecDeque::clear);
        let none = vec![0; self.needed.len()];
        let before = std::mem::replace(&mut self.needed, none);
        for entry in residency.iter().filter(|entry| !arrived.contains(entry.page)) {
            self.needed[(entry.page.0 / PAGES_PER_HUGE_PAGE) as usize] += 1;
        }
        for region in (0..self.needed.len()).filter(|_| runs) {
            if before[region] > 0 && self.needed[region] == 0 {
                self.give_up(region as u32, memory);
            }
        }
    }

    fn give_up(&mut self, region: u32, memory: &mut Pages) {
        let first = region * PAGES_PER_HUGE_PAGE;
        let count = PAGES_PER_HUGE_PAGE.min(memory.count() - first);
        memory.discard(PageNumber(first), count);
        self.began = true;
    }

    /// Whether something has been given up: the guest cannot be taken back.
    pub(crate) fn has_begun(&self) -> bool {
        self.began
    }

    /// These pages leave by that connection, in the batch of that number.
    pub(crate) fn sent(&mut self, connection: usize, number: u64, runs: &[Run]) {
        self.unacknowledged[connection].push_back((number, runs.to_vec()));
    }

    /// The destination has every batch of that connection before number `end`: what is whole is
    /// given up.
    pub(crate) fn acknowledged(&mut self, connection: usize, end: u64, memory: &mut Pages) {
        while let Some(waiting) = self.unacknowledged.get_mut(connection)
            && waiting.front().is_some_and(|(number, _)| *number < end)
            && let Some((_, runs)) = waiting.pop_front()
        {
            for (region, pages) in runs.into_iter().flat_map(by_region) {
                let needed = &mut self.needed[region as usize];
                *needed = needed.saturating_sub(pages);
                if *needed == 0 {
                    self.give_up(region, memory);
                }
            }
        }
    }
}

/// How many pages of a run are in each run of the size of a huge page.
fn by_region((first, count): Run) -> impl Iterator<Item = (u32, u32)> {
    let (begin, end) = (first.0, first.0 + count);
    (begin / PAGES_PER_HUGE_PAGE..end.div_ceil(PAGES_PER_HUGE_PAGE)).map(move |region| {
        let from = region * PAGES_PER_HUGE_PAGE;
        (region, end.min(from + PAGES_PER_HUGE_PAGE) - begin.max(from))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_migration::Residency;

    #[test]
    fn memory_is_given_up_in_whole_runs_when_all_of_a_run_is_acknowledged() {
        let pages = 2 * PAGES_PER_HUGE_PAGE + 7;
        let entry = |page| Residency { page: PageNumber(page), dirty: false, current: false };
        let residency: ResidencyList = (0..pages).map(entry).collect();
        let mut memory = Pages::map(pages, false).unwrap();
        for page in (0..pages).map(PageNumber) {
            memory.page_mut(page)[5] = 1;
        }
        let held = |memory: &Pages| -> Vec<bool> {
            [0, PAGES_PER_HUGE_PAGE - 1, PAGES_PER_HUGE_PAGE, pages - 1]
                .map(|page| memory.page(PageNumber(page))[5] == 1)
                .to_vec()
        };
        let mut freeing = Freeing::new(pages, &residency, 2);
        let run = |pages: std::ops::Range<u32>| (PageNumber(pages.start), pages.len() as u32);
        freeing.sent(0, 0, &[run(1..7), run(7..PAGES_PER_HUGE_PAGE)]);
        freeing.sent(0, 1, &[run(PAGES_PER_HUGE_PAGE..pages)]);
        freeing.sent(1, 0, &[run(0..1)]);
        freeing.acknowledged(0, 1, &mut memory);
        assert_eq!(held(&memory), [true; 4]);
        freeing.acknowledged(1, 1, &mut memory);
        assert_eq!(held(&memory), [false, false, true, true]);
        freeing.acknowledged(0, 2, &mut memory);
        assert_eq!(held(&memory), [false; 4]);
    }
}
