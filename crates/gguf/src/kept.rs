//! What does each layer of a model keep of the text that it reads?
//!
//! In: a header. Out: for each layer how many numbers it keeps for a token, how far it looks back, and
//! the state that does not grow with the text. Fails: never; sums stop at the largest number.
//!
//! Exact for models whose layers all look at the whole context, grouped or not, also with a head
//! count for each layer, with compressed attention (MLA), and with sliding windows. An estimate for
//! hybrid and recurrent models (their state is computed from the keys that the engine uses, but some of
//! them keep more beside it), for models with an indexer of their own (its cache is not counted) and for
//! those with layers for draft tokens (counted as if all were used). From: llama.cpp
//! (`llama-kv-cache*.cpp`, `llama-hparams.cpp`, the loaders in `models/`).

use crate::file::{File, PerLayer};

/// What one layer keeps for one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Kept {
    /// Numbers in the keys of one token.
    pub keys: u64,
    /// Numbers in the values of one token.
    pub values: u64,
    /// Tokens that it looks back; 0 for all of them.
    pub window: u64,
    /// Bytes of a state that does not grow with the text.
    pub state: u64,
}

/// Bytes of a number in a recurrent state (always f32).
const STATE_BYTES: u64 = 4;

impl File {
    /// What each layer keeps, in their order.
    pub fn kept(&self) -> Vec<Kept> {
        let plan = Plan::of(self);
        (0..self.layers()).map(|layer| plan.layer(layer)).collect()
    }
}

/// Architectures that read the whole text at once and keep nothing.
const WITHOUT: [&str; 14] = [
    "bert",
    "dream",
    "eurobert",
    "gemma-embedding",
    "jina-bert-v2",
    "jina-bert-v3",
    "llada",
    "llada-moe",
    "modern-bert",
    "neo-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "rnd1",
    "wavtokenizer-dec",
];
/// Architectures of which every layer keeps a state instead of a cache.
const RECURRENT: [&str; 6] = ["arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"];
/// Architectures of which some layers keep a state: those without heads for keys and values, or all
/// but each n-th.
const HYBRID: [&str; 18] = [
    "bailingmoe3",
    "deepseek4",
    "falcon-h1",
    "glm5-next",
    "granitehybrid",
    "jamba",
    "kimi-k3",
    "kimi-linear",
    "lfm2",
    "lfm2moe",
    "minimax-01",
    "nemotron_h",
    "nemotron_h_moe",
    "plamo2",
    "qwen35",
    "qwen35moe",
    "qwen3next",
    "qwen4exp",
];
/// Hybrids of which each n-th layer looks at the whole context, where the file does not say which.
const EACH_NTH: [&str; 5] = ["minimax-01", "qwen35", "qwen35moe", "qwen3next", "qwen4exp"];
/// Each n-th, unless the file says otherwise.
const NTH: u64 = 4;
/// The layers of gemma3n that have a cache of their own; the rest use theirs.
const GEMMA3N_LAYERS: u64 = 20;

/// Sliding windows by architecture: the period with which a layer looks at the whole context,
/// whether the first of each period is that layer (else the last), and the window where the file is
/// silent. A period of 0 means that every layer slides.
const WINDOWS: [(&str, u64, bool, u64); 19] = [
    ("afmoe", 4, false, 0),
    ("cohere2", 4, false, 0),
    ("cohere2moe", 4, true, 0),
    ("deepseek4", 0, false, 0),
    ("exaone-moe", 4, false, 128),
    ("exaone4", 4, false, 0),
    ("gemma2", 2, false, 4096),
    ("gemma3", 6, false, 0),
    ("gemma3n", 5, false, 0),
    ("gpt-oss", 2, false, 0),
    ("laguna", 4, true, 0),
    ("llama4", 4, false, 8192),
    ("mellum", 4, false, 0),
    ("muse-glimmer", 4, false, 0),
    ("olmo2", 4, false, 0),
    ("plamo3", 8, false, 0),
    ("smallthinker", 4, true, 4096),
    ("dflash", 0, false, 0),
    ("dots3note", 0, false, 0),
];

/// What the layers have in common.
struct Plan<'a> {
    file: &'a File,
    heads: PerLayer,
    keys: u64,
    values: u64,
    keys_sliding: u64,
    values_sliding: u64,
    /// Layers from this on share the cache of earlier ones.
    own_cache: u64,
    window: u64,
    state: u64,
}

