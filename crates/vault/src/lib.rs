//! Life of a secret at rest:
//!
//! the master key comes from where the operator keeps it, else from a file of ours ([`MasterKey`], `master`); each secret that is stored
//! gets a data key of its own, which seals it and is wrapped by the master key (`seal`: AES-256-GCM), and the [`Vault`] holds what they
//! say in memory, for whoever has to show them to somebody: the board, a probe. A rotation wraps all data keys anew in one step, and a crash
//! in the middle of it is mended at the next start. What goes wrong is an [`Error`]; it never holds a secret.

mod vault;

mod master;
mod seal;

mod error;

pub use error::Error;
pub use master::MasterKey;
pub use vault::{Held, Vault};

#[cfg(test)]
mod tests;
