//! The driver in virtual time: the same guests and the same machines as between real processes,
//! without sockets and clocks. Same scenario and seed, same bytes of result.

mod checks;
mod engine;
mod run;

pub use checks::check_run;
pub use run::{Migration, Run, RunError, simulate};