impl<'a> Plan<'a> {
    fn of(file: &'a File) -> Self {
        // Compressed attention keeps one vector, from which both keys and values are made.
        let compressed = file.number("attention.key_length_mla").is_some();
        let keys = file.key_length().unwrap_or(0);
        let values = if compressed { 0 } else { file.value_length().unwrap_or(0) };
        Self {
            heads: file.head_count_kv().unwrap_or(PerLayer::Same(0)),
            keys,
            values,
            keys_sliding: file.number("attention.key_length_swa").unwrap_or(keys),
            values_sliding: file.number("attention.value_length_swa").unwrap_or(values),
            own_cache: own_cache(file),
            window: window(file),
            state: state_bytes(file),
            file,
        }
    }

    fn layer(&self, layer: u64) -> Kept {
        let architecture = self.file.architecture();
        if WITHOUT.contains(&architecture) || layer >= self.own_cache {
            return Kept::default();
        }
        let recurrent = is_recurrent(self.file, layer, self.heads.at(layer));
        let state = if recurrent { self.state } else { 0 };
        // In this one every layer has both.
        if recurrent && architecture != "falcon-h1" {
            return Kept { state, ..Kept::default() };
        }
        let slides = self.window > 0 && is_sliding(self.file, layer);
        let (keys, values, window) =
            if slides { (self.keys_sliding, self.values_sliding, self.window) } else { (self.keys, self.values, 0) };
        let heads = self.heads.at(layer);
        Kept { keys: keys.saturating_mul(heads), values: values.saturating_mul(heads), window, state }
    }
}

fn own_cache(file: &File) -> u64 {
    match file.architecture() {
        "gemma3n" => GEMMA3N_LAYERS,
        "gemma4" => file.layers().saturating_sub(file.number("attention.shared_kv_layers").unwrap_or(0)),
        _ => file.layers(),
    }
}

fn window(file: &File) -> u64 {
    let known = WINDOWS.iter().find(|(name, ..)| *name == file.architecture());
    match file.number("attention.sliding_window") {
        Some(window) => window,
        None => known.map_or(0, |(.., window)| *window),
    }
}

/// Whether a layer looks back a window only. A file whose architecture has no pattern states a
/// window that the engine does not use (phi3, mistral).
fn is_sliding(file: &File, layer: u64) -> bool {
    let stated = file.per_layer("attention.sliding_window_pattern");
    if let Some(PerLayer::Each(layers)) = &stated {
        return usize::try_from(layer).ok().and_then(|layer| layers.get(layer)).is_some_and(|flag| *flag != 0);
    }
    let Some((_, period, first, _)) = WINDOWS.iter().find(|(name, ..)| *name == file.architecture()) else {
        return false;
    };
    let period = match stated {
        Some(PerLayer::Same(period)) => period,
        _ => *period,
    };
    let whole = if *first { 0 } else { period.saturating_sub(1) };
    period == 0 || layer % period != whole
}

fn is_recurrent(file: &File, layer: u64, heads: u64) -> bool {
    let architecture = file.architecture();
    if RECURRENT.contains(&architecture) || architecture == "falcon-h1" {
        return true;
    }
    if !HYBRID.contains(&architecture) {
        return false;
    }
    if let Some(PerLayer::Each(layers)) = file.per_layer("attention.recurrent_layers") {
        return usize::try_from(layer).ok().and_then(|layer| layers.get(layer)).is_some_and(|flag| *flag != 0);
    }
    if EACH_NTH.contains(&architecture) {
        let nth = file.number("full_attention_interval").unwrap_or(NTH).max(1);
        return !(layer + 1).is_multiple_of(nth);
    }
    heads == 0
}

/// Bytes of the state that one recurrent layer keeps for one slot.
fn state_bytes(file: &File) -> u64 {
    let number = |key: &str| file.number(key).unwrap_or(0);
    let embedding = number("embedding_length");
    let heads = file.head_count().map_or(0, |heads| heads.most());
    let kernel = number("ssm.conv_kernel");
    let head = number("wkv.head_size");
    let numbers = if head > 0 {
        let shifts = file.number("token_shift_count").unwrap_or(2);
        embedding.saturating_mul(shifts.saturating_add(head))
    } else if let Some(taps) = file.number("shortconv.l_cache") {
        embedding.saturating_mul(taps.saturating_sub(1))
    } else if let Some(head) = file.number("kda.head_dim") {
        let taps = if kernel > 0 { kernel - 1 } else { 3 };
        let width = heads.saturating_mul(head);
        width.saturating_mul(taps.saturating_mul(3)).saturating_add(width.saturating_mul(head))
    } else {
        let (inner, state) = (number("ssm.inner_size"), number("ssm.state_size"));
        let both = number("ssm.group_count").saturating_mul(state).saturating_mul(2);
        let shifted = kernel.saturating_sub(1).saturating_mul(inner.saturating_add(both));
        shifted.saturating_add(inner.saturating_mul(state))
    };
    numbers.saturating_mul(STATE_BYTES)
}
