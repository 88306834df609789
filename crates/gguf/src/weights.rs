//! Where do the bytes of the tensors go when an engine loads them?
//!
//! In: the tensor table. Out: bytes by place: before the layers, in each layer, behind them; and how many
//! of them are matrices, by type, since engines keep some types in an order of their own. Fails: never.
//! From: the names of llama.cpp's tensors (`llama-arch.cpp`) and its loader.

use std::collections::BTreeMap;

use crate::file::File;
use crate::tensor::Tensor;

/// Bytes of the tensors, by place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Weights {
    /// Before the first layer: what turns tokens into numbers. It is looked up, not computed with.
    pub input: u64,
    /// In each layer.
    pub layers: Vec<u64>,
    /// Behind the last layer: what turns numbers into scores of tokens.
    pub output: u64,
    /// Of the input, what serves as output too, because the file has no other.
    pub shared: u64,
    /// Of all, matrices that are computed with, by type, what is shared included.
    pub matrices: BTreeMap<&'static str, u64>,
    /// Of all, matrices behind the last tensor that is none.
    pub tail: u64,
}

/// What turns tokens into numbers.
const INPUT: &str = "token_embd.weight";
/// What turns numbers into scores.
const OUTPUT: &str = "output.weight";
/// What is done to numbers before.
const OUTPUT_NORM: &str = "output_norm.weight";
/// Matrices with other numbers of rows stay as they are.
const ROWS: u64 = 8;

impl Weights {
    /// Of all parts of a model, of which each holds some of the tensors.
    pub fn of(files: &[File]) -> Self {
        let tensors = || files.iter().flat_map(File::tensors);
        let layers = files.iter().map(File::layers).max().unwrap_or(0);
        // Models that only embed norm no output and have none.
        let named = |name: &str| tensors().any(|tensor| tensor.name == name);
        let tied = named(OUTPUT_NORM) && !named(OUTPUT);
        let mut weights = Self { layers: vec![0; usize::try_from(layers).unwrap_or(0)], ..Self::default() };
        for tensor in tensors() {
            weights.add(tensor, tied);
        }
        weights
    }

    fn add(&mut self, tensor: &Tensor, tied: bool) {
        let layer = layer_of(&tensor.name).and_then(|layer| self.layers.get_mut(layer));
        let shared = tied && tensor.name == INPUT;
        let place = match layer {
            Some(layer) => layer,
            None if tensor.name.starts_with("output") => &mut self.output,
            None => &mut self.input,
        };
        *place = place.saturating_add(tensor.bytes);
        if shared {
            self.shared = tensor.bytes;
        }
        self.tail = if is_matrix(tensor) && tensor.name != INPUT { self.tail.saturating_add(tensor.bytes) } else { 0 };
        if is_matrix(tensor) && (shared || tensor.name != INPUT) {
            let bytes = self.matrices.entry(tensor.kind.name).or_default();
            *bytes = bytes.saturating_add(tensor.bytes);
        }
    }
}

fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

fn is_matrix(tensor: &Tensor) -> bool {
    tensor.name.ends_with(".weight") && tensor.shape.get(1).is_some_and(|rows| *rows > 1 && rows.is_multiple_of(ROWS))
}
