//! What does each small layer of the network compute, forwards and backwards?
//!
//! In: rows of numbers. Out: rows of numbers. Fails: never. Holds: nothing. From: Zhang and Sennrich 2019 (RMSNorm),
//! Su et al. 2021 (RoPE, with neighbouring numbers as pairs, as ggml turns them for the llama architecture), Shazeer 2020
//! (SwiGLU), Cephes (the exponential).
//!
//! The exponential is our own and all sums run in eight fixed lanes, so the bits are the same everywhere.

use pulp::{Arch, Simd, WithSimd};

const LANES: usize = 8;
/// Keeps the norm of a row of zeros finite; also in the file's metadata.
pub(crate) const EPSILON: f32 = 1e-5;
/// The slowest turn of RoPE; also in the file's metadata.
pub(crate) const ROPE_BASE: f32 = 10_000.0;

/// The sum of the products, in eight lanes.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

/// `to[i] += from[i]`.
pub(crate) fn add(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

/// RMSNorm of each row of `x`, times `gain`; returns the rows and each row's scale.
#[expect(clippy::cast_precision_loss, reason = "a row is short")]
pub(crate) fn norm(x: &[f32], gain: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let width = gain.len();
    let mut out = vec![0.0; x.len()];
    let mut scales = Vec::with_capacity(x.len() / width);
    for (row, to) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let scale = 1.0 / (dot(row, row) / width as f32 + EPSILON).sqrt();
        for ((to, x), gain) in to.iter_mut().zip(row).zip(gain) {
            *to = x * scale * gain;
        }
        scales.push(scale);
    }
    (out, scales)
}

/// What a norm remembers for its way back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normed<'a> {
    /// What went in.
    pub(crate) x: &'a [f32],
    /// Each row's scale.
    pub(crate) scales: &'a [f32],
    /// The weights.
    pub(crate) gain: &'a [f32],
}

/// The way back of [`norm`]: adds to the gradients of the input and of the gain.
#[expect(clippy::cast_precision_loss, reason = "a row is short")]
pub(crate) fn norm_back(saved: Normed<'_>, d_out: &[f32], d_x: &mut [f32], d_gain: &mut [f32]) {
    let width = saved.gain.len();
    let mut turned = vec![0.0; width];
    let rows = saved.x.chunks_exact(width).zip(saved.scales).zip(d_out.chunks_exact(width)).zip(d_x.chunks_exact_mut(width));
    for (((x, scale), d_out), d_x) in rows {
        for i in 0..width {
            turned[i] = d_out[i] * saved.gain[i];
            d_gain[i] += d_out[i] * x[i] * scale;
        }
        let mean = dot(&turned, x) * scale * scale / width as f32;
        for i in 0..width {
            d_x[i] += scale * (turned[i] - x[i] * mean);
        }
    }
}

/// The turns of RoPE for each position.
#[derive(Debug)]
pub(crate) struct Rope {
    turns: Vec<(f32, f32)>,
    half: usize,
}

impl Rope {
    /// Tables for a head of this width up to this many positions.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small numbers, rounded once from f64")]
    pub(crate) fn new(head: usize, positions: usize) -> Self {
        let half = head / 2;
        let angle = |at: usize, pair: usize| at as f64 * f64::from(ROPE_BASE).powf(-2.0 * pair as f64 / head as f64);
        let turns = (0..positions * half).map(|i| angle(i / half, i % half).sin_cos()).map(|(sin, cos)| (sin as f32, cos as f32));
        Self { turns: turns.collect(), half }
    }
    /// Turns rows of heads in place; row r stands at position `r % window`; `direction` is 1 or -1 (the way back).
    pub(crate) fn turn(&self, x: &mut [f32], width: usize, window: usize, direction: f32) {
        for (at, row) in x.chunks_exact_mut(width).enumerate() {
            let turns = &self.turns[(at % window) * self.half..][..self.half];
            for head in row.chunks_exact_mut(2 * self.half) {
                for (pair, (sin, cos)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                    let [a, b] = *pair;
                    let sin = sin * direction;
                    *pair = [a * cos - b * sin, a * sin + b * cos];
                }
            }
        }
    }
}

/// Replaces a row by its softmax after scaling it.
pub(crate) fn softmax(row: &mut [f32], scale: f32) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    Arch::new().dispatch(Exponentials { row, top, scale });
    let mut lanes = [0.0_f32; LANES];
    for chunk in row.chunks(LANES) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    let part = 1.0 / lanes.iter().sum::<f32>();
    for x in row {
        *x *= part;
    }
}

/// The gradient through [`softmax`]: `d` becomes the gradient of the scores, given the shares `p`.
pub(crate) fn softmax_back(p: &[f32], d: &mut [f32], scale: f32) {
    let mean = dot(p, d);
    for (d, p) in d.iter_mut().zip(p) {
        *d = p * (*d - mean) * scale;
    }
}

/// `gate * sigmoid(gate) * up`.
pub(crate) fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; gate.len()];
    Arch::new().dispatch(Swiglu { gate, up, out: &mut out });
    out
}

/// The way back of [`swiglu`]: `gate` and `up` are replaced by their gradients.
pub(crate) fn swiglu_back(gate: &mut [f32], up: &mut [f32], d_out: &[f32]) {
    Arch::new().dispatch(SwigluBack { gate, up, d_out });
}

struct Exponentials<'a> {
    row: &'a mut [f32],
    top: f32,
    scale: f32,
}

struct Swiglu<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

struct SwigluBack<'a> {
    gate: &'a mut [f32],
    up: &'a mut [f32],
    d_out: &'a [f32],
}

impl WithSimd for Exponentials<'_> {
    type Output = ();
    #[expect(clippy::inline_always, reason = "compiled for the vector unit that was found")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for x in self.row {
            *x = exp((*x - self.top) * self.scale);
        }
    }
}

impl WithSimd for Swiglu<'_> {
    type Output = ();
    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((out, gate), up) in self.out.iter_mut().zip(self.gate).zip(self.up) {
            *out = gate * up / (1.0 + exp(-gate));
        }
    }
}

impl WithSimd for SwigluBack<'_> {
    type Output = ();
    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((gate, up), d_out) in self.gate.iter_mut().zip(self.up.iter_mut()).zip(self.d_out) {
            let open = 1.0 / (1.0 + exp(-*gate));
            let slope = open * (1.0 + *gate * (1.0 - open));
            (*gate, *up) = (d_out * *up * slope, d_out * *gate * open);
        }
    }
}

/// e to the x: a power of two times a polynomial, within two units of the last place; clamped where f32 ends.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the exponents of f32")]
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const TERMS: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1];
    let x = x.clamp(-87.0, 88.0);
    let power = (x * std::f32::consts::LOG2_E).round_ties_even();
    let rest = power.mul_add(-LN_2_LOW, power.mul_add(-LN_2_HIGH, x));
    let mut sum = TERMS[0];
    for term in &TERMS[1..] {
        sum = sum.mul_add(rest, *term);
    }
    let fraction = sum.mul_add(rest * rest, rest) + 1.0;
    fraction * f32::from_bits(((power as i32 + 127) as u32) << 23)
}

#[cfg(test)]
mod tests;
