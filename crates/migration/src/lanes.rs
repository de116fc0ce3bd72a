//! The pages that wait at the source, in three lanes: demand before forward before background.
//!
//! A lane is first in, first out. A page waits in one lane at most and moves to a more urgent one
//! only.

use crate::message::Cause;
use crate::page_set::PageSet;
use crate::parameters::PushOrder;
use lazycopy_units::PageNumber;
use std::collections::BTreeMap;

/// The lanes of one migration.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    /// The background push in its order; entries that have left it are skipped.
    background: Vec<PageNumber>,
    next_background: usize,
    in_background: PageSet,
    background_left: usize,
    /// The cause that background pages are sent by.
    background_cause: Cause,
    /// Forward and demand, by urgency and then by ticket.
    urgent: BTreeMap<(Urgency, u64), PageNumber>,
    tickets: BTreeMap<PageNumber, (Urgency, u64)>,
    next_ticket: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Demand,
    Forward,
}

impl Urgency {
    fn cause(self) -> Cause {
        match self {
            Urgency::Demand => Cause::Demand,
            Urgency::Forward => Cause::Forward,
        }
    }
}

impl Lanes {
    /// Lanes in which `resident`, given from least to most recently used, waits in the background
    /// to be sent in that order and by that cause.
    pub(crate) fn new(
        pages: u32,
        mut resident: Vec<PageNumber>,
        order: PushOrder,
        background_cause: Cause,
    ) -> Self {
        match order {
            PushOrder::Lru => {}
            PushOrder::Mru => resident.reverse(),
            PushOrder::Address => resident.sort_unstable(),
        }
        let mut in_background = PageSet::new(pages);
        for page in &resident {
            in_background.insert(*page);
        }
        Lanes {
            background_left: resident.len(),
            background: resident,
            next_background: 0,
            in_background,
            background_cause,
            urgent: BTreeMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.background_left == 0 && self.urgent.is_empty()
    }

    /// Whether `page` waits in any lane.
    pub(crate) fn contains(&self, page: PageNumber) -> bool {
        self.in_background.contains(page) || self.tickets.contains_key(&page)
    }

    /// `page` joins the forward lane, unless it waits there or in a more urgent one already.
    /// Whether it joined.
    pub(crate) fn join_forward(&mut self, page: PageNumber) -> bool {
        if self.tickets.contains_key(&page) {
            return false;
        }
        self.leave_background(page);
        self.enqueue(page, Urgency::Forward);
        true
    }

    /// `page`, which waits, moves to the demand lane, unless it waits there already.
    pub(crate) fn move_to_demand(&mut self, page: PageNumber) {
        match self.tickets.get(&page) {
            Some((Urgency::Demand, _)) => return,
            Some(place) => {
                let place = *place;
                self.urgent.remove(&place);
            }
            None => self.leave_background(page),
        }
        self.enqueue(page, Urgency::Demand);
    }

    fn enqueue(&mut self, page: PageNumber, urgency: Urgency) {
        let place = (urgency, self.next_ticket);
        self.next_ticket += 1;
        self.urgent.insert(place, page);
        self.tickets.insert(page, place);
    }

    fn leave_background(&mut self, page: PageNumber) {
        if self.in_background.remove(page) {
            self.background_left -= 1;
        }
    }

    /// `page` is withdrawn from the lane that it waits in, which is told by its cause.
    pub(crate) fn withdraw(&mut self, page: PageNumber) -> Option<Cause> {
        if let Some(place) = self.tickets.remove(&page) {
            self.urgent.remove(&place);
            return Some(place.0.cause());
        }
        let waited = self.in_background.contains(page);
        self.leave_background(page);
        waited.then_some(self.background_cause)
    }

    /// Takes the most urgent page.
    pub(crate) fn pop(&mut self) -> Option<(PageNumber, Cause)> {
        if let Some(((urgency, _), page)) = self.urgent.pop_first() {
            self.tickets.remove(&page);
            return Some((page, urgency.cause()));
        }
        while let Some(page) = self.background.get(self.next_background).copied() {
            self.next_background += 1;
            if self.in_background.contains(page) {
                self.leave_background(page);
                return Some((page, self.background_cause));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(order: PushOrder) -> Lanes {
        let resident = [5, 2, 9, 0].map(PageNumber).to_vec();
        Lanes::new(10, resident, order, Cause::Background)
    }

    fn drain(lanes: &mut Lanes) -> Vec<(u32, Cause)> {
        std::iter::from_fn(|| lanes.pop()).map(|(page, cause)| (page.0, cause)).collect()
    }

    #[test]
    fn the_background_keeps_its_order() {
        let pages =
            |order| drain(&mut lanes(order)).iter().map(|(page, _)| *page).collect::<Vec<_>>();
        assert_eq!(pages(PushOrder::Lru), [5, 2, 9, 0]);
        assert_eq!(pages(PushOrder::Mru), [0, 9, 2, 5]);
        assert_eq!(pages(PushOrder::Address), [0, 2, 5, 9]);
    }

    #[test]
    fn demand_goes_before_forward_before_background() {
        let mut lanes = lanes(PushOrder::Lru);
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
        let mut lanes = lanes(PushOrder::Lru);
        lanes.join_forward(PageNumber(5));
        lanes.join_forward(PageNumber(2));
        assert_eq!(lanes.withdraw(PageNumber(5)), Some(Cause::Forward));
        assert_eq!(lanes.withdraw(PageNumber(5)), None);
        assert!(!lanes.contains(PageNumber(5)));
        lanes.join_forward(PageNumber(5));
        let order: Vec<u32> = drain(&mut lanes).iter().map(|(page, _)| *page).collect();
        assert_eq!(order, [2, 5, 9, 0]);
    }
}
