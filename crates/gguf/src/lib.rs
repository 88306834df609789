//! Life of a GGUF file that somebody hands us:
//!
//! its first bytes are looked at, and if it is something else we say what ([`looks`]); its header
//! is read piece by piece, every length held against what the file still has (`source`): first
//! the keys and their values ([`metadata`]), then the tensor table with the sizes that the tensor
//! types give ([`tensor`]). What comes out is a [`File`]: what the model is called and how large it
//! is ([`mod@file`], [`quantisation`]), where its tensors go ([`weights`]), what its layers keep of the
//! text ([`kept`]) and how much memory that takes ([`cache`]), whether the engine serves its kind
//! ([`architecture`]) and, for those who count tokens, its [`Vocabulary`].
//!
//! Nothing in the file is trusted: counts and lengths have limits ([`limits`]), memory grows only
//! with bytes that were really read, and every refusal names the place ([`error`]). [`fuzz`] throws
//! damaged files at all of it.

pub mod architecture;
pub mod cache;
pub mod error;
pub mod file;
pub mod fuzz;
pub mod kept;
pub mod limits;
pub mod looks;
pub mod metadata;
mod parse;
pub mod quantisation;
pub mod sample;
mod source;
pub mod tensor;
pub mod vocabulary;
pub mod weights;

pub use architecture::{is_known, known_architectures, suggestion};
pub use cache::{Cache, KvType};
pub use error::{Error, Part, Place};
pub use file::{File, PerLayer};
pub use kept::Kept;
pub use looks::Looks;
pub use metadata::{Array, Items, Metadata, Value};
pub use parse::{parse, parse_vocabulary};
pub use tensor::{Tensor, TensorType};
pub use vocabulary::Vocabulary;
pub use weights::Weights;

#[cfg(test)]
mod tests;
