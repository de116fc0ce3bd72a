//! Who acts next: a binary heap with one entry per actor.

use lazycopy_units::Instant;

/// Kinds of what happens, in their order at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A message, a notice or a request is delivered. (What a link has transmitted comes first of
    /// all: the network tells it, not the agenda.)
    Delivery,
    SourceDisk,
    DestinationDisk,
    SourceAccess,
    DestinationAccess,
    /// Something waits for a link that is free, or a neighbour begins to send.
    LinkChoice,
}

const KINDS: [Kind; 6] = [
    Kind::Delivery,
    Kind::SourceDisk,
    Kind::DestinationDisk,
    Kind::SourceAccess,
    Kind::DestinationAccess,
    Kind::LinkChoice,
];

/// When an actor acts next, and how. Turns are ordered by instant and kind; the packing makes
/// one comparison of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(u128);

const ACTOR_BITS: u32 = 32;
const KIND_BITS: u32 = 8;

impl Turn {
    /// Not before something happens to it.
    pub(crate) const NEVER: Turn = Turn(u128::MAX >> ACTOR_BITS);

    #[inline]
    pub(crate) fn new(at: Instant, kind: Kind) -> Self {
        Turn((u128::from(at.as_nanos()) << KIND_BITS) | kind as u128)
    }

    /// A turn at that instant, if there is one.
    #[inline]
    pub(crate) fn at(at: Option<Instant>, kind: Kind) -> Self {
        at.map_or(Turn::NEVER, |at| Turn::new(at, kind))
    }

    /// When, and what.
    #[inline]
    pub(crate) fn get(self) -> Option<(Instant, Kind)> {
        let kind = *KINDS.get((self.0 & ((1 << KIND_BITS) - 1)) as usize)?;
        Some((Instant::from_nanos((self.0 >> KIND_BITS) as u64), kind))
    }
}

/// Actors by the turn that they take next: by instant, kind, and number of the actor. What one
/// actor does at one instant it orders itself.
#[derive(Clone, Debug)]
pub(crate) struct Agenda {
    /// A heap of turns with their actors in the lowest bits, the next one first.
    heap: Vec<u128>,
    /// Where each actor stands in the heap.
    places: Vec<u32>,
}

fn actor_of(entry: u128) -> usize {
    (entry & u128::from(u32::MAX)) as usize
}

fn entry(actor: usize, turn: Turn) -> u128 {
    (turn.0 << ACTOR_BITS) | actor as u128
}

impl Agenda {
    /// The agenda of so many actors, none of which has a turn.
    pub(crate) fn new(actors: usize) -> Self {
        Agenda {
            heap: (0..actors).map(|actor| entry(actor, Turn::NEVER)).collect(),
            places: (0..actors as u32).collect(),
        }
    }

    /// Who is next.
    #[inline]
    pub(crate) fn next(&self) -> Option<(Instant, Kind, usize)> {
        let first = *self.heap.first()?;
        let (at, kind) = Turn(first >> ACTOR_BITS).get()?;
        Some((at, kind, actor_of(first)))
    }

    /// Changes the turn of `actor`.
    pub(crate) fn set(&mut self, actor: usize, turn: Turn) {
        let place = self.places[actor] as usize;
        let entry = entry(actor, turn);
        let before = std::mem::replace(&mut self.heap[place], entry);
        if entry < before {
            self.rise(place);
        } else {
            self.sink(place);
        }
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 && self.heap[place] < self.heap[(place - 1) / 2] {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < self.heap.len() && self.heap[child] < self.heap[least] {
                    least = child;
                }
            }
            if least == place {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.places[actor_of(self.heap[one])] = one as u32;
        self.places[actor_of(self.heap[other])] = other as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_turn_is_what_it_was_made_of() {
        for kind in KINDS {
            for at in [Instant::ZERO, Instant::from_nanos(u64::MAX)] {
                assert_eq!(Turn::new(at, kind).get(), Some((at, kind)));
                assert!(Turn::new(at, kind) < Turn::NEVER);
            }
        }
        assert_eq!(Turn::NEVER.get(), None);
    }

    #[test]
    fn equal_instants_go_by_kind_and_then_by_actor() {
        let mut agenda = Agenda::new(4);
        let at = Instant::from_nanos;
        agenda.set(0, Turn::new(at(5), Kind::LinkChoice));
        agenda.set(1, Turn::new(at(5), Kind::SourceAccess));
        agenda.set(2, Turn::new(at(5), Kind::SourceAccess));
        agenda.set(3, Turn::new(at(6), Kind::Delivery));
        let mut order = Vec::new();
        while let Some((_, _, actor)) = agenda.next() {
            order.push(actor);
            agenda.set(actor, Turn::NEVER);
        }
        assert_eq!(order, [1, 2, 0, 3]);
    }

    proptest! {
        #[test]
        fn the_next_is_the_least_of_all(
            changes in proptest::collection::vec((0usize..20, proptest::option::of(0u64..50)), 1..200),
        ) {
            let mut agenda = Agenda::new(20);
            let mut turns = [None; 20];
            for (actor, nanos) in changes {
                turns[actor] = nanos.map(Instant::from_nanos);
                agenda.set(actor, Turn::at(turns[actor], Kind::DestinationDisk));
                let least = (0..20).filter_map(|actor| {
                    turns[actor].map(|at| (at, Kind::DestinationDisk, actor))
                });
                prop_assert_eq!(agenda.next(), least.min());
            }
        }
    }
}
