//! How many tokens is a text for this model?
//!
//! In: the vocabulary of a GGUF file. Out: counts and tokens, as llama-server's `/tokenize` gives
//! them with special tokens matched. Fails: for tokenizers that we do not have. Holds: some ten to a
//! hundred megabytes for a vocabulary of 32,000 to 256,000 tokens; share it.

use std::path::Path;

use gguf::Vocabulary;
use gguf::vocabulary::TokenType;
use tokenizers::{AddedToken, Tokenizer};

use crate::error::Error;
use crate::estimate::estimate;
use crate::template::Template;
use crate::{byte_level, sentence_piece};

/// Counts tokens for one model.
#[derive(Debug)]
pub struct Counter {
    pub(crate) tokenizer: Tokenizer,
    around: u64,
    template: Option<Template>,
}

/// Words whose tokens are remembered; the library forgets none, but stops at this many.
pub(crate) const CACHED_WORDS: usize = 10_000;

impl Counter {
    /// Reads the vocabulary of the file at this path. Blocks: tens of milliseconds for a small
    /// vocabulary, a second for the largest.
    pub fn from_gguf(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::new(&Vocabulary::read(path)?)
    }

    /// The same, with this chat template in place of the file's.
    pub fn from_gguf_with(path: impl AsRef<Path>, template: Option<&str>) -> Result<Self, Error> {
        let mut vocabulary = Vocabulary::read(path)?;
        if let Some(template) = template {
            vocabulary.chat_template = Some(template.into());
        }
        Self::new(&vocabulary)
    }

    /// From a vocabulary that was read before.
    pub fn new(vocabulary: &Vocabulary) -> Result<Self, Error> {
        let (mut tokenizer, add_bos) = match vocabulary.model.as_str() {
            "gpt2" => byte_level::build(vocabulary)?,
            "llama" => (sentence_piece::build(vocabulary)?, true),
            model => return Err(Error::Model { model: model.to_owned() }),
        };
        tokenizer.add_special_tokens(&whole(vocabulary));
        let bos = vocabulary.bos.is_some() && vocabulary.add_bos.unwrap_or(add_bos);
        let eos = vocabulary.eos.is_some() && vocabulary.add_eos.unwrap_or(false);
        let template = vocabulary.chat_template.as_deref().and_then(|source| Template::new(source, vocabulary));
        Ok(Self { tokenizer, around: u64::from(bos) + u64::from(eos), template })
    }

    /// Tokens in a text; special tokens in it count as one each. CPU-bound, about a megabyte in a
    /// hundred milliseconds: longer texts belong off the async threads. A text that the library
    /// cannot cut (none is known) is estimated.
    pub fn count(&self, text: &str) -> u64 {
        self.encode(text).map_or_else(|_unknown| estimate(text), |tokens| tokens.len() as u64)
    }

    /// Tokens of a chat as the model reads it: `messages` and `tools` are JSON arrays in OpenAI's form.
    /// `None` without a template that we can follow. A picture counts as nothing: only the engine knows.
    pub fn count_chat(&self, messages: &str, tools: Option<&str>) -> Option<u64> {
        let text = self.template.as_ref()?.write(messages, tools)?;
        let begun = u64::from(self.template.as_ref().is_some_and(|template| template.begins(&text)));
        Some(self.count(&text) + self.around.saturating_sub(begun))
    }

    /// The tokens of a text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        Ok(self.tokenizer.encode_fast(text, false)?.get_ids().to_vec())
    }

    /// Tokens that the engine puts before and behind every prompt.
    pub fn around(&self) -> u64 {
        self.around
    }
}

/// Tokens that are matched as a whole wherever they stand.
fn whole(vocabulary: &Vocabulary) -> Vec<AddedToken> {
    let matched = |kind: &TokenType| matches!(kind, TokenType::Control | TokenType::UserDefined | TokenType::Unknown);
    let typed = vocabulary.tokens.iter().zip(&vocabulary.types);
    typed.filter(|(_, kind)| matched(kind)).map(|(token, _)| AddedToken::from(token.as_str(), true)).collect()
}
