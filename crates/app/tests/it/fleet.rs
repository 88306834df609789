//! More models than memory, and engines that misbehave: the whole house on fake engines.
//!
//! Life of a test: a [`depot`] with small files, each of which says how much memory its model takes, and a
//! ledger of fake memory; a house; callers over HTTP; and in the end nothing is left: no process, no
//! zombie, no byte in the ledger. That the fake engine answers as the real one does is shown by [`truth`].

mod cold;
mod cycles;
mod depot;
mod devices;
mod faults;
mod holdings;
mod kills;
mod mixed;
mod processes;
mod sleep;
mod storm;
mod swap;
mod told;
mod truth;
mod updates;
