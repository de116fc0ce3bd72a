//! The pages that wait at the source, in three lanes: demand before forward before background.
//!
//! A lane is first in, first out. A page waits in one lane at most and moves to a more urgent one
//! only.

use crate::background::{Background, Bubbling};
use crate::message::Cause;
use crate::page_set::PageSet;
use crate::parameters::PrePaging;
use lazycopy_units::PageNumber;
use std::collections::{BTreeMap, VecDeque};

/// The lanes of one migration.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    background: Background,
    in_background: PageSet,
    background_left: usize,
    /// The cause that background pages are sent by.
    background_cause: Cause,
    forward: Lane,
    demand: Lane,
}

/// Stale entries that a lane carries before it looks whether to throw them out.
const STALE_AT_LEAST: usize = 64;

/// First in, first out, in four bytes per page that waits.
#[derive(Clone, Debug)]
struct Lane {
    waiting: PageSet,
    count: usize,
    /// The pages in their order, among entries of pages that were withdrawn.
    entries: VecDeque<PageNumber>,
    /// How many of a page's entries are stale: those before its valid one, if it has one.
    stale: BTreeMap<PageNumber, u32>,
}

impl Lane {
    fn new(pages: u32) -> Self {
        let (entries, stale) = (VecDeque::new(), BTreeMap::new());
        Lane { waiting: PageSet::new(pages), count: 0, entries, stale }
    }

    fn contains(&self, page: PageNumber) -> bool {
        self.waiting.contains(page)
    }

    fn push(&mut self, page: PageNumber) {
        assert!(self.waiting.insert(page), "page {page} waits in a lane already");
        self.count += 1;
        if self.entries.len() == self.entries.capacity() {
            // Not twice as much as before: a large guest's lane is a good part of its source.
            self.entries.reserve_exact(self.entries.len() / 8 + STALE_AT_LEAST);
        }
        self.entries.push_back(page);
    }

    /// Whether `page` waited here.
    fn withdraw(&mut self, page: PageNumber) -> bool {
        if !self.waiting.remove(page) {
            return false;
        }
        self.count -= 1;
        *self.stale.entry(page).or_default() += 1;
        let stale = self.entries.len() - self.count;
        if stale > STALE_AT_LEAST && stale > self.count {
            self.throw_out_stale();
        }
        true
    }

    fn throw_out_stale(&mut self) {
        let mut stale = std::mem::take(&mut self.stale);
        self.entries.retain(|page| !takes_stale(&mut stale, *page));
    }

    fn pop(&mut self) -> Option<PageNumber> {
        loop {
            let page = self.entries.pop_front()?;
            if !takes_stale(&mut self.stale, page) {
                self.waiting.remove(page);
                self.count -= 1;
                return Some(page);
            }
        }
    }
}

/// Whether the next entry of `page` is stale; if so it is counted off.
fn takes_stale(stale: &mut BTreeMap<PageNumber, u32>, page: PageNumber) -> bool {
    match stale.get_mut(&page) {
        None => false,
        Some(1) => stale.remove(&page).is_some(),
        Some(count) => {
            *count -= 1;
            true
        }
    }
}

impl Lanes {
    /// Lanes in which the pages of `waiting` wait in the background, to be sent in that order and
    /// by that cause.
    pub(crate) fn in_order(pages: u32, waiting: Vec<PageNumber>, background_cause: Cause) -> Self {
        let lanes = Lanes::by_address(pages, waiting.iter().copied(), background_cause);
        Lanes { background: Background::ordered(waiting), ..lanes }
    }

    /// Lanes in which these pages wait in the background, to be sent in the order of their numbers
    /// and by that cause.
    pub(crate) fn by_address(
        pages: u32,
        waiting: impl Iterator<Item = PageNumber>,
        background_cause: Cause,
    ) -> Self {
        let mut in_background = PageSet::new(pages);
        let background_left = waiting.map(|page| in_background.insert(page)).count();
        Lanes {
            background_left,
            background: Background::ByAddress { from: 0 },
            in_background,
            background_cause,
            forward: Lane::new(pages),
            demand: Lane::new(pages),
        }
    }

    /// Lanes in which the pages of `waiting` wait in the background, and are pushed by bubbling.
    pub(crate) fn bubbling(
        pages: u32,
        waiting: impl Iterator<Item = PageNumber>,
        parameters: &PrePaging,
    ) -> Self {
        let lanes = Lanes::by_address(pages, waiting, Cause::Background);
        Lanes { background: Background::Bubbling(Bubbling::new(parameters)), ..lanes }
    }

    /// A fault at the destination asked for `page`, wherever that is.
    pub(crate) fn fault_at(&mut self, page: PageNumber) {
        self.background.fault_at(page);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.background_left == 0 && self.forward.count == 0 && self.demand.count == 0
    }

    /// Whether `page` waits in any lane.
    pub(crate) fn contains(&self, page: PageNumber) -> bool {
        self.in_background.contains(page) || self.is_urgent(page)
    }

    fn is_urgent(&self, page: PageNumber) -> bool {
        self.forward.contains(page) || self.demand.contains(page)
    }

