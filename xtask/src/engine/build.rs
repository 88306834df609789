//! Compiles llama-server once: static, portable, without web pages, TLS or OpenMP.
//!
//! In: a work folder and a place. Out: one stripped binary at its final place, put there by one rename.
//! Fails: with the last lines of cmake or ninja. Holds: the work folder, which is removed at the
//! end, also after an error; one left by a killed run is removed by the next. Costs: about 14 minutes of CPU time, 0.7 GB of memory a job.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::{PROGRAM, source, version};
use crate::packages::{self, Need};
use crate::scratch::Scratch;
use crate::{say, shell};

const NEEDS: [Need; 4] = [
    Need { program: "cmake", proof: &[], package: "cmake" },
    Need { program: "ninja", proof: &[], package: "ninja-build" },
    Need { program: "g++", proof: &[], package: "g++" },
    Need { program: "strip", proof: &[], package: "binutils" },
];

/// `GGML_NATIVE=OFF` compiles for any x86-64 of the last ten years instead of for this machine;
/// `LLAMA_USE_PREBUILT_UI` would fetch web pages from elsewhere in the middle of a build.
const OPTIONS: [&str; 9] = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DGGML_OPENMP=OFF",
    "-DGGML_NATIVE=OFF",
];

/// One static binary serves developers and the release; only Linux links C libraries statically.
const STATIC: &str = "-DCMAKE_EXE_LINKER_FLAGS=-static";

/// Fetches and compiles in the folder `work`, puts the binary at `binary`.
pub(super) fn build(work: PathBuf, binary: &Path, jobs: usize) -> Result<()> {
    let begun = Instant::now();
    packages::ensure(&source::NEEDS)?;
    packages::ensure(&NEEDS)?;
    let work = Scratch::at(work)?;
    let source = source::fetch(work.path())?;
    let tree = work.path().join("build");
    configure(&source, &tree)?;
    compile(&tree, jobs)?;
    install(&tree.join("bin").join(PROGRAM), work.path(), binary)?;
    say::note(&format!("built in {}", say::took(begun.elapsed())));
    Ok(())
}

/// Lets cmake look at the compiler and write the build files.
pub(super) fn configure(source: &Path, tree: &Path) -> Result<()> {
    say::step("configuring llama-server");
    let mut cmake = Command::new("cmake");
    cmake.arg("-S").arg(source).arg("-B").arg(tree).args(["-G", "Ninja"]).args(OPTIONS);
    if cfg!(target_os = "linux") {
        cmake.arg(STATIC);
    }
    let mut progress = say::Progress::new();
    shell::watched(&mut cmake, |line| progress.tell(line))
}

fn compile(tree: &Path, jobs: usize) -> Result<()> {
    say::step(&format!("compiling llama-server with {jobs} jobs (once; about 7 minutes on two free cores)"));
    let mut make = Command::new("cmake");
    make.arg("--build").arg(tree).args(["--target", PROGRAM, "--parallel", &jobs.to_string()]);
    let mut progress = say::Progress::new();
    shell::watched(&mut make, |line| {
        // Ninja's own lines are `[done/all] what`; the rest are warnings of the compiler.
        if line.starts_with('[') {
            progress.tell(line);
        }
    })
}

/// Strips, tries and moves; a reader of the cache sees the whole file or none.
fn install(built: &Path, work: &Path, binary: &Path) -> Result<()> {
    let stripped = work.join(PROGRAM);
    shell::text(Command::new("strip").arg("-o").arg(&stripped).arg(built))?;
    version(&stripped).context("the new llama-server does not start")?;
    let folder = binary.parent().context("the cache has no folder for the binary")?;
    fs::create_dir_all(folder)?;
    fs::rename(&stripped, binary).with_context(|| format!("cannot put llama-server at {}", binary.display()))
}
