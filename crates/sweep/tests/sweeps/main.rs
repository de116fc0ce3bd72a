//! Whole sweeps by the library.

mod blocks;
mod common;
mod records;
mod refusals;
mod shipped;
