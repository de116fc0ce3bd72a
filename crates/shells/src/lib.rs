//! The servers' own shells under simulated network and time, where everything fails that can.
//!
//! There is nothing here but tests (`tests/`), a program for long runs (`examples/shells.rs`) and
//! what they share (`harness/`): what it needs of the other crates are features for tests, which
//! no program's build may have.
