//! Files of any shape.

use std::os::unix::fs::MetadataExt as _;

use super::{Shape, random};
use crate::error::Error;
use crate::net::Sizes;
use crate::quant::{ALL, Quant};
use crate::read::read_gguf;

#[test]
fn every_architecture_and_type_makes_a_sound_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.gguf");
    for arch in ["llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3", "qwen2moe", "qwen3moe", "mamba", "something-new"] {
        for quant in ALL {
            let shape = Shape { arch: arch.to_owned(), quant, ..Shape::small() };
            let size = random(&shape, &path).unwrap();
            let opened = read_gguf(&path).unwrap();
            let end = opened.tensors.iter().map(|entry| entry.start + entry.quant.bytes(entry.shape.iter().product())).max().unwrap();
            assert_eq!(end.next_multiple_of(32), size, "{arch} {quant}");
            assert_eq!(opened.count(&format!("{arch}.block_count")).unwrap(), 2);
            assert_eq!(opened.texts("tokenizer.ggml.tokens").unwrap().len(), 512);
        }
    }
}

#[test]
fn a_model_bigger_than_memory_costs_no_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.gguf");
    let sizes = Sizes { vocab: 1000, dim: 8192, layers: 80, heads: 64, kv_heads: 8, ffn: 28_672 };
    let shape = Shape { sizes, quant: Quant::Q4K, sparse: true, ..Shape::small() };
    let size = random(&shape, &path).unwrap();
    assert!(size > 35 << 30, "{size}");
    let on_disk = std::fs::metadata(&path).unwrap().blocks() * 512;
    assert!(on_disk < 4 << 20, "{on_disk} bytes on disk");
}

#[test]
fn rows_that_are_no_whole_blocks_are_refused_with_the_number_that_is_wrong() {
    let sizes = Sizes { ffn: 300, ..Shape::small().sizes };
    let error = Shape { sizes, quant: Quant::Q4K, ..Shape::small() }.gguf().unwrap_err();
    assert!(matches!(&error, Error::Shape(text) if text.contains("ffn 300") && text.contains("256")), "{error}");
}

#[test]
fn a_vocabulary_too_small_for_all_bytes_is_refused() {
    let sizes = Sizes { vocab: 258, ..Shape::small().sizes };
    assert!(Shape { sizes, ..Shape::small() }.gguf().is_err());
}
