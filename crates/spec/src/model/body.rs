//! What of a model takes memory when it is loaded.

use std::collections::BTreeMap;

use base::ByteSize;
use serde::{Deserialize, Serialize};

/// What of a model takes memory when it is loaded, as its header tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Body {
    /// The layers in their order; neighbours that are alike stand together.
    pub layers: Vec<Layers>,
    /// Bytes of what turns tokens into numbers; it is looked up in main memory, not computed with.
    pub input: ByteSize,
    /// Of these, bytes that also serve as output, where the file has no other.
    pub shared: ByteSize,
    /// Bytes of what turns numbers into scores of tokens.
    pub output: ByteSize,
    /// Bytes of all matrices that are computed with, by their type: `Q4_K`, `F16`, …
    pub matrices: BTreeMap<String, ByteSize>,
    /// Of these, bytes that lie behind everything else in the file.
    pub tail: ByteSize,
    /// Heads of queries in a layer, the most of any.
    pub heads: u32,
    /// Numbers in all queries of one token.
    pub queries: u32,
    /// Numbers in the feed-forward part of a layer for one token, the most of any; of one expert where there are several.
    pub feed_forward: u32,
    /// Experts in a layer; 0 for none.
    pub experts: u32,
    /// Experts that one token uses.
    pub experts_used: u32,
    /// Numbers that a recurrent layer computes with for one token; 0 for none.
    pub recurrent: u32,
    /// Rules by which the tokens of the vocabulary are put together.
    pub merges: u32,
}

/// Layers that are alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layers {
    /// So many.
    pub count: u32,
    /// Bytes of the tensors of each.
    pub weights: ByteSize,
    /// Numbers in the keys of one token.
    pub keys: u64,
    /// Numbers in the values of one token.
    pub values: u64,
    /// Tokens that it looks back; 0 for all of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub window: u64,
    /// Bytes that it keeps for a slot whatever the length of the text.
    #[serde(skip_serializing_if = "is_zero")]
    pub state: u64,
}

impl Body {
    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
