//! The core: how a guest is moved. A [`Source`] and a [`Destination`] machine, the parts that
//! schemes are made of, what they say to each other, and the metrics.
//!
//! A machine takes `handle_input(now, input)` and is then drained by `poll_output` until `None`;
//! `poll_timeout` says when it wants to be woken; `run` lets the context that it holds take
//! accesses up to an instant. Time, network and disk are arguments: there is no clock, no socket
//! and no thread, so that real processes and the engine in virtual time drive the same machines.
//!
//! ```text
//! source                                            destination
//!   Requested: the guest is suspended, or runs on while
//!   Page (round) ----------------- link -------------> set aside
//!   Suspended, then
//!   Handover: the context is to be sent
//!   Context ---------------------- link -------------> residency list known
//!   (forward context resumes)                          guest resumes
//!   <----------------------------- ThrownAway -------- or cannot: it is the source's again
//!   Page (background, forward, demand) -- link ------> installed, discarded or duplicate
//!   <------------------------------- Request(page) --- fault on a page that never came
//!   NotResident(page), Dropped(page) ----------------> the page is on the disk
//!   <--------------------------- Overwritten(page) --- no copy is wanted any more
//!   HeadStart ---------------------------------------> guest may resume
//!   <------------------------------ Progress(count) -- where max_lead asks for it
//!   <------------------------------------- Complete -- nothing is missing any more
//!   Released: the guest's memory is freed
//! ```
//!
//! What happens when the link breaks after the hand-over is told in [`RecoveryAnswer`]: both sides pause,
//! tell each other what they have, and go on.

mod background;
#[cfg(feature = "broken-rules")]
mod broken_rules;
mod destination;
mod event;
mod event_log;
mod lanes;
mod message;
mod metrics;
mod page_set;
mod parameters;
mod prediction;
mod recovery;
mod report;
mod source;

#[cfg(feature = "broken-rules")]
pub use broken_rules::BrokenRule;
pub use destination::{Destination, DestinationInput, DestinationOutput};
pub use event::{Answer, Event, EventKind, Fate, FaultEnd, Side};
pub use event_log::{EventLog, EventRun};
pub use message::{
    Cause, Context, LinkMessage, Notice, PageMessage, Reply, Residency, ResidencyList,
};
pub use metrics::{Metrics, Outcome, Verdict};
pub use parameters::{
    BeforeHandover, Direction, MigrationParameters, ParameterError, Parts, PrePaging, PushOrder,
    RoundParameters, Scheme, StopRule,
};
pub use recovery::{DestinationRecovery, PageMap, RecoveryAnswer, SourceRecovery};
pub use report::{DestinationReport, PageCounts, SourceReport};
pub use source::{Reclaim, Source, SourceInput, SourceOutput};
