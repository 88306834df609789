//! How does one get a model of any size and kind, when its answers do not matter?
//!
//! In: a shape. Out: a file with the right keys, tensors and vocabulary, full of random weights or of holes. Fails: on sizes that do not go together,
//! and when the disk does. Holds: one small piece of the data at a time. From: the tensor lists of llama.cpp.
//!
//! Engines load llama, qwen2, qwen3, gemma, gemma2, gemma3 and phi3; any other architecture gets the tensors of llama and a sound header.

use std::path::Path;

use crate::bpe::Bpe;
use crate::error::Error;
use crate::gguf::{Fill, Gguf, write_gguf};
use crate::model::{TokenTypes, check, describe, describe_tokens};
use crate::net::Sizes;
use crate::quant::Quant;
use crate::rng::Rng;

/// A model to be made up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// As in `general.architecture`.
    pub arch: String,
    /// How large.
    pub sizes: Sizes,
    /// Tokens that fit into one chat.
    pub context: usize,
    /// The type of its matrices.
    pub quant: Quant,
    /// Zeros that cost no disk, instead of random weights.
    pub sparse: bool,
    /// Where chance starts.
    pub seed: u64,
}

impl Shape {
    /// A small llama in f16, to be changed at will.
    pub fn small() -> Self {
        Self {
            arch: "llama".to_owned(),
            sizes: Sizes { vocab: 512, dim: 256, layers: 2, heads: 4, kv_heads: 2, ffn: 512 },
            context: 2048,
            quant: Quant::F16,
            sparse: false,
            seed: 1,
        }
    }
}

/// How an architecture departs from llama.
#[derive(Debug, Clone, Copy)]
struct Traits {
    /// Scores come from the embedding.
    tied: bool,
    /// What attention and feed-forward part add is normed.
    post_norm: bool,
    /// How queries, keys and values come about.
    qkv: Qkv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Qkv {
    /// Three matrices.
    Plain,
    /// With biases.
    Biased,
    /// Queries and keys are normed, head by head.
    Normed,
    /// One matrix for all, and one for gate and up.
    Fused,
}

fn traits(arch: &str) -> Traits {
    let (tied, post_norm, qkv) = match arch {
        "qwen2" => (false, false, Qkv::Biased),
        "qwen3" => (false, false, Qkv::Normed),
        "gemma" => (true, false, Qkv::Plain),
        "gemma2" => (true, true, Qkv::Plain),
        "gemma3" => (true, true, Qkv::Normed),
        "phi3" => (false, false, Qkv::Fused),
        _ => (false, false, Qkv::Plain),
    };
    Traits { tied, post_norm, qkv }
}

/// Writes such a model; returns its size in bytes.
pub fn random(shape: &Shape, path: &Path) -> Result<u64, Error> {
    write_gguf(&shape.gguf()?, path)
}

impl Shape {
    /// The file, its data still to be made.
    pub fn gguf(&self) -> Result<Gguf, Error> {
        check(&self.sizes)?;
        let block = self.quant.block();
        let rows = [("dim", self.sizes.dim), ("ffn", self.sizes.ffn)];
        if let Some((name, n)) = rows.into_iter().find(|(_, n)| !n.is_multiple_of(block)) {
            return Err(Error::Shape(format!("{name} {n} is not a multiple of {block}, the block of {}", self.quant)));
        }
        let mut file = Gguf::new(&self.arch);
        file.set("general.type", "model")
            // Not the architecture: llama.cpp reads vocabulary quirks from some names.
            .set("general.name", "Random weights")
            .set("general.quantization_version", 2)
            .set("general.file_type", self.quant.file_type());
        describe(&mut file, &self.arch, &self.sizes, self.context);
        self.describe_more(&mut file);
        describe_tokens(&mut file, &Bpe::learn(&[], self.sizes.vocab), TokenTypes::RANDOM);
        Filler { shape: self, rng: Rng::new(self.seed), file: &mut file }.all()?;
        Ok(file)
    }

