//! What is this file, and what does its header say? For all formats but GGUF, which has a room of its own.
//!
//! Life of a file that somebody brings: its first bytes say what it is ([`sniff`]); one that runs code when it is opened
//! is refused by name ([`Code`]); nothing but a file is opened ([`open`]). Its name must lie below the folder that it is put into ([`safe_name`]). A folder of
//! safetensors is gone through ([`folder`]): its links, its index, its headers ([`safetensors`]) and its `config.json`
//! ([`config`]). An ONNX graph is walked over without its weights ([`onnx`]). No file is trusted: every length is held
//! against the file's, and everything that is kept has an end. What goes wrong is an [`Error`].

pub mod config;
mod error;
pub mod folder;
mod names;
pub mod onnx;
mod open;
pub mod safetensors;
mod sniff;
mod zip;

pub use error::Error;
pub use names::safe_name;
pub use open::open;
pub use sniff::{Code, Kind, sniff};
