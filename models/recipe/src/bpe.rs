//! How does text become tokens? Byte-level byte-pair encoding, learnt from a sample.
//!
//! In: text. Out: token ids; the vocabulary and merges as a GGUF file holds them. Fails: never: every byte is a
//! token. Holds: a cache of words, bounded by the tiny language. From: Sennrich et al. 2016; the split into
//! words and the visible spelling of bytes are those of GPT-2, as `tokenizer.ggml.pre = gpt-2` demands.

use std::collections::{BTreeMap, HashMap};

use crate::text::SPECIAL;

/// A vocabulary with its merges.
#[derive(Debug, Clone)]
pub(crate) struct Bpe {
    tokens: Vec<Vec<u8>>,
    merges: Vec<(u32, u32)>,
    ranks: HashMap<(u32, u32), u32>,
    size: usize,
}

/// Tokens that stand for one byte.
const BYTES: u32 = 256;

impl Bpe {
    /// Learns a vocabulary of `size` tokens, the special ones included, from documents.
    pub(crate) fn learn(documents: &[String], size: usize) -> Self {
        let mut bpe = Self { tokens: (0..=u8::MAX).map(|b| vec![b]).collect(), merges: Vec::new(), ranks: HashMap::new(), size };
        let mut words = count_words(documents);
        while bpe.tokens.len() + SPECIAL.len() < size {
            let mut pairs: BTreeMap<(u32, u32), usize> = BTreeMap::new();
            for (word, times) in &words {
                for pair in word.windows(2) {
                    *pairs.entry((pair[0], pair[1])).or_default() += times;
                }
            }
            // Of equals the first in the order of ids wins, so that the result does not hang on a hash.
            let Some((pair, _)) = pairs.into_iter().rev().max_by_key(|(_, times)| *times) else { break };
            let id = bpe.push(pair);
            for (word, _) in &mut words {
                replace(word, pair, id);
            }
        }
        bpe
    }

    /// The vocabulary that has these merges, as text pairs in visible spelling.
    pub(crate) fn from_merges<'a>(merges: impl Iterator<Item = &'a str>, size: usize) -> Option<Self> {
        let mut bpe = Self { tokens: (0..=u8::MAX).map(|b| vec![b]).collect(), merges: Vec::new(), ranks: HashMap::new(), size };
        let mut ids: HashMap<String, u32> = (0_u32..).zip(&bpe.tokens).map(|(id, bytes)| (visible(bytes), id)).collect();
        for merge in merges {
            let (a, b) = merge.split_once(' ')?;
            let pair = (*ids.get(a)?, *ids.get(b)?);
            let id = bpe.push(pair);
            ids.insert(format!("{a}{b}"), id);
        }
        Some(bpe)
    }

    /// The token ids of a text in which special tokens stand by name.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let next = (0..).zip(SPECIAL).filter_map(|(n, name)| rest.find(name).map(|at| (at, n, name.len()))).min();
            let (at, skip) = next.map_or((rest.len(), 0), |(at, _, len)| (at, len));
            for word in words(&rest[..at]) {
                ids.extend(self.encode_word(word));
            }
            ids.extend(next.map(|(_, n, _)| self.special(n)));
            rest = &rest[at + skip..];
        }
        ids
    }

    /// The text of one token; special ones are silent.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        self.tokens.get(id as usize).map_or(&[], Vec::as_slice)
    }

    /// The id of the n-th special token.
    #[expect(clippy::cast_possible_truncation, reason = "a vocabulary has far fewer than 2^32 tokens")]
    pub(crate) fn special(&self, n: usize) -> u32 {
        (self.size - SPECIAL.len() + n) as u32
    }

    /// All tokens in visible spelling, in the order of ids; `false` marks one that stands for no text.
    pub(crate) fn spelled(&self) -> Vec<(String, bool)> {
        let mut all: Vec<(String, bool)> = self.tokens.iter().map(|bytes| (visible(bytes), true)).collect();
        while all.len() + SPECIAL.len() < self.size {
            all.push((format!("<|spare_{}|>", all.len()), false));
        }
        all.extend(SPECIAL.map(|name| (name.to_owned(), false)));
        all
    }

    /// All merges in visible spelling, in the order of their rank.
    pub(crate) fn spelled_merges(&self) -> Vec<String> {
        self.merges.iter().map(|(a, b)| format!("{} {}", visible(self.bytes(*a)), visible(self.bytes(*b)))).collect()
    }

    #[expect(clippy::cast_possible_truncation, reason = "a vocabulary has far fewer than 2^32 tokens")]
    fn push(&mut self, pair: (u32, u32)) -> u32 {
        let id = self.tokens.len() as u32;
        self.tokens.push([self.bytes(pair.0), self.bytes(pair.1)].concat());
        self.ranks.insert(pair, self.merges.len() as u32);
        self.merges.push(pair);
        id
    }

    fn encode_word(&self, word: &str) -> Vec<u32> {
        let mut ids: Vec<u32> = word.bytes().map(u32::from).collect();
        while let Some((rank, pair)) = ids.windows(2).filter_map(|p| self.ranks.get(&(p[0], p[1])).map(|r| (*r, (p[0], p[1])))).min() {
            replace(&mut ids, pair, BYTES + rank);
        }
        ids
    }
}

