//! The modelled network, without I/O. A link sends one message at a time, whole: it is occupied
//! for size / bandwidth, and the message is delivered one latency later. It owns no queue; it
//! only says when it is free.
//!
//! A [`Link`] has its bandwidth to itself; the flows of a [`Network`] share the cards of their
//! hosts max-min fairly.

mod error;
mod group;
mod meter;
mod network;
mod port;
mod series;
mod sharing;
mod spec;
mod topology;

pub use error::NetworkError;
pub use group::MAX_CARD_RATE;
pub use meter::BandwidthMeter;
pub use network::Network;
pub use port::max_flows;
pub use series::BandwidthSeries;
pub use spec::{Compression, LinkSpec, MAX_CONNECTIONS, PlaneError, PlaneParameters};
pub use topology::{Card, Direction, FlowId, HostId, Route};

use lazycopy_units::{Duration, Instant, Rate};
use serde::{Deserialize, Serialize};

/// What a link is like, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkParameters {
    /// Bytes per second.
    pub bandwidth: Rate,
    /// From the end of a message's transmission to its delivery; also what a control message
    /// takes, in either direction.
    pub latency: Duration,
}

/// One message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// When the link is free again.
    pub ends: Instant,
    /// When the message is delivered.
    pub delivered: Instant,
}

/// A link from a source to a destination.
#[derive(Clone, Debug)]
pub struct Link {
    parameters: LinkParameters,
    busy_until: Instant,
    meter: BandwidthMeter,
}

impl Link {
    /// An idle link.
    pub fn new(parameters: LinkParameters) -> Self {
        Link { parameters, busy_until: Instant::ZERO, meter: BandwidthMeter::default() }
    }

    /// What the link is like.
    pub fn parameters(&self) -> LinkParameters {
        self.parameters
    }

    /// Whether no message occupies the link at `now`.
    pub fn is_free(&self, now: Instant) -> bool {
        self.busy_until <= now
    }

    /// From when on no message occupies the link.
    pub fn free_at(&self) -> Instant {
        self.busy_until
    }

    /// Begins to send a message of `bytes` bytes.
    ///
    /// # Panics
    /// When another message still occupies the link.
    pub fn transmit(&mut self, now: Instant, bytes: u64) -> Transmission {
        assert!(self.is_free(now), "a message was sent over a link that is occupied");
        let ends = now + self.parameters.bandwidth.time_for(bytes);
        self.busy_until = ends;
        self.meter.record(now, ends, bytes);
        Transmission { ends, delivered: ends + self.parameters.latency }
    }

    /// What the link carried so far.
    pub fn meter(&self) -> &BandwidthMeter {
        &self.meter
    }
}
