//! Life of a model, from a text that somebody typed to a version that can be served:
//!
//! the text names a place; a path becomes absolute (`place`), and if nothing lies there we say
//! what was probably meant (`near`). A model may be cut into several files, and all must be there
//! (`parts`). Their headers are read (`inspect`) and their content is hashed, once for as long
//! as it stays the same (`digest`), with [`Progress`] for those who wait. What comes out is a
//! [`spec::Version`]. Under a name and with its tags it is remembered (`models`); a folder full
//! of them is gone through by `scan`. [`Registry`] is the handle to all of it, and what goes
//! wrong is an [`Error`].

mod digest;
mod error;
mod inspect;
mod models;
mod near;
mod parts;
mod place;
mod progress;
mod registry;
mod scan;

pub use error::Error;
pub use progress::Progress;
pub use registry::{Config, Registry};
