//! The targets, by what they read.

pub mod control;
pub mod machines;
pub mod manager;
pub mod peer;
pub mod plane;
pub mod results;
pub mod scenario;
pub mod sides;
pub mod text;
pub mod trace;

mod guests;
