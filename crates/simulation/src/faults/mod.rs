//! Deterministic fault simulation: the two machines of one migration in virtual time, between two
//! processes and over connections that fail in every way that was thought of, at every moment.
//!
//! Everything is drawn from a seed: the guest, the scheme, the link, the deadlines, and what goes
//! wrong in which phase. The same seed gives the same run. Checkers look on from outside: safety
//! at every step, and liveness, that every migration ends within a bound once the faults have
//! stopped. The driver here is a third one, besides the engine's and the processes': the engine
//! knows no faults, so that it stays as fast as it is.
//!
//! What is simulated, layer by layer. Processes die, begin anew without the guest's memory, and
//! are stopped for a while. The connection is TCP's: in order, at most once, until it breaks; a
//! packet that comes twice is told from others by its number. Silence is noticed by heartbeats,
//! on either side by itself. The manager has no part in the machines: it tells one side that the
//! other is dead, sooner than the deadline would; without it the deadline decides.

mod case;
mod checkers;
mod destination_driver;
mod fault;
mod hosts;
mod parcel;
mod reference;
mod run;
mod source_driver;
mod striking;
mod summary;
mod wire;
mod world;

pub use case::{FaultCase, Patience};
pub use checkers::Violation;
pub use fault::{FAULT_KINDS, Fault, Phase, PlannedFault, Way};
pub use reference::ReferenceGuest;
pub use run::{FaultOptions, FaultRun};
pub use summary::{FaultSummary, fault_checkers};
pub use world::{Hit, Tally};