fn count_words(documents: &[String]) -> Vec<(Vec<u32>, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for document in documents {
        let mut rest = document.as_str();
        while !rest.is_empty() {
            let next = SPECIAL.iter().filter_map(|name| rest.find(name).map(|at| (at, name.len()))).min();
            let (at, skip) = next.unwrap_or((rest.len(), 0));
            for word in words(&rest[..at]) {
                *counts.entry(word).or_default() += 1;
            }
            rest = &rest[at + skip..];
        }
    }
    counts.into_iter().map(|(word, times)| (word.bytes().map(u32::from).collect(), times)).collect()
}

fn replace(ids: &mut Vec<u32>, pair: (u32, u32), with: u32) {
    let mut at = 0;
    while at + 1 < ids.len() {
        if (ids[at], ids[at + 1]) == pair {
            ids.splice(at..at + 2, [with]);
        }
        at += 1;
    }
}

/// GPT-2's split: contractions, letters, digits and signs, each with one space before it, then other space.
fn words(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(word_length(rest));
        found.push(word);
        rest = after;
    }
    found
}

fn word_length(text: &str) -> usize {
    if let Some(end) = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].iter().find(|end| text.starts_with(**end)) {
        return end.len();
    }
    let lead = usize::from(text.starts_with(' '));
    let body = &text[lead..];
    match body.chars().next() {
        Some(c) if !c.is_whitespace() => {
            let class = class_of(c);
            lead + body.find(|c| class_of(c) != class).unwrap_or(body.len())
        }
        _ => match text.find(|c: char| !c.is_whitespace()) {
            None => text.len(),
            // The last space belongs to the word behind it, unless it is the only one.
            Some(end) => match text[..end].char_indices().next_back() {
                Some((last, _)) if last > 0 => last,
                _ => end,
            },
        },
    }
}

#[derive(PartialEq, Eq)]
enum Class {
    Space,
    Letter,
    Digit,
    Sign,
}

fn class_of(c: char) -> Class {
    match c {
        c if c.is_whitespace() => Class::Space,
        c if c.is_alphabetic() => Class::Letter,
        c if c.is_numeric() => Class::Digit,
        _ => Class::Sign,
    }
}

/// Bytes in GPT-2's visible spelling: printable Latin-1 stands for itself, the rest is moved past U+0100.
pub(crate) fn visible(bytes: &[u8]) -> String {
    let shows = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let hidden = |b: u8| (0..b).filter(|b| !shows(*b)).count();
    let spell = |b: u8| {
        let code = if shows(b) { u32::from(b) } else { 256 + u32::try_from(hidden(b)).unwrap_or(0) };
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    };
    bytes.iter().map(|b| spell(*b)).collect()
}

#[cfg(test)]
mod tests;
