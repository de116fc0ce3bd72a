//! What happens in a migration, for logs, results and pictures.

use crate::message::Cause;
use lazycopy_guest::Registers;
use lazycopy_units::{Duration, Instant, PageNumber};
use serde::{Deserialize, Serialize};

/// Which machine saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The source.
    Source,
    /// The destination.
    Destination,
}

/// Something that happened. Hits are no events: with the seeded guest they can be recomputed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in model time.
    #[serde(rename = "at_ns")]
    pub at: Instant,
    /// Where.
    pub side: Side,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What became of a page that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is in memory, or (before the hand-over) set aside for it.
    Installed,
    /// It ended a fault, and is in memory.
    EndedFault,
    /// Memory was full and the disk has it.
    Discarded,
    /// Memory was full; it was written to the disk.
    WrittenBack,
    /// The destination had held it before.
    Duplicate,
    /// The migration was complete already.
    Late,
}

/// How the source answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The page is in source memory and goes next.
    InSourceMemory,
    /// The page is on its way already.
    OnItsWay,
    /// The page is not in source memory.
    NotResident,
}

/// What ended a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultEnd {
    /// A page from the source.
    Remote,
    /// A load from the disk.
    Disk,
}

/// The kinds of events, by the side that sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum EventKind {
    /// Source: the migration was asked for.
    Requested,
    /// Source: a round of pre-copy began.
    RoundBegan {
        /// Its number, from 1.
        round: u32,
        /// Pages that it has to send.
        pages: u64,
    },
    /// Source: the guest is slowed down so that the rounds catch up with its writes.
    Throttled {
        /// Share of the processor that it loses.
        percent: u8,
    },
    /// Source: the guest was suspended.
    Suspended {
        /// Its registers.
        registers: Registers,
        /// Pages on the residency list.
        resident: u64,
    },
    /// Source: dirty pages of the suspended guest go to the disk before the hand-over.
    Checkpointed {
        /// How many.
        pages: u64,
        /// How long the disk takes for them.
        #[serde(rename = "takes_ns")]
        takes: Duration,
    },
    /// Source: a page's transmission began.
    PageSent {
        /// Which page.
        page: PageNumber,
        /// The lane that it left by.
        cause: Cause,
    },
    /// Source: the point of no return. The context's transmission began.
    Handover {
        /// Bytes of the context message.
        bytes: u64,
    },
    /// Source: the context has left; the forward context runs, if the scheme has one.
    ContextSent,
    /// Source: the forward context began to run.
    ForwardResumed,
    /// Source: the forward context has missed and loads the page from the disk.
    ForwardMissed {
        /// Which page.
        page: PageNumber,
    },
    /// Source: the forward context touched a page that waits in the background, or has loaded it:
    /// it joins the forward lane.
    JoinedForward {
        /// Which page.
        page: PageNumber,
    },
    /// Source: the forward context has completed its head start.
    HeadStartCompleted,
    /// Source: a page of the residency list was evicted before it was sent.
    PageDropped {
        /// Which page.
        page: PageNumber,
    },
    /// Source: a page that waited is not sent, since the guest has overwritten it.
    PageExempted {
        /// Which page.
        page: PageNumber,
    },
    /// Destination: the guest missed a page and wrote it as a whole, without waiting for it.
    Overwritten {
        /// Which page.
        page: PageNumber,
    },
    /// Source: a page that the forward context has loaded is not pushed: the link has no room for
    /// it, or the destination's disk is faster.
    PageWithheld {
        /// Which page.
        page: PageNumber,
    },
    /// Source: a page loaded since was evicted before it was sent.
    PageWithdrawn {
        /// Which page.
        page: PageNumber,
    },
    /// Source: a request came.
    PageRequested {
        /// Which page.
        page: PageNumber,
        /// What the source answers.
        answer: Answer,
    },
    /// Either side: the link broke after the hand-over. What runs at the destination runs on with
    /// what it has.
    Paused {
        /// What was seen.
        reason: String,
    },
    /// Source: a page was found to be lost in flight.
    PageLost {
        /// Which page.
        page: PageNumber,
    },
    /// Either side: the two sides know of each other what they have, and go on.
    Recovered,
    /// Destination: it goes on without the source.
    SourceLost {
        /// What was seen.
        reason: String,
        /// Pages of the residency list that never came, which the disk has.
        on_disk: u64,
    },
    /// Destination: the migration is given up here, the guest was never resumed here and will not
    /// be.
    ThrownAway {
        /// Why.
        reason: String,
    },
    /// Source: the destination has all it needs; the guest was freed here.
    Released,
    /// Source: the guest runs here again: before the hand-over, after the destination's word, or by
    /// an operator's.
    Returned {
        /// Why.
        reason: String,
    },
    /// Destination: the context arrived.
    ContextArrived,
    /// Destination: the guest was resumed.
    Resumed {
        /// Its registers.
        registers: Registers,
    },
    /// Destination: a page arrived.
    PageArrived {
        /// Which page.
        page: PageNumber,
        /// The lane that it had left by.
        cause: Cause,
        /// What became of it.
        fate: Fate,
    },
    /// Destination: the source's word that a page is on the disk arrived.
    PageNotResident {
        /// Which page.
        page: PageNumber,
    },
    /// Destination: the guest is blocked by a page fault of the migration.
    FaultBegan {
        /// Which page.
        page: PageNumber,
        /// Whether the page is asked for at the source, or else loaded from the disk.
        asked: bool,
    },
    /// Destination: the fault is over and its access completed.
    FaultEnded {
        /// Which page.
        page: PageNumber,
        /// What ended it.
        by: FaultEnd,
        /// How long the guest was blocked.
        #[serde(rename = "stalled_ns")]
        stalled: Duration,
    },
    /// Either side: the guest missed in ordinary paging.
    Missed {
        /// Which page.
        page: PageNumber,
    },
    /// Destination: the migration is complete.
    Completed,
    /// Destination: the measured accesses are completed.
    Measured {
        /// The guest's registers.
        registers: Registers,
    },
    /// Destination: nothing is left to count.
    Ended {
        /// The guest's registers.
        registers: Registers,
    },
    /// Destination: the guest cannot go on; pages that it needs are gone. Source: it was handed
    /// over, and the destination is given up.
    Lost {
        /// Why.
        reason: String,
    },
    /// Either side: accesses that this side's context completed at equal distances while the
    /// migration lasted, for the lead of the forward context.
    Progress {
        /// From one to the next.
        #[serde(rename = "step_ns")]
        step: Duration,
        /// How many; the first at the event's instant.
        count: u64,
    },
}

impl EventKind {
    /// Whether it is a step of the migration as a whole. There are few of these, however many
    /// pages the guest has; all others are of single pages, or of accesses.
    pub fn is_milestone(&self) -> bool {
        use EventKind as Kind;
        matches!(
            self,
            Kind::Requested
                | Kind::RoundBegan { .. }
                | Kind::Throttled { .. }
                | Kind::Suspended { .. }
                | Kind::Checkpointed { .. }
                | Kind::Handover { .. }
                | Kind::Paused { .. }
                | Kind::Recovered
                | Kind::SourceLost { .. }
                | Kind::ThrownAway { .. }
                | Kind::ContextSent
                | Kind::ForwardResumed
                | Kind::HeadStartCompleted
                | Kind::Released
                | Kind::Returned { .. }
                | Kind::ContextArrived
                | Kind::Resumed { .. }
                | Kind::Completed
                | Kind::Measured { .. }
                | Kind::Ended { .. }
                | Kind::Lost { .. }
        )
    }
}
