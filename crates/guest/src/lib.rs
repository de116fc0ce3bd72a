//! What a guest is: a memory of a few frames, managed by LRU, over a workload that yields
//! accesses; registers; and an observation digest by which two runs are compared.
//!
//! No clock, no thread, no I/O but the reading of a recorded trace: time is an argument, and a
//! guest runs in bursts ([`Guest::run`]) that end where somebody else must know.

mod burst;
mod content;
mod disk;
mod guest;
mod memory;
mod miss_ratio;
mod progress;
mod reference;
mod registers;
mod spec;
mod stamp;
mod workload;

pub use burst::{Stop, Timeout, TimeoutKind};
pub use content::PageContents;
pub use disk::Disk;
pub use guest::{Guest, GuestError};
/// The real bytes of a memory's pages.
pub use lazycopy_pages::Pages;
pub use memory::{Memory, Read, Victim};
pub use miss_ratio::{MissRatio, RECENT_ACCESSES};
pub use progress::{MeanLead, ProgressLog, ProgressRun};
pub use reference::{Reference, reference_run};
pub use registers::{GuestSnapshot, Registers, ResidentPage};
pub use spec::{GuestSpec, ResidentAtStart, SpecError};
pub use stamp::{first_stamp, observe, overwritten_stamp, pages_digest, written_stamp};
pub use workload::{
    Access, MalformedLine, TraceSummary, Workload, WorkloadError, WorkloadSpec, Write,
    open_workload, summarize_trace,
};
