//! Whole runs of the real programs: a manager, its servers, their sockets, their signals.

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod demonstration;
mod doors;
mod endings;
mod evacuations;
mod faults;
mod migrations;
mod page;
mod prompt;
mod reports;
mod simulation;
mod simulation_files;
mod sweeps;
mod unlimited;
