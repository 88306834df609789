//! Vocabularies that spell every byte as a letter and merge pairs in the order they were learned.
//!
//! In: a vocabulary of the model `gpt2`. Out: a tokenizer, and whether the engine puts the first
//! token before a prompt. Fails: when the way to cut text is unknown, or a merge names a token that
//! is not there. From: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword
//! Units"; the byte alphabet of GPT-2.

use gguf::Vocabulary;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

use crate::counter::CACHED_WORDS;
use crate::error::Error;
use crate::splits::{self, Cut};

pub(crate) fn build(vocabulary: &Vocabulary) -> Result<(Tokenizer, bool), Error> {
    let pre = vocabulary.pre.as_deref();
    let cut = splits::cut(pre).ok_or_else(|| Error::Pre { pre: pre.unwrap_or_default().to_owned() })?;
    let merges = vocabulary.merges.iter().filter_map(|merge| halves(merge)).collect();
    let model =
        BPE::builder().vocab_and_merges(ids(vocabulary), merges).ignore_merges(cut.whole_pieces).cache_capacity(CACHED_WORDS).build()?;
    let mut tokenizer = Tokenizer::new(model);
    let mut steps = cutters(&cut)?;
    steps.push(bytes_as_letters().into());
    tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
    tokenizer.with_decoder(Some(bytes_as_letters()));
    Ok((tokenizer, cut.add_bos))
}

/// Every token with its id.
pub(crate) fn ids(vocabulary: &Vocabulary) -> Vocab {
    vocabulary.tokens.iter().cloned().zip(0..).collect()
}

/// The expressions, each isolating its matches from what lies between.
pub(crate) fn cutters(cut: &Cut) -> Result<Vec<PreTokenizerWrapper>, Error> {
    let isolate = |split: &String| Split::new(SplitPattern::Regex(split.clone()), SplitDelimiterBehavior::Isolated, false);
    let cutters: Result<Vec<_>, _> = cut.splits.iter().map(|split| isolate(split).map(PreTokenizerWrapper::from)).collect();
    Ok(cutters?)
}

fn bytes_as_letters() -> ByteLevel {
    ByteLevel::new(false, false, false)
}

/// The halves of a merge: they are parted by a space, which may itself be the first letter.
fn halves(merge: &str) -> Option<(String, String)> {
    let (at, _) = merge.char_indices().skip(1).find(|(_, letter)| *letter == ' ')?;
    Some((merge[..at].to_owned(), merge[at + 1..].to_owned()))
}
