//! How many tokens is a text for this model?
//!
//! In: the vocabulary of a GGUF file. Out: counts and tokens, as llama-server's `/tokenize` gives
//! them with special tokens matched; of a long text piece by piece. Fails: for tokenizers that we do not have. Holds: some ten to a
//! hundred megabytes for a vocabulary of 32,000 to 256,000 tokens; share it.

use std::path::Path;

use gguf::Vocabulary;
use gguf::vocabulary::TokenType;
use tokenizers::{AddedToken, Tokenizer};

use crate::error::Error;
use crate::estimate::estimate;
use crate::template::Template;
use crate::{byte_level, piece, sentence_piece};

/// Counts tokens for one model.
#[derive(Debug)]
pub struct Counter {
    pub(crate) tokenizer: Tokenizer,
    /// It puts a space before every text.
    is_prefixed: bool,
    around: u64,
    template: Option<Template>,
}

/// How many tokens there are, as far as a text was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// As many as were counted.
    pub tokens: u64,
    /// So many of them the text as a whole may not have.
    pub unsure: u64,
}

impl Count {
    /// The text has no fewer.
    pub fn at_least(self) -> u64 {
        self.tokens.saturating_sub(self.unsure)
    }
}

/// A chat as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// What the template makes of it.
    pub text: String,
    /// Tokens that the engine puts around that.
    pub around: u64,
}

/// Words whose tokens are remembered; the library forgets none, but stops at this many.
pub(crate) const CACHED_WORDS: usize = 10_000;
/// More tokens than one of any honest vocabulary falls into when a text is cut in its middle.
const AT_A_CUT: u64 = 128;

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
        let is_prefixed = vocabulary.model == "llama" && sentence_piece::is_prefixed(vocabulary);
        Ok(Self { tokenizer, is_prefixed, around: u64::from(bos) + u64::from(eos), template })
    }

    /// Tokens in a text; special tokens in it count as one each. CPU-bound, about a megabyte in a
    /// hundred milliseconds: longer texts belong off the async threads. A text that the library
    /// cannot cut (none is known) is estimated.
    pub fn count(&self, text: &str) -> u64 {
        let (mut tokens, mut rest) = (0, text);
        while !rest.is_empty() {
            let (count, more) = self.count_start(rest);
            (tokens, rest) = (tokens + count.tokens, more);
        }
        tokens
    }

    /// Tokens in the first [`PIECE`](crate::PIECE) of a text, and the rest of it.
    pub fn count_start<'a>(&self, text: &'a str) -> (Count, &'a str) {
        self.count_piece(text, piece::PIECE)
    }

    pub(crate) fn count_piece<'a>(&self, text: &'a str, most: usize) -> (Count, &'a str) {
        let (start, rest) = piece::first(text, most, self.is_prefixed);
        let count = match self.tokenizer.encode_fast(start, false) {
            Ok(tokens) => Count { tokens: tokens.len() as u64, unsure: if rest.is_empty() { 0 } else { AT_A_CUT } },
            Err(_unknown) => Count { tokens: estimate(start), unsure: u64::MAX },
        };
        (Count { unsure: count.unsure.min(count.tokens), ..count }, rest)
    }

    /// A chat as the model reads it: `messages` and `tools` are JSON arrays in OpenAI's form.
    /// `None` without a template that we can follow. A picture is left out: only the engine knows what it counts.
    pub fn write_chat(&self, messages: &str, tools: Option<&str>) -> Option<Chat> {
        let template = self.template.as_ref()?;
        let text = template.write(messages, tools)?;
        let begun = u64::from(template.begins(&text));
        Some(Chat { text, around: self.around.saturating_sub(begun) })
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