    fn describe_more(&self, file: &mut Gguf) {
        const WINDOW: u32 = 512;
        let arch = &self.arch;
        let head = u32::try_from(self.sizes.head()).unwrap_or(u32::MAX);
        file.set(&format!("{arch}.attention.key_length"), head).set(&format!("{arch}.attention.value_length"), head);
        if arch == "gemma2" || arch == "gemma3" {
            file.set(&format!("{arch}.attention.sliding_window"), WINDOW);
        }
    }
}

struct Filler<'a> {
    shape: &'a Shape,
    rng: Rng,
    file: &'a mut Gguf,
}

impl Filler<'_> {
    fn all(&mut self) -> Result<(), Error> {
        let sizes = self.shape.sizes;
        self.matrix("token_embd.weight", sizes.dim, sizes.vocab);
        self.vector("output_norm.weight", sizes.dim, 1.0)?;
        if !traits(&self.shape.arch).tied {
            self.matrix("output.weight", sizes.dim, sizes.vocab);
        }
        for layer in 0..sizes.layers {
            self.attention(&format!("blk.{layer}"))?;
            self.feed_forward(&format!("blk.{layer}"))?;
        }
        Ok(())
    }

    fn attention(&mut self, layer: &str) -> Result<(), Error> {
        let sizes = self.shape.sizes;
        let traits = traits(&self.shape.arch);
        let (dim, kv) = (sizes.dim, sizes.kv());
        self.vector(&format!("{layer}.attn_norm.weight"), dim, 1.0)?;
        if traits.qkv == Qkv::Fused {
            self.matrix(&format!("{layer}.attn_qkv.weight"), dim, dim + 2 * kv);
        } else {
            for (name, rows) in [("attn_q", dim), ("attn_k", kv), ("attn_v", kv)] {
                self.matrix(&format!("{layer}.{name}.weight"), dim, rows);
                if traits.qkv == Qkv::Biased {
                    self.vector(&format!("{layer}.{name}.bias"), rows, 0.0)?;
                }
            }
        }
        if traits.qkv == Qkv::Normed {
            self.vector(&format!("{layer}.attn_q_norm.weight"), sizes.head(), 1.0)?;
            self.vector(&format!("{layer}.attn_k_norm.weight"), sizes.head(), 1.0)?;
        }
        self.matrix(&format!("{layer}.attn_output.weight"), dim, dim);
        if traits.post_norm {
            self.vector(&format!("{layer}.post_attention_norm.weight"), dim, 1.0)?;
        }
        Ok(())
    }

    fn feed_forward(&mut self, layer: &str) -> Result<(), Error> {
        let traits = traits(&self.shape.arch);
        let (dim, ffn) = (self.shape.sizes.dim, self.shape.sizes.ffn);
        self.vector(&format!("{layer}.ffn_norm.weight"), dim, 1.0)?;
        if traits.qkv == Qkv::Fused {
            self.matrix(&format!("{layer}.ffn_up.weight"), dim, 2 * ffn);
        } else {
            self.matrix(&format!("{layer}.ffn_gate.weight"), dim, ffn);
            self.matrix(&format!("{layer}.ffn_up.weight"), dim, ffn);
        }
        self.matrix(&format!("{layer}.ffn_down.weight"), ffn, dim);
        if traits.post_norm {
            self.vector(&format!("{layer}.post_ffw_norm.weight"), dim, 1.0)?;
        }
        Ok(())
    }

    fn matrix(&mut self, name: &str, cols: usize, rows: usize) {
        let seed = self.rng.bits();
        let fill = if self.shape.sparse { Fill::Hole } else { Fill::Random(seed) };
        self.file.tensor(name, &[cols as u64, rows as u64], self.shape.quant, fill);
    }

    fn vector(&mut self, name: &str, length: usize, value: f32) -> Result<(), Error> {
        let fill = if self.shape.sparse { Fill::Hole } else { Fill::Bytes(Quant::F32.encode(&vec![value; length])?) };
        self.file.tensor(name, &[length as u64], Quant::F32, fill);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
