//! What is the network? Its sizes, its weights by name, and their first random values.
//!
//! In: sizes and chance. Out: weights in one line, so that training can treat them as one. Fails: never. Holds: nothing.
//! From: Touvron et al. 2023 (LLaMA), with tied embeddings as in Press and Wolf 2017.

use std::ops::Range;

use crate::gemm::Mat;
use crate::rng::Rng;

/// How large a network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Tokens that it knows.
    pub vocab: usize,
    /// Numbers that stand for a token inside.
    pub dim: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of queries; a divisor of `dim`.
    pub heads: usize,
    /// Heads of keys and values; a divisor of `heads`.
    pub kv_heads: usize,
    /// Width of the feed-forward part.
    pub ffn: usize,
}

impl Sizes {
    /// Numbers in a head.
    pub fn head(&self) -> usize {
        self.dim / self.heads
    }
    /// Width of keys and of values.
    pub fn kv(&self) -> usize {
        self.head() * self.kv_heads
    }
}

/// The weights of one layer, in the order in which they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Gain before attention.
    AttentionNorm,
    /// To queries.
    Query,
    /// To keys.
    Key,
    /// To values.
    Value,
    /// From mixed values.
    Output,
    /// Gain before the feed-forward part.
    FfnNorm,
    /// To the gate.
    Gate,
    /// To what the gate lets through.
    Up,
    /// Back to `dim`.
    Down,
}

const PARTS: [(Part, &str); 9] = [
    (Part::AttentionNorm, "attn_norm"),
    (Part::Query, "attn_q"),
    (Part::Key, "attn_k"),
    (Part::Value, "attn_v"),
    (Part::Output, "attn_output"),
    (Part::FfnNorm, "ffn_norm"),
    (Part::Gate, "ffn_gate"),
    (Part::Up, "ffn_up"),
    (Part::Down, "ffn_down"),
];

/// The place of the embedding among the slots.
pub(crate) const EMBEDDING: usize = 0;
/// The place of the last gain among the slots.
pub(crate) const LAST_NORM: usize = 1;
const FIRST_LAYER: usize = 2;

/// The place of a layer's part among the slots.
pub(crate) fn slot_of(layer: usize, part: Part) -> usize {
    FIRST_LAYER + layer * PARTS.len() + part as usize
}

/// One weight: its name in a GGUF file, its shape, and where it lies.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// As in the file.
    pub(crate) name: String,
    /// Numbers that go out; 1 for a gain.
    pub(crate) rows: usize,
    /// Numbers that come in.
    pub(crate) cols: usize,
    /// Where it lies among all weights.
    pub(crate) span: Range<usize>,
}

/// A network.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    /// How large.
    pub(crate) sizes: Sizes,
    /// What lies where.
    pub(crate) slots: Vec<Slot>,
    /// All weights.
    pub(crate) weights: Vec<f32>,
}

impl Net {
    /// A network whose weights are all zero.
    pub(crate) fn blank(sizes: Sizes) -> Self {
        let mut shapes = vec![("token_embd.weight".to_owned(), sizes.vocab, sizes.dim), ("output_norm.weight".to_owned(), 1, sizes.dim)];
        for layer in 0..sizes.layers {
            shapes.extend(PARTS.iter().map(|(part, name)| {
                let (rows, cols) = shape_of(*part, &sizes);
                (format!("blk.{layer}.{name}.weight"), rows, cols)
            }));
        }
        let mut slots: Vec<Slot> = Vec::with_capacity(shapes.len());
        for (name, rows, cols) in shapes {
            let start = slots.last().map_or(0, |slot| slot.span.end);
            slots.push(Slot { name, rows, cols, span: start..start + rows * cols });
        }
        let total = slots.last().map_or(0, |slot| slot.span.end);
        Self { sizes, slots, weights: vec![0.0; total] }
    }

    /// A network that knows nothing yet: gains of 1, and random matrices that keep the size of what goes through.
    #[expect(clippy::cast_precision_loss, reason = "sizes are small")]
    pub(crate) fn random(sizes: Sizes, rng: &mut Rng) -> Self {
        const EMBEDDING_SPREAD: f32 = 0.05;
        let mut net = Self::blank(sizes);
        // What a layer adds is made smaller the more layers add.
        let residual = 1.0 / (2.0 * sizes.layers as f32).sqrt();
        for (place, slot) in net.slots.iter().enumerate() {
            let fan_in = 1.0 / (slot.cols as f32).sqrt();
            let adds = slot.name.contains("attn_output") || slot.name.contains("ffn_down");
            let spread = if place == EMBEDDING { EMBEDDING_SPREAD } else { fan_in * if adds { residual } else { 1.0 } };
            for weight in &mut net.weights[slot.span.clone()] {
                *weight = if slot.rows == 1 { 1.0 } else { rng.normal() * spread };
            }
        }
        net
    }

    /// The weights of one slot.
    pub(crate) fn at(&self, slot: usize) -> &[f32] {
        &self.weights[self.slots[slot].span.clone()]
    }

    /// One slot as a matrix.
    pub(crate) fn mat(&self, slot: usize) -> Mat<'_> {
        Mat::new(self.at(slot), self.slots[slot].rows, self.slots[slot].cols)
    }
}

fn shape_of(part: Part, sizes: &Sizes) -> (usize, usize) {
    let (dim, kv, ffn) = (sizes.dim, sizes.kv(), sizes.ffn);
    match part {
        Part::AttentionNorm | Part::FfnNorm => (1, dim),
        Part::Query | Part::Output => (dim, dim),
        Part::Key | Part::Value => (kv, dim),
        Part::Gate | Part::Up => (ffn, dim),
        Part::Down => (dim, ffn),
    }
}
