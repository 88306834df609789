//! Life of a model, from a text that somebody typed to a version that can be served:
//!
//! the text names a place; what lies on another machine is fetched into the blobs (`fetch`); a path becomes absolute (`place`), and if nothing lies there we say
//! what was probably meant (`near`). A model may be cut into several files, and all must be there
//! (`parts`). Their headers are read (`inspect`) and their content is hashed, once for as long
//! as it stays the same (`digest`), with [`Progress`] for those who wait. What comes out is a
//! [`spec::Version`]. What is here already is had by those who may ([`Asker`]). It comes under a name (`arrive`), its files where they are or as blobs, and is
//! remembered with its tags (`models`), which people change by [`edits`]; what goes to make room for it is told (`forget`); a folder full of files is
//! gone through by `scan`. [`Registry`] is the handle to all of it, and what goes wrong is an [`Error`].

mod arrive;
mod asker;
mod digest;
pub mod edits;
mod error;
mod fetch;
mod forget;
mod held;
mod inspect;
mod models;
mod near;
mod parts;
mod place;
mod progress;
mod prune;
mod pulls;
mod registry;
mod scan;
mod uploads;

pub use ::blobs::Collected;
pub use arrive::{Allowed, Bringing, Take};
pub use asker::Asker;
pub use blobs::{Digest, Error as BlobError};
pub use error::Error;
pub use fetch::{Fetching, Pulled};
pub use held::Held;
pub use models::Meaning;
pub use progress::Progress;
pub use pulls::{PULL_AGAIN, Pull, Told};
pub use registry::{Config, Registry};
pub use uploads::{Receiving, Sender, Upload};
