//! Who looks at whom? Causal attention with fewer heads for keys than for queries, forwards and backwards.
//!
//! In: rows of queries, keys and values, already turned. Out: rows of mixed values, or gradients. Fails: never.
//! Holds: nothing. From: Vaswani et al. 2017; Ainslie et al. 2023 (grouped queries). Queries go in blocks, so
//! that what lies in the future of a whole block is never computed.

use crate::gemm::{Mat, MatMut};
use crate::layers::{softmax, softmax_back};

/// Queries that are taken at once.
const BLOCK: usize = 64;

/// The shape of an attention layer over several texts of equal length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention {
    /// Texts.
    pub(crate) texts: usize,
    /// Tokens in each.
    pub(crate) window: usize,
    /// Heads of queries.
    pub(crate) heads: usize,
    /// Heads of keys and values.
    pub(crate) kv_heads: usize,
    /// Numbers in a head.
    pub(crate) head: usize,
}

/// Queries, keys and values, row after row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Qkv<'a> {
    /// Queries.
    pub(crate) q: &'a [f32],
    /// Keys.
    pub(crate) k: &'a [f32],
    /// Values.
    pub(crate) v: &'a [f32],
}

/// The gradients of queries, keys and values.
#[derive(Debug)]
pub(crate) struct QkvBack {
    /// Of the queries.
    pub(crate) q: Vec<f32>,
    /// Of the keys.
    pub(crate) k: Vec<f32>,
    /// Of the values.
    pub(crate) v: Vec<f32>,
}

/// One block of queries of one head of one text: where its rows start, and how far its keys go.
struct Block {
    /// Offset of the first query.
    query: usize,
    /// Offset of the text's first key.
    key: usize,
    /// Offset of the block's first share.
    share: usize,
    /// The first query's position.
    first: usize,
    /// The position behind the last query.
    end: usize,
}

impl Attention {
    /// The mixed values, and every share that was given, for the way back.
    pub(crate) fn forward(&self, x: Qkv<'_>) -> (Vec<f32>, Vec<f32>) {
        let (q_width, kv_width, window) = self.widths();
        let mut shares = vec![0.0; self.texts * self.heads * window * window];
        let mut out = vec![0.0; x.q.len()];
        for b in self.blocks() {
            let rows = b.end - b.first;
            let queries = Mat::part(&x.q[b.query..], rows, self.head, q_width);
            let keys = Mat::part(&x.k[b.key..], b.end, self.head, kv_width);
            let values = Mat::part(&x.v[b.key..], b.end, self.head, kv_width);
            let shares = &mut shares[b.share..];
            MatMut::part(shares, rows, b.end, window).set(queries, keys.turned());
            for (row, line) in shares.chunks_mut(window).take(rows).enumerate() {
                let (seen, future) = line[..b.end].split_at_mut(b.first + row + 1);
                softmax(seen, self.scale());
                future.fill(0.0);
            }
            let mixed = &mut out[b.query..];
            MatMut::part(mixed, rows, self.head, q_width).set(Mat::part(shares, rows, b.end, window), values);
        }
        (out, shares)
    }

    /// The gradients, given what went in, the shares, and the gradient of what came out.
    pub(crate) fn backward(&self, x: Qkv<'_>, shares: &[f32], d_out: &[f32]) -> QkvBack {
        let (q_width, kv_width, window) = self.widths();
        let mut back = QkvBack { q: vec![0.0; x.q.len()], k: vec![0.0; x.k.len()], v: vec![0.0; x.v.len()] };
        let mut d_shares = vec![0.0; BLOCK * window];
        for b in self.blocks() {
            let rows = b.end - b.first;
            let queries = Mat::part(&x.q[b.query..], rows, self.head, q_width);
            let keys = Mat::part(&x.k[b.key..], b.end, self.head, kv_width);
            let values = Mat::part(&x.v[b.key..], b.end, self.head, kv_width);
            let d_out = Mat::part(&d_out[b.query..], rows, self.head, q_width);
            let given = Mat::part(&shares[b.share..], rows, b.end, window);
            MatMut::part(&mut back.v[b.key..], b.end, self.head, kv_width).add(given.turned(), d_out);
            MatMut::part(&mut d_shares, rows, b.end, window).set(d_out, values.turned());
            for (row, d_line) in d_shares.chunks_mut(window).take(rows).enumerate() {
                let (seen, future) = d_line[..b.end].split_at_mut(b.first + row + 1);
                softmax_back(&shares[b.share + row * window..][..seen.len()], seen, self.scale());
                future.fill(0.0);
            }
            let d_scores = Mat::part(&d_shares, rows, b.end, window);
            MatMut::part(&mut back.q[b.query..], rows, self.head, q_width).set(d_scores, keys);
            MatMut::part(&mut back.k[b.key..], b.end, self.head, kv_width).add(d_scores.turned(), queries);
        }
        back
    }

    fn widths(&self) -> (usize, usize, usize) {
        (self.heads * self.head, self.kv_heads * self.head, self.window)
    }

    #[expect(clippy::cast_precision_loss, reason = "a head is narrow")]
    fn scale(&self) -> f32 {
        1.0 / (self.head as f32).sqrt()
    }

    fn blocks(&self) -> impl Iterator<Item = Block> {
        let shape = *self;
        let (q_width, kv_width, window) = self.widths();
        (0..self.texts * self.heads).flat_map(move |which| {
            let (text, head) = (which / shape.heads, which % shape.heads);
            let kv_head = head / (shape.heads / shape.kv_heads);
            (0..window).step_by(BLOCK).map(move |first| Block {
                query: (text * window + first) * q_width + head * shape.head,
                key: text * window * kv_width + kv_head * shape.head,
                share: (which * window + first) * window,
                first,
                end: window.min(first + BLOCK),
            })
        })
    }
}
