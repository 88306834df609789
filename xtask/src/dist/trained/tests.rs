//! The compiler's words, and who joins counts.

use std::fs;
use std::path::PathBuf;

use super::{Compiler, MERGER, merge, merger};
use crate::scratch::Scratch;

const ABOUT: &str =
    "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: riscv64-unknown-none\nrelease: 1.95.0\nLLVM version: 9.1.2\n";

#[test]
fn the_compiler_says_for_whom_it_compiles_and_with_which_llvm() {
    let found = Compiler::read(ABOUT, "/rust").unwrap();
    assert_eq!(found, Compiler { host: "riscv64-unknown-none".to_owned(), llvm: "9".to_owned(), sysroot: "/rust".into() });
    let error = Compiler::read("rustc 1.95.0\nhost: x\n", "/rust").unwrap_err().to_string();
    assert!(error.contains("names no LLVM"), "{error}");
    Compiler::ask().unwrap();
}

#[test]
fn who_joins_counts_comes_with_the_compiler_or_is_asked_for() {
    let dir = Scratch::new("sysroot").unwrap();
    let compiler = Compiler::read(ABOUT, dir.path().to_str().unwrap()).unwrap();
    let error = merger(&compiler).unwrap_err().to_string();
    assert!(error.contains("LLVM 9") && error.contains("rustup component add llvm-tools"), "{error}");
    let made = dir.program(MERGER, "exit 0");
    let folder = dir.path().join("lib/rustlib/riscv64-unknown-none/bin");
    fs::create_dir_all(&folder).unwrap();
    fs::rename(made, folder.join(MERGER)).unwrap();
    assert_eq!(merger(&compiler).unwrap(), folder.join(MERGER));
}

#[test]
fn only_counts_are_joined_and_without_any_it_ends() {
    let dir = Scratch::new("counts").unwrap();
    let error = merge(&PathBuf::from("true"), dir.path()).unwrap_err().to_string();
    assert!(error.contains("nothing was counted"), "{error}");
    for name in ["a.profraw", "b.profraw", "notes.txt"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let writes_down = dir.program("merger", "out=$3; shift 3; echo $# \"$@\" > $out");
    let merged = merge(&writes_down, dir.path()).unwrap();
    let words = fs::read_to_string(merged).unwrap();
    assert!(words.starts_with("2 ") && words.contains("/a.profraw") && !words.contains("notes"), "{words}");
}
