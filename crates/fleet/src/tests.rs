//! The fleet: its pure parts by values, and the whole of it with engines of the test.

mod evicting;
mod faults;
mod files;
mod footprints;
pub(crate) mod owner;
mod placing;
mod pure;
mod reasons;
mod revisions;
mod rollouts;
mod room;
mod simulation;
mod soak;
mod swapping;
mod turns;
pub(crate) mod values;
mod whole;
