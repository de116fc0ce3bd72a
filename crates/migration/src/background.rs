//! The order of the background push.

use crate::page_set::PageSet;
use crate::parameters::{Direction, PrePaging};
use lazycopy_units::PageNumber;
use std::collections::VecDeque;

/// Pages that have left the background that it carries before it looks whether to forget them.
const STALE_AT_LEAST: usize = 64;

/// Which page of the background goes next.
#[derive(Clone, Debug)]
pub(crate) enum Background {
    /// A fixed order, the next page last; pages that have left the background are skipped.
    Ordered { reversed: Vec<PageNumber> },
    /// The order of the numbers, from this one on.
    ByAddress { from: u32 },
    /// Bubbles that grow around the pages of the last faults (Hines and Gopalan, VEE 2009).
    Bubbling(Bubbling),
}

/// Pre-paging by bubbling: each fault makes its page a pivot, around which the push goes on, page
/// by page, in one or both directions. With several pivots they take turns, and a new one
/// replaces the oldest.
#[derive(Clone, Debug)]
pub(crate) struct Bubbling {
    direction: Direction,
    pivots: VecDeque<Bubble>,
    most_pivots: usize,
    /// A bubble that starts at page 0 and is never replaced, so that one direction alone reaches
    /// every page.
    sticky: Option<Bubble>,
    turn: usize,
}

/// A bubble's edges: the next candidates above and below the pivot.
#[derive(Clone, Copy, Debug)]
struct Bubble {
    above: Option<u32>,
    below: Option<u32>,
    upwards: bool,
}

impl Bubble {
    fn around(pivot: u32, direction: Direction) -> Self {
        let above = (direction != Direction::Backward).then_some(pivot);
        let below = match direction {
            Direction::Forward => None,
            Direction::Backward => Some(pivot),
            Direction::Dual => pivot.checked_sub(1),
        };
        Bubble { above, below, upwards: true }
    }

