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

/// When an actor acts next, and how; `None`: not before something happens to it.
pub(crate) type Turn = Option<(Instant, Kind)>;

/// Actors by the turn that they take next: by instant, kind, and number of the actor. What one
/// actor does at one instant it orders itself.
#[derive(Clone, Debug)]
pub(crate) struct Agenda {
    turns: Vec<Turn>,
    /// A heap of actors, the next one first.
    heap: Vec<u32>,
    /// Where each actor stands in the heap.
    places: Vec<u32>,
}

impl Agenda {
    /// The agenda of so many actors, none of which has a turn.
    pub(crate) fn new(actors: usize) -> Self {
        let numbers: Vec<u32> = (0..actors as u32).collect();
        Agenda { turns: vec![None; actors], heap: numbers.clone(), places: numbers }
    }

    /// Who is next.
    pub(crate) fn next(&self) -> Option<(Instant, Kind, usize)> {
        let actor = *self.heap.first()? as usize;
        self.turns[actor].map(|(at, kind)| (at, kind, actor))
    }

    /// Changes the turn of `actor`.
    pub(crate) fn set(&mut self, actor: usize, turn: Turn) {
        if self.turns[actor] == turn {
            return;
        }
        self.turns[actor] = turn;
        let place = self.places[actor] as usize;
        if !self.rise(place) {
            self.sink(place);
        }
    }

    fn is_before(&self, place: usize, other: usize) -> bool {
        let key = |place: usize| {
            let actor = self.heap[place];
            let turn = self.turns[actor as usize];
            (turn.is_none(), turn, actor)
        };
        key(place) < key(other)
    }

    /// Moves the entry at `place` up to where it belongs; whether it moved.
    fn rise(&mut self, mut place: usize) -> bool {
        let from = place;
        while place > 0 && self.is_before(place, (place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        place != from
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < self.heap.len() && self.is_before(child, least) {
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
        self.places[self.heap[one] as usize] = one as u32;
        self.places[self.heap[other] as usize] = other as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_instants_go_by_kind_and_then_by_actor() {
        let mut agenda = Agenda::new(4);
        let at = Instant::from_nanos;
        agenda.set(0, Some((at(5), Kind::LinkChoice)));
        agenda.set(1, Some((at(5), Kind::SourceAccess)));
        agenda.set(2, Some((at(5), Kind::SourceAccess)));
        agenda.set(3, Some((at(6), Kind::Delivery)));
        let mut order = Vec::new();
        while let Some((_, _, actor)) = agenda.next() {
            order.push(actor);
            agenda.set(actor, None);
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
                turns[actor] = nanos.map(|nanos| (Instant::from_nanos(nanos), Kind::Delivery));
                agenda.set(actor, turns[actor]);
                let least = (0..20).filter_map(|actor| {
                    turns[actor].map(|(at, kind)| (at, kind, actor))
                });
                prop_assert_eq!(agenda.next(), least.min());
            }
        }
    }
}
