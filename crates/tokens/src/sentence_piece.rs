//! Vocabularies of SentencePiece: each token has a score, and the best pair is merged first.
//!
//! In: a vocabulary of the model `llama`. Out: a tokenizer. Fails: when there are no scores. The
//! merges are derived from the scores: every way to make a token of two others, the best token
//! first. Two ways to make the same token can then come in another order than in the engine, which
//! takes the leftmost; in practice the counts agree. From: Kudo and Richardson 2018,
//! "SentencePiece"; llama.cpp's `llm_tokenizer_spm`.

use gguf::Vocabulary;
use gguf::vocabulary::TokenType;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence};
use tokenizers::{NormalizerWrapper, Tokenizer};

use crate::byte_level::ids;
use crate::counter::CACHED_WORDS;
use crate::error::Error;

/// Stands for a space.
const SPACE: &str = "\u{2581}";
/// Longer tokens are not made by merging: there are none in honest vocabularies.
const LONGEST: usize = 256;

pub(crate) fn build(vocabulary: &Vocabulary) -> Result<Tokenizer, Error> {
    if vocabulary.scores.len() != vocabulary.tokens.len() {
        return Err(Error::Model { model: format!("{} without scores", vocabulary.model) });
    }
    let ids = ids(vocabulary);
    let merges = merges(vocabulary, &ids);
    let model = BPE::builder().vocab_and_merges(ids, merges).byte_fallback(true).cache_capacity(CACHED_WORDS).build()?;
    let mut tokenizer = Tokenizer::new(model);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if is_prefixed(vocabulary) {
        steps.push(Prepend::new(SPACE.to_owned()).into());
    }
    steps.push(Replace::new(" ", SPACE)?.into());
    tokenizer.with_normalizer(Some(Sequence::new(steps)));
    Ok(tokenizer)
}

/// Whether a space is put before every text.
pub(crate) fn is_prefixed(vocabulary: &Vocabulary) -> bool {
    vocabulary.add_space_prefix.unwrap_or(true)
}

/// Every way to make a token of two others, best token first.
fn merges(vocabulary: &Vocabulary, ids: &Vocab) -> Vec<(String, String)> {
    let merged = |id: &usize| matches!(vocabulary.types.get(*id), Some(TokenType::Normal | TokenType::UserDefined));
    let mut best: Vec<usize> = (0..vocabulary.tokens.len()).filter(merged).collect();
    best.sort_by(|left, right| vocabulary.scores[*right].total_cmp(&vocabulary.scores[*left]));
    let tokens = best.into_iter().map(|id| vocabulary.tokens[id].as_str()).filter(|token| token.len() <= LONGEST);
    tokens.flat_map(|token| ways(token, ids)).collect()
}

fn ways<'a>(token: &'a str, ids: &'a Vocab) -> impl Iterator<Item = (String, String)> + 'a {
    let cuts = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
    cuts.filter(|(left, right)| ids.contains_key(*left) && ids.contains_key(*right))
        .map(|(left, right)| (left.to_owned(), right.to_owned()))
}
