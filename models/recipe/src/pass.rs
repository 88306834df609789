//! How does a text go through the network, and how does blame come back?
//!
//! In: rows of token ids, what should follow each, and how much each counts. Out: scores of all tokens, or the loss with
//! the gradient of every weight. Fails: never. Holds: what each layer saw, until the way back has used it. From: the
//! chain rule, by hand; `tests.rs` holds it against finite differences.

use crate::attention::{Attention, Qkv};
use crate::gemm::{Mat, MatMut};
use crate::layers::{Normed, Rope, add, norm, norm_back, softmax, swiglu, swiglu_back};
use crate::net::{EMBEDDING, LAST_NORM, Net, Part, slot_of};

/// A few texts of equal length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    /// Tokens, text after text.
    pub(crate) tokens: &'a [u32],
    /// What should follow each.
    pub(crate) targets: &'a [u32],
    /// How much each counts in the loss.
    pub(crate) counts: &'a [f32],
    /// Tokens in a text.
    pub(crate) window: usize,
}

/// What one layer saw on the way forward.
struct Seen {
    x: Vec<f32>,
    scale: Vec<f32>,
    h: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    shares: Vec<f32>,
    mixed: Vec<f32>,
    x2: Vec<f32>,
    scale2: Vec<f32>,
    h2: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    inner: Vec<f32>,
}

/// One walk over texts of one length.
struct Walk<'a> {
    net: &'a Net,
    rope: &'a Rope,
    attention: Attention,
}

/// The scores of every token to follow the last one of `tokens`.
pub(crate) fn scores(net: &Net, rope: &Rope, tokens: &[u32]) -> Vec<f32> {
    let walk = Walk::new(net, rope, tokens.len(), tokens.len());
    let mut x = walk.embed(tokens);
    for layer in 0..net.sizes.layers {
        walk.forward(layer, &mut x);
    }
    let last = &x[x.len() - net.sizes.dim..];
    let (h, _) = norm(last, net.at(LAST_NORM));
    let mut scores = vec![0.0; net.sizes.vocab];
    MatMut::new(&mut scores, 1, net.sizes.vocab).set(Mat::new(&h, 1, net.sizes.dim), net.mat(EMBEDDING).turned());
    scores
}

/// The loss summed over the batch by `counts`, and its gradient, laid out as the weights are.
pub(crate) fn loss_and_gradient(net: &Net, rope: &Rope, batch: Batch<'_>) -> (f64, Vec<f32>) {
    let walk = Walk::new(net, rope, batch.tokens.len(), batch.window);
    let mut grad = vec![0.0; net.weights.len()];
    let mut x = walk.embed(batch.tokens);
    let seen: Vec<Seen> = (0..net.sizes.layers).map(|layer| walk.forward(layer, &mut x)).collect();

    let (loss, mut d_x) = walk.judge(&x, batch, &mut grad);
    for (layer, seen) in seen.into_iter().enumerate().rev() {
        walk.backward(layer, seen, &mut d_x, &mut grad);
    }
    let dim = net.sizes.dim;
    for (token, d_row) in batch.tokens.iter().zip(d_x.chunks_exact(dim)) {
        add(&mut grad[*token as usize * dim..][..dim], d_row);
    }
    (loss, grad)
}

impl<'a> Walk<'a> {
    fn new(net: &'a Net, rope: &'a Rope, rows: usize, window: usize) -> Self {
        let sizes = net.sizes;
        let attention = Attention { texts: rows / window, window, heads: sizes.heads, kv_heads: sizes.kv_heads, head: sizes.head() };
        Self { net, rope, attention }
    }

    fn embed(&self, tokens: &[u32]) -> Vec<f32> {
        let (table, dim) = (self.net.at(EMBEDDING), self.net.sizes.dim);
        tokens.iter().flat_map(|token| &table[*token as usize * dim..][..dim]).copied().collect()
    }

    /// `x` times a weight.
    fn through(&self, x: &[f32], slot: usize) -> Vec<f32> {
        let shape = &self.net.slots[slot];
        let rows = x.len() / shape.cols;
        let mut out = vec![0.0; rows * shape.rows];
        MatMut::new(&mut out, rows, shape.rows).set(Mat::new(x, rows, shape.cols), self.net.mat(slot).turned());
        out
    }

    /// The way back of [`Walk::through`]: adds to the weight's gradient and to that of `x`.
    fn through_back(&self, slot: usize, d_out: &[f32], x: &[f32], (d_x, grad): (&mut [f32], &mut [f32])) {
        let shape = &self.net.slots[slot];
        let rows = x.len() / shape.cols;
        let d_out = Mat::new(d_out, rows, shape.rows);
        MatMut::new(&mut grad[shape.span.clone()], shape.rows, shape.cols).add(d_out.turned(), Mat::new(x, rows, shape.cols));
        MatMut::new(d_x, rows, shape.cols).add(d_out, self.net.mat(slot));
    }

