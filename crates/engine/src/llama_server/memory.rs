//! How much memory will llama-server take?
//!
//! In: a version's header facts and a deployment. Out: bytes, piece by piece, at full use: with every cell
//! of the context written and a whole batch computed. Fails: never; sums stop at the largest number. Pure.
//! From: what llama.cpp reports of its buffers (`llama-context.cpp`, `llama-kv-cache*.cpp`, `repack.cpp`), and
//! its resident memory; held to both by `app/tests/it/memory.rs`.

use base::ByteSize;
use gguf::{Cache, Kept};
use spec::{Body, Deployment, Layers, Version};

use super::tuning::Tuning;
use crate::memory::{Memory, Needs};

/// What goes into the estimate.
pub(super) struct Estimate<'a> {
    version: &'a Version,
    spec: &'a Deployment,
    tuning: Tuning,
    cache: Cache,
    /// What each layer keeps, in their order.
    kept: Vec<Kept>,
    /// Tokens that one batch computes.
    tokens: u64,
}

/// Bytes of a number that is computed with.
const FLOAT: u64 = 4;
/// Bytes of a number in the mask of flash attention.
const HALF: u64 = 2;

impl<'a> Estimate<'a> {
    /// Of this model, served like this.
    pub(super) fn of(version: &'a Version, spec: &'a Deployment) -> Self {
        let context = u64::from(super::context(version, spec));
        let tuning = Tuning::of(spec, context);
        let slots = u64::from(spec.slots());
        let all = context.saturating_mul(slots);
        let batch = tuning.batch.min(all).max(1);
        let tokens = if tuning.ubatch == 0 { batch } else { tuning.ubatch.min(batch) };
        let cache = Cache {
            slots,
            batch_tokens: tokens,
            key: tuning.keys,
            value: tuning.values,
            whole_windows: tuning.whole_windows,
            even_values: !tuning.flash,
            ..Cache::of(all)
        };
        let kept = version.body.layers.iter().flat_map(alike).collect();
        Self { version, spec, tuning, cache, kept, tokens }
    }

    /// All of it, in main memory.
    pub(super) fn memory(&self) -> Memory {
        Memory { weights: ByteSize(self.weights()), kv_cache: ByteSize(self.context()), overhead: ByteSize(self.overhead()) }
    }

    /// Layer by layer.
    pub(super) fn needs(&self) -> Needs {
        let body = self.body();
        if body.is_empty() {
            return Needs::whole(self.memory());
        }
        let one = |layer: &Kept| self.cache.bytes(std::slice::from_ref(layer));
        let weights = body.layers.iter().flat_map(|layers| std::iter::repeat_n(layers.weights, layers.count as usize));
        let mut layers: Vec<ByteSize> = weights.zip(&self.kept).map(|(weights, kept)| weights + ByteSize(one(kept))).collect();
        layers.push(body.output);
        let in_layers: ByteSize = layers.iter().copied().sum();
        let alone = ByteSize(self.weights()).saturating_sub(self.version.weights);
        let host = self.memory().total().saturating_sub(in_layers + alone);
        Needs { host, layers, copy: body.shared, device: DRIVER + ByteSize(self.compute()), alone }
    }

    fn body(&self) -> &Body {
        &self.version.body
    }

    /// Tensors as they lie in the file, and those that are kept once more in another order.
    fn weights(&self) -> u64 {
        let file = self.version.weights.0;
        if self.tuning.mapped {
            // The pages that were read to repack them stay mapped, but for those behind all that is used as it is.
            let matrices: ByteSize = self.body().matrices.values().copied().sum();
            let all = self.repacked() > 0 && self.repacked() == matrices.0;
            let unmapped = if all { self.body().tail.0 } else { 0 };
            return file.saturating_add(self.repacked()).saturating_sub(unmapped);
        }
        // Without a mapping each tensor is kept once; one that is looked up and computed with, in both orders.
        let twice = if self.repacks(self.body().shared) { self.body().shared.0 } else { 0 };
        file.saturating_add(twice)
    }

    /// Bytes of the matrices that the processor computes with in an order of its own.
    fn repacked(&self) -> u64 {
        if !self.tuning.repacked {
            return 0;
        }
        let types = self.body().matrices.iter().filter(|(kind, _)| REPACKED.contains(&kind.as_str()));
        types.fold(0, |sum: u64, (_, bytes)| sum.saturating_add(bytes.0))
    }

    fn repacks(&self, shared: ByteSize) -> bool {
        shared > ByteSize(0) && self.repacked() > 0
    }

    /// Keys and values of all slots.
    fn context(&self) -> u64 {
        if self.body().is_empty() {
            return self.version.kv_bytes_per_token.saturating_mul(self.cache.context_tokens);
        }
        self.cache.bytes(&self.kept)
    }

