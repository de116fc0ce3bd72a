//! Scenarios: what is run, in a file of human units, as a typed and validated value.
//!
//! A [`Scenario`] comes from a file by [`Scenario::load`], or from a [`Draft`], to which a
//! [`Preset`] and overrides (`--set KEY=VALUE`) are applied before it is typed, so that a wrong
//! override is refused by its own name. The later wins: file, preset, overrides.

mod cards;
mod draft;
mod duration_text;
mod error;
mod fleet;
mod keys;
mod link_table;
mod overrides;
mod preset;
mod scenario;
mod shipped;
mod suggestion;
mod table;
mod validate;
mod workload_table;

pub use cards::FleetCards;
pub use draft::Draft;
pub use error::ScenarioError;
pub use fleet::{
    FleetMove, FleetNeighbour, FleetScenario, GuestMove, MAX_FLEET_GUESTS, MAX_FLEET_HOSTS,
    MAX_FLEET_NEIGHBOURS, MAX_FLEET_PAGES,
};
pub use keys::{Given, KEYS, Key};
pub use preset::Preset;
pub use scenario::{DiskScenario, GuestScenario, MigrationScenario, Scenario};
pub use shipped::{SHIPPED, ShippedScenario};
pub use suggestion::{closest, did_you_mean};
pub use validate::{LEAST_WALL_LATENCY, MAX_GUEST_PAGES, MAX_RUN_TIME, MAX_SPAN, Warning};
