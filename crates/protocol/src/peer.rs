//! Messages between the two servers of a migration. They share one connection, made by the
//! source; each carries the model instant of its delivery. Both sides have proven the migration's
//! key by then. A connection that was opened for bulk is answered by `Accept` or `Refuse`; then come
//! batches of pages, without frames around them.

use crate::control::{MigrationId, Watch};
use crate::frame::PeerFrame;
use crate::lists::encode_map;
use crate::pace::Pace;
use lazycopy_guest::{GuestSpec, Registers};
use lazycopy_link::LinkSpec;
use lazycopy_migration::{
    DestinationRecovery, MigrationParameters, Notice, PageMap, RecoveryAnswer, Reply,
    SourceRecovery, Verdict,
};
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
    /// Source: what does your clock say? Before the migration, and before time goes on after a
    /// standstill, in which the two clocks may have drifted apart.
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
        /// How model time goes then: a migration can begin at a standstill.
        pace: Pace,
    },
    /// Source: from then on model time goes otherwise. Both sides read `at` then, and go on from
    /// there, so that what each of them has done before decides nothing.
    Pace {
        /// When, on the destination's wall clock.
        clock_ns: u64,
        /// When, in model time.
        at: Instant,
        /// The instant that model time does not pass, where it stands still or goes a step.
        until: Option<Instant>,
        /// What the manager has asked for.
        pace: Pace,
    },
    /// Source, until the hand-over: can you be heard?
    AreYouThere,
    /// Destination: yes.
    Here,
    /// The context. What it has one of per page has come before, in binary frames.
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
    /// Destination: the machine has taken so many batches of that connection (0: the control
    /// connection's), and the source does not need their pages any more.
    Acknowledged {
        /// Which connection.
        connection: u8,
        /// Batches since the beginning.
        batches: u64,
    },
    /// Source: the migration was given up before the hand-over; the guest runs here again.
    Withdrawn {
        /// How the migration ended, and why.
        verdict: Verdict,
    },
    /// Source: the guest was freed here; nothing more follows.
    Released,
    /// Destination: what it has of a migration whose link broke, the first that is said on the
    /// connection. The page map of what [`Goes`](RecoveryAnswer::Goes) comes before, in a frame of
    /// its own, and is empty here.
    Recovery(Box<RecoveryAnswer>),
    /// Source: the migration goes on. Its page map comes before, in a frame of its own, and is
    /// empty here.
    GoesOn(Box<SourceRecovery>),
}

/// A destination's answer to a source that comes back, as it is sent.
pub fn recovery_frames(answer: RecoveryAnswer) -> Vec<PeerFrame> {
    let (map, answer) = match answer {
        RecoveryAnswer::Goes(recovery) => {
            let map = PeerFrame::Map(encode_map(&recovery.arrived));
            let bare = DestinationRecovery { arrived: PageMap::default(), ..recovery };
            (Some(map), RecoveryAnswer::Goes(bare))
        }
        other => (None, other),
    };
    let message = PeerFrame::Message(PeerMessage::Recovery(Box::new(answer)));
    map.into_iter().chain([message]).collect()
}

/// A source's first word on a new connection, as it is sent.
pub fn goes_on_frames(word: SourceRecovery) -> [PeerFrame; 2] {
    let map = PeerFrame::Map(encode_map(&word.on_disk));
    let bare = SourceRecovery { on_disk: PageMap::default(), ..word };
    [map, PeerFrame::Message(PeerMessage::GoesOn(Box::new(bare)))]
}

/// What the source offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
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
    /// The link, or none.
    pub link: LinkSpec,
    /// Which events the destination sends to the manager at once.
    pub watch: Watch,
    /// How long the source is waited for when the link breaks, in wall time.
    pub recover_within: Duration,
}

/// The context of a guest in a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContextFrame {
    /// Model instant of its delivery.
    pub deliver_at: Instant,
    /// Registers.
    pub registers: Registers,
    /// Bytes that it counts on the modelled link.
    pub bytes: u64,
}

/// The uncertainty of the common clock in model time.
pub fn uncertainty_in_model_time(uncertainty_ns: u64, time_scale: u64) -> Duration {
    Duration::from_nanos(uncertainty_ns.saturating_mul(time_scale))
}
