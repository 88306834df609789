//! What is taken out of a source package, shown on a small one of the same shape.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{TOP, cache_name, unpack};
use crate::scratch::Scratch;
use crate::shell;

fn file(root: &Path, path: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "x").unwrap();
}

#[test]
fn only_llama_cpp_is_unpacked_and_its_test_models_are_not() {
    let dir = Scratch::new("unpack").unwrap();
    let inside = |path: &str| file(dir.path(), &format!("{TOP}/{path}"));
    inside("setup.py");
    inside("vendor/llama.cpp/CMakeLists.txt");
    inside("vendor/llama.cpp/src/models/llama.cpp");
    inside("vendor/llama.cpp/models/vocab.gguf");
    let archive = dir.path().join("package.tar.gz");
    shell::text(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(dir.path()).arg(TOP)).unwrap();

    let work = Scratch::new("unpacked").unwrap();
    let source = unpack(&archive, work.path()).unwrap();
    assert!(source.join("CMakeLists.txt").is_file());
    assert!(source.join("src/models/llama.cpp").is_file(), "sources in a folder of the same name stay");
    assert!(!source.join("models").exists());
    assert!(!work.path().join(TOP).exists());
    assert!(!source.join("setup.py").exists());
}

#[test]
fn the_cache_folder_names_version_digest_and_machine() {
    let name = cache_name();
    assert!(name.starts_with("llama-server-0.3.36-832db069-"), "{name}");
    assert!(name.ends_with(std::env::consts::ARCH), "{name}");
}
