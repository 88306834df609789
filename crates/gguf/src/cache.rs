//! How much memory does the context of a model take?
//!
//! In: what its layers keep, how many tokens of context, how many slots, the type of the cache. Out:
//! bytes, those that llama-server prints as its KV buffers when `slots` and `batch_tokens` are its own.
//! Fails: never; sums stop at the largest number instead of wrapping. The engine's buffers for
//! computing come on top and are not counted here. From: llama.cpp (`llama-kv-cache*.cpp`).

use crate::file::File;
use crate::kept::Kept;

/// Cells of a cache come in multiples of this.
const CELLS: u64 = 256;
/// What the engine writes down about one cell beside its numbers: positions, and which slots it belongs to.
const CELL_BYTES: u64 = 48;
/// Tokens that llama-server computes at once unless told otherwise.
const BATCH_TOKENS: u64 = 512;

/// How the numbers of a cache are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KvType {
    /// 32 bits.
    F32,
    /// 16 bits: what the engine does unless told otherwise.
    #[default]
    F16,
    /// 16 bits with the range of 32.
    Bf16,
    /// 8 bits in blocks of 32.
    Q8_0,
    /// 5 bits in blocks of 32, with an offset.
    Q5_1,
    /// 5 bits in blocks of 32.
    Q5_0,
    /// 4 bits in blocks of 32, with an offset.
    Q4_1,
    /// 4 bits in blocks of 32.
    Q4_0,
    /// 4 bits in blocks of 32, on a curve.
    Iq4Nl,
}

impl KvType {
    /// By the name that `--cache-type-k` takes.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "f32" => Self::F32,
            "f16" => Self::F16,
            "bf16" => Self::Bf16,
            "q8_0" => Self::Q8_0,
            "q5_1" => Self::Q5_1,
            "q5_0" => Self::Q5_0,
            "q4_1" => Self::Q4_1,
            "q4_0" => Self::Q4_0,
            "iq4_nl" => Self::Iq4Nl,
            _ => return None,
        })
    }
    /// Bytes of so many numbers; a last block that is not full counts whole.
    fn bytes(self, numbers: u64) -> u64 {
        let (block, bytes) = match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q8_0 => (32, 34),
            Self::Q5_1 => (32, 24),
            Self::Q5_0 => (32, 22),
            Self::Q4_1 => (32, 20),
            Self::Q4_0 | Self::Iq4Nl => (32, 18),
        };
        numbers.div_ceil(block).saturating_mul(bytes)
    }
}

/// The cache that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// Tokens of context, of all slots together.
    pub context_tokens: u64,
    /// Calls at the same time, each with its own share of the context.
    pub slots: u64,
    /// Tokens that are computed at once.
    pub batch_tokens: u64,
    /// How keys are stored.
    pub key: KvType,
    /// How values are stored.
    pub value: KvType,
    /// Whether layers with a sliding window keep the whole context as well.
    pub whole_windows: bool,
    /// Whether all layers have as much room for values as the one that needs most: so without flash attention.
    pub even_values: bool,
}

impl Cache {
    /// For one slot, as the engine does unless told otherwise.
    pub fn of(context_tokens: u64) -> Self {
        Self {
            context_tokens,
            slots: 1,
            batch_tokens: BATCH_TOKENS,
            key: KvType::F16,
            value: KvType::F16,
            whole_windows: false,
            even_values: false,
        }
    }

    /// Bytes for the context and the states of all slots.
    pub fn bytes(&self, layers: &[Kept]) -> u64 {
        let most = layers.iter().map(|layer| layer.values).max().unwrap_or(0);
        sum(layers.iter().map(|layer| self.layer_bytes(&self.evened(layer, most))))
    }

    /// Bytes that cannot be taken back token by token, of one slot: windows and states. A server copies them, so that it need not
    /// read the whole text again when a conversation goes on from an earlier point.
    pub fn fixed_bytes(&self, layers: &[Kept]) -> u64 {
        sum(layers.iter().map(|layer| {
            let seen = if self.whole_windows { 0 } else { layer.window.min(self.slot_tokens()) };
            self.token_bytes(layer).saturating_mul(seen).saturating_add(layer.state)
        }))
    }

    /// Bytes that the engine keeps about the cells of all slots, beside what is in them.
    pub fn cell_bytes(&self, layers: &[Kept]) -> u64 {
        let has = |is: fn(&Kept) -> bool| layers.iter().any(|layer| layer.keys > 0 && is(layer));
        let whole = if has(|layer| layer.window == 0) { self.cells(0) } else { 0 };
        let windows = layers.iter().map(|layer| layer.window).max().filter(|window| *window > 0);
        let cells = whole.saturating_add(windows.map_or(0, |window| self.cells(window)));
        cells.saturating_mul(self.slots.max(1)).saturating_mul(CELL_BYTES)
    }

    /// Cells of one slot in a layer with this window; 0 for none.
    pub fn cells(&self, window: u64) -> u64 {
        let whole = self.slot_tokens();
        let slides = window > 0 && !self.whole_windows;
        if slides { padded(whole.min(window.saturating_add(self.batch_tokens))) } else { whole }
    }

    fn slot_tokens(&self) -> u64 {
        padded(self.context_tokens.div_ceil(self.slots.max(1)))
    }

    fn evened(&self, layer: &Kept, most: u64) -> Kept {
        let has_values = self.even_values && layer.values > 0;
        Kept { values: if has_values { most } else { layer.values }, ..*layer }
    }

    fn token_bytes(&self, layer: &Kept) -> u64 {
        self.key.bytes(layer.keys).saturating_add(self.value.bytes(layer.values))
    }

    fn layer_bytes(&self, layer: &Kept) -> u64 {
        let slot = self.token_bytes(layer).saturating_mul(self.cells(layer.window)).saturating_add(layer.state);
        slot.saturating_mul(self.slots.max(1))
    }
}

impl File {
    /// Bytes for so many tokens of context in one slot; [`File::cache_bytes`] for more.
    pub fn kv_cache_bytes(&self, context_tokens: u64, key: KvType, value: KvType) -> u64 {
        self.cache_bytes(&Cache { key, value, ..Cache::of(context_tokens) })
    }

    /// Bytes for the context and the states of all slots.
    pub fn cache_bytes(&self, ask: &Cache) -> u64 {
        ask.bytes(&self.kept())
    }
}

fn padded(cells: u64) -> u64 {
    cells.div_ceil(CELLS).saturating_mul(CELLS)
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}
