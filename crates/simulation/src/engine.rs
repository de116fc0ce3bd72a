//! Migrations and neighbours over one network, in virtual time.
//!
//! At one instant, in this order: ends of transmissions; deliveries and notices; disk completions;
//! accesses at the source; accesses at the destination; then the links choose. Equal kinds by
//! guest, then by the sequence in which they were scheduled.

use crate::agenda::{Agenda, Kind, Turn};
use crate::books::Books;
use crate::neighbours::Neighbours;
use crate::options::{AccessCount, Exceeded, Limits, Options};
use crate::pair::{Bounds, Pair};
use lazycopy_link::{FlowId, Network};
use lazycopy_units::Instant;

/// What acts: pairs, then neighbours, numbered as their flows are.
pub(crate) struct Engine {
    pub(crate) pairs: Vec<Pair>,
    pub(crate) neighbours: Neighbours,
    pub(crate) network: Network,
    agenda: Agenda,
    now: Instant,
    limits: Limits,
    pub(crate) bounds: Bounds,
    actions: u64,
    /// Pairs in which something may still happen.
    open: usize,
    /// Pairs that may still use the network.
    using_network: usize,
    /// Pairs of which a message is on the network.
    sending: usize,
    /// A message of a pair has left the network at this instant.
    has_sent: bool,
    pub(crate) books: Books,
    done: Vec<FlowId>,
}

impl Engine {
    /// An engine for these pairs and `neighbours` of them, the flows of the pairs first.
    pub(crate) fn new(
        pairs: Vec<Pair>,
        neighbours: Neighbours,
        network: Network,
        options: &Options,
        accesses: AccessCount,
        books: Books,
    ) -> Self {
        let mut agenda = Agenda::new(pairs.len() + neighbours.len());
        for (actor, pair) in pairs.iter().enumerate() {
            agenda.set(actor, pair.turn());
        }
        for neighbour in 0..neighbours.len() {
            agenda.set(pairs.len() + neighbour, neighbours.turn(neighbour));
        }
        Engine {
            open: pairs.len(),
            using_network: pairs.len(),
            sending: 0,
            has_sent: false,
            books,
            pairs,
            neighbours,
            network,
            agenda,
            now: Instant::ZERO,
            limits: options.limits,
            bounds: Bounds { latest: options.limits.time, burst: options.burst, accesses },
            actions: 0,
            done: Vec::new(),
        }
    }

    /// Runs until no pair uses the network any more. Neighbours go on until then, and no longer.
    pub(crate) fn run_migrations(&mut self) -> Result<(), Exceeded> {
        while self.using_network > 0 {
            self.step()?;
        }
        self.books.reach(self.now, &mut self.neighbours, &mut self.network);
        self.note_last_use();
        self.neighbours.leave(self.now, &mut self.network);
        Ok(())
    }

    /// What has just been sent may have been the last of all migrations.
    fn note_last_use(&mut self) {
        if std::mem::take(&mut self.has_sent) && self.sending == 0 {
            self.books.note_last_use(self.now, &self.neighbours, &self.network);
        }
    }

    /// Runs until nothing happens any more in any pair; the neighbours have gone.
    pub(crate) fn run_to_end(&mut self) -> Result<(), Exceeded> {
        for actor in self.pairs.len()..self.pairs.len() + self.neighbours.len() {
            self.agenda.set(actor, Turn::NEVER);
        }
        while self.open > 0 {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Exceeded> {
        let next = self.agenda.next();
        // An instant that has begun is carried on with: what it lets end comes later.
        let ended = match next {
            Some((at, ..)) if at <= self.now => None,
            _ => self.network.next_completion(),
        };
        match (ended, next) {
            (Some(at), next) if next.is_none_or(|(other, ..)| at <= other) => {
                self.move_to(at)?;
                self.end_transmissions();
            }
            (_, Some((at, kind, actor))) => {
                self.move_to(at)?;
                self.act(actor, kind);
            }
            (_, None) => unreachable!("an open pair has a turn, or a message on its way"),
        }
        Ok(())
    }

    fn move_to(&mut self, at: Instant) -> Result<(), Exceeded> {
        debug_assert!(at >= self.now, "time ran backwards");
        if at > self.now {
            self.note_last_use();
        }
        self.now = at;
        self.books.reach(at, &mut self.neighbours, &mut self.network);
        if at > self.limits.time {
            return Err(Exceeded::Time(self.limits.time));
        }
        if self.actions > self.limits.actions {
            return Err(Exceeded::Actions(self.limits.actions));
        }
        self.bounds.accesses.check()
    }

    fn act(&mut self, actor: usize, kind: Kind) {
        let (now, network) = (self.now, &mut self.network);
        if actor < self.pairs.len() {
            let mut bounds = self.bounds;
            self.change(actor, |pair, network| pair.act(now, kind, network, &mut bounds));
            self.bounds = bounds;
        } else {
            self.actions += 1;
            let neighbour = actor - self.pairs.len();
            self.neighbours.act(neighbour, now, network);
            self.agenda.set(actor, self.neighbours.turn(neighbour));
        }
    }

    fn end_transmissions(&mut self) {
        let now = self.now;
        let mut done = std::mem::take(&mut self.done);
        self.network.complete(now, &mut done);
        for flow in done.drain(..) {
            let actor = flow.index();
            if actor < self.pairs.len() {
                self.has_sent = true;
                self.change(actor, |pair, network| {
                    pair.transmitted(now, network);
                    1
                });
            } else {
                self.actions += 1;
                let neighbour = actor - self.pairs.len();
                self.neighbours.transmitted(neighbour, now);
                self.agenda.set(actor, self.neighbours.turn(neighbour));
            }
        }
        self.done = done;
    }

    /// Lets something happen in a pair, which takes a number of actions.
    fn change(&mut self, actor: usize, happens: impl FnOnce(&mut Pair, &mut Network) -> u64) {
        let pair = &mut self.pairs[actor];
        let used_network = pair.uses_network();
        let was_sending = pair.is_sending();
        self.actions += happens(pair, &mut self.network);
        self.using_network -= usize::from(used_network && !pair.uses_network());
        self.sending += usize::from(pair.is_sending());
        self.sending -= usize::from(was_sending);
        let turn = pair.turn();
        self.open -= usize::from(turn == Turn::NEVER && !pair.is_sending());
        self.agenda.set(actor, turn);
    }
}
