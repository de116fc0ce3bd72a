//! Why a network cannot be built.

use crate::group::MAX_CARD_RATE;
use lazycopy_units::Rate;

/// Why a network cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// A card is too fast to be counted exactly.
    #[error("the card of host {host} carries {rate}; the fastest is {MAX_CARD_RATE}B/s")]
    TooFast {
        /// Whose card.
        host: u32,
        /// Its capacity.
        rate: Rate,
    },
    /// A route names a host that is not there.
    #[error("host {host} is none of the network's {hosts} hosts, which count from 0")]
    UnknownHost {
        /// The host that was named.
        host: u32,
        /// How many there are.
        hosts: usize,
    },
    /// A route crosses no card, and its flow has no cap: it would take no time.
    #[error("a flow crosses no host's card and has no rate: give it a host or a rate")]
    Unbounded,
    /// So many flows cross a card that a share of it would be nothing.
    #[error("{flows} flows are too many for a card of {rate}")]
    TooManyFlows {
        /// Flows over the card.
        flows: u64,
        /// Its capacity.
        rate: Rate,
    },
}
