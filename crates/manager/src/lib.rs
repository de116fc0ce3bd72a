//! The migration manager: it takes commands from a prompt, a script, a pipe or a TCP port, and has
//! its servers carry them out.
//!
//! ```text
//! prompt, script, pipe ──┐
//! ctl ── listener ───────┴─> grammar ─> commands ─> fleet (decides, without IO)
//!                                          │
//! servers ── listener ── connection <──────┘
//!               └─> manager: events to the feed, ends to the recording of results, both to the
//!                   picture of the fleet, which the live page (web) and the prompt show
//! ```
//!
//! [`Manager`] is the handle to all of it. The state behind it is locked for decisions alone and
//! never while anything is awaited.

mod accesses;
pub mod arguments;
pub mod children;
mod commands;
pub mod connection;
pub mod console;
pub mod ctl;
pub mod definition;
pub mod demo;
mod display;
pub mod faults;
pub mod feed;
pub mod fleet;
#[doc(hidden)]
pub mod fuzzing;
pub mod grammar;
mod listener;
mod manager;
mod past;
mod picture;
mod presence;
mod recording;
pub mod render;
mod repl;
pub mod reply;
pub mod report;
mod requests;
mod run_files;
mod session;
mod shell;
pub mod simulate;
mod state;
pub mod sweep;
pub mod trace;
mod tutorial;
pub mod verification;
pub mod web;

pub use arguments::{ManagerProcess, Mode, Options};
pub use manager::{Manager, Settings, StartError};
pub use presence::RETURN_DEADLINE;
pub use session::run;
pub use state::{BESIDE_RESULTS, StateError};
pub use web::WebAddress;
