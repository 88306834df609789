//! Packs the engine that this build shall carry, if one is named.
//!
//! In: `PENSTOCK_BUNDLE_LLAMA_SERVER`, the path of a static llama-server. Out: the packed bytes in
//! `OUT_DIR`, its digest and size for the code, and `cfg(carries_llama_server)`; nothing at all when
//! the variable is not set. Fails: when the named file cannot be read or is no ELF program.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

const NAMED_BY: &str = "PENSTOCK_BUNDLE_LLAMA_SERVER";
/// Slow to pack, as fast as any other to unpack: a third less to carry than at the default level.
const LEVEL: i32 = 19;

#[expect(clippy::disallowed_methods, reason = "a build script is told everything by its environment")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed={NAMED_BY}");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(carries_llama_server)");
    let Some(path) = std::env::var_os(NAMED_BY).filter(|path| !path.is_empty()).map(PathBuf::from) else {
        return Ok(());
    };
    println!("cargo:rerun-if-changed={}", path.display());
    let program = std::fs::read(&path).map_err(|error| format!("{NAMED_BY}={}: {error}", path.display()))?;
    if !program.starts_with(b"\x7fELF") {
        return Err(format!("{NAMED_BY}={}: not an ELF program", path.display()).into());
    }
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).ok_or("OUT_DIR is not set")?;
    std::fs::write(out.join("llama-server.zst"), zstd::bulk::compress(&program, LEVEL)?)?;
    let mut digest = String::new();
    for byte in Sha256::digest(&program) {
        write!(digest, "{byte:02x}")?;
    }
    println!("cargo:rustc-env=BUNDLE_DIGEST={digest}");
    println!("cargo:rustc-env=BUNDLE_SIZE={}", program.len());
    println!("cargo:rustc-cfg=carries_llama_server");
    Ok(())
}
