//! How does one get a model of any size and kind, when its answers do not matter?
//!
//! In: a shape. Out: a file with the right keys, tensors and vocabulary, full of random weights or of holes. Fails: on sizes that do not go together,
//! and when the disk does. Holds: one small piece of the data at a time. From: the tensor lists of llama.cpp.
//!
//! Engines load llama, qwen2, qwen3, gemma, gemma2, gemma3, phi3, qwen2moe, qwen3moe and mamba; any other architecture gets the tensors of
//! llama and a sound header.

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
    /// Numbers in a head; what the width gives each of them when not given.
    pub head: Option<usize>,
    /// Tokens that fit into one chat.
    pub context: usize,
    /// Tokens that layers with a sliding window look back, where the architecture has such layers.
    pub window: u32,
    /// Experts of each layer, where the architecture has them; a token asks two of them.
    pub experts: usize,
    /// Rules by which its vocabulary is put together. None is ever applied: they take memory as those of a large vocabulary do.
    pub merges: usize,
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
            head: None,
            context: 2048,
            window: 512,
            experts: 4,
            merges: 0,
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
    /// What follows attention.
    after: After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// One feed-forward part for all.
    Dense,
    /// Experts.
    Experts,
    /// Experts, and one that every token asks.
    ExpertsAndShared,
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
    let (tied, post_norm, qkv, after) = match arch {
        "qwen2" => (false, false, Qkv::Biased, After::Dense),
        "qwen2moe" => (false, false, Qkv::Biased, After::ExpertsAndShared),
        "qwen3" => (false, false, Qkv::Normed, After::Dense),
        "qwen3moe" => (false, false, Qkv::Normed, After::Experts),
        "gemma" | RECURRENT => (true, false, Qkv::Plain, After::Dense),
        "gemma2" => (true, true, Qkv::Plain, After::Dense),
        "gemma3" => (true, true, Qkv::Normed, After::Dense),
        "phi3" => (false, false, Qkv::Fused, After::Dense),
        _ => (false, false, Qkv::Plain, After::Dense),
    };
    Traits { tied, post_norm, qkv, after }
}

/// The architecture whose layers keep a state and no keys and values.
const RECURRENT: &str = "mamba";
/// Experts that one token asks.
const EXPERTS_USED: u32 = 2;
/// Sizes of a recurrent layer: how many tokens its convolution sees, numbers in a state, how much wider it is than the rest, and the
/// share of the width that its steps have.
const CONVOLVED: usize = 4;
const STATE: usize = 16;
const WIDER: usize = 2;
const STEP_SHARE: usize = 16;

/// Writes such a model; returns its size in bytes.
pub fn random(shape: &Shape, path: &Path) -> Result<u64, Error> {
    write_gguf(&shape.gguf()?, path)
}

impl Shape {
    /// The file, its data still to be made.
    pub fn gguf(&self) -> Result<Gguf, Error> {
        check(&self.sizes)?;
        let block = self.quant.block();
        let rows = [("dim", self.sizes.dim), ("ffn", self.sizes.ffn), ("heads together", self.head() * self.sizes.heads)];
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
        if self.merges > 0 {
            let merges: Vec<String> = (0..self.merges).map(|n| format!("unused{n} rule{n}")).collect();
            file.set("tokenizer.ggml.merges", merges.iter().map(String::as_str).collect::<Vec<_>>());
        }
        Filler { shape: self, rng: Rng::new(self.seed), file: &mut file }.all()?;
        Ok(file)
    }

    fn head(&self) -> usize {
        self.head.unwrap_or_else(|| self.sizes.head())
    }

    fn describe_more(&self, file: &mut Gguf) {
        let arch = &self.arch;
        let mut count = |key: &str, n: usize| {
            file.set(&format!("{arch}.{key}"), u32::try_from(n).unwrap_or(u32::MAX));
        };
        for key in ["attention.key_length", "attention.value_length", "rope.dimension_count"] {
            count(key, self.head());
        }
        if arch == "gemma2" || arch == "gemma3" {
            count("attention.sliding_window", self.window as usize);
        }
        if traits(arch).after != After::Dense {
            count("expert_count", self.experts);
            count("expert_used_count", EXPERTS_USED as usize);
            count("expert_feed_forward_length", self.sizes.ffn);
            count("expert_shared_feed_forward_length", self.sizes.ffn);
        }
        if arch == RECURRENT {
            count("attention.head_count", 0);
            count("attention.head_count_kv", 0);
            count("ssm.conv_kernel", CONVOLVED);
            count("ssm.inner_size", WIDER * self.sizes.dim);
            count("ssm.state_size", STATE);
            count("ssm.time_step_rank", self.sizes.dim / STEP_SHARE);
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
            let layer = format!("blk.{layer}");
            if self.shape.arch == RECURRENT {
                self.recurrent(&layer)?;
            } else {
                self.attention(&layer)?;
                self.feed_forward(&layer)?;
            }
        }
        Ok(())
    }

