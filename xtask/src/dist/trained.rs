//! A release whose code is laid out by what runs while it serves: profile-guided optimisation, as rustc and its peers are released.
//!
//! In: the site. Out: a binary built with what was counted. How: it is built with counters, serves what the benchmark of the gateway asks of it and
//! the small model, is stopped, and is built again. Fails: when there is no llvm-profdata of the compiler's LLVM, or nothing was counted.
//! Costs: two releases and some three minutes.
//! From: <https://doc.rust-lang.org/rustc/profile-guided-optimization.html>.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Told, carrying, prove};
use crate::site::{self, Site};
use crate::{bench, digest, say, shell};

/// Names the llvm-profdata to use.
const MERGER_VARIABLE: &str = "LLVM_PROFDATA";
const MERGER: &str = "llvm-profdata";

/// Builds it, lets it serve, and builds it again.
pub(super) fn build(site: &Site, jobs: usize) -> Result<PathBuf> {
    let compiler = Compiler::ask()?;
    let merger = merger(&compiler)?;
    let counts = site.target().join("counts");
    // Those of another build would be taken for its own.
    let _ = fs::remove_dir_all(&counts);
    // Both are of one profile, to its last setting: names of functions hold a digest of it, and counts are found by name.
    let with =
        |folder, flag: String| carrying(site, jobs, "dist", Some(&Told { flag, host: &compiler.host, folder: site.target().join(folder) }));
    let counting = with("counting", format!("-Cprofile-generate={}", counts.display()))?;
    say::step("letting it serve, to count what runs");
    bench::rehearse(site, jobs, &counting)?;
    prove(site, &counting)?;
    let merged = merge(&merger, &counts)?;
    say::step("building it again, with what was counted");
    let trained = with("trained", format!("-Cprofile-use={}", merged.display()))?;
    let place = site.target().join("dist/penstock");
    fs::create_dir_all(site.target().join("dist"))?;
    // What lies there may be one file with what cargo keeps, under two names.
    let _ = fs::remove_file(&place);
    fs::copy(&trained, &place).with_context(|| format!("cannot copy {} to {}", trained.display(), place.display()))?;
    Ok(place)
}

/// What rustc says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Compiler {
    host: String,
    /// The major version of its LLVM.
    llvm: String,
    sysroot: PathBuf,
}

impl Compiler {
    fn ask() -> Result<Self> {
        let about = shell::text(Command::new("rustc").arg("-vV"))?;
        let sysroot = shell::text(Command::new("rustc").args(["--print", "sysroot"]))?;
        Self::read(&about, sysroot.trim()).with_context(|| format!("`rustc -vV` said:\n{about}"))
    }

    fn read(about: &str, sysroot: &str) -> Result<Self> {
        let value = |name: &str| about.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let llvm = value("LLVM version:").and_then(|version| version.split('.').next()).context("it names no LLVM")?;
        let host = value("host:").context("it names no host")?;
        Ok(Self { host: host.to_owned(), llvm: llvm.to_owned(), sysroot: sysroot.into() })
    }
}

/// The program that joins counts; its format changes with LLVM.
fn merger(compiler: &Compiler) -> Result<PathBuf> {
    if let Some(named) = site::setting(MERGER_VARIABLE) {
        let named = PathBuf::from(named);
        ensure!(
            site::is_executable(&named),
            "{MERGER_VARIABLE} names {}, which is not an executable file; correct it or unset it",
            named.display()
        );
        return Ok(named);
    }
    let with_rust = compiler.sysroot.join("lib/rustlib").join(&compiler.host).join("bin").join(MERGER);
    if site::is_executable(&with_rust) {
        return Ok(with_rust);
    }
    if let Some(found) = site::on_path(&format!("{MERGER}-{}", compiler.llvm)) {
        return Ok(found);
    }
    bail!("there is no {MERGER} of LLVM {}: `rustup component add llvm-tools` brings it, or name one with {MERGER_VARIABLE}", compiler.llvm)
}

fn merge(merger: &Path, counts: &Path) -> Result<PathBuf> {
    let listed = fs::read_dir(counts).with_context(|| format!("nothing was counted: there is no {}", counts.display()))?;
    let raw = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "profraw");
    let files: Vec<OsString> = listed.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(raw).map(Into::into).collect();
    ensure!(!files.is_empty(), "nothing was counted: {} holds no *.profraw", counts.display());
    let merged = counts.join("merged.profdata");
    shell::text(Command::new(merger).arg("merge").arg("-o").arg(&merged).args(files))?;
    // Cargo builds anew only what is told another name.
    let named = counts.join(format!("{}.profdata", digest::of_file(&merged)?));
    fs::rename(&merged, &named)?;
    Ok(named)
}

#[cfg(test)]
mod tests;
