//! A folder tells what its files say together, and holds nothing that leads out of it or runs.

use std::path::Path;

use serde_json::json;

use super::read;
use crate::Error;

/// A safetensors file with one tensor of so many numbers at 16 bits.
fn weights(name: &str, numbers: usize) -> Vec<u8> {
    let header = json!({ name: {"dtype": "BF16", "shape": [numbers], "data_offsets": [0, numbers * 2]} }).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; numbers * 2]].concat()
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    std::fs::write(path, bytes).expect("a file");
}

fn model() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), "model-00001-of-00002.safetensors", weights("a", 6));
    write(dir.path(), "model-00002-of-00002.safetensors", weights("b", 4));
    let map = json!({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}});
    write(dir.path(), super::INDEX, map.to_string());
    let config = json!({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "num_hidden_layers": 2,
        "max_position_embeddings": 4096, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100});
    write(dir.path(), "config.json", config.to_string());
    write(dir.path(), "tokenizer_config.json", json!({"chat_template": "{{ tools }}"}).to_string());
    write(dir.path(), ".git/config", "hidden");
    dir
}

fn refusal(dir: &tempfile::TempDir) -> Error {
    read(dir.path()).expect_err("a refusal")
}

#[test]
fn a_folder_tells_what_all_of_its_files_say_together() {
    let dir = model();
    let folder = read(dir.path()).expect("a model");
    assert_eq!((folder.parameters, folder.bytes(), folder.kind()), (10, 20, Some("BF16")));
    assert_eq!(folder.files.len(), 5, "{:?}", folder.files);
    assert_eq!(folder.config.architecture.as_deref(), Some("llama"));
    assert_eq!(folder.config.kv_bytes_per_token(), Some(2 * 2 * 16 * 2 * 2));
    assert_eq!(folder.config.template.as_deref(), Some("{{ tools }}"));
}

#[test]
fn a_link_that_leads_out_of_the_folder_is_refused_and_one_that_stays_is_not() {
    let dir = model();
    std::os::unix::fs::symlink("config.json", dir.path().join("same.json")).expect("a link");
    assert!(read(dir.path()).is_ok());
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("vocab.txt")).expect("a link");
    assert!(matches!(refusal(&dir), Error::Link { .. }));
    std::fs::remove_file(dir.path().join("vocab.txt")).expect("gone");
    std::os::unix::fs::symlink(".", dir.path().join("loop")).expect("a link");
    assert!(matches!(refusal(&dir), Error::Link { .. }), "a folder in itself");
}

#[test]
fn an_index_that_names_what_is_not_there_is_refused() {
    for (map, what) in [
        (json!({"weight_map": {"a": "elsewhere.safetensors"}}), "the file elsewhere.safetensors"),
        (json!({"weight_map": {"c": "model-00001-of-00002.safetensors"}}), "the tensor `c`"),
        (json!({"weight_map": {"a": "../../secret"}}), "`../../secret`"),
        (json!({}), "no weight_map"),
    ] {
        let dir = model();
        write(dir.path(), super::INDEX, map.to_string());
        let said = refusal(&dir).to_string();
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn without_an_index_the_names_say_how_many_parts_there_must_be() {
    let dir = model();
    std::fs::remove_file(dir.path().join(super::INDEX)).expect("gone");
    assert!(read(dir.path()).is_ok(), "all of them are there");
    std::fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).expect("gone");
    let said = refusal(&dir).to_string();
    assert!(said.contains("names 2 parts, among them model-00002-of-00002.safetensors"), "{said}");
    for whole in ["model-00003-of-00002.safetensors", "model-1-of-2.safetensors", "model-of-00002.safetensors"] {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), whole, weights("a", 6));
        assert!(read(dir.path()).is_ok(), "{whole} is no part");
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_and_nobody_waits_for_it() {
    for name in ["config.json", "tokenizer_config.json", "chat_template.jinja", super::INDEX] {
        let dir = model();
        let path = dir.path().join(name);
        let _ = std::fs::remove_file(&path); // the template is not there
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        assert!(matches!(refusal(&dir), Error::NotAFile { path } if path.ends_with(name)), "{name}");
        assert!(matches!(crate::sniff(&path), Err(Error::NotAFile { .. })));
        assert!(matches!(crate::safetensors::read(&path), Err(Error::NotAFile { .. })));
        assert!(matches!(crate::onnx::read(&path), Err(Error::NotAFile { .. })));
    }
}

#[test]
fn a_pickle_beside_the_weights_is_refused() {
    let dir = model();
    write(dir.path(), "sub/pytorch_model.bin", b"\x80\x02}.");
    assert!(matches!(refusal(&dir), Error::RunsCode { .. }));
}

#[test]
fn weights_that_are_cut_off_padded_or_overlap_are_refused() {
    let whole = weights("a", 6);
    let overlap =
        json!({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}, "b": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}})
            .to_string();
    let overlap = [&(overlap.len() as u64).to_le_bytes()[..], overlap.as_bytes(), &[0; 3]].concat();
    let endless = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    for bytes in [&whole[..whole.len() - 1], &[&whole[..], b"x"].concat(), &overlap, &endless, b"\x05"] {
        let dir = model();
        write(dir.path(), "model-00001-of-00002.safetensors", bytes);
        assert!(matches!(refusal(&dir), Error::Corrupt { .. } | Error::Length { .. }), "{bytes:?}");
    }
}

#[test]
fn a_folder_without_weights_is_no_model() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), "config.json", "{}");
    assert!(matches!(refusal(&dir), Error::NoModel { .. }));
}
