//! Life of a blob, from its first byte to its last reader:
//!
//! bytes come from a client or from another machine and go into a part ([`Part`]), which is hashed while it
//! grows and remembers how far it is (`state`), so that whoever is cut off goes on where it stopped. There
//! must be room for it first (`room`). When the digest is the one that was promised, the part is synced and
//! gets the [`Digest`] for its name, in one step: a name that can be seen is a file that is whole (`layout`).
//! Engines want files with the names that were published: they get a folder of links (`links`). Whoever
//! uses a blob holds it ([`Hold`]), and what nobody holds, nobody refers to and is old is taken away
//! (`collect`). Blobs may live in an object store ([`Bucket`]); then this machine has a cache of them (`remote`), and everything that goes
//! over the network goes through one client ([`web`]). [`Blobs`] is the handle to all of it, and what goes wrong is an [`Error`].

mod blobs;
mod bucket;
mod claim;
mod collect;
mod config;
mod digest;
mod error;
mod hold;
mod import;
mod layout;
mod links;
mod note;
mod part;
mod remote;
mod room;
mod state;
pub mod web;

pub use blobs::{Blob, Blobs};
pub use bucket::{Bucket, BucketConfig, Object};
pub use collect::{Collected, Sweep};
pub use config::Config;
pub use digest::{BadDigest, Digest};
pub use error::Error;
pub use hold::Hold;
pub use import::Import;
pub use links::Folder;
pub use part::{Begin, CHUNK, Part};
pub use remote::Conditions;
pub use room::free;
pub use state::{PartId, PartState};

#[cfg(test)]
mod tests;
