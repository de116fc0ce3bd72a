//! What a guest is here, from the command that created it or the offer that brought it.

use crate::clock::MAX_TIME_SCALE;
use lazycopy_guest::{Guest, GuestSpec};
use lazycopy_protocol::control::{CreateVm, VmPhase, VmSummary};
use lazycopy_protocol::peer::Offer;
use lazycopy_units::Duration;
use std::sync::Arc;

/// The most pages that a guest here can address (64 GiB): what is kept per page, whether it is in
/// a frame or not, then stays below half a gigabyte.
const MAX_PAGES: u32 = 1 << 24;

/// The most accesses that a guest can have behind it, far from where counters overflow: at one each
/// nanosecond they take two years.
pub(crate) const MOST_ACCESSES: u64 = 1 << 56;

/// The longest name of a guest.
const MAX_NAME_BYTES: usize = 255;

/// The longest think time and load (ten years of 365.25 days, as in scenarios).
pub(crate) const LONGEST_SPAN: Duration = Duration::from_secs(10 * 31_557_600);

/// A guest's definition: what does not change while it is here.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) vm: String,
    pub(crate) spec: Arc<GuestSpec>,
    /// Model time per wall time.
    pub(crate) time_scale: u64,
    /// What a load takes in ordinary paging.
    pub(crate) disk_latency: Duration,
    pub(crate) warmup_accesses: u64,
    /// Whether its pages have bytes, for migrations over an unlimited link alone.
    pub(crate) real_memory: bool,
}

impl Definition {
    /// The guest that a command asks for.
    pub(crate) fn of_command(command: CreateVm) -> Result<Self, String> {
        Definition {
            vm: command.vm,
            spec: Arc::new(command.spec),
            time_scale: command.time_scale,
            disk_latency: command.disk_latency,
            warmup_accesses: command.warmup_accesses,
            real_memory: command.real_memory,
        }
        .checked()
    }

    /// The guest that another server offers.
    pub(crate) fn of_offer(offer: &Offer) -> Result<Self, String> {
        Definition {
            vm: offer.vm.clone(),
            spec: Arc::new(offer.spec.clone()),
            time_scale: offer.time_scale,
            disk_latency: offer.parameters.disk_latency_source,
            warmup_accesses: offer.warmup_accesses,
            real_memory: offer.link.is_unlimited(),
        }
        .checked()
    }

    fn checked(self) -> Result<Self, String> {
        if self.vm.is_empty() || self.vm.len() > MAX_NAME_BYTES {
            return Err(format!("the name of a guest has 1 to {MAX_NAME_BYTES} bytes"));
        }
        if !(1..=MAX_TIME_SCALE).contains(&self.time_scale) {
            return Err(format!(
                "time_scale: {} is outside 1 to {MAX_TIME_SCALE}",
                self.time_scale
            ));
        }
        if self.real_memory && self.time_scale != 1 {
            return Err(format!(
                "time_scale: {} cannot be kept by a guest whose link is unlimited; its time is \
                 the clock's, so it must be 1",
                self.time_scale
            ));
        }
        self.spec.validate().map_err(|error| error.to_string())?;
        if self.spec.pages > MAX_PAGES {
            return Err(format!(
                "guest.pages: {} is above {MAX_PAGES}, the most that a server hosts",
                self.spec.pages
            ));
        }
        for (key, span) in
            [("guest.think_time", self.spec.think_time), ("disk latency", self.disk_latency)]
        {
            if span > LONGEST_SPAN {
                return Err(format!("{key}: {span} is above {LONGEST_SPAN}"));
            }
        }
        Ok(self)
    }

    /// The guest in a list.
    pub(crate) fn summary(&self, phase: VmPhase, guest: Option<&Guest>) -> VmSummary {
        let seen = guest.map(|guest| guest.snapshot(0));
        VmSummary {
            vm: self.vm.clone(),
            phase,
            pages: self.spec.pages,
            frames: self.spec.frames,
            accesses: seen.as_ref().map_or(0, |seen| seen.registers.accesses),
            miss_ratio: seen.as_ref().and_then(|seen| seen.miss_ratio),
            recent_miss_ratio: seen.as_ref().and_then(|seen| seen.recent_miss_ratio),
            real_memory: self.real_memory,
        }
    }
}