    fn attention(&mut self, layer: &str) -> Result<(), Error> {
        let sizes = self.shape.sizes;
        let traits = traits(&self.shape.arch);
        let dim = sizes.dim;
        let (queries, kv) = (self.shape.head() * sizes.heads, self.shape.head() * sizes.kv_heads);
        self.vector(&format!("{layer}.attn_norm.weight"), dim, 1.0)?;
        if traits.qkv == Qkv::Fused {
            self.matrix(&format!("{layer}.attn_qkv.weight"), dim, queries + 2 * kv);
        } else {
            for (name, rows) in [("attn_q", queries), ("attn_k", kv), ("attn_v", kv)] {
                self.matrix(&format!("{layer}.{name}.weight"), dim, rows);
                if traits.qkv == Qkv::Biased {
                    self.vector(&format!("{layer}.{name}.bias"), rows, 0.0)?;
                }
            }
        }
        if traits.qkv == Qkv::Normed {
            self.vector(&format!("{layer}.attn_q_norm.weight"), self.shape.head(), 1.0)?;
            self.vector(&format!("{layer}.attn_k_norm.weight"), self.shape.head(), 1.0)?;
        }
        self.matrix(&format!("{layer}.attn_output.weight"), queries, dim);
        if traits.post_norm {
            self.vector(&format!("{layer}.post_attention_norm.weight"), dim, 1.0)?;
        }
        Ok(())
    }

    fn feed_forward(&mut self, layer: &str) -> Result<(), Error> {
        let traits = traits(&self.shape.arch);
        let (dim, ffn) = (self.shape.sizes.dim, self.shape.sizes.ffn);
        self.vector(&format!("{layer}.ffn_norm.weight"), dim, 1.0)?;
        if traits.after != After::Dense {
            return self.experts(layer, traits.after);
        }
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

    fn experts(&mut self, layer: &str, after: After) -> Result<(), Error> {
        let (dim, ffn, experts) = (self.shape.sizes.dim, self.shape.sizes.ffn, self.shape.experts);
        self.tensor(&format!("{layer}.ffn_gate_inp.weight"), &[dim, experts], Quant::F32);
        self.tensor(&format!("{layer}.ffn_gate_exps.weight"), &[dim, ffn, experts], self.shape.quant);
        self.tensor(&format!("{layer}.ffn_down_exps.weight"), &[ffn, dim, experts], self.shape.quant);
        self.tensor(&format!("{layer}.ffn_up_exps.weight"), &[dim, ffn, experts], self.shape.quant);
        if after == After::ExpertsAndShared {
            self.vector(&format!("{layer}.ffn_gate_inp_shexp.weight"), dim, 1.0)?;
            self.matrix(&format!("{layer}.ffn_gate_shexp.weight"), dim, ffn);
            self.matrix(&format!("{layer}.ffn_down_shexp.weight"), ffn, dim);
            self.matrix(&format!("{layer}.ffn_up_shexp.weight"), dim, ffn);
        }
        Ok(())
    }

    fn recurrent(&mut self, layer: &str) -> Result<(), Error> {
        let dim = self.shape.sizes.dim;
        let (inner, steps) = (WIDER * dim, dim / STEP_SHARE);
        self.vector(&format!("{layer}.attn_norm.weight"), dim, 1.0)?;
        self.matrix(&format!("{layer}.ssm_in.weight"), dim, 2 * inner);
        self.tensor(&format!("{layer}.ssm_conv1d.weight"), &[CONVOLVED, inner], Quant::F32);
        self.vector(&format!("{layer}.ssm_conv1d.bias"), inner, 0.0)?;
        self.matrix(&format!("{layer}.ssm_x.weight"), inner, steps + 2 * STATE);
        self.tensor(&format!("{layer}.ssm_dt.weight"), &[steps, inner], Quant::F32);
        self.vector(&format!("{layer}.ssm_dt.bias"), inner, 0.0)?;
        self.tensor(&format!("{layer}.ssm_a"), &[STATE, inner], Quant::F32);
        self.vector(&format!("{layer}.ssm_d"), inner, 1.0)?;
        self.matrix(&format!("{layer}.ssm_out.weight"), inner, dim);
        Ok(())
    }

    fn matrix(&mut self, name: &str, cols: usize, rows: usize) {
        self.tensor(name, &[cols, rows], self.shape.quant);
    }

    fn tensor(&mut self, name: &str, shape: &[usize], quant: Quant) {
        let seed = self.rng.bits();
        let fill = if self.shape.sparse { Fill::Hole } else { Fill::Random(seed) };
        let shape: Vec<u64> = shape.iter().map(|side| *side as u64).collect();
        self.file.tensor(name, &shape, quant, fill);
    }

    fn vector(&mut self, name: &str, length: usize, value: f32) -> Result<(), Error> {
        let fill = if self.shape.sparse { Fill::Hole } else { Fill::Bytes(Quant::F32.encode(&vec![value; length])?) };
        self.file.tensor(name, &[length as u64], Quant::F32, fill);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
