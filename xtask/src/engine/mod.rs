//! Life of an engine binary: named by a setting, found on the PATH, found in the cache, or built
//! once from pinned sources.
//!
//! In: the site. Out: the path of a llama-server that has shown that it starts. Fails: when a
//! named one does not work, or when the build cannot be done; the error says what to install or
//! set. Holds: a lock file in the cache while it builds, so that two builders do it once.

mod build;
mod elf;
mod source;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::site::{self, ENGINE_VARIABLE, Site};
use crate::{say, shell};

/// The binary's name.
const PROGRAM: &str = "llama-server";

/// What the binary is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// To run here.
    Here,
    /// To be carried to machines that have nothing else: must be static.
    Carried,
}

/// Gives a llama-server that starts; builds one if there is none.
pub(crate) fn obtain(site: &Site, jobs: usize, purpose: Use) -> Result<PathBuf> {
    if let Some(named) = site::setting(ENGINE_VARIABLE) {
        return named_by_setting(&PathBuf::from(named), purpose);
    }
    if purpose == Use::Here
        && let Some(found) = site::on_path(PROGRAM)
    {
        match version(&found) {
            Ok(text) => {
                say::note(&format!("{} from the PATH: {text}", found.display()));
                return Ok(found);
            }
            Err(error) => say::note(&format!("{} on the PATH does not start ({error:#}); looking further", found.display())),
        }
    }
    from_cache(site, jobs)
}

/// What a llama-server says of its version; to ask is also to see whether it starts.
fn version(binary: &Path) -> Result<String> {
    let text = shell::text(Command::new(binary).arg("--version"))?;
    let line = text.lines().find(|line| line.trim_start().starts_with("version:"));
    let line = line.with_context(|| format!("`{} --version` names no version: not a llama-server?", binary.display()))?;
    Ok(line.trim().to_owned())
}

fn named_by_setting(named: &Path, purpose: Use) -> Result<PathBuf> {
    let named = std::path::absolute(named)?;
    if !site::is_executable(&named) {
        bail!("{ENGINE_VARIABLE} names {}, which is not an executable file; correct it or unset it", named.display());
    }
    let text =
        version(&named).with_context(|| format!("{ENGINE_VARIABLE} names a llama-server that does not start; correct it or unset it"))?;
    if purpose == Use::Carried && !elf::is_static(&named)? {
        bail!(
            "{ENGINE_VARIABLE} names {}, which needs shared libraries and so cannot be carried to a bare machine; \
             unset it to build a static one",
            named.display()
        );
    }
    say::note(&format!("{} from {ENGINE_VARIABLE}: {text}", named.display()));
    Ok(named)
}

fn from_cache(site: &Site, jobs: usize) -> Result<PathBuf> {
    let engines = site.cache.join("engines");
    fs::create_dir_all(&engines).with_context(|| format!("cannot make the cache folder {}; set PENSTOCK_CACHE", engines.display()))?;
    let binary = engines.join(source::cache_name()).join(PROGRAM);
    if let Some(ready) = if_ready(&binary) {
        return Ok(ready);
    }
    let _lock = lock(&engines.join(format!("{}.lock", source::cache_name())))?;
    // Another builder may have finished while we waited for the lock.
    if let Some(ready) = if_ready(&binary) {
        return Ok(ready);
    }
    build::build(engines.join(format!("{}.work", source::cache_name())), &binary, jobs)?;
    if_ready(&binary).with_context(|| format!("{} was built but does not start", binary.display()))
}

fn if_ready(binary: &Path) -> Option<PathBuf> {
    let text = version(binary).ok()?;
    say::note(&format!("{} from the cache: {text}", binary.display()));
    Some(binary.to_path_buf())
}

/// Waits for the lock; it is given back when the file is closed, also by a crash.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot make the lock file {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say::note("another run is building it; waiting for that one");
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
