//! Whole runs of the real programs: a manager, its servers, their sockets, their signals.

#[path = "../common/mod.rs"]
mod common;

mod book;
mod commands;
mod demonstration;
mod doors;
mod endings;
mod evacuations;
mod faults;
mod guarantees;
mod matrix;
mod migrations;
mod pace;
mod page;
mod pauses;
mod prompt;
mod reports;
mod restarts;
mod simulation;
mod simulation_files;
mod sweeps;
mod terminal;
mod unlimited;
mod versions;
