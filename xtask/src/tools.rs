//! Checkers that are not part of Rust: on the PATH, in the cache, or obtained once.
//!
//! In: a tool and its pinned version. Out: the path of its binary. Fails: when it cannot be
//! obtained; the caller reports it as skipped. Costs: a debug build of one to two minutes for the
//! tools that come from crates.io.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::packages::{self, Need};
use crate::site::{self, Site};
use crate::{say, shell};

/// A checker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
    source: Source,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// Compiled from crates.io, with these options.
    Crate(&'static [&'static str]),
    /// A ready binary from PyPI.
    Wheel,
}

/// Licences, sources and duplicates of dependencies.
pub(crate) const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", source: Source::Crate(&["--no-default-features"]) };
/// Dependencies that nobody uses.
pub(crate) const MACHETE: Tool = Tool { name: "cargo-machete", version: "0.9.2", source: Source::Crate(&[]) };
/// Spelling.
pub(crate) const TYPOS: Tool = Tool { name: "typos", version: "1.52.0", source: Source::Wheel };

impl Tool {
    /// Gives its path; obtains it if it is nowhere.
    pub(crate) fn obtain(self, site: &Site) -> Result<PathBuf> {
        if let Some(found) = site::on_path(self.name) {
            return Ok(found);
        }
        let folder = site.cache.join("tools").join(format!("{}-{}", self.name, self.version));
        let binary = folder.join("bin").join(self.name);
        if !site::is_executable(&binary) {
            say::note(&format!("obtaining {} {} (once)", self.name, self.version));
            match self.source {
                Source::Crate(options) => self.compile(site, &folder, options)?,
                Source::Wheel => self.unpack(&folder)?,
            }
        }
        Ok(binary)
    }

    fn compile(self, site: &Site, folder: &Path, options: &[&str]) -> Result<()> {
        let tree = folder.join("build");
        let mut cargo = site.cargo();
        // Away from our tree: its lock file and settings are not the tool's.
        cargo.current_dir(std::env::temp_dir());
        cargo.args(["install", "--locked", "--debug", &format!("{}@{}", self.name, self.version)]).args(options);
        cargo.arg("--root").arg(folder).arg("--target-dir").arg(&tree);
        let mut progress = say::Progress::new();
        shell::watched(&mut cargo, |line| progress.tell(line))?;
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))
    }

    fn unpack(self, folder: &Path) -> Result<()> {
        packages::ensure(&[Need { program: "python3", proof: &["-c", "import venv, ensurepip"], package: "python3-venv" }])?;
        let mut progress = say::Progress::new();
        shell::watched(Command::new("python3").args(["-m", "venv"]).arg(folder), |line| progress.tell(line))?;
        let mut pip = Command::new(folder.join("bin/python3"));
        pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--only-binary", ":all:"]);
        pip.arg(format!("{}=={}", self.name, self.version));
        shell::watched(&mut pip, |line| progress.tell(line))
    }
}
