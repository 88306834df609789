//! What is a finished model? A network with its vocabulary, to and from a file.
//!
//! In: a trained network, or a file of ours. Out: a GGUF file that llama-server serves as a chat model. Fails: on a file that lacks
//! what a llama network needs. Holds: all weights as f32.

use std::path::Path;

use crate::bpe::Bpe;
use crate::error::Error;
use crate::gguf::{Fill, Gguf, Value, write_gguf};
use crate::layers::{EPSILON, ROPE_BASE};
use crate::net::{Net, Sizes};
use crate::quant::Quant;
use crate::read::read_gguf;
use crate::text::{SPECIAL, TEMPLATE};

/// Tokens that a chat may take.
const CONTEXT: usize = 4096;

/// A trained model.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) net: Net,
    pub(crate) bpe: Bpe,
}

/// How `tokenizer.ggml.token_type` calls the tokens that are no special ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenTypes {
    /// Of tokens that stand for no text.
    pub(crate) spare: i32,
}

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

impl TokenTypes {
    /// A trained model never writes spare tokens.
    pub(crate) const TRAINED: Self = Self { spare: UNUSED };
    /// A random model writes all of them.
    pub(crate) const RANDOM: Self = Self { spare: NORMAL };
}

impl Model {
    /// How many weights it has.
    pub fn parameters(&self) -> usize {
        self.net.weights.len()
    }

    /// The file, with matrices in this type and gains in f32.
    pub fn gguf(&self, name: &str, quant: Quant) -> Result<Gguf, Error> {
        let sizes = &self.net.sizes;
        let mut file = Gguf::new("llama");
        file.set("general.type", "model")
            .set("general.name", name)
            .set("general.description", "A tiny chat model for tests, trained on made-up text. It knows its own little world only.")
            .set("general.license", "apache-2.0")
            .set("general.quantization_version", 2)
            .set("general.file_type", quant.file_type());
        describe(&mut file, "llama", sizes, CONTEXT);
        describe_tokens(&mut file, &self.bpe, TokenTypes::TRAINED);
        for slot in &self.net.slots {
            let numbers = &self.net.weights[slot.span.clone()];
            let (cols, rows) = (slot.cols as u64, slot.rows as u64);
            if rows == 1 {
                file.tensor(&slot.name, &[cols], Quant::F32, Fill::Bytes(Quant::F32.encode(numbers)?));
            } else {
                file.tensor(&slot.name, &[cols, rows], quant, Fill::Bytes(quant.encode(numbers)?));
            }
        }
        Ok(file)
    }

    /// Reads a file that [`Model::gguf`] made.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut file = read_gguf(path)?;
        let sizes = Sizes {
            vocab: file.count("llama.vocab_size")?,
            dim: file.count("llama.embedding_length")?,
            layers: file.count("llama.block_count")?,
            heads: file.count("llama.attention.head_count")?,
            kv_heads: file.count("llama.attention.head_count_kv")?,
            ffn: file.count("llama.feed_forward_length")?,
        };
        check(&sizes)?;
        let listed: u64 =
            file.tensors.iter().map(|entry| entry.shape.iter().fold(1_u64, |all, n| all.saturating_mul(*n))).fold(0, u64::saturating_add);
        let merges = file.texts("tokenizer.ggml.merges")?;
        let bpe = Bpe::from_merges(merges.into_iter(), sizes.vocab).ok_or_else(|| file.missing("tokenizer.ggml.merges"))?;
        if weights_of(&sizes) != Some(listed) {
            return Err(file.missing("a tensor of every layer"));
        }
        let mut net = Net::blank(sizes);
        for slot in &net.slots {
            let numbers = file.numbers(&slot.name)?;
            if numbers.len() != slot.span.len() {
                return Err(file.missing(&slot.name));
            }
            net.weights[slot.span.clone()].copy_from_slice(&numbers);
        }
        Ok(Self { net, bpe })
    }

    /// The same model with a wider feed-forward part: what is new is zero, so every answer stays.
    pub fn padded(&self, ffn: usize) -> Result<Self, Error> {
        let old = self.net.sizes;
        if ffn < old.ffn {
            return Err(Error::Shape(format!("padding to {ffn} would cut the width of {}", old.ffn)));
        }
        let mut net = Net::blank(Sizes { ffn, ..old });
        for (from, to) in self.net.slots.iter().zip(&net.slots) {
            let rows = self.net.weights[from.span.clone()].chunks_exact(from.cols);
            for (row, wide) in rows.zip(net.weights[to.span.clone()].chunks_exact_mut(to.cols)) {
                wide[..from.cols].copy_from_slice(row);
            }
        }
        Ok(Self { net, bpe: self.bpe.clone() })
    }
}

