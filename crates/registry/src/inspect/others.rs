//! What do safetensors, ONNX and files that nobody can read say?

use std::path::Path;

use base::ByteSize;
use formats::{config, folder, onnx, safetensors};
use spec::{Body, Capability, Contents, Format, Shape, Version};
use store::FileStamp;

use super::{Seen, of_format, of_template};
use crate::error::Error;
use crate::parts;

const UNKNOWN: &str = "unknown";

/// A folder as a hub has it.
pub(super) fn folder(path: &Path) -> Result<Seen, Error> {
    let found = folder::read(path).map_err(|error| of_format(path, error))?;
    let files = found.files.iter().map(|name| parts::stamp(&path.join(name))).collect::<Result<Vec<_>, _>>()?;
    let whole = safetensors::Header { names: std::collections::BTreeSet::new(), parameters: found.parameters, kinds: found.kinds.clone() };
    Ok(Seen { facts: tensors(path, &files, (&whole, &found.config)), files, root: path.to_owned() })
}

/// One file of tensors; nothing beside it belongs to it.
pub(super) fn single(path: &Path, file: FileStamp) -> Result<Seen, Error> {
    let header = safetensors::read(path).map_err(|error| of_format(path, error))?;
    let files = vec![file];
    let root = path.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(Seen { facts: tensors(path, &files, (&header, &config::Config::default())), files, root })
}

fn tensors(path: &Path, files: &[FileStamp], (header, config): (&safetensors::Header, &config::Config)) -> Version {
    let kind = header.kinds.iter().max_by_key(|(_, bytes)| **bytes).map(|(kind, _)| kind.clone());
    let mut capabilities = match config.class.as_deref() {
        Some(class) if class.contains("SequenceClassification") => [Capability::Rerank].into(),
        Some(class) if ["CausalLM", "ConditionalGeneration", "LMHead"].iter().any(|part| class.contains(part)) => {
            of_template(config.template.as_deref())
        }
        Some(_) => [Capability::Embedding].into(),
        None => std::collections::BTreeSet::new(),
    };
    let senses = [(config.vision, Capability::Vision), (config.audio, Capability::Audio)];
    capabilities.extend(senses.into_iter().filter_map(|(has, sense)| has.then_some(sense)));
    Version {
        architecture: config.architecture.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        quantisation: config.quantisation.clone().or(kind).unwrap_or_else(|| UNKNOWN.to_owned()),
        title: config.class.clone(),
        parameters: header.parameters,
        context_length: small(config.context_length),
        layers: small(config.layers),
        weights: ByteSize(header.bytes()),
        kv_bytes_per_token: config.kv_bytes_per_token().unwrap_or(0),
        embedding_length: small(config.width),
        vocabulary: small(config.vocabulary),
        has_template: config.template.is_some(),
        contents: Contents { capabilities, ..Contents::default() },
        ..bare(path, Format::Safetensors, files.iter().map(|file| ByteSize(file.len)).sum())
    }
}

/// A graph, with the files beside it that hold its weights.
pub(super) fn onnx(path: &Path, file: FileStamp) -> Result<Seen, Error> {
    let graph = onnx::read(path).map_err(|error| of_format(path, error))?;
    let root = path.parent().unwrap_or(Path::new("/")).to_owned();
    let mut files = vec![file];
    for name in &graph.files {
        let beside = root.join(name);
        let real = beside.canonicalize().map_err(|source| Error::io(beside.clone(), source))?;
        let home = root.canonicalize().map_err(|source| Error::io(root.clone(), source))?;
        if !real.starts_with(home) {
            return Err(Error::Format(formats::Error::Link { path: beside }));
        }
        files.push(parts::stamp(&beside)?);
    }
    let shapes = |tensors: &[onnx::Tensor]| -> Vec<Shape> {
        let shape =
            |tensor: &onnx::Tensor| Shape { name: tensor.name.clone(), kind: tensor.kind.clone(), dimensions: tensor.sides.clone() };
        tensors.iter().map(shape).collect()
    };
    let kind = graph.kinds.iter().max_by_key(|(_, numbers)| **numbers).map_or(UNKNOWN, |(kind, _)| kind);
    let size = files.iter().map(|file| ByteSize(file.len)).sum();
    let facts = Version {
        architecture: Some(graph.producer.clone()).filter(|producer| !producer.is_empty()).unwrap_or_else(|| UNKNOWN.to_owned()),
        quantisation: kind.to_owned(),
        title: Some(graph.name.clone()).filter(|name| !name.is_empty()),
        parameters: graph.parameters,
        weights: size,
        contents: Contents { inputs: shapes(&graph.inputs), outputs: shapes(&graph.outputs), ..Contents::default() },
        ..bare(path, Format::Onnx, size)
    };
    Ok(Seen { files, root, facts })
}

/// A file of which nothing is known but its length.
pub(super) fn opaque(path: &Path, length: u64) -> Version {
    bare(path, Format::Opaque, ByteSize(length))
}

/// All files of a folder, of which nothing is known.
pub(super) fn opaque_folder(path: &Path) -> Result<Seen, Error> {
    let names = folder::names(path).map_err(|error| of_format(path, error))?;
    let files = names.iter().map(|name| parts::stamp(&path.join(name))).collect::<Result<Vec<_>, _>>()?;
    let facts = bare(path, Format::Opaque, files.iter().map(|file| ByteSize(file.len)).sum());
    Ok(Seen { files, root: path.to_owned(), facts })
}

fn bare(path: &Path, format: Format, size: ByteSize) -> Version {
    Version {
        digest: String::new(),
        path: path.to_owned(),
        size,
        format,
        architecture: UNKNOWN.to_owned(),
        quantisation: UNKNOWN.to_owned(),
        title: None,
        parameters: 0,
        context_length: 0,
        layers: 0,
        weights: size,
        kv_bytes_per_token: 0,
        embedding_length: 0,
        vocabulary: 0,
        has_template: false,
        body: Body::default(),
        contents: Contents::default(),
    }
}

fn small(number: Option<u64>) -> u32 {
    u32::try_from(number.unwrap_or(0)).unwrap_or(u32::MAX)
}
