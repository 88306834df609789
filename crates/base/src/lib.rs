//! Small things that every room needs; no I/O, no product noun.
//!
//! Life of a value that crosses rooms: it is named by an id ([`mod@id`]), measured in units ([`size`]),
//! stamped with a time ([`clock`]; `simulated` makes it, for tests), kept from prying eyes when it is a [`Secret`], carried by a
//! task ([`tasks`]) that waits between tries ([`backoff`]), and when it goes wrong it says so as a
//! [`Fault`].

pub mod backoff;
pub mod clock;
mod counted;
pub mod fault;
pub mod id;
pub mod secret;
#[cfg(debug_assertions)]
pub mod simulated;
pub mod size;
pub mod tasks;
mod unseen;

pub use backoff::Backoff;
pub use clock::Timestamp;
pub use counted::counted;
pub use fault::{Fault, Kind, Retry, chain};
pub use secret::Secret;
pub use size::ByteSize;
pub use unseen::is_unseen;
