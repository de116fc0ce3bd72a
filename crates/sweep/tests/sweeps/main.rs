//! Whole sweeps by the library.

mod blocks;
mod common;
mod fingerprints;
mod records;
mod refusals;
mod shipped;
