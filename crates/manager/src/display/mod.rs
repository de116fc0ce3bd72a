//! What a terminal shows: colours, the live picture of a guest, bars of migrations.
//!
//! Everything that is drawn is a pure function of what is known and of the room there is; the
//! colours come last and can be left out without losing anything.

pub(crate) mod bars;
mod line;
pub(crate) mod paint;
mod palette;
mod scene;
mod screen;

pub(crate) use scene::{Room, Scene, draw};
pub(crate) use screen::{leave as leave_screen, scene_of, watch};
