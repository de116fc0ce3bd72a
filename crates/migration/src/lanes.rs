//! The pages that wait at the source, in three lanes: demand before forward before background.
//!
//! A lane is first in, first out. A page waits in one lane at most and moves to a more urgent one
//! only.

use crate::background::{Background, Bubbling};
use crate::message::Cause;
use crate::page_set::PageSet;
use crate::parameters::PrePaging;
use lazycopy_units::PageNumber;
use std::collections::BTreeMap;

/// The lanes of one migration.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    background: Background,
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
    /// Lanes in which the pages of `waiting` wait in the background, to be sent in that order and
    /// by that cause.
    pub(crate) fn in_order(pages: u32, waiting: Vec<PageNumber>, background_cause: Cause) -> Self {
        let mut in_background = PageSet::new(pages);
        for page in &waiting {
            in_background.insert(*page);
        }
        Lanes {
            background_left: waiting.len(),
            background: Background::Ordered { order: waiting, next: 0 },
            in_background,
            background_cause,
            urgent: BTreeMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
        }
    }

    /// Lanes in which the pages of `waiting` wait in the background, and are pushed by bubbling.
    pub(crate) fn bubbling(pages: u32, waiting: Vec<PageNumber>, parameters: &PrePaging) -> Self {
        let lanes = Lanes::in_order(pages, waiting, Cause::Background);
        Lanes { background: Background::Bubbling(Bubbling::new(parameters)), ..lanes }
    }

    /// A fault at the destination asked for `page`, wherever that is.
    pub(crate) fn fault_at(&mut self, page: PageNumber) {
        self.background.fault_at(page);
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
        if self.background_left == 0 {
            return None;
        }
        let next = self.background.next(&self.in_background);
        let page = next.expect("every push order reaches every page that waits");
        self.leave_background(page);
        Some((page, self.background_cause))
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
        std::iter::from_fn(|| lanes.pop()).map(|(page, cause)| (page.0, cause)).collect()
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
}
