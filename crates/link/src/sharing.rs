//! Max-min fair shares by water-filling, in integers.
//!
//! The level of the water rises for all flows alike; where a card is full, or a flow has its cap,
//! the flows concerned keep their rate and the others go on (Bertsekas and Gallager, Data
//! Networks, section 6.5.2). A full card gives each of its flows the same whole number of units;
//! what is left of the division, less than one unit for each of its flows, stays unused: flows of
//! one route go equally fast, and a rate that depended on their order would be no fair one.

/// A card with what of its capacity is still to be given away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CardShare {
    /// Units per second.
    pub(crate) left: u64,
    /// Flows that cross it and have no rate yet.
    pub(crate) flows: u64,
    full: bool,
}

impl CardShare {
    pub(crate) fn new(capacity: u64) -> Self {
        CardShare { left: capacity, flows: 0, full: false }
    }
}

/// Flows that cross the same cards with the same cap, at least one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupShare {
    /// Indices of the cards; a route may lack either.
    pub(crate) cards: [Option<usize>; 2],
    /// Units per second that each flow may have at most.
    pub(crate) cap: u64,
    /// Flows that want a share.
    pub(crate) flows: u64,
    /// What each gets, once it is known.
    pub(crate) rate: Option<u64>,
}

/// Gives every group its rate.
pub(crate) fn share(cards: &mut [CardShare], groups: &mut [GroupShare]) {
    for group in groups.iter() {
        for card in group.cards.iter().flatten() {
            cards[*card].flows += group.flows;
        }
    }
    while let Some(level) =
        groups.iter().filter(|group| group.rate.is_none()).map(|group| level_of(cards, group)).min()
    {
        for card in cards.iter_mut() {
            card.full = card.flows > 0 && card.left / card.flows == level;
        }
        for group in groups.iter_mut().filter(|group| group.rate.is_none()) {
            let mut crossed = group.cards.iter().flatten();
            if group.cap == level || crossed.any(|card| cards[*card].full) {
                group.rate = Some(level);
                for card in group.cards.iter().flatten() {
                    cards[*card].left -= level * group.flows;
                    cards[*card].flows -= group.flows;
                }
            }
        }
    }
}

/// How high the water may rise for this group.
fn level_of(cards: &[CardShare], group: &GroupShare) -> u64 {
    let shares = group.cards.iter().flatten().map(|card| cards[*card].left / cards[*card].flows);
    shares.fold(group.cap, u64::min)
}
