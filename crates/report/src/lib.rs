//! Reports: one self-contained page for a run, a simulation or a sweep, with its figures.
//!
//! [`run_report`] tells one migration, [`Simulation`] many runs of one scenario, [`SweepReport`] a
//! sweep. What goes in are results and events that were read already, what comes out is text
//! ([`Report`]): the crate touches no file and no clock, and the same input gives the same bytes.
//!
//! A [`Trace`] is a run for another program to show: it is written as its events come.
//!
//! The figures' SVG is written by the crate itself and not by a plotting library: such a library
//! fixes colours where it draws, while these marks carry classes (one figure serves light, dark and
//! paper), hatching for those who see no colours, and notes that a pointer shows.

mod contenders;
mod difference;
mod distribution;
mod figure;
mod history;
mod hosts;
mod legend;
mod measure;
mod page;
mod quantity;
mod replay;
mod run;
mod scale;
mod simulation;
mod style;

mod svg;
mod sweep;
mod timeline;
mod trace;

pub use hosts::{Hosts, HostsError};
pub use page::Report;
pub use replay::Player;
pub use run::{RunExtras, pair_report, run_report};
pub use simulation::Simulation;
pub use sweep::SweepReport;
pub use trace::{Trace, TraceTimes};