    fn overhead(&self) -> u64 {
        let projector = self.version.contents.projector_size().0;
        let parts =
            [self.process(), self.compute(), self.work(), self.scores(), self.cells(), self.checkpoints(), self.prompts(), projector];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// Code and heap of an idle server, its vocabulary and its threads.
    fn process(&self) -> u64 {
        let words = u64::from(self.version.vocabulary).saturating_mul(TOKEN);
        let merges = u64::from(self.body().merges).saturating_mul(MERGE);
        PROCESS.0.saturating_add(words).saturating_add(merges).saturating_add(self.cache.slots.saturating_mul(SLOT))
    }

    /// What is at hand at the same time while one batch goes through a layer, or out of the last one.
    fn compute(&self) -> u64 {
        let inside = self.widest().saturating_mul(FLOAT).saturating_add(self.masks()).saturating_mul(self.tokens);
        let width = u64::from(self.version.embedding_length).saturating_mul(3);
        let scored = if self.is_encoder() { 0 } else { u64::from(self.version.vocabulary) };
        let outside = scored.saturating_add(width).saturating_mul(FLOAT);
        inside.max(outside.saturating_mul(self.outputs()).saturating_add(self.masks().saturating_mul(self.tokens)))
    }

    /// Numbers for one token of the batch in the widest place of a layer, as llama.cpp's allocator lays them out.
    fn widest(&self) -> u64 {
        let width = u64::from(self.version.embedding_length);
        let body = self.body();
        let kv = self.kept.iter().map(|kept| kept.keys.saturating_add(kept.values)).max().unwrap_or(0);
        let attention = sum([width, width, u64::from(body.queries).saturating_mul(3), kv, self.attended()]);
        // Two ways into the feed-forward part and what comes of them, for each expert that a token asks.
        let inside = u64::from(body.feed_forward).saturating_mul(u64::from(body.experts_used).max(1));
        let forward = sum([width.saturating_mul(4), inside.saturating_mul(3)]);
        let recurrent = sum([width, u64::from(body.recurrent).saturating_mul(6)]);
        attention.max(forward).max(recurrent)
    }

    /// It reads the whole text at once and keeps nothing of it.
    fn is_encoder(&self) -> bool {
        !self.kept.is_empty() && self.kept.iter().all(|kept| *kept == Kept::default())
    }

    /// Numbers for one token of the batch, when attention has a score for each cell and head at once.
    fn attended(&self) -> u64 {
        let cells = self.kept.iter().filter(|kept| kept.keys > 0).map(|kept| self.cache.cells(kept.window)).max();
        let cells = cells.unwrap_or(if self.is_encoder() { self.tokens } else { 0 });
        if self.tuning.flash { 0 } else { cells.saturating_mul(u64::from(self.body().heads)) }
    }

    /// Bytes for one token of the batch: which cells it may look at.
    fn masks(&self) -> u64 {
        let window = self.kept.iter().map(|kept| kept.window).max().filter(|window| *window > 0);
        let window = window.map_or(0, |window| self.cache.cells(window));
        let whole = match self.kept.iter().any(|kept| kept.keys > 0 && kept.window == 0) {
            true => self.cache.cells(0),
            false if self.is_encoder() => self.tokens,
            false => 0,
        };
        whole.saturating_add(window).saturating_mul(if self.tuning.flash { HALF } else { FLOAT })
    }

    /// Tokens of a batch whose continuation, or embedding, is asked for.
    fn outputs(&self) -> u64 {
        if self.spec.embeddings { self.tokens.max(self.cache.slots) } else { self.cache.slots }
    }

    /// The numbers of a batch in the type that the processor multiplies with.
    fn work(&self) -> u64 {
        let body = self.body();
        let inside = u64::from(body.feed_forward).saturating_mul(u64::from(body.experts_used).max(1));
        let widest = inside.max(u64::from(self.version.embedding_length)).max(u64::from(body.recurrent)).max(self.attended());
        self.tokens.saturating_mul(widest).saturating_mul(HALF)
    }

    /// Scores and embeddings on their way out, and what samplers make of them.
    fn scores(&self) -> u64 {
        let width = if self.spec.embeddings { u64::from(self.version.embedding_length) } else { 0 };
        let vocabulary = u64::from(self.version.vocabulary);
        let out = self.outputs().saturating_mul(vocabulary.saturating_add(width)).saturating_mul(FLOAT);
        out.saturating_add(self.cache.slots.saturating_mul(vocabulary).saturating_mul(SAMPLED))
    }

    fn cells(&self) -> u64 {
        self.cache.cell_bytes(&self.kept)
    }

    fn checkpoints(&self) -> u64 {
        let each = self.cache.fixed_bytes(&self.kept);
        each.saturating_mul(self.tuning.checkpoints).saturating_mul(self.cache.slots)
    }

    fn prompts(&self) -> u64 {
        ByteSize::mib(self.tuning.prompts_mib.min(MOST_MIB)).0
    }
}

/// Code and heap of an idle server.
const PROCESS: ByteSize = ByteSize::mib(16);
/// What a driver keeps for a process on a device, before any of its buffers.
pub(super) const DRIVER: ByteSize = ByteSize::mib(400);
/// One token of the vocabulary: its text twice, and where it is found.
const TOKEN: u64 = 220;
/// One rule by which tokens are put together.
const MERGE: u64 = 120;
/// One slot: its threads and what it remembers of its call.
const SLOT: u64 = 256 << 10;
/// Bytes of a candidate while one token is chosen.
const SAMPLED: u64 = 12;
/// An exbibyte, in MiB: more than anybody has.
const MOST_MIB: u64 = 1 << 40;

/// Types of matrices that llama.cpp's processor backend keeps in an order of its own, on processors of the last ten years.
const REPACKED: &[&str] = if cfg!(target_arch = "aarch64") {
    &["Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"]
} else {
    &["Q4_0", "Q4_K", "IQ4_NL", "MXFP4"]
};

fn alike(layers: &Layers) -> impl Iterator<Item = Kept> + use<> {
    let kept = Kept { keys: layers.keys, values: layers.values, window: layers.window, state: layers.state };
    std::iter::repeat_n(kept, layers.count as usize)
}

fn sum<const N: usize>(numbers: [u64; N]) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}
