//! Two whole servers as hosts of a simulation (turmoil), with a manager that is played: real tasks,
//! real handshakes and frames, over sockets and by a clock that are not.
//!
//! A case is drawn from a seed: guest, scheme, link and deadlines as the engine's fault simulation
//! draws them (`lazycopy_simulation::faults`), and faults of hosts, links and operators in the
//! phases of the migration. What must hold is what the checkers there hold the machines to, seen
//! from outside: by the guests that the servers show, their events, and the reports of both sides.
//!
//! Only modelled links: an unlimited one has a thread and sockets of its own, which nobody
//! simulates. Nor is a process stopped and woken again: all hosts share a thread.

#![allow(dead_code, unused_imports)]

mod book;
mod brain;
mod case;
mod checkers;
mod fault;
mod links;
mod manager;
mod run;
mod summary;

pub use case::ShellCase;
pub use checkers::{CHECKERS, Violation};
pub use fault::{Moment, PlannedFault, ShellFault};
pub use run::ShellRun;
pub use summary::ShellSummary;
