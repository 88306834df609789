//! Where things are: the tree, the cache, programs on the PATH, and the few settings from outside.
//!
//! In: the environment. Out: paths. Fails: when no home directory is known and no cache was named.
//! This is the one place of xtask that reads the environment.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// Names the cache folder for everything that is obtained once and kept outside the tree.
const CACHE_VARIABLE: &str = "PENSTOCK_CACHE";
/// Names the llama-server to use instead of one of our own.
pub(crate) const ENGINE_VARIABLE: &str = "PENSTOCK_LLAMA_SERVER";

/// The tree and the cache.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The root of the tree, where the workspace's Cargo.toml stands.
    pub(crate) root: PathBuf,
    /// Outside the tree; safe to delete at any time.
    pub(crate) cache: PathBuf,
}

impl Site {
    /// Finds the tree that this xtask was built from, and the cache.
    pub(crate) fn find(cache: Option<PathBuf>) -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().context("xtask has no parent folder")?.to_path_buf();
        let cache = match cache {
            Some(named) => std::path::absolute(named)?,
            None => default_cache()?,
        };
        Ok(Self { root, cache })
    }

    /// The small model that is committed with the code.
    pub(crate) fn tiny_model(&self) -> PathBuf {
        self.root.join("models/tiny.gguf")
    }

    /// A run of cargo in the tree.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(setting("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        // What `cargo run` told *us* about xtask must not reach the build scripts of other crates.
        for (name, _) in env::vars_os() {
            let about_xtask = name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_"));
            if about_xtask {
                cargo.env_remove(name);
            }
        }
        cargo
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> PathBuf {
        setting("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), |dir| self.root.join(dir))
    }

    /// Free bytes on the disk of the tree; none where they cannot be told.
    pub(crate) fn free(&self) -> Option<u64> {
        const KIB: u64 = 1024;
        let said = shell::text(Command::new("df").arg("-Pk").arg(&self.root)).ok()?;
        said.lines().last()?.split_whitespace().nth(3)?.parse::<u64>().ok().map(|kib| kib * KIB)
    }
}

/// A setting from the environment; an empty one counts as not set.
pub(crate) fn setting(name: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "the one place of xtask that reads the environment")]
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Finds a program on the PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = setting("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

/// True for a file with an execute bit.
pub(crate) fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// True when we may install packages.
pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}

/// As many jobs as there are cores.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn default_cache() -> Result<PathBuf> {
    if let Some(named) = setting(CACHE_VARIABLE) {
        return Ok(std::path::absolute(named)?);
    }
    if let Some(xdg) = setting("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(xdg).join("penstock"));
    }
    match setting("HOME") {
        Some(home) => Ok(PathBuf::from(home).join(".cache/penstock")),
        None => bail!("no home directory is known; name a cache folder: {CACHE_VARIABLE}=/some/folder"),
    }
}
