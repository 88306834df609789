//! Life of the engine that a release carries:
//!
//! the build script packs a static llama-server into the binary when it is told where one lies;
//! developers' builds carry nothing, and [`llama_server`] says so. Whoever wants to run it unpacks
//! the [`Carried`] engine into memory (`memory`), or, where the system does not let a program be
//! run from there, into a file (`place`). Either way the digest is checked before anyone can run
//! it, and what is handed out is an [`Executable`] with a path to execute.

pub mod carried;
pub mod error;
mod memory;
mod place;

pub use carried::{Carried, Executable, llama_server};
pub use error::Error;

#[cfg(test)]
mod tests;
