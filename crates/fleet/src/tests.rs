//! The fleet: its pure parts by values, and the whole of it with engines of the test.

mod evicting;
mod faults;
mod footprints;
mod placing;
mod pure;
mod reasons;
mod rollouts;
mod room;
mod revisions;
mod simulation;
mod swapping;
pub(crate) mod values;
mod whole;