    /// The next page of `waiting` at an edge; both edges take turns.
    fn grow(&mut self, waiting: &PageSet) -> Option<PageNumber> {
        for _ in 0..2 {
            let upwards = self.upwards;
            self.upwards = !upwards;
            let found = if upwards {
                self.above.and_then(|from| waiting.at_or_after(from))
            } else {
                self.below.and_then(|from| waiting.at_or_before(from))
            };
            if upwards {
                self.above = found.map(|page| page.0 + 1);
            } else {
                self.below = found.and_then(|page| page.0.checked_sub(1));
            }
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

impl Bubbling {
    pub(crate) fn new(parameters: &PrePaging) -> Self {
        let PrePaging { pivots, direction, sticky_pivot } = *parameters;
        let sticky = sticky_pivot.then(|| match direction {
            Direction::Backward => Bubble::around(u32::MAX - 1, direction),
            Direction::Forward | Direction::Dual => Bubble::around(0, direction),
        });
        let first = sticky.is_none().then(|| Bubble::around(0, direction));
        Bubbling {
            direction,
            pivots: first.into_iter().collect(),
            most_pivots: pivots as usize,
            sticky,
            turn: 0,
        }
    }

    fn fault_at(&mut self, page: PageNumber) {
        if self.pivots.len() == self.most_pivots {
            self.pivots.pop_front();
        }
        self.pivots.push_back(Bubble::around(page.0, self.direction));
    }

    fn next(&mut self, waiting: &PageSet) -> Option<PageNumber> {
        let bubbles = self.pivots.len() + usize::from(self.sticky.is_some());
        for _ in 0..bubbles {
            let turn = self.turn % bubbles;
            self.turn = (turn + 1) % bubbles;
            let bubble = match self.pivots.get_mut(turn) {
                Some(bubble) => Some(bubble),
                None => self.sticky.as_mut(),
            };
            if let Some(page) = bubble.and_then(|bubble| bubble.grow(waiting)) {
                return Some(page);
            }
        }
        None
    }
}

impl Background {
    /// In this order.
    pub(crate) fn ordered(mut order: Vec<PageNumber>) -> Self {
        order.reverse();
        Background::Ordered { reversed: order }
    }

    /// A fault at the destination asked for `page`.
    pub(crate) fn fault_at(&mut self, page: PageNumber) {
        if let Background::Bubbling(bubbling) = self {
            bubbling.fault_at(page);
        }
    }

    /// So many pages are left in `waiting`: forgets those that have left it, when they are many.
    pub(crate) fn throw_out_stale(&mut self, waiting: &PageSet, left: usize) {
        if let Background::Ordered { reversed } = self
            && reversed.len() > left + left / 2 + STALE_AT_LEAST
        {
            reversed.retain(|page| waiting.contains(*page));
            reversed.shrink_to_fit();
        }
    }

    /// The next page of `waiting`, and how many pages go with it, at most `most` in all: those
    /// after it that are next in their turn.
    pub(crate) fn next(&mut self, waiting: &PageSet, most: u32) -> Option<(PageNumber, u32)> {
        match self {
            Background::Ordered { reversed } => {
                let first =
                    std::iter::from_fn(|| reversed.pop()).find(|page| waiting.contains(*page));
                let next = first.map(|first| {
                    let most = waiting.alike(first, most);
                    let follows = |count: u32| Some(PageNumber(first.0 + count));
                    let mut count = 1;
                    while count < most && reversed.last().copied() == follows(count) {
                        reversed.pop();
                        count += 1;
                    }
                    (first, count)
                });
                // What is pushed gives its room to the other side.
                if reversed.len() < reversed.capacity() / 2 {
                    reversed.shrink_to_fit();
                }
                next
            }
            Background::ByAddress { from } => {
                let next = waiting.at_or_after(*from)?;
                let count = waiting.alike(next, most);
                *from = next.0 + count;
                Some((next, count))
            }
            Background::Bubbling(bubbling) => bubbling.next(waiting).map(|page| (page, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(direction: Direction, pivots: u32, faults: &[(usize, u32)], pages: u32) -> Vec<u32> {
        let parameters =
            PrePaging { pivots, direction, sticky_pivot: direction != Direction::Dual };
        let mut background = Background::Bubbling(Bubbling::new(&parameters));
        let mut waiting = PageSet::new(pages);
        for page in 0..pages {
            waiting.insert(PageNumber(page));
        }
        let mut pushed = Vec::new();
        loop {
            for (_, page) in faults.iter().filter(|(after, _)| *after == pushed.len()) {
                background.fault_at(PageNumber(*page));
                waiting.remove(PageNumber(*page));
            }
            let Some((page, 1)) = background.next(&waiting, 9) else { return pushed };
            assert!(waiting.remove(page), "page {page} was pushed twice");
            pushed.push(page.0);
        }
    }

    #[test]
    fn a_bubble_grows_on_both_sides_of_its_pivot() {
        assert_eq!(push(Direction::Dual, 1, &[(0, 4)], 8), [5, 3, 6, 2, 7, 1, 0]);
    }

    #[test]
    fn a_new_fault_moves_the_single_pivot() {
        assert_eq!(push(Direction::Dual, 1, &[(0, 2), (2, 6)], 8), [3, 1, 7, 5, 4, 0]);
    }

    #[test]
    fn several_pivots_take_turns_and_the_oldest_is_replaced() {
        let pushed = push(Direction::Dual, 2, &[(0, 10), (0, 20), (2, 30)], 40);
        assert_eq!(&pushed[..2], [11, 21]);
        assert!(pushed[2..6].iter().all(|page| *page > 15), "{pushed:?}");
        assert_eq!(pushed.len(), 37);
    }

    #[test]
    fn one_direction_reaches_every_page_by_its_sticky_pivot() {
        assert_eq!(push(Direction::Forward, 1, &[(0, 5)], 8), [6, 0, 7, 1, 2, 3, 4]);
        let mut pushed = push(Direction::Backward, 1, &[(0, 2)], 6);
        assert_eq!(&pushed[..2], [1, 5]);
        pushed.sort_unstable();
        assert_eq!(pushed, [0, 1, 3, 4, 5]);
    }
}
