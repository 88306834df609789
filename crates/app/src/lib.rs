//! The front door: command line, config, wiring, stopping.
//!
//! Life of a process: `main` looks at its first word. A keeper becomes one at once; everything else
//! is read by [`cli`], which has the settings put together ([`config`]) and starts the server
//! ([`serve`]), the [`echo`] engine, or a client. What goes wrong is an [`Error`] with a hint, and a
//! status that scripts can use.

pub mod cli;

pub mod client;

pub mod serve;

pub mod echo;

pub mod config;

mod error;

pub use error::Error;
