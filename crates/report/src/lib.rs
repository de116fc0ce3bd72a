//! Reports: one self-contained page for a run, a simulation or a sweep, with its figures.
//!
//! What goes in are results and events that were read already, what comes out is text: the crate
//! touches no file and no clock, and the same input gives the same bytes.
//!
//! Figures are drawn by [`svg`](crate) marks of our own: classes instead of colours (so that one page
//! serves light, dark and paper), a note on each mark, and hatching are not to be had from a
//! plotting library's SVG, whose colours are fixed where it is written.

mod difference;
mod distribution;
mod figure;
mod history;
mod metric;
mod page;
mod quantity;
mod run;
mod scale;
mod simulation;
mod style;
mod svg;
mod timeline;

pub use page::Report;
pub use run::run_report;
pub use simulation::Simulation;
