//! What a network is made of: hosts, their cards, and the routes of flows.

use lazycopy_units::Rate;
use serde::{Deserialize, Serialize};

/// A host of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u32);

/// A flow of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub(crate) u32);

impl FlowId {
    /// Its number, in the order in which the network was given its flows.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A host's network card: what it carries in each direction, independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Out of the host, bytes per second.
    pub out: Rate,
    /// Into the host, bytes per second.
    #[serde(rename = "in")]
    pub into: Rate,
}

/// The two directions of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Out of the host.
    Out,
    /// Into the host.
    In,
}

/// Whose cards a flow crosses. An end that is `None` lies outside and bounds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Out of whose card.
    pub source: Option<HostId>,
    /// Into whose card.
    pub destination: Option<HostId>,
}
