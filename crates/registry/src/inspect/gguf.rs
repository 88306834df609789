//! What do the headers of a GGUF model's files say?
//!
//! In: its files, in order. Out: the facts of a [`Version`], all but the digest: what is said stands in the first file, tensors
//! stand in all of them. Fails: when a header is damaged, the engines do not know the architecture, or a part belongs to another
//! model. Blocks: some milliseconds for each file. From: llama.cpp's `gguf-split`, whose later files say only which part they are.

use std::path::Path;

use base::ByteSize;
use gguf::KvType;
use spec::{Body, Capability, Contents, Format, Layers, Version};
use store::FileStamp;

use crate::error::Error;
use crate::parts;

/// The context at which the memory of one token is taken. Where all layers look at everything it
/// makes no difference. With sliding windows or recurrent states a longer context takes less for
/// each token, so the estimate is on the safe side from here on.
const TYPICAL_CONTEXT: u64 = 4_096;

/// The facts, with an empty digest.
pub(crate) fn facts(files: &[FileStamp]) -> Result<Version, Error> {
    let headers = files.iter().map(|file| header(&file.path)).collect::<Result<Vec<_>, Error>>()?;
    let (Some(first), Some(file)) = (headers.first(), files.first()) else {
        // A model has at least one file; without any there is nothing to read.
        return Err(Error::Empty { path: Path::new("").to_owned() });
    };
    check_architecture(first, &file.path)?;
    let needed = |key: &'static str, value: Option<u64>| {
        value.ok_or_else(|| Error::Corrupt { path: file.path.clone(), source: gguf::Error::Missing { key } })
    };
    let context = needed("(architecture).context_length", first.context_length())?;
    let sample = context.clamp(1, TYPICAL_CONTEXT);
    Ok(Version {
        digest: String::new(),
        path: file.path.clone(),
        size: files.iter().map(|file| ByteSize(file.len)).sum(),
        format: Format::Gguf,
        architecture: first.architecture().to_owned(),
        quantisation: quantisation(&headers).to_owned(),
        title: first.name().map(str::to_owned),
        parameters: headers.iter().map(gguf::File::parameter_count).fold(0, u64::saturating_add),
        context_length: small(context),
        layers: small(needed("(architecture).block_count", first.block_count())?),
        weights: headers.iter().map(|h| ByteSize(h.tensor_bytes())).sum(),
        kv_bytes_per_token: first.kv_cache_bytes(sample, KvType::F16, KvType::F16).div_ceil(sample),
        embedding_length: small(needed("(architecture).embedding_length", first.embedding_length())?),
        vocabulary: small(first.vocabulary_size().unwrap_or(0)),
        // Looked up as a key: a very long template is there, though its text is not kept.
        has_template: first.metadata().get("tokenizer.chat_template").is_some(),
        body: body(first, &headers),
        contents: Contents { capabilities: capabilities(first), ..Contents::default() },
    })
}

/// What takes memory. The tensors may be spread over all parts; everything else stands in the first.
fn body(first: &gguf::File, headers: &[gguf::File]) -> Body {
    let weights = gguf::Weights::of(headers);
    let mut layers: Vec<Layers> = Vec::new();
    for (kept, bytes) in first.kept().iter().zip(&weights.layers) {
        let next =
            Layers { count: 1, weights: ByteSize(*bytes), keys: kept.keys, values: kept.values, window: kept.window, state: kept.state };
        match layers.last_mut().filter(|last| Layers { count: 1, ..**last } == next) {
            Some(last) => last.count += 1,
            None => layers.push(next),
        }
    }
    let most = |key: &str| first.per_layer(key).map_or(0, |each| each.most());
    let heads = first.head_count().map_or(0, |each| each.most());
    let expert = first.number("expert_feed_forward_length").filter(|width| *width > 0);
    let (experts, experts_used) = first.experts().unwrap_or((0, 0));
    Body {
        layers,
        input: ByteSize(weights.input),
        shared: ByteSize(weights.shared),
        output: ByteSize(weights.output),
        tail: ByteSize(weights.tail),
        matrices: weights.matrices.into_iter().map(|(kind, bytes)| (kind.to_owned(), ByteSize(bytes))).collect(),
        heads: small(heads),
        queries: small(heads.saturating_mul(first.key_length().unwrap_or(0))),
        feed_forward: small(expert.unwrap_or_else(|| most("feed_forward_length"))),
        experts: small(experts),
        experts_used: small(experts_used),
        recurrent: small(first.number("ssm.inner_size").unwrap_or(0)),
        merges: small(first.metadata().array("tokenizer.ggml.merges").map_or(0, |merges| merges.len)),
    }
}

/// What it can do: an architecture with a pooling of its own embeds or ranks, all others go on with a text.
fn capabilities(first: &gguf::File) -> std::collections::BTreeSet<Capability> {
    /// `LLAMA_POOLING_TYPE_RANK`
    const RANK: u64 = 4;
    if first.architecture() == PROJECTOR {
        return [Capability::Vision].into(); // the part of a model that sees, without the part that speaks
    }
    match first.number("pooling_type") {
        Some(RANK) => [Capability::Rerank].into(),
        _ if first.is_embedding() => [Capability::Embedding].into(),
        _ => super::of_template(first.chat_template()),
    }
}

/// The architecture of the part that turns images or sounds into what a model reads.
const PROJECTOR: &str = "clip";

/// What a model can take that has this part.
pub(crate) fn projects(file: &FileStamp) -> Result<std::collections::BTreeSet<Capability>, Error> {
    let header = header(&file.path)?;
    if header.architecture() != PROJECTOR {
        return Err(Error::NoProjector { path: file.path.clone(), architecture: header.architecture().to_owned() });
    }
    let says = |key: &str| header.metadata().flag(key).unwrap_or(false);
    let sees = says("clip.has_vision_encoder") || !says("clip.has_audio_encoder");
    let hears = says("clip.has_audio_encoder");
    Ok([(sees, Capability::Vision), (hears, Capability::Audio)].into_iter().filter_map(|(can, what)| can.then_some(what)).collect())
}

fn header(path: &Path) -> Result<gguf::File, Error> {
    let header = gguf::File::read(path).map_err(|source| match source {
        gguf::Error::Open { source, .. } => Error::io(path.to_owned(), source),
        source => Error::Corrupt { path: path.to_owned(), source },
    })?;
    let (number, of) = parts::numbered(path).unwrap_or((1, 1));
    let (says_number, says_of) = (header.split_no().saturating_add(1), header.split_count());
    if (says_number, says_of) == (number.into(), of.into()) {
        Ok(header)
    } else {
        Err(Error::WrongPart { path: path.to_owned(), number, of, says_number, says_of })
    }
}

fn check_architecture(header: &gguf::File, path: &Path) -> Result<(), Error> {
    let architecture = header.architecture();
    if gguf::is_known(architecture) {
        return Ok(());
    }
    let suggestion = gguf::suggestion(architecture);
    Err(Error::UnknownArchitecture { path: path.to_owned(), architecture: architecture.to_owned(), suggestion })
}

/// The first part of a split model may hold no tensor to tell it by.
fn quantisation(headers: &[gguf::File]) -> &'static str {
    headers.iter().find_map(gguf::File::quantisation).unwrap_or("unknown")
}

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
