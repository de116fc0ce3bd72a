//! The driver in virtual time: the same guests and the same machines as between real processes,
//! without sockets and clocks. Same scenario and seed, same bytes of result.
//!
//! [`simulate`] moves one guest over a link of its own; [`simulate_fleet`] moves several at once
//! over the cards of several hosts, beside the traffic of neighbours. It is the same engine: one
//! guest is a fleet of one. [`simulate_scenario`] simulates what a scenario asks for. In [`faults`]
//! everything fails that can.

mod agenda;
mod books;
mod checks;
mod engine;
pub mod faults;
mod fleet;
mod journal;
mod neighbours;
mod options;
mod pair;
mod run;
mod scenario;

pub use checks::{check_fleet, check_run};
pub use fleet::{CardReport, Fleet, FleetMigration, FleetRun, OverTime, simulate_fleet};
pub use neighbours::{Neighbour, NeighbourReport};
pub use options::{Exceeded, Limits, Options};
pub use run::{Migration, Run, RunError, simulate, simulate_with};
pub use scenario::{scenario_fleet, simulate_scenario};
