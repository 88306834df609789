//! Life of a count:
//!
//! somebody wants to know how many tokens a text is for a model. If the model's [`Counter`] is at
//! hand, it says so as the engine would ([`counter`]), of a long text by pieces (`piece`); if not, it is read once from the vocabulary
//! in the model's file and kept with a few others ([`Counts`]); byte-level vocabularies are cut by
//! the rules that their makers chose (`splits`, `byte_level`), SentencePiece ones are rebuilt
//! from their scores (`sentence_piece`); a chat is first written out as the model reads it
//! (`template`). Until then, and for models that we cannot read, there is
//! an [`estimate()`].

mod byte_level;
pub mod counter;
pub mod counts;
pub mod error;
pub mod estimate;
mod piece;
mod sentence_piece;
mod splits;
mod template;

pub use counter::{Chat, Count, Counter};
pub use counts::Counts;
pub use error::Error;
pub use estimate::estimate;
pub use piece::PIECE;

#[cfg(test)]
mod tests;