/// Reads `src`, widens its feed-forward part to `ffn` and writes it to `dst`; returns the size in bytes.
pub fn pad(src: &Path, dst: &Path, ffn: usize, quant: Quant) -> Result<u64, Error> {
    let model = Model::load(src)?.padded(ffn)?;
    write_gguf(&model.gguf("Penstock Tiny (padded)", quant)?, dst)
}

/// Sizes that no network can have are refused.
pub(crate) fn check(sizes: &Sizes) -> Result<(), Error> {
    let divides = |n: usize, of: usize| n > 0 && of > 0 && of.is_multiple_of(n);
    let even = divides(sizes.heads, sizes.dim) && sizes.head().is_multiple_of(2);
    let room = sizes.vocab >= usize::from(u8::MAX) + 1 + SPECIAL.len();
    if even && room && divides(sizes.kv_heads, sizes.heads) && sizes.layers > 0 && sizes.ffn > 0 {
        return Ok(());
    }
    Err(Error::Shape(format!("{sizes:?}; heads must be even in width, and 259 tokens are the least")))
}

fn weights_of(sizes: &Sizes) -> Option<u64> {
    let [vocab, dim, layers, kv, ffn] = [sizes.vocab, sizes.dim, sizes.layers, sizes.kv(), sizes.ffn].map(|n| n as u64);
    let attention = dim.checked_mul(dim.checked_add(kv)?)?.checked_mul(2)?;
    let layer = attention.checked_add(dim.checked_mul(ffn)?.checked_mul(3)?)?.checked_add(2 * dim)?;
    layer.checked_mul(layers)?.checked_add(vocab.checked_mul(dim)?)?.checked_add(dim)
}

/// Sets the keys that say how large a network is.
pub(crate) fn describe(file: &mut Gguf, arch: &str, sizes: &Sizes, context: usize) {
    let mut count = |key: &str, n: usize| {
        file.set(&format!("{arch}.{key}"), u32::try_from(n).unwrap_or(u32::MAX));
    };
    count("context_length", context);
    count("embedding_length", sizes.dim);
    count("block_count", sizes.layers);
    count("feed_forward_length", sizes.ffn);
    count("attention.head_count", sizes.heads);
    count("attention.head_count_kv", sizes.kv_heads);
    count("rope.dimension_count", sizes.head());
    count("vocab_size", sizes.vocab);
    file.set(&format!("{arch}.attention.layer_norm_rms_epsilon"), EPSILON);
    file.set(&format!("{arch}.rope.freq_base"), ROPE_BASE);
}

/// Sets the keys of the vocabulary and of the chat template.
pub(crate) fn describe_tokens(file: &mut Gguf, bpe: &Bpe, types: TokenTypes) {
    let spelled = bpe.spelled();
    let kind = |(text, stands): &(String, bool)| match (stands, SPECIAL.contains(&text.as_str())) {
        (true, _) => NORMAL,
        (false, true) => CONTROL,
        (false, false) => types.spare,
    };
    let kinds: Vec<Value> = spelled.iter().map(|token| Value::I32(kind(token))).collect();
    let [end_of_text, _, end_of_turn] = [0, 1, 2].map(|n| bpe.special(n));
    file.set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.pre", "gpt-2")
        .set("tokenizer.ggml.tokens", spelled.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>())
        .set("tokenizer.ggml.token_type", Value::List(kinds))
        .set("tokenizer.ggml.merges", bpe.spelled_merges().iter().map(String::as_str).collect::<Vec<_>>())
        .set("tokenizer.ggml.bos_token_id", end_of_text)
        .set("tokenizer.ggml.eos_token_id", end_of_turn)
        .set("tokenizer.ggml.eot_token_id", end_of_turn)
        .set("tokenizer.ggml.padding_token_id", end_of_text)
        .set("tokenizer.ggml.add_bos_token", false)
        .set("tokenizer.chat_template", TEMPLATE.trim_end());
}

#[cfg(test)]
mod tests;