    /// Pages that go before the background.
    pub(crate) fn urgent_count(&self) -> usize {
        self.forward.count + self.demand.count
    }

    /// `page` joins the forward lane, unless it waits there or in a more urgent one already.
    /// Whether it joined.
    pub(crate) fn join_forward(&mut self, page: PageNumber) -> bool {
        if self.is_urgent(page) {
            return false;
        }
        self.leave_background(page);
        self.forward.push(page);
        true
    }

    /// `page`, which waits, moves to the demand lane, unless it waits there already.
    pub(crate) fn move_to_demand(&mut self, page: PageNumber) {
        if !self.demand.contains(page) {
            self.forward.withdraw(page);
            self.leave_background(page);
            self.demand.push(page);
        }
    }

    /// Whether `page` waited in the background.
    fn leave_background(&mut self, page: PageNumber) -> bool {
        let waited = self.in_background.remove(page);
        if waited {
            self.background_left -= 1;
            self.background.throw_out_stale(&self.in_background, self.background_left);
        }
        waited
    }

    /// `page` is withdrawn from the lane that it waits in, which is told by its cause.
    pub(crate) fn withdraw(&mut self, page: PageNumber) -> Option<Cause> {
        if self.demand.withdraw(page) {
            Some(Cause::Demand)
        } else if self.forward.withdraw(page) {
            Some(Cause::Forward)
        } else {
            self.leave_background(page).then_some(self.background_cause)
        }
    }

    /// Takes the most urgent page, and those of the background that go with it: the page, how many
    /// they are, at most `most`, and why they go.
    pub(crate) fn pop(&mut self, most: u32) -> Option<(PageNumber, u32, Cause)> {
        let urgent = self.pop_urgent().map(|(page, cause)| (page, 1, cause));
        urgent.or_else(|| self.pop_background(most))
    }

    /// Takes the most urgent page of those that go before the background.
    pub(crate) fn pop_urgent(&mut self) -> Option<(PageNumber, Cause)> {
        let demand = self.demand.pop().map(|page| (page, Cause::Demand));
        demand.or_else(|| self.forward.pop().map(|page| (page, Cause::Forward)))
    }

    fn pop_background(&mut self, most: u32) -> Option<(PageNumber, u32, Cause)> {
        if self.background_left == 0 {
            return None;
        }
        let next = self.background.next(&self.in_background, most);
        let (page, count) = next.expect("every push order reaches every page that waits");
        self.background_left -= self.in_background.remove_run(page, count) as usize;
        self.background.throw_out_stale(&self.in_background, self.background_left);
        Some((page, count, self.background_cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes() -> Lanes {
        let waiting = [5, 2, 9, 0].map(PageNumber).to_vec();
        Lanes::in_order(10, waiting, Cause::Background)
    }

    fn drain(lanes: &mut Lanes) -> Vec<(u32, Cause)> {
        std::iter::from_fn(|| lanes.pop(1)).map(|(page, _, cause)| (page.0, cause)).collect()
    }

    #[test]
    fn demand_goes_before_forward_before_background() {
        let mut lanes = lanes();
        assert!(lanes.join_forward(PageNumber(9)));
        assert!(lanes.join_forward(PageNumber(7)));
        lanes.move_to_demand(PageNumber(0));
        lanes.move_to_demand(PageNumber(7));
        assert!(!lanes.join_forward(PageNumber(0)), "a page moved to a less urgent lane");
        use Cause::*;
        let expected = [(0, Demand), (7, Demand), (9, Forward), (5, Background), (2, Background)];
        assert_eq!(drain(&mut lanes), expected);
        assert!(lanes.is_empty());
    }

    #[test]
    fn a_withdrawn_page_that_joins_again_waits_at_the_end() {
        let mut lanes = lanes();
        lanes.join_forward(PageNumber(5));
        lanes.join_forward(PageNumber(2));
        assert_eq!(lanes.withdraw(PageNumber(5)), Some(Cause::Forward));
        assert_eq!(lanes.withdraw(PageNumber(5)), None);
        assert!(!lanes.contains(PageNumber(5)));
        lanes.join_forward(PageNumber(5));
        let order: Vec<u32> = drain(&mut lanes).iter().map(|(page, _)| *page).collect();
        assert_eq!(order, [2, 5, 9, 0]);
    }

    #[test]
    fn a_lane_in_which_pages_come_and_go_does_not_grow() {
        let mut lanes = lanes();
        for _ in 0..10_000 {
            for page in [7, 3, 8].map(PageNumber) {
                assert!(lanes.join_forward(page));
            }
            assert_eq!(lanes.withdraw(PageNumber(3)), Some(Cause::Forward));
            assert_eq!(lanes.withdraw(PageNumber(7)), Some(Cause::Forward));
            assert_eq!(lanes.withdraw(PageNumber(8)), Some(Cause::Forward));
        }
        assert!(lanes.forward.entries.len() <= 2 * STALE_AT_LEAST);
        lanes.join_forward(PageNumber(3));
        lanes.join_forward(PageNumber(7));
        let order: Vec<u32> = drain(&mut lanes).iter().map(|(page, _)| *page).collect();
        assert_eq!(order, [3, 7, 5, 2, 9, 0]);
    }
}
