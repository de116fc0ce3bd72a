//! One direction of a host's network card.

use crate::error::NetworkError;
use crate::group::{PARTS_PER_BYTE, WORK_PER_BYTE};
use crate::meter::BandwidthMeter;
use crate::series::BandwidthSeries;
use lazycopy_units::{Instant, Rate};

const WORK_PER_PART: u128 = WORK_PER_BYTE / PARTS_PER_BYTE as u128;

/// The most flows that may cross one direction of a card: each has a share of it that can be
/// counted.
pub fn max_flows(card: Rate) -> u64 {
    card.bytes_per_sec().saturating_mul(PARTS_PER_BYTE)
}

/// What crosses one direction of a card.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) capacity: Rate,
    /// Flows that may cross it.
    flows: u64,
    /// Its place among the ports of its component, while rates are shared out.
    pub(crate) place: usize,
    /// Sum of the rates that cross it, in parts per second.
    carried: u64,
    since: Instant,
    work: u128,
    pub(crate) meter: BandwidthMeter,
    /// What it carried over time, where that is kept.
    pub(crate) series: Option<BandwidthSeries>,
}

impl Port {
    pub(crate) fn new(capacity: Rate) -> Self {
        Port {
            capacity,
            flows: 0,
            place: 0,
            carried: 0,
            since: Instant::ZERO,
            work: 0,
            meter: BandwidthMeter::default(),
            series: None,
        }
    }

    /// One more flow may cross it.
    pub(crate) fn take_flow(&mut self) -> Result<(), NetworkError> {
        self.flows += 1;
        if self.flows > max_flows(self.capacity) {
            return Err(NetworkError::TooManyFlows { flows: self.flows, rate: self.capacity });
        }
        Ok(())
    }

    /// Counts what was carried up to `now`.
    pub(crate) fn advance(&mut self, now: Instant) {
        let nanos = now.saturating_since(self.since).as_nanos();
        if self.carried > 0 && nanos > 0 {
            let before = self.work;
            self.work += u128::from(self.carried) * u128::from(nanos);
            let gone = |unit| u64::try_from(self.work / unit - before / unit).unwrap_or(u64::MAX);
            let (bytes, parts) = (gone(WORK_PER_BYTE), gone(WORK_PER_PART));
            self.meter.record_parts(self.since, now, bytes, parts);
            if let Some(series) = &mut self.series {
                series.record(self.since, now, bytes);
            }
        }
        self.since = now;
    }

    /// Counts from `now` on, beginning with a whole byte.
    pub(crate) fn open_books(&mut self, now: Instant) {
        self.advance(now);
        self.work = 0;
        self.meter = BandwidthMeter::default();
        if let Some(series) = &mut self.series {
            *series = BandwidthSeries::default();
        }
    }

    /// From `now` on `carried` parts per second cross it.
    pub(crate) fn set_carried(&mut self, now: Instant, carried: u64) {
        self.advance(now);
        self.carried = carried;
    }
}
