//! Which models, and how they are served.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use testkit::{Quant, Shape, Sizes, random_model};

/// A generated model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    arch: &'static str,
    quant: Quant,
    sizes: Sizes,
    head: Option<usize>,
    merges: usize,
}

/// One way to serve one of them.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    kind: Kind,
    context: u32,
    slots: u32,
    cache: &'static str,
    embeddings: bool,
    args: &'static [&'static str],
}

/// Four layers, each 1,024 wide.
const USUAL: Sizes = Sizes { vocab: 4096, dim: 1024, layers: 4, heads: 16, kv_heads: 4, ffn: 2816 };
const WIDE: Sizes = Sizes { layers: 3, ffn: 4096, ..USUAL };
const GEMMA: Sizes = Sizes { vocab: 16_384, dim: 768, layers: 6, heads: 4, kv_heads: 1, ffn: 3072 };
const EXPERTS: Sizes = Sizes { ffn: 768, ..USUAL };
const WORDS: Sizes = Sizes { vocab: 65_536, dim: 512, layers: 4, heads: 8, kv_heads: 2, ffn: 1536 };

const fn kind(arch: &'static str, quant: Quant, sizes: Sizes) -> Kind {
    Kind { arch, quant, sizes, head: None, merges: 0 }
}

/// Every model that is tried.
pub(super) const KINDS: [Kind; 13] = [
    kind("llama", Quant::F32, Sizes { layers: 1, ..USUAL }),
    kind("llama", Quant::F16, USUAL),
    kind("llama", Quant::Q8_0, USUAL),
    kind("llama", Quant::Q4_0, WIDE),
    kind("llama", Quant::Q4K, USUAL),
    Kind { merges: 60_000, ..kind("qwen2", Quant::Q6K, WORDS) },
    Kind { head: Some(128), ..kind("qwen3", Quant::F16, USUAL) },
    Kind { head: Some(256), ..kind("gemma2", Quant::Q8_0, GEMMA) },
    Kind { head: Some(256), ..kind("gemma3", Quant::Q4K, GEMMA) },
    kind("phi3", Quant::Q4_0, USUAL),
    kind("qwen2moe", Quant::Q4K, EXPERTS),
    kind("qwen3moe", Quant::Q8_0, EXPERTS),
    kind("mamba", Quant::F16, Sizes { kv_heads: 16, ..WIDE }),
];

/// Context, slots, cache type, more arguments; for layers that look at everything.
type Way = (u32, u32, &'static str, &'static [&'static str]);
const SMALL: &[&str] = &["--ubatch-size", "128"];
const WAYS: [Way; 6] = [
    (1024, 1, "f16", SMALL),
    (4096, 1, "q8_0", SMALL),
    (2048, 4, "f16", SMALL),
    (8192, 1, "f16", &["--ubatch-size", "64", "--flash-attn", "off"]),
    (16_384, 1, "q4_0", SMALL),
    (4096, 2, "f32", &["--ubatch-size", "128", "--no-repack"]),
];

/// Every case.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (at, kind) in KINDS.into_iter().enumerate() {
        // Each model in every second way, so that all pairs of neighbours come up.
        for way in (0..WAYS.len()).filter(|way| (way + at) % 2 == 0) {
            let (context, slots, cache, args) = WAYS[way];
            cases.push(Case { name: format!("m{at:02}w{way}"), kind, context, slots, cache, embeddings: false, args });
        }
    }
    let plain = |at: usize, context, slots| {
        let name = format!("m{at:02}x{context}");
        Case { name, kind: KINDS[at], context, slots, cache: "f16", embeddings: false, args: &[] }
    };
    cases.extend([plain(1, 32_768, 1), plain(4, 4096, 8), plain(8, 8192, 2), plain(11, 4096, 1)]);
    cases.push(Case { args: &["--swa-full"], name: "m08full".to_owned(), ..plain(8, 8192, 1) });
    cases.push(Case { args: &["--load-mode", "none"], name: "m04read".to_owned(), ..plain(4, 2048, 1) });
    cases.extend([plain(2, 512, 1), plain(5, 1024, 1)].map(|case| Case { embeddings: true, ..case }));
    cases
}

impl Kind {
    fn file(&self) -> String {
        format!("{}-{}.gguf", self.arch, self.quant)
    }

    /// Writes it there, full of holes: zeros take the same memory as any other weights.
    pub(super) fn write(&self, folder: &Path) {
        let shape = Shape {
            arch: self.arch.to_owned(),
            sizes: self.sizes,
            head: self.head,
            context: 32_768,
            merges: self.merges,
            quant: self.quant,
            sparse: true,
            ..Shape::small()
        };
        let path = folder.join(self.file());
        random_model(&shape, &path).expect("a model");
        // What has just been written is hashed at every look, since it may still change.
        let old = SystemTime::now() - Duration::from_hours(1);
        File::options().append(true).open(path).and_then(|file| file.set_modified(old)).expect("its time");
    }

    /// Its entry of the config, served as it is without a word about it.
    pub(super) fn plain(&self, name: &str, folder: &Path) -> String {
        format!("  - name: {name}\n    model: file:{}\n    context: 2048\n", folder.join(self.file()).display())
    }
}

impl Case {
    pub(super) fn title(&self) -> String {
        let Self { kind, context, slots, cache, args, .. } = self;
        let more = if self.embeddings { "embeddings".to_owned() } else { args.join(" ") };
        format!("{} {} {context} x {slots} {cache} {more}", kind.arch, kind.quant)
    }

    /// Where and what to ask: enough to fill a small batch, since every byte is a token.
    pub(super) fn ask(&self) -> (&'static str, Value) {
        if self.embeddings {
            let words = usize::try_from(self.context).map_or(0, |context| context / 6);
            return ("/v1/embeddings", json!({"model": self.name, "input": "word ".repeat(words)}));
        }
        let words = "word ".repeat(if self.args.is_empty() { 4 } else { 26 });
        let ask = json!({"model": self.name, "messages": [{"role": "user", "content": words}], "max_tokens": 4, "temperature": 0});
        ("/v1/chat/completions", ask)
    }

    /// How much of its compute buffer, of which the engine has up to half as much again for itself, the ask leaves untouched.
    pub(super) fn untouched(&self) -> f64 {
        let filled = self.embeddings || (self.args.contains(&"128"));
        if filled { 0.5 } else { 1.5 }
    }

    /// Its entry of the config.
    pub(super) fn wish(&self, folder: &Path) -> String {
        let mut entry = format!("  - name: {}\n    model: file:{}\n", self.name, folder.join(self.kind.file()).display());
        let _ = writeln!(entry, "    context: {}\n    parallel: {}\n    cache_type: {}", self.context, self.slots, self.cache);
        let args: Vec<String> = ["--verbosity", "4"].iter().chain(self.args).map(|arg| format!("{arg:?}")).collect();
        let _ = writeln!(entry, "    args: [{}]\n    embeddings: {}", args.join(", "), self.embeddings);
        entry
    }
}