    #[expect(clippy::many_single_char_names, reason = "the field's names")]
    fn forward(&self, layer: usize, x: &mut Vec<f32>) -> Seen {
        let slot = |part| slot_of(layer, part);
        let sizes = self.net.sizes;
        let (h, scale) = norm(x, self.net.at(slot(Part::AttentionNorm)));
        let mut q = self.through(&h, slot(Part::Query));
        let mut k = self.through(&h, slot(Part::Key));
        let v = self.through(&h, slot(Part::Value));
        self.rope.turn(&mut q, sizes.dim, self.attention.window, 1.0);
        self.rope.turn(&mut k, sizes.kv(), self.attention.window, 1.0);
        let (mixed, shares) = self.attention.forward(Qkv { q: &q, k: &k, v: &v });
        let mut x2 = self.through(&mixed, slot(Part::Output));
        add(&mut x2, x);

        let (h2, scale2) = norm(&x2, self.net.at(slot(Part::FfnNorm)));
        let gate = self.through(&h2, slot(Part::Gate));
        let up = self.through(&h2, slot(Part::Up));
        let inner = swiglu(&gate, &up);
        let mut out = self.through(&inner, slot(Part::Down));
        add(&mut out, &x2);
        let x = std::mem::replace(x, out);
        Seen { x, scale, h, q, k, v, shares, mixed, x2, scale2, h2, gate, up, inner }
    }

    /// The loss and the gradient of what left the last layer; tokens that do not count cost nothing here.
    fn judge(&self, x: &[f32], batch: Batch<'_>, grad: &mut [f32]) -> (f64, Vec<f32>) {
        let (sizes, gain) = (self.net.sizes, self.net.at(LAST_NORM));
        let all = batch.targets.iter().zip(batch.counts).enumerate();
        let judged: Vec<(usize, u32, f32)> =
            all.filter(|(_, (_, count))| **count > 0.0).map(|(at, (target, count))| (at, *target, *count)).collect();
        let kept: Vec<f32> = judged.iter().flat_map(|(at, ..)| &x[at * sizes.dim..][..sizes.dim]).copied().collect();
        let (h, scales) = norm(&kept, gain);
        let mut p = self.through(&h, EMBEDDING);
        let mut loss = 0.0;
        for (row, (_, target, count)) in p.chunks_exact_mut(sizes.vocab).zip(&judged) {
            softmax(row, 1.0);
            let right = &mut row[*target as usize];
            loss -= f64::from(right.max(f32::MIN_POSITIVE)).ln() * f64::from(*count);
            *right -= 1.0;
            for share in row {
                *share *= count;
            }
        }
        let mut d_h = vec![0.0; h.len()];
        self.through_back(EMBEDDING, &p, &h, (&mut d_h, grad));
        let mut d_kept = vec![0.0; kept.len()];
        let d_gain = &mut grad[self.net.slots[LAST_NORM].span.clone()];
        norm_back(Normed { x: &kept, scales: &scales, gain }, &d_h, &mut d_kept, d_gain);
        let mut d_x = vec![0.0; x.len()];
        for (row, (at, ..)) in d_kept.chunks_exact(sizes.dim).zip(&judged) {
            d_x[at * sizes.dim..][..sizes.dim].copy_from_slice(row);
        }
        (loss, d_x)
    }

    fn backward(&self, layer: usize, mut seen: Seen, d_x: &mut [f32], grad: &mut [f32]) {
        let slot = |part| slot_of(layer, part);
        let sizes = self.net.sizes;
        let mut d_inner = vec![0.0; seen.inner.len()];
        self.through_back(slot(Part::Down), d_x, &seen.inner, (&mut d_inner, grad));
        swiglu_back(&mut seen.gate, &mut seen.up, &d_inner);
        let mut d_h2 = vec![0.0; seen.h2.len()];
        self.through_back(slot(Part::Gate), &seen.gate, &seen.h2, (&mut d_h2, grad));
        self.through_back(slot(Part::Up), &seen.up, &seen.h2, (&mut d_h2, grad));
        self.norm_back(slot(Part::FfnNorm), (&seen.x2, &seen.scale2), &d_h2, (d_x, grad));

        let mut d_mixed = vec![0.0; seen.mixed.len()];
        self.through_back(slot(Part::Output), d_x, &seen.mixed, (&mut d_mixed, grad));
        let mut d = self.attention.backward(Qkv { q: &seen.q, k: &seen.k, v: &seen.v }, &seen.shares, &d_mixed);
        self.rope.turn(&mut d.q, sizes.dim, self.attention.window, -1.0);
        self.rope.turn(&mut d.k, sizes.kv(), self.attention.window, -1.0);
        let mut d_h = vec![0.0; seen.h.len()];
        self.through_back(slot(Part::Query), &d.q, &seen.h, (&mut d_h, grad));
        self.through_back(slot(Part::Key), &d.k, &seen.h, (&mut d_h, grad));
        self.through_back(slot(Part::Value), &d.v, &seen.h, (&mut d_h, grad));
        self.norm_back(slot(Part::AttentionNorm), (&seen.x, &seen.scale), &d_h, (d_x, grad));
    }

    fn norm_back(&self, slot: usize, (x, scales): (&[f32], &[f32]), d_out: &[f32], (d_x, grad): (&mut [f32], &mut [f32])) {
        let d_gain = &mut grad[self.net.slots[slot].span.clone()];
        norm_back(Normed { x, scales, gain: self.net.at(slot) }, d_out, d_x, d_gain);
    }
}

#[cfg(test)]
mod tests;
