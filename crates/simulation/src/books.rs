//! From when to when neighbours and cards are reported on.

use crate::neighbours::Neighbours;
use lazycopy_link::Network;
use lazycopy_units::Instant;

/// Neighbours and their network at one instant.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    pub(crate) neighbours: Neighbours,
    pub(crate) network: Network,
}

/// The books: open from the first request of a migration to the last use of the network by one.
///
/// Which use is the last is known only later, when neighbours have gone on: each that could be is
/// kept until the next.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
    are_open: bool,
    /// What was there at either instant; `None` without neighbours.
    pub(crate) opened: Option<Traffic>,
    pub(crate) closed: Option<Traffic>,
}

impl Books {
    /// Books that are to be opened at `from`.
    pub(crate) fn new(from: Instant) -> Self {
        Books { from, until: from, are_open: false, opened: None, closed: None }
    }

    /// Time moves on to `at`: opens the books if it is time.
    #[inline]
    pub(crate) fn reach(&mut self, at: Instant, neighbours: &mut Neighbours, net: &mut Network) {
        if at >= self.from && !self.are_open {
            self.open(neighbours, net);
        }
    }

    #[cold]
    fn open(&mut self, neighbours: &mut Neighbours, network: &mut Network) {
        self.are_open = true;
        if self.from > Instant::ZERO {
            neighbours.open(self.from, network);
            network.open_books(self.from);
        }
        self.opened = traffic(neighbours, network);
    }

    /// At `now` no migration uses the network any more, for the time being at least.
    pub(crate) fn note_last_use(
        &mut self,
        now: Instant,
        neighbours: &Neighbours,
        network: &Network,
    ) {
        self.until = now;
        self.closed = traffic(neighbours, network);
    }
}

fn traffic(neighbours: &Neighbours, network: &Network) -> Option<Traffic> {
    (neighbours.len() > 0)
        .then(|| Traffic { neighbours: neighbours.clone(), network: network.clone() })
}
