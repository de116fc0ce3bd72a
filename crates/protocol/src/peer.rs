//! Messages between the two servers of a migration. They share one connection, made by the
//! source; each carries the model instant of its delivery.

use crate::control::{MigrationId, Watch};
use lazycopy_guest::{DiskContents, GuestSpec, Registers};
use lazycopy_link::LinkParameters;
use lazycopy_migration::{MigrationParameters, Notice, Reply, Residency, Verdict};
use lazycopy_units::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// A JSON frame between two servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "peer")]
pub enum PeerMessage {
    /// The source asks the destination to take a guest.
    Offer(Box<Offer>),
    /// The destination has reserved the guest's frames.
    Accept,
    /// The destination does not take it.
    Refuse {
        /// Why.
        reason: String,
    },
    /// Source: what does your clock say?
    Ping {
        /// Number of the ping.
        number: u32,
    },
    /// Destination: this, in nanoseconds since it accepted.
    Pong {
        /// Number of the ping.
        number: u32,
        /// The destination's wall clock.
        clock_ns: u64,
    },
    /// Source: model time 0 is then.
    Begin {
        /// On the destination's wall clock.
        zero_clock_ns: u64,
        /// By how much the two clocks may disagree, in wall time.
        uncertainty_ns: u64,
    },
    /// A part of the context's lists, before the context itself: they are joined in the order of
    /// their coming. Counts nothing on the modelled link.
    ContextPart(ContextLists),
    /// The context, with the last part of its lists.
    Context(Box<ContextFrame>),
    /// A control message from the source machine.
    Notice {
        /// Model instant of its delivery.
        deliver_at: Instant,
        /// What it says.
        notice: Notice,
    },
    /// A control message from the destination machine.
    Reply {
        /// Model instant of its delivery.
        deliver_at: Instant,
        /// What it says.
        reply: Reply,
    },
    /// Source: the migration was given up before the hand-over; the guest runs here again.
    Withdrawn {
        /// How the migration ended, and why.
        verdict: Verdict,
    },
    /// Source: the guest was freed here; nothing more follows.
    Released,
}

/// What the source offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// [`PROTOCOL_VERSION`](crate::control::PROTOCOL_VERSION) of the source.
    pub protocol: u32,
    /// Which migration.
    pub migration: MigrationId,
    /// Name of the source.
    pub source: String,
    /// Name of the guest.
    pub vm: String,
    /// Its definition.
    pub spec: GuestSpec,
    /// Accesses that it has completed so far, so that its workload can be opened in time.
    pub position: u64,
    /// Accesses of its warm-up, should it be stopped and started again.
    pub warmup_accesses: u64,
    /// Model time per wall time.
    pub time_scale: u64,
    /// How it is moved.
    pub parameters: MigrationParameters,
    /// The link.
    pub link: LinkParameters,
    /// Which events the destination sends to the manager at once.
    pub watch: Watch,
}

/// The context of a guest in a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContextFrame {
    /// Model instant of its delivery.
    pub deliver_at: Instant,
    /// Registers.
    pub registers: Registers,
    /// The last part of its lists; all of them, where they are short.
    #[serde(flatten)]
    pub lists: ContextLists,
    /// Bytes that it counts on the modelled link.
    pub bytes: u64,
}

/// What a context has one of per page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContextLists {
    /// The residency list, from least to most recently used.
    pub residency: Vec<Residency>,
    /// What was written back to the guest's storage.
    pub disk: DiskContents,
}

/// The most entries of either list in one frame, so that it stays far below
/// [`MAX_PEER_FRAME`](crate::frame::MAX_PEER_FRAME) however large the guest is.
pub const CONTEXT_PART_ENTRIES: usize = 1 << 16;

impl ContextLists {
    /// Cuts the lists into parts of at most [`CONTEXT_PART_ENTRIES`] entries, at least one.
    pub fn into_parts(self) -> Vec<ContextLists> {
        let mut residency = self.residency.chunks(CONTEXT_PART_ENTRIES);
        let mut written = self.disk.written.chunks(CONTEXT_PART_ENTRIES);
        let count = residency.len().max(written.len()).max(1);
        let mut part = || ContextLists {
            residency: residency.next().unwrap_or_default().to_vec(),
            disk: DiskContents { written: written.next().unwrap_or_default().to_vec() },
        };
        (0..count).map(|_| part()).collect()
    }

    /// Joins the next part.
    pub fn extend(&mut self, part: ContextLists) {
        self.residency.extend(part.residency);
        self.disk.written.extend(part.disk.written);
    }
}

/// The uncertainty of the common clock in model time.
pub fn uncertainty_in_model_time(uncertainty_ns: u64, time_scale: u64) -> Duration {
    Duration::from_nanos(uncertainty_ns.saturating_mul(time_scale))
}
