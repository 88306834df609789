//! What the arguments of a deployment change about llama-server's memory.
//!
//! In: a deployment. Out: batch, cache types, and what else its memory hangs on, with llama-server's own
//! defaults for what is not said. Fails: never; what it cannot read is the engine's to refuse. From:
//! `llama-server --help`: of two mentions of a flag the last counts.

use gguf::KvType;
use spec::{CacheType, Deployment};

/// What llama-server's memory hangs on, beside the model and the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its command line")]
pub(super) struct Tuning {
    /// Tokens that are taken in at once.
    pub(super) batch: u64,
    /// Tokens that are computed at once.
    pub(super) ubatch: u64,
    /// How keys are stored.
    pub(super) keys: KvType,
    /// How values are stored.
    pub(super) values: KvType,
    /// Whether attention is computed without a matrix of all scores.
    pub(super) flash: bool,
    /// Whether the file is mapped, so that its pages count as long as they are there.
    pub(super) mapped: bool,
    /// Whether matrices are kept in an order that suits the processor.
    pub(super) repacked: bool,
    /// Whether layers with a sliding window keep the whole context.
    pub(super) whole_windows: bool,
    /// Copies of windows and states that each slot may keep.
    pub(super) checkpoints: u64,
    /// MiB of prompts that it may keep beside the slots.
    pub(super) prompts_mib: u64,
}

/// llama-server's own, unless it is told otherwise.
const BATCH: u64 = 2048;
const UBATCH: u64 = 512;

/// Copies of windows and states that Penstock allows each slot: before the last question, and before its answer. By itself
/// llama-server would make up to 32, in memory that no budget knows of.
pub(super) const CHECKPOINTS: u64 = 2;

impl Tuning {
    /// Of this deployment, whose calls have this context.
    pub(super) fn of(spec: &Deployment, context: u64) -> Self {
        let cache = kv_type(spec.cache_type.unwrap_or_default());
        let (batch, ubatch) = if spec.embeddings { (context, context) } else { (BATCH, UBATCH) };
        let mut tuning = Self {
            batch,
            ubatch,
            keys: cache,
            values: cache,
            flash: true,
            mapped: true,
            repacked: true,
            whole_windows: false,
            checkpoints: CHECKPOINTS,
            prompts_mib: 0,
        };
        let mut rest = spec.args.iter().map(String::as_str);
        while let Some(flag) = rest.next() {
            // What takes a value is followed by it; a flag of another kind is not mistaken for one, since none of them is a number
            // or a type.
            let value = rest.clone().next().unwrap_or_default();
            tuning.heed(flag, value);
        }
        tuning
    }

    fn heed(&mut self, flag: &str, value: &str) {
        let number = |before: u64| value.parse().unwrap_or(before);
        match flag {
            "-b" | "--batch-size" => self.batch = number(self.batch),
            "-ub" | "--ubatch-size" => self.ubatch = number(self.ubatch),
            "-ctk" | "--cache-type-k" => self.keys = KvType::of(value).unwrap_or(self.keys),
            "-ctv" | "--cache-type-v" => self.values = KvType::of(value).unwrap_or(self.values),
            // Left to itself it uses it on every processor and on all but very old cards.
            "-fa" | "--flash-attn" => self.flash = !matches!(value, "off" | "disabled" | "0" | "false"),
            "-lm" | "--load-mode" => self.mapped = !matches!(value, "none" | "mlock" | "dio"),
            "--no-mmap" => self.mapped = false,
            "--mmap" => self.mapped = true,
            "-nr" | "--no-repack" => self.repacked = false,
            "--repack" => self.repacked = true,
            "--swa-full" => self.whole_windows = true,
            "-ctxcp" | "--ctx-checkpoints" | "--swa-checkpoints" => self.checkpoints = number(self.checkpoints),
            "-cram" | "--cache-ram" => self.prompts_mib = number(self.prompts_mib),
            _ => {}
        }
    }
}

/// The same in the words of the file format.
fn kv_type(kind: CacheType) -> KvType {
    KvType::of(kind.as_str()).unwrap_or_default()
}
